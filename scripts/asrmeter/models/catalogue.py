"""Models known by name (`resources/models.toml`), and a study's settings of a model. Standard library only."""

import json
import os
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.common.files import MOST_JSON_BYTES, list_files
from asrmeter.common.languages import languages, unknown_language
from asrmeter.common.options import FORBID_OTHERS, HUB_ID, TEXT, derived
from asrmeter.common.paths import RESOURCES
from asrmeter.common.regular_files import read_regular
from asrmeter.common.toml_files import read_catalogue
from asrmeter.models import saved_files
from asrmeter.runtimes import families
from asrmeter.sources import packages as pinned

CATALOGUE = RESOURCES / "models.toml"
# Raise this when the reading of foreign model folders changes. The folders are then made again.
_READING_VERSION = 2
# Weights that only an engine of the user has.
EXTERNAL = "external"


@dataclass(frozen=True)
class Model:
    """An entry of models.toml; the head of that file explains the fields."""

    name: str
    family: str
    parameters: int
    architecture: dict[str, Any]
    hub: dict[str, str]
    tokenizer: dict[str, str] | None = None
    vocabulary: list[str] = field(default_factory=list)
    packaged: dict[str, Any] | None = None
    languages: list[str] | None = None

    def packages(self, weights: str) -> list[str]:
        """Return the names of the packages from which a folder with these `weights` is made."""
        members = [self.tokenizer] if self.tokenizer else []
        if weights == "packaged" and self.packaged:
            members += [self.packaged["config"], *self.packaged["model"]]
        return sorted({member["package"] for member in members})


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """A study's settings of a model."""

    __pydantic_config__: ClassVar = FORBID_OTHERS

    weights: Literal["packaged", "hub", "local", "random", "external"] = field(
        default_factory=derived,
        metadata={
            "description": "packaged: pretrained, from pinned packages. hub: pretrained, from the Hub. local: "
            "pretrained, from `path`. random: seeded, exact architecture (speed, memory and energy are valid, WER is "
            "not). external: none here, for your own engine with its own model. Default: local with a path, hub with "
            "an id or a revision, packaged otherwise."
        },
    )
    id: str | None = field(
        default=None,
        metadata=HUB_ID
        | {"description": "Model on the Hub, owner/name. Models in resources/models.toml already have one."},
    )
    revision: str | None = field(
        default=None,
        metadata={
            "description": "Commit of `id`, 40 hexadecimal digits, which pins the model. For a model in "
            "resources/models.toml only if that has none.",
            "pattern": "^[0-9a-f]{40}$",
        },
    )
    path: str | None = field(
        default=None, metadata=TEXT | {"description": "Local folder written by save_pretrained, with safetensors."}
    )
    languages: list[str] | None = field(
        default=None,
        metadata={
            "description": "Languages of the model (ISO 639-1 codes, such as [en, ru]); speech in other languages is "
            "not measured. null: as in resources/models.toml or the model's own files; if neither has them, "
            "any.",
            "min_length": 1,
        },
    )

    def __post_init__(self) -> None:
        """Set the kind of weights if the study does not."""
        if self.weights is None:
            is_on_hub = self.id or self.revision
            object.__setattr__(self, "weights", "local" if self.path else "hub" if is_on_hub else "packaged")

    def as_json(self) -> dict[str, Any]:
        """Return the settings in the form of JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Origin:
    """Where a model folder comes from: a repository on the Hub, a local folder, or else packages.

    `entry` is the catalogue's entry of this name, if the model is that one; `sha256` is that of the weights, if pinned.
    `is_external`: only an engine of the user has the model.
    """

    entry: Model | None = None
    repo: str | None = None
    revision: str | None = None
    sha256: str | None = None
    path: Path | None = None
    is_external: bool = False


@cache
def catalogue(path: Path = CATALOGUE) -> dict[str, Model]:
    """Return every known model by name."""
    return read_catalogue(path, Model)


def origin(name: str, settings: ModelSettings) -> Origin:
    """Return where a model comes from.

    Raises:
        AsrmeterError: the settings contradict each other, or there is no such model.
    """
    place, entry = f"models.{name}", catalogue().get(name)
    weights, repo, revision, path = settings.weights, settings.id, settings.revision, settings.path
    if repo and path:
        raise AsrmeterError(f"{place}: id and path contradict each other; give one of them")
    if path:
        _allow(place, weights, "path", "local")
        return Origin(path=Path(os.path.expanduser(path)))
    if repo:
        _allow(place, weights, "id", "hub")
        return Origin(repo=repo, revision=revision or _ask_for_revision(place, repo))
    pinned_commit = entry.hub.get("revision") if entry else None
    if revision and (entry is None or pinned_commit or weights != "hub"):
        raise AsrmeterError(
            f"{place}.revision: is valid only with id; known models have their revision in resources/models.toml"
        )
    if weights == EXTERNAL:
        return Origin(is_external=True)
    if weights == "local":
        raise AsrmeterError(f"{place}.path: give the folder of the weights")
    if entry is None:
        raise AsrmeterError(
            f"{place}: unknown model{did_you_mean(name, catalogue())}; known models are {', '.join(catalogue())}; "
            "give any other with id and revision, or with path"
        )
    if weights == "hub":
        own = entry.hub["id"]
        commit = pinned_commit or revision or _ask_for_revision(place, own)
        return Origin(entry=entry, repo=own, revision=commit, sha256=entry.hub.get("sha256"))
    if weights == "packaged" and entry.packaged is None:
        raise AsrmeterError(
            f"{place}.weights: no package has its pretrained weights; use hub, or random to measure its speed"
        )
    return Origin(entry=entry)


def family_name(name: str, settings: ModelSettings) -> str | None:
    """Return the family of a model, None if it is not known yet, as for one on the Hub.

    Raises:
        AsrmeterError: the settings contradict each other, or there is no such model.
    """
    found = origin(name, settings)
    if found.is_external:
        return EXTERNAL
    if found.entry is not None:
        return found.entry.family
    if found.path is None:
        return None
    try:
        return families.family_of(json.loads(read_regular(found.path / saved_files.CONFIG, MOST_JSON_BYTES))).name
    except (AsrmeterError, OSError, ValueError):
        return None  # the job that makes the folder reports the error


def _ask_for_revision(place: str, repo: str) -> NoReturn:
    raise AsrmeterError(
        f"{place}.revision: give the commit of {repo}, 40 hexadecimal digits: it pins the weights. All of them are on "
        f"https://huggingface.co/{repo}/commits/main, and `git ls-remote https://huggingface.co/{repo} main` prints "
        "the newest"
    )


def _allow(place: str, weights: str, key: str, own: str) -> None:
    if weights not in (own, "random"):
        raise AsrmeterError(f"{place}.weights: {weights} does not go with {key}; allowed are {own}, random")


def languages_of(name: str, settings: ModelSettings) -> list[str] | None:
    """Return the language codes of a model from the study or models.toml; None: its own files may have them."""
    entry = origin(name, settings).entry
    return settings.languages or (entry.languages if entry else None)


def check(name: str, settings: ModelSettings) -> None:
    """Raise AsrmeterError if there is no such model, as far as this can be checked without the network."""
    path = origin(name, settings).path
    for code in settings.languages or ():
        if code not in languages():
            raise AsrmeterError(f"models.{name}.languages: {unknown_language(code)}")
    if path is not None:
        place = f"models.{name}.path: {path}"
        if not os.path.isdir(path):
            raise AsrmeterError(f"{place} is not a folder")
        with_weights = settings.weights != "random"
        if not os.path.lexists(path / saved_files.CONFIG):
            raise AsrmeterError(f"{place} has no config.json; {_way_out(path)}")
        if with_weights and not any(path.glob("*.safetensors")):
            raise AsrmeterError(f"{place} has no safetensors file, and asrmeter does not open other weights")
        try:
            saved_files.check(saved_files.in_folder(path, with_weights), with_weights, "the folder")
        except AsrmeterError as error:
            raise AsrmeterError(f"{place}: {error}") from error


def _way_out(path: Path) -> str:
    if os.path.isfile(path / "adapter_config.json"):
        return (
            "it contains an adapter: merge it into its base model (merge_and_unload) and save that with save_pretrained"
        )
    return "give a folder written by save_pretrained"


def archives(name: str, settings: ModelSettings) -> list[str]:
    """Return the names of the pinned packages from which a model folder is made."""
    found = origin(name, settings)
    return found.entry.packages(settings.weights) if found.entry and not found.repo else []


def fingerprint_inputs(name: str, settings: ModelSettings) -> Any:
    """Return everything that determines a model folder besides the kind of weights and the seed, as JSON values."""
    found = origin(name, settings)
    told = languages_of(name, settings)
    if found.path is not None:
        # Only the files of a model; the folder may contain others.
        listed = [file for file in list_files(found.path) if file[0].endswith((".json", ".safetensors", "merges.txt"))]
        return [_READING_VERSION, told, listed]
    if found.repo:
        # The files of models in the catalogue are known.
        return [found.repo, found.revision, told] + ([] if found.entry else [_READING_VERSION])
    if found.is_external:
        return [told]
    entry = found.entry
    assert entry is not None  # an origin has a path, a repo or an entry, or is external
    described = [entry.family, entry.parameters, entry.architecture, entry.tokenizer, entry.vocabulary, told]
    own = entry.packaged if settings.weights == "packaged" else None
    known = pinned.catalogue()
    return [described, own, [known[package].sha256 for package in archives(name, settings)]]
