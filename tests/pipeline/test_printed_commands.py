"""Commands of the documentation, as they are printed, in a checkout whose run is finished: nothing is made again."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.checkouts import CELLS, Checkout
from helpers.commands import RUN

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def checkout(finished: Checkout) -> Iterator[Checkout]:
    """The finished checkout, with what a reader has beside it."""
    (finished.folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    shutil.copy(finished.folder / "config.yaml", finished.folder / "studies" / "mine.yaml")
    yield finished
    for made in (".venv", "studies/mine.yaml", "report.zip"):
        (finished.folder / made).unlink(missing_ok=True)


@pytest.mark.parametrize("command", RUN)
def test_a_command_does_what_it_says_as_it_is_printed(checkout: Checkout, command: str) -> None:
    record = str(checkout.record(f"{CELLS[0]}/lap1").relative_to(checkout.folder))
    ran = checkout.shell(command.replace(" ...", "").replace("FILE", record))
    assert ran.code == 0, ran.output
    assert "Job stats" not in ran.output, "something would be made again"
