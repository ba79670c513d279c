"""Where the lines of a run are shown: a terminal, with a bar below them, or a file or pipe."""

import shutil
import textwrap
from typing import TextIO

from tqdm import tqdm

_BAR, _ONE_JOB = "{bar:20} {n_fmt} of {total_fmt}  {desc}", "{desc} ..."
_INDENT = "        "


class Plain:
    """A file or a pipe: lines as they come, and no bar."""

    keeps = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str) -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def bar(self, title: str, n_done: int, n_all: int, now: str = "") -> None:
        """Show nothing."""

    def no_bar(self) -> None:
        """Do nothing."""


class Terminal:
    """A terminal: lines are folded to its width, and the bar stays below them.

    Nothing is drawn but when there is news: no thread and no timer wakes up beside a measurement.
    """

    keeps = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: list[tqdm[None]] = []
        tqdm.monitor_interval = 0

    def line(self, text: str) -> None:
        """Write a line above the bar."""
        width = shutil.get_terminal_size().columns
        indent = _INDENT if text.startswith(" ") else ""
        folded = textwrap.fill(text, max(20, width - 1), subsequent_indent=indent, break_on_hyphens=False)
        with tqdm.external_write_mode(self._stream):
            self._stream.write(f"{folded}\n")
        self._stream.flush()

    def bar(self, title: str, n_done: int, n_all: int, now: str = "") -> None:
        """Draw the bar, and below it what happens now."""
        if not self._bars:
            shown = {"file": self._stream, "dynamic_ncols": True, "leave": False, "mininterval": 0, "miniters": 0}
            self._bars = [
                tqdm(total=n_all, position=0, bar_format=_BAR, **shown),
                tqdm(total=0, position=1, bar_format="{desc}", **shown),
            ]
        bar, below = self._bars
        bar.n, bar.total = n_done, n_all
        bar.bar_format = _BAR if n_all > 1 else _ONE_JOB
        bar.set_description_str(title)
        below.set_description_str(f"now {now}" if now else "")

    def no_bar(self) -> None:
        """Take the bar away."""
        for bar in reversed(self._bars):
            bar.close()
        self._bars = []
