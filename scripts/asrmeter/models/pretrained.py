"""Models as saved by their authors, on the Hub or in a local folder: check and take their files."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.common.regular_files import open_regular
from asrmeter.models import saved_files
from asrmeter.models.catalogue import Origin
from asrmeter.models.saved_files import DESCRIPTION, MOST_DESCRIPTION_BYTES, SINGLE, WEIGHTS, SavedFiles
from asrmeter.sources import hub


def take(origin: Origin, with_weights: bool, folder: Path) -> SavedFiles:
    """Put the files of a model into `folder`; return them, with facts for the record.

    Without `with_weights` the weights are left out: a model with random weights needs only its description.

    Raises:
        AsrmeterError: a file cannot be read or is missing, or asrmeter does not support such a model.
    """
    if origin.repo:
        assert origin.revision is not None
        patterns = (*DESCRIPTION, *WEIGHTS) if with_weights else DESCRIPTION
        files: Mapping[str, Path] = hub.fetch("model", origin.repo, origin.revision, patterns)
        facts = {"origin": origin.repo, "revision": origin.revision, "licence": f"as {origin.repo} says"}
    else:
        assert origin.path is not None
        files = saved_files.in_folder(origin.path, with_weights)
        facts = {"origin": f"the folder {origin.path.name}", "licence": "not stated"}
    saved = saved_files.check(files, with_weights, facts["origin"])
    saved_files.check_whole(saved)
    for name, path in saved.files.items():
        is_weights = name.endswith(".safetensors")
        try:
            _put(path.resolve(), folder / name, may_link=origin.repo is not None and is_weights, is_weights=is_weights)
        except (FileNotFoundError, PermissionError) as error:
            raise AsrmeterError(f"{name} cannot be read ({error.strerror})") from error
    weights = folder / SINGLE
    if origin.sha256 and with_weights and (found := sha256_of(weights)) != origin.sha256:
        raise AsrmeterError(f"{weights.name} has sha256 {found}, expected {origin.sha256}")
    return replace(saved, facts=facts | {"family": saved.family.name})


def _put(source: Path, target: Path, may_link: bool, is_weights: bool) -> None:
    """Copy a file to `target`; with `may_link`, link to it if possible, as the Hub's cache is never altered.

    The copy has the permissions of the file.
    """
    if may_link:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system, or one without links
    with open_regular(source, None if is_weights else MOST_DESCRIPTION_BYTES) as own, open(target, "xb") as copy:
        shutil.copyfileobj(own, copy, 2**20)
        status, made = os.fstat(own.fileno()), os.fstat(copy.fileno())
        mode = status.st_mode & 0o044
        is_of_group = status.st_gid == made.st_gid or mode & 0o004
        os.fchmod(copy.fileno(), 0o600 | (mode if is_of_group else 0))
