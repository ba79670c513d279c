"""The files of a model as saved by its authors: select them and check that each matches its name.

Standard library only: problems of a folder are reported before anything is run.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.first_bytes import N_BYTES, kind_of
from asrmeter.common.printable import printable
from asrmeter.common.regular_files import open_regular, read_regular
from asrmeter.models.tensors import Tensor, read_header
from asrmeter.runtimes import families

if TYPE_CHECKING:
    from asrmeter.runtimes.families.base import Family

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"
_PROCESSOR = "processor_config.json"
# No code and no pickle. Other files of a repository are not downloaded.
DESCRIPTION = (
    CONFIG,
    GENERATION,
    "preprocessor_config.json",
    _PROCESSOR,
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "normalizer.json",
)
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
WEIGHTS = (SINGLE, INDEX, "model-?????-of-?????.safetensors")
# The largest vocabularies in JSON have a tenth of it.
MOST_DESCRIPTION_BYTES = 100_000_000
# The libraries that read these files stop at 128.
_MOST_NESTED = 64
# Layers of any kind: XLS-R with 2 billion parameters has 48. Building 100 layers of any size takes a second.
_MOST_LAYERS = 500
# The largest vocabularies have a quarter of it, and networks are less wide.
_MOST_WIDE = 1_000_000
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FROM_ORIGINAL = "copy it from the model that was fine-tuned"


@dataclass(frozen=True)
class SavedFiles:
    """The used files of a model: their paths by name, and their content. `facts` describe their origin."""

    files: Mapping[str, Path]
    config: Mapping[str, Any]
    family: "Family"
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def in_folder(folder: Path, with_weights: bool) -> dict[str, Path]:
    """Return the files of a model in a folder by name, links followed.

    A link may lead to a place in the folder, and from the Hub's cache, or into it, to a blob of the cache.

    Raises:
        AsrmeterError: the folder cannot be read, or a link leads elsewhere.
    """
    patterns = (*DESCRIPTION, *WEIGHTS) if with_weights else DESCRIPTION
    try:
        names = sorted(path.name for path in folder.iterdir() if any(map(path.match, patterns)))
    except OSError as error:
        raise AsrmeterError(f"the folder {printable(str(folder))} cannot be read ({error.strerror})") from error
    return {name: _followed(folder, name) for name in names}


def _followed(folder: Path, name: str) -> Path:
    try:
        own, real = folder.resolve(), (folder / name).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise AsrmeterError(f"{name} cannot be read: it is a broken link, or a link to itself") from error
    cache = real.parent.parent
    in_cache = real.parent.name == "blobs" and (
        own.parent == cache / "snapshots" or (_BLOB.fullmatch(real.name) and (cache / "snapshots").is_dir())
    )
    if real.is_relative_to(own) or in_cache:
        return real
    raise AsrmeterError(
        f"{name} leads out of the folder, to {printable(str(real), 200)}; copy the file itself into the folder"
    )


def check(files: Mapping[str, Path], with_weights: bool, source: str) -> SavedFiles:
    """Quickly check the files of a model by their names and first bytes; return those that are used.

    `source` is the name of their place in messages.

    Raises:
        AsrmeterError: a file is missing or does not match its name, or asrmeter does not support such a model.
    """
    if CONFIG not in files:
        raise AsrmeterError(f"{source} has no {CONFIG}; it is not a model of transformers")
    config = read_object(files[CONFIG], CONFIG)
    family = families.family_of(config)
    for name in sorted(files.keys() & {*DESCRIPTION}):
        _check_begin(files[name], name)
    _check_complete(files, family)
    _check_sizes(config, family)
    if not with_weights:
        return SavedFiles(files, config, family)
    used = _without_unused_weights(files, source)
    tensors: dict[str, Tensor] = {}
    for name, path in used.items():
        if name.endswith(".safetensors"):
            tensors |= _readable(read_header, path, name)
    return SavedFiles(used, config, family, tensors)


def check_whole(saved: SavedFiles) -> None:
    """Check that the descriptions can be read completely.

    Raises:
        AsrmeterError: a file is not a JSON object, or `merges.txt` is not text.
    """
    for name in sorted(saved.files.keys() & {*DESCRIPTION, INDEX}):
        if name.endswith(".json"):
            read_object(saved.files[name], name)
        else:
            _decoded(_readable(read_regular, saved.files[name], MOST_DESCRIPTION_BYTES), name)


def read_object(path: Path, name: str) -> dict[str, Any]:
    """Return the content of a description in JSON; `name` is its name in messages.

    Raises:
        AsrmeterError: it cannot be read, or is something else.
    """
    text = _decoded(_readable(read_regular, path, MOST_DESCRIPTION_BYTES), name)
    try:
        content = json.loads(text)
        depth = _depth(content)
    except ValueError as error:
        raise AsrmeterError(
            f"{name} is not JSON ({printable(one_line(error), 100)}); copy or fetch the whole file again"
        ) from error
    except RecursionError:
        depth = _MOST_NESTED + 1
    if depth > _MOST_NESTED:
        raise AsrmeterError(f"{name} is nested more than {_MOST_NESTED} levels deep, unlike any such file")
    if not isinstance(content, dict):
        raise AsrmeterError(f"{name} is not a JSON object, which begins with {{; {_FROM_ORIGINAL}")
    return content


def _depth(content: Any) -> int:
    level, depth = [content], 0
    while level and depth <= _MOST_NESTED:
        depth += 1
        containers = [each.values() if isinstance(each, dict) else each for each in level]
        level = [each for inner in containers for each in inner if isinstance(each, dict | list)]
    return depth


def _decoded(raw: bytes, name: str) -> str:
    if not raw:
        raise AsrmeterError(f"{name} is empty; copy or fetch it again")
    _check_kind(raw[:N_BYTES], name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AsrmeterError(
            f"{name} is not UTF-8 text: byte {error.start:,} is invalid; copy or fetch it again"
        ) from error


def _check_begin(path: Path, name: str) -> None:
    def head_of(path: Path) -> bytes:
        with open_regular(path, MOST_DESCRIPTION_BYTES) as stream:
            return stream.read(N_BYTES)

    head: bytes = _readable(head_of, path)
    if not head:
        raise AsrmeterError(f"{name} is empty; copy or fetch it again")
    _check_kind(head, name)


def _check_kind(head: bytes, name: str) -> None:
    kind = kind_of(head)
    if kind is not None and kind.name != "text":
        raise AsrmeterError(f"{name} {kind}")


def _readable(read: Any, path: Path, *arguments: Any) -> Any:
    try:
        return read(path, *arguments)
    except OSError as error:
        raise AsrmeterError(f"{printable(str(path))} cannot be read ({error.strerror})") from error


def _check_complete(files: Mapping[str, Path], family: "Family") -> None:
    """Raise AsrmeterError if a part is missing that the family needs."""
    names = set(files)
    # Older files give only the classes of a model.
    if _PROCESSOR in names and "feature_extractor" not in read_object(files[_PROCESSOR], _PROCESSOR):
        names.remove(_PROCESSOR)
    lacking = [part for part in family.parts if not any(names.issuperset(alternative) for alternative in part)]
    if lacking:
        way_out = _FROM_ORIGINAL if len(lacking) == 1 else _FROM_ORIGINAL.replace("it", "them", 1)
        raise AsrmeterError(f"lacks {' and '.join(map(_shown, lacking))}: {way_out}")


def _shown(part: tuple[tuple[str, ...], ...]) -> str:
    first, *others = (" and ".join(alternative) for alternative in part)
    return f"{first} (or {', or '.join(others)})" if others else first


def _check_sizes(config: Mapping[str, Any], family: "Family") -> None:
    """Raise AsrmeterError if a size is beyond any model: its network would take forever or all memory to build."""
    part = config.get("encoder_config")
    encoder = part if isinstance(part, dict) else {}
    for keys, most in ((family.repeated, _MOST_LAYERS), (family.sizes, _MOST_WIDE)):
        for key in keys:
            value = config.get(key, encoder.get(key))
            if value is None:
                continue
            if type(value) is not int or value < 0:
                raise AsrmeterError(f"{CONFIG}: {key} is {printable(json.dumps(value), 50)}, not a whole number")
            if value > most:
                raise AsrmeterError(f"{CONFIG}: {key} is {value:,}, and no model has more than {most:,}")


def _without_unused_weights(files: Mapping[str, Path], source: str) -> dict[str, Path]:
    """Return the files that are loaded. Weights are one file, or parts with an index.

    Raises:
        AsrmeterError: there is neither, or the index names a part that is missing or in another folder.
    """
    weights = {name for name in files if name.endswith(".safetensors")}
    if SINGLE in files:
        wanted = {SINGLE}
    elif INDEX in files:
        parts = set(_parts(read_object(files[INDEX], INDEX)))
        absent = sorted(parts - weights)
        if absent or not parts:
            what = ", ".join(printable(part, 100) for part in absent[:3]) or "no part"
            raise AsrmeterError(f"{INDEX} names {what}, which is not in {source}")
        wanted = {INDEX, *parts}
    else:
        raise AsrmeterError(
            f"{source} has no {SINGLE} (nor parts with {INDEX}), and asrmeter does not open other weights; "
            "try the commit of a pull request that adds them as revision"
        )
    return {name: path for name, path in files.items() if name not in {INDEX, *weights} or name in wanted}


def _parts(index: Mapping[str, Any]) -> Iterator[str]:
    parts = index.get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise AsrmeterError(f"{INDEX} has no weight_map, which names the file of each tensor; {_FROM_ORIGINAL}")
    yield from parts.values()
