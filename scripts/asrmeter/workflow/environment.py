"""The environment that jobs run in, and what it may lack: told before the first of them. Standard library only."""

import os
import shutil
import sys
from pathlib import Path

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import printable


def prepare() -> None:
    """Give jobs what they need, whatever the environment of this process says.

    Raises:
        AsrmeterError: there is no bash.
    """
    _put_own_python_first()
    if sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"


def _put_own_python_first() -> None:
    """Have jobs run under the Python that runs Snakemake, also where no environment is activated.

    An environment of a rule (`--sdm conda`) puts its own Python before that, and a container has a PATH of its own.
    """
    # Not resolved: the Python of a virtual environment is a link, and its packages are beside the link.
    folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH") or os.defpath
    if shutil.which("bash", path=path) is None:
        path = os.pathsep.join((path, os.defpath))
        if shutil.which("bash", path=path) is None:
            raise AsrmeterError("bash, which runs the jobs, is not on PATH; install it, or add its folder")
    if path.split(os.pathsep)[0] != folder:
        path = os.pathsep.join((folder, path))
    os.environ["PATH"] = path


def check_names(study: str, source: str) -> None:
    """Raise AsrmeterError if this Python cannot open files by the names that a study, as JSON text, may hold."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not study.isascii():
        odd = next(character for character in study if not character.isascii())
        raise AsrmeterError(
            f"{source}: holds {odd!a}, and PYTHONUTF8 or the locale makes this Python take names of files for "
            f"{printable(encoding)}; export PYTHONUTF8=1"
        )
