"""What is printed of a finished study: where its time goes, and how far it agrees with another run."""

import pytest

from check import wall_time
from helpers.checkouts import CELLS, MEASURED, Checkout

pytestmark = pytest.mark.pipeline


def test_where_the_time_of_a_study_goes_adds_up(finished: Checkout) -> None:
    sittings = wall_time.read(finished.results)
    assert len(sittings) == len(MEASURED)
    for sitting in sittings:
        assert sum(sitting.spent_s.values()) == pytest.approx(sitting.wall_s)
        assert all(seconds > -0.01 for seconds in sitting.spent_s.values())
        assert sitting.timed_s > 0
    whole_s = wall_time.whole_run_s(finished.folder / ".snakemake", sittings)
    assert whole_s is not None and whole_s > sum(sitting.wall_s for sitting in sittings)


def test_the_share_of_timed_passes_is_printed(finished: Checkout) -> None:
    ran = finished.step("tests/check/wall_time.py", "results", limit_s=60)
    assert ran.code == 0, ran.output
    assert "timed passes: " in ran.output and "% of the jobs" in ran.output


def test_a_run_agrees_with_itself(finished: Checkout) -> None:
    ran = finished.step("tests/check/agreement.py", "results", "results", limit_s=60)
    assert ran.code == 0, ran.output
    # Beside busy neighbours there may be cells that were disturbed in all laps.
    n = int(ran.output.partition(" of ")[0])
    assert f"{n} of {len(CELLS)} cells have an interval in both runs" in ran.output
    everything = f"latencies: {n} of {n} intervals overlap, {n} of {n} values lie where the first run expects them"
    assert everything in ran.output, ran.output
