"""The study saved beside its results. It marks the owner of the folder and holds the report's settings."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from asrmeter.common.constants import KEPT_FILE
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import MOST_JSON_BYTES, read_json
from asrmeter.common.regular_files import kind_of_file, read_regular
from asrmeter.study import validation
from asrmeter.study.model import Study

# The complete study, in its results folder.
FILE = "study.json"
# A run writes or finds one of these first, so a folder with one of them is a results folder.
_PARTS = ("downloads", "corpus", "models", "converted", "measurements", "tables", "logs", FILE)


def check_results_owner(study: Study) -> None:
    """Raise AsrmeterError if the study's results folder belongs to another study, or is not a results folder."""
    folder = Path(study.results)
    way_out = f"give this study a folder of its own (results: results-{study.name})"
    if os.path.lexists(folder) and not folder.is_dir():
        raise AsrmeterError(f"results: {folder} is {_instead_of_folder(folder)}; {way_out}")
    if os.path.lexists(folder / KEPT_FILE):
        raise AsrmeterError(f"results: {folder}/ is a kept run and must not change; {way_out}")
    owner = (load_saved(study) or {}).get("name")
    if owner is None:
        try:
            entries = {entry for entry in os.listdir(folder) if not entry.startswith(".")} if folder.is_dir() else set()
        except OSError as error:
            raise AsrmeterError(f"results: {folder}/ cannot be read ({error.strerror}); {way_out}") from error
        if entries and entries.isdisjoint(_PARTS):
            raise AsrmeterError(f"results: {folder}/ contains files that are not results; {way_out}")
    elif owner != study.name:
        raise AsrmeterError(
            f"{study.results}/ holds the results of the study {owner}, not of {study.name}: "
            f"{way_out}, or move the old one away"
        )


def _instead_of_folder(path: Path) -> str:
    """Return what is in the place of a folder."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "a broken link" if path.is_symlink() else f"not readable ({error.strerror})"
    return "a file" if stat.S_ISREG(mode) else kind_of_file(mode)


def load_saved(study: Study) -> dict[str, Any] | None:
    """Return the study that is saved in the study's results folder; None if there is none that can be read."""
    try:
        saved = json.loads(read_regular(Path(study.results) / FILE, MOST_JSON_BYTES))
    except (AsrmeterError, OSError, ValueError, RecursionError):
        return None
    return saved if isinstance(saved, dict) else None


def read(path: Path) -> Study:
    """Return a complete study that an earlier step saved.

    Raises:
        AsrmeterError: the file cannot be read, or is not a complete study.
    """
    # A study of another version may lack a key. A default would then claim a value that no cell was measured with.
    saved = read_json(path, alone=True, shape={})
    try:
        study = validation.from_json(saved, str(path))
    except AsrmeterError as error:
        raise AsrmeterError(f"{str(error).splitlines()[0]}; delete {path} and run again") from error
    if lacking := _first_lacking(saved, study.as_json()):
        raise AsrmeterError(f"{path}: lacks {lacking}; delete {path} and run again")
    return study


def _first_lacking(saved: Any, complete: Any) -> str:
    """Return the dotted path of a key that a complete study has and a saved one lacks; "" if there is none."""
    if not isinstance(complete, dict):
        return ""
    for key, value in complete.items():
        if key not in saved:
            return str(key)
        if inner := _first_lacking(saved[key], value):
            return f"{key}.{inner}"
    return ""
