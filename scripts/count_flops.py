"""Count the floating-point operations of every model of a study, and of those of the 2025 study, without weights."""

import argparse
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.common.files import read_json
from asrmeter.common.parquet import write
from asrmeter.flops.table import FLOPS, BatchGrid, CountedModel, rows
from asrmeter.models.catalogue import catalogue
from asrmeter.runtimes import family_of
from asrmeter.runtimes.transformers_whisper import prompt_length, read_tokenizer
from asrmeter.sources import integrity
from asrmeter.study import grid as plan
from asrmeter.study.edlm2025 import MODELS
from asrmeter.workflow.cli import run


def models_of(study: dict[str, Any], folder: Path) -> Iterator[CountedModel]:
    """Yield the study's models, by their folders in `folder`, and those of the 2025 study by the catalogue."""
    for name in study["models"]:
        integrity.model_folder(folder / name, weights=False)
        config = read_json(folder / name / "config.json")
        if family_of(config) == "whisper":
            n_prompt = prompt_length(read_json(folder / name / "generation_config.json")["is_multilingual"])
            yield CountedModel(name, config, True, read_tokenizer(folder / name), n_prompt)
        else:
            yield CountedModel(name, config, True)
    for name in MODELS:
        if name not in study["models"]:
            yield CountedModel(name, {"model_type": "whisper"} | catalogue()[name].architecture, False)


def main(argv: list[str] | None = None) -> None:
    """Read the command line, count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--models", type=Path, required=True, help="folder of the model folders")
    parser.add_argument("--segments", type=Path, required=True, help="the corpus' segments.json")
    parser.add_argument("--output-folder", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)

    study = read_json(args.study, alone=True)
    grid = sorted({(cell.duration_s, cell.batch_size) for cell in plan.cells(study)})
    batch_grid = BatchGrid(grid, read_json(args.segments), study["seed"], study["protocol"]["timed_batches"])
    table: list[dict[str, Any]] = []
    for model in models_of(study, args.models):
        begin = time.monotonic()
        own = list(rows(model, batch_grid))
        notes = {row["note"] for row in own if row["total_gflop"] is None}
        logging.info("%s: %d rows in %.1f s%s", model.name, len(own), time.monotonic() - begin, _told(notes))
        table += own
    write({"flops": pa.Table.from_pylist(table, schema=FLOPS)}, args.output_folder)


def _told(notes: set[str | None]) -> str:
    """Return why some rows have no total."""
    return "".join(f"; {note}" for note in sorted(filter(None, notes)))


if __name__ == "__main__":
    run(main)
