"""What an attempt at a cell leaves to the next one: nothing is measured twice, or for ever. Standard library only.

Snakemake takes a job that holds many cells for one: when its node dies, it removes the files of all its cells and tries
all of them again. So a record is kept beside its file too, in the hidden folder `.attempts`, where the next attempt of
the same run finds it. There it also stands how often the file was begun: a cell that took its job down twice is not
tried a third time. The first attempt of a run forgets what earlier runs have left.
"""

import os
from pathlib import Path

FOLDER = ".attempts"
# A node may fail while it measures a cell that can do nothing for it. A second time is no chance.
MOST = 2
# Snakemake's for a job that measures: of several cells in one job, more than one may take it down.
RETRIES = 2 * MOST


class Attempts:
    """The attempts at one file."""

    def __init__(self, output: Path) -> None:
        self._output = output
        folder = output.parent / FOLDER
        self._kept, self._begun = folder / f"{output.name}.kept", folder / f"{output.name}.begun"

    def begin(self, attempt: int) -> str | None:
        """Note that an attempt begins; return why the file must not be measured any more, or None.

        `attempt` counts from 1, as Snakemake does for the job.
        """
        if attempt == 1:
            self._kept.unlink(missing_ok=True)
            self._begun.unlink(missing_ok=True)
        begun = len(self._begun.read_text()) if self._begun.exists() else 0
        if begun >= MOST:
            return f"the measuring job ended {begun} times without a record; the newest file in .snakemake/log says why"
        self._begun.parent.mkdir(parents=True, exist_ok=True)
        with open(self._begun, "a") as stream:
            stream.write("+")
        return None

    def restore(self, attempt: int) -> bool:
        """Put the file back that an earlier attempt of this run has written; return whether there was one."""
        if attempt == 1 or not self._kept.exists():
            return False
        link = self._kept.with_suffix(".link")
        link.unlink(missing_ok=True)
        os.link(self._kept, link)
        os.replace(link, self._output)
        return True

    def keep(self) -> None:
        """Keep the file, now that it is written, for the case that the job does not live to tell."""
        self._kept.unlink(missing_ok=True)
        os.link(self._output, self._kept)
