"""Check that model folders and corpora are unchanged before they are used for measurements.

Standard library only: the measuring parent uses it.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import MOST_JSON_BYTES, read_json, sha256_of, write_atomically
from asrmeter.common.regular_files import below, open_regular, read_regular

PROVENANCE = "provenance.json"
# The source of the speech, the selected segments, and what was unusable.
SELECTION = "selection.json"
_WEIGHTS = ".safetensors"
_KEY = (str, type(None))
_PROVENANCE_SHAPE = {
    "key": _KEY,
    "family": str,
    "weights": frozenset({"pretrained", "random"}),
    "weights_sha256": str,
    "sha256": {"*": str},
}
_CONVERTED_SHAPE = {
    "key": _KEY,
    "format": str,
    "refused": _KEY,
    "conversion_s": (int, float),
    "bytes": int,
    "versions": {"*": str},
    "sha256": {"*": str},
}
# Size limit of a file other than weights: 100 MB is an hour of audio.
_MOST_BYTES = 100_000_000
# The result of a check, for later jobs.
_MOST_MEMORY_BYTES = 1_000_000
_SEGMENT_SHAPE = {"duration_s": int, "audio_s": (int, float)} | dict.fromkeys(
    ("segment_id", "path", "text", "sha256"), str
)

_SILENT_SHAPE = {"audio_s": (int, float)} | dict.fromkeys(("name", "path", "sha256"), str)


def weights_sha256(files: Mapping[str, str]) -> str:
    """Return the sha256 of the weights: of their file, or over the hashes of all their files."""
    weights = [digest for name, digest in files.items() if name.endswith(_WEIGHTS)]
    return weights[0] if len(weights) == 1 else hashlib.sha256(" ".join(weights).encode()).hexdigest()


def weights_bytes(folder: Path) -> int:
    """Return the size of the weights in a model folder."""
    return sum(path.stat().st_size for path in folder.glob(f"*{_WEIGHTS}"))


def check_model_folder(
    folder: Path, key: str | None = None, run: str | None = None, weights: bool = True
) -> dict[str, Any]:
    """Check the files of a model folder, without the `weights` if that is False; return its provenance.

    Weights are gigabytes. A file beside the folder stores for the rest of the `run` that they were checked, with the
    identity of their files (see `_identity`).

    Raises:
        AsrmeterError: the folder was made for another `key`, or a file was changed, is missing, or was added.
    """
    provenance: dict[str, Any] = read_json(folder / PROVENANCE, shape=_PROVENANCE_SHAPE)
    _check_key(folder, provenance["key"], key)
    files = provenance["sha256"]
    if weights_sha256(files) != provenance["weights_sha256"]:
        raise AsrmeterError(f"{folder / PROVENANCE}: its hashes contradict each other; delete {folder} and run again")
    _check_no_others(folder, files)
    large = {name: digest for name, digest in files.items() if name.endswith(_WEIGHTS)}
    for name in files.keys() - large.keys():
        _check_file(folder, name, files[name], _MOST_BYTES)
    if weights:
        _check_once(folder, large, run)
    return provenance


def check_converted(folder: Path, key: str | None = None, run: str | None = None) -> dict[str, Any]:
    """Check the files of a converted model folder; return its provenance. See `check_model_folder`.

    Raises:
        AsrmeterError: the folder was made for another `key`, or a file was changed, is missing, or was added.
    """
    provenance: dict[str, Any] = read_json(folder / PROVENANCE, shape=_CONVERTED_SHAPE)
    _check_key(folder, provenance["key"], key)
    _check_no_others(folder, provenance["sha256"])
    _check_once(folder, provenance["sha256"], run)
    return provenance


def _check_no_others(folder: Path, files: Mapping[str, str]) -> None:
    """Raise AsrmeterError for an unknown file."""
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.name not in (PROVENANCE, *files):
            raise AsrmeterError(
                f"{path}: does not belong to the model in this folder; move it away, or delete {folder}"
            )


def _check_once(folder: Path, files: Mapping[str, str], run: str | None) -> None:
    """Check files of any size once a run, unless one of them changes. A file beside the folder stores the result."""
    memory = folder.with_name(f".{folder.name}.checked")
    seen = {"run": run, "files": {name: [digest, *_identity(folder / name)] for name, digest in files.items()}}
    if run is None or _remembered(memory) != seen:
        for name, digest in files.items():
            _check_file(folder, name, digest)
        with contextlib.suppress(AsrmeterError):  # then the next cell checks them again
            write_atomically(memory, json.dumps(seen))


def check_segments(manifest: Path, duration_s: int, key: str | None = None) -> list[dict[str, Any]]:
    """Check the audio files of a duration class; return its rows in the corpus' segments.json.

    Raises:
        AsrmeterError: the corpus was made for another `key`, has no such class, or a file was changed or is missing.
    """
    corpus = manifest.parent
    _check_manifest(manifest, key)
    rows = [row for row in read_json(manifest, shape=[_SEGMENT_SHAPE]) if row["duration_s"] == duration_s]
    if not rows:
        raise AsrmeterError(f"{manifest}: has no segments of {duration_s} s; delete {corpus} and run again")
    for row in rows:
        _check_file(corpus, row["path"], row["sha256"], _MOST_BYTES)
    return rows


def check_silent(manifest: Path, key: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
    """Check the recordings without speech of a corpus.

    Return their entries in its selection.json, and the language that models are given for all segments; None if there
    are several or models detect it.

    Raises:
        AsrmeterError: see `check_segments`.
    """
    corpus = manifest.parent
    silent: list[dict[str, Any]] = _check_manifest(manifest, key).get("silent", [])
    for entry in silent:
        _check_file(corpus, entry["path"], entry["sha256"], _MOST_BYTES)
    told = {row.get("language_told") for row in read_json(manifest, shape=[_SEGMENT_SHAPE])}
    return silent, told.pop() if len(told) == 1 else None


def _check_manifest(manifest: Path, key: str | None) -> dict[str, Any]:
    """Check the fingerprint and manifest of a corpus; return the record of its selection."""
    corpus = manifest.parent
    selection: dict[str, Any] = read_json(corpus / SELECTION, shape={"key": _KEY})
    if "silent" in selection:  # missing in older corpora
        read_json(corpus / SELECTION, shape={"silent": [_SILENT_SHAPE]})
    _check_key(corpus, selection["key"], key)
    if "segments_sha256" in selection:  # missing in older corpora
        _check_file(corpus, manifest.name, selection["segments_sha256"], MOST_JSON_BYTES)
    return selection


def _check_key(folder: Path, own: str | None, planned: str | None) -> None:
    if planned is not None and own != planned:
        raise AsrmeterError(
            f"{folder}: was made by another version or study, or from other sources (key {own}, not {planned}); "
            "delete it and run again"
        )


def _check_file(made: Path, name: str, sha256: str, most_bytes: int | None = None) -> None:
    """Check a file that a record names below the folder `made`, without waiting for a pipe or a device.

    Raises:
        AsrmeterError: it leads elsewhere, cannot be read, is too large, or has another hash.
    """
    try:
        path = below(made, name)
        open_regular(path, most_bytes).close()
        found = sha256_of(path)
    except AsrmeterError as error:
        raise AsrmeterError(f"{error}; delete {made} and run again") from error
    except OSError as error:
        raise AsrmeterError(
            f"{made / name}: cannot be read ({one_line(error)}); delete {made} and run again"
        ) from error
    if found != sha256:
        raise AsrmeterError(f"{path}: is damaged or was changed: its sha256 has changed; delete {made} and run again")


def _identity(path: Path) -> tuple[int, ...]:
    """Return numbers that change whenever a file is written or replaced; empty if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _remembered(memory: Path) -> Any:
    try:
        return json.loads(read_regular(memory, _MOST_MEMORY_BYTES))
    except (AsrmeterError, OSError, ValueError, RecursionError):
        return None
