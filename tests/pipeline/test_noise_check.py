"""`snakemake noise`: the machine's self-check."""

import pytest

from asrmeter.workflow import run_lock
from helpers.checkouts import Checkout, MakeCheckout, small

pytestmark = pytest.mark.pipeline
VERDICTS = ("QUIET", "NOISY", "NOT FIT")


@pytest.fixture(scope="module")
def fresh(make_checkout: MakeCheckout) -> Checkout:
    checkout = make_checkout("noise")
    checkout.write(small())
    return checkout


@pytest.mark.parametrize("time", ["first", "second"])
def test_a_verdict_is_told_each_time_and_nothing_else_is_done(fresh: Checkout, time: str) -> None:
    ran = fresh.shell("snakemake --cores all noise")
    assert ran.jobs == {"noise": 1}
    assert sum(line.startswith(VERDICTS) for line in ran.output.splitlines()) == 1
    assert "ms each, threads: 1" in ran.output
    # The last words are Snakemake's, but only a few.
    told = ran.output.splitlines()
    assert len(told) - max(number for number, line in enumerate(told) if line.startswith(VERDICTS)) < 8
    assert (fresh.results / "logs" / "noise.log").read_text() in ran.output
    assert {path.name for path in fresh.results.iterdir()} <= {".gitkeep", run_lock.FILE, "downloads", "logs"}
