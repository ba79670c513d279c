"""Prepare and check the environment of jobs before the first of them starts. Standard library only."""

import os
import shutil
import sys
from pathlib import Path

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import printable


def prepare() -> None:
    """Set up the environment of jobs, regardless of the environment of this process.

    Raises:
        AsrmeterError: there is no bash.
    """
    _put_own_python_first()
    if sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"


def _put_own_python_first() -> None:
    """Run jobs with the Python that runs Snakemake, even if no environment is activated.

    An environment of a rule (`--sdm conda`) puts its own Python first, and a container has its own PATH.
    """
    # Not resolved, because the Python of a virtual environment is a link, and its packages are beside the link.
    folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH") or os.defpath
    if shutil.which("bash", path=path) is None:
        path = os.pathsep.join((path, os.defpath))
        if shutil.which("bash", path=path) is None:
            raise AsrmeterError(
                "bash is not on PATH and is needed to run the jobs; install it, or add its folder to PATH"
            )
    if path.split(os.pathsep)[0] != folder:
        path = os.pathsep.join((folder, path))
    os.environ["PATH"] = path


def check_names(study: str, source: str) -> None:
    """Raise AsrmeterError if this Python cannot open files by the names in a study, given as JSON text."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not study.isascii():
        odd = next(character for character in study if not character.isascii())
        raise AsrmeterError(
            f"{source}: contains {odd!a}, and PYTHONUTF8 or the locale makes this Python read file names as "
            f"{printable(encoding)}; export PYTHONUTF8=1"
        )
