"""What of a run is private by name, each with the placeholder that stands for it: places, recordings, machines."""

import contextlib
import getpass
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from asrmeter.common.table_types import Row
from asrmeter.records.run_folders import kept_names
from asrmeter.report.redaction import FILE, FOLDER
from asrmeter.study.model import Study

# What stands for the results folder, in commands too: who reads them puts theirs there.
RESULTS = "RESULTS"
OTHER_RUN = "OTHER-RUN"
# The default tells nothing, and is a word of its own.
_DEFAULT_RESULTS = "results"
_PLACE_IN_RECORDING = re.compile(r":\d+-\d+$")


def places(study: Study) -> dict[str, str]:
    """Return the files and folders that a study names, as it writes them."""
    compared = (study.compare.first, study.compare.second)
    found = {run: OTHER_RUN for run in compared if run is not None and is_folder(run)}
    written = study.as_json()
    for part, placeholder in (("variants", "RUNTIME"), ("models", "MODEL"), ("corpus", FOLDER)):
        found |= dict.fromkeys(_paths_in(written[part]), placeholder)
    if FOLDER in found.values():
        # The name of a corpus is its folder's, unless the study gives it another.
        found[study.corpus.default_name() or study.corpus.name] = FOLDER
    return found | {study.results: RESULTS}


def _paths_in(written: Any) -> Iterator[str]:
    """Yield the paths in JSON of a study: all that has that key."""
    if isinstance(written, Mapping):
        for key, value in written.items():
            yield from [value] if key == "path" and isinstance(value, str) else _paths_in(value)


def is_folder(run: str) -> bool:
    """Tell whether a run to compare with is a folder, and not the name of a kept run."""
    return run not in kept_names()


def of_places(study: Study) -> dict[str, str]:
    """Return the files and folders that a study names as texts may name them: in full, and by their last name."""
    known = {
        spelled: placeholder for place, placeholder in places(study).items() for spelled in sorted(_spellings(place))
    }
    known.pop(_DEFAULT_RESULTS, None)
    return known


def _spellings(place: str) -> Iterable[str]:
    whole = os.path.expanduser(place)
    named = {place, whole, os.path.normpath(whole), os.path.abspath(whole), os.path.realpath(whole)}
    return {*named, *(os.path.basename(name) for name in named)}


def of_recordings(segments: Iterable[Row], selection: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of all recordings of a corpus: whole, of a part of one, and without the folder.

    `segments` are the rows of the corpus, `selection` is the record of how they were chosen.
    """
    rows = list(segments)
    listed = [name for row in rows for name in row["utterances"]]
    listed += [
        entry["name"] for part in ("skipped", "mended", "warnings", "silent") for entry in selection.get(part, ())
    ]
    whole = {name: _PLACE_IN_RECORDING.sub("", name) for name in listed}
    numbered = {name: f"{FILE}{number}" for number, name in enumerate(sorted(set(whole.values())), 1)}
    folders = {os.path.dirname(name): FOLDER for name in numbered} | {row["source"]: FOLDER for row in rows}
    last = {os.path.basename(name): placeholder for name, placeholder in numbered.items()}
    return folders | last | {name: numbered[recording] for name, recording in whole.items()} | numbered


def of_this_machine() -> Iterator[tuple[str, str]]:
    """Yield who renders the report, and where."""
    yield platform.node(), "HOST"
    with contextlib.suppress(OSError, KeyError):  # a container's user may have no name
        yield getpass.getuser(), "USER"
