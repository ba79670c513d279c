"""The records of small model folders and corpora that tests make by hand."""

import json
from pathlib import Path
from typing import Any

from asrmeter.common.files import sha256_of
from asrmeter.sources.integrity import PROVENANCE, SELECTION, weights_sha256


def sign_model(
    folder: Path, family: str = "ctc", weights: str = "pretrained", key: str | None = None, **facts: Any
) -> None:
    """Write the provenance of a model folder for its current files, with more `facts`."""
    own = [path for path in sorted(folder.iterdir()) if path.name != PROVENANCE and not path.name.startswith(".")]
    files = {path.name: sha256_of(path) for path in own}
    provenance = {
        "key": key,
        "family": family,
        "weights": weights,
        "weights_sha256": weights_sha256(files),
        "sha256": files,
    } | facts
    (folder / PROVENANCE).unlink(missing_ok=True)  # it may be a link to the file of another folder
    (folder / PROVENANCE).write_text(json.dumps(provenance))


def sign_corpus(folder: Path, rows: list[dict[str, Any]], key: str | None = None, **selection: Any) -> Path:
    """Write the manifest of the audio files in the `path` of `rows`; return the path of the manifest.

    `selection` is what else the record of the selection says.
    """
    manifest = folder / "segments.json"
    manifest.write_text(json.dumps([row | {"sha256": sha256_of(folder / row["path"])} for row in rows]))
    own = {"key": key, "segments_sha256": sha256_of(manifest)} | selection
    (folder / SELECTION).write_text(json.dumps(own))
    return manifest
