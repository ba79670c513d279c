"""Retry bookkeeping: keep finished files across attempts, and stop after repeated crashes. Standard library only.

Snakemake takes a job that holds many cells for one: when its node dies, it removes the files of all its cells and tries
all of them again. So a record is kept beside its file too, in the hidden folder `.attempts`, where the next attempt of
the same run finds it. There it also stands how often the file was begun and not done: a cell that took its job down
twice is not tried a third time. What earlier runs have left there is forgotten before the first job of a run.
"""

import os
import shutil
from pathlib import Path

FOLDER = ".attempts"
# A node may fail while it measures a cell that can do nothing for it. A second time is no chance.
MOST = 2
# Snakemake's for a job that measures, on a cluster: of several cells in one job, more than one may take it down.
RETRIES = 2 * MOST


class Attempts:
    """The attempts at one file; `attempt` counts from 1, as Snakemake does for a job, and the first one forgets."""

    def __init__(self, output: Path, attempt: int) -> None:
        self._output = output
        folder = output.parent / FOLDER
        self._kept, self._begun = folder / f"{output.name}.kept", folder / f"{output.name}.begun"
        self._is_last = attempt >= MOST
        if attempt == 1:
            self._kept.unlink(missing_ok=True)
            self._begun.unlink(missing_ok=True)

    def restore(self) -> bool:
        """Put the file back that an earlier attempt of this run has written; return whether there was one."""
        if not _is_file(self._kept):
            return False
        link = self._kept.with_suffix(".link")
        _link(self._kept, link)
        os.replace(link, self._output)
        return True

    def begin(self) -> str | None:
        """Note that the file is begun; return why it must not be tried any more, or None."""
        begun = self._begun.stat().st_size if _is_file(self._begun) else 0
        if begun >= MOST:
            return f"the measuring job ended {begun} times without a record; the newest file in .snakemake/log says why"
        self._begun.parent.mkdir(parents=True, exist_ok=True)
        with open(self._begun, "a", encoding="utf-8") as stream:
            stream.write("+")
        return None

    def done(self) -> None:
        """Note that the file is there: should its job end badly all the same, then for another reason."""
        self._begun.unlink(missing_ok=True)

    def keep(self, out_of_memory: bool = False) -> None:
        """Keep the written file in case the job dies before its end.

        One that says `out_of_memory` only from the second attempt on, which is given more.
        """
        if not out_of_memory or self._is_last:
            _link(self._output, self._kept)
            self.done()


def forget(output: Path) -> None:
    """Remove an earlier run's remains for a file. Call this before a run's first job: later attempts trust them."""
    Attempts(output, attempt=1)


def put_back(output: Path) -> None:
    """Put a record back that was removed with the others of its job, after the last attempt at that."""
    if not output.exists():
        Attempts(output, attempt=MOST).restore()


def _is_file(path: Path) -> bool:
    """Return whether a file is there that was written there: no link to another place, no pipe to wait for."""
    return path.is_file() and not path.is_symlink()


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # not every file system has hard links
        shutil.copy2(source, target)
