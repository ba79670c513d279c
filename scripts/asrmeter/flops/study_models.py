"""The models whose operations are counted: those of a study, and those of the 2025 study if it asks for them."""

from collections.abc import Iterator
from pathlib import Path

from asrmeter.common.files import read_json
from asrmeter.flops.table import CountedModel
from asrmeter.models.catalogue import catalogue
from asrmeter.runtimes import families
from asrmeter.sources import integrity
from asrmeter.study.edlm2025 import MODELS
from asrmeter.study.model import Study


def models_of(study: Study, folder: Path) -> Iterator[CountedModel]:
    """Yield the models of a study from their folders in `folder`, then the others of the 2025 study, if asked for.

    These come from the catalogue.
    """
    for name in study.models:
        integrity.check_model_folder(folder / name, weights=False)
        config = read_json(folder / name / "config.json")
        family = families.family_of(config)
        generation = folder / name / "generation_config.json"
        n_prompt = family.prompt_length(read_json(generation) if generation.exists() else {})
        yield CountedModel(name, config, True, family.tokenizer(folder / name), n_prompt)
    for name in MODELS if study.report.study_2025 else ():
        if name not in study.models:
            entry = catalogue()[name]
            yield CountedModel(name, families.named(entry.family).config_of(entry.architecture), False)
