"""Where the time of a study goes: that of its passes, and all else."""

import pytest

from asrmeter.records.events import Energy
from check import wall_time
from helpers.checkouts import Checkout

pytestmark = pytest.mark.pipeline


def test_where_the_time_of_a_study_goes_adds_up(finished: Checkout) -> None:
    cells = wall_time.read(finished.results)
    assert {cell.header.model for cell in cells} == {"whisper-tiny.en", "wav2vec2-base-960h"}
    for cell in cells:
        assert cell.inside_s + sum(cell.outside_s.values()) == pytest.approx(cell.wall_s)
        assert all(seconds > -0.01 for seconds in cell.outside_s.values())
        energy = cell.header.last(Energy)
        assert energy is not None
        metered = energy.windows
        assert len(cell.batches) == len(cell.passes) + sum(window["n_passes"] for window in metered)
    whole_s = wall_time.whole_run_s(finished.folder / ".snakemake", cells)
    assert whole_s is not None and whole_s > sum(cell.wall_s for cell in cells)


def test_a_share_of_a_study_is_set_beside_a_loop(finished: Checkout) -> None:
    ran = finished.step("tests/check/wall_time.py", "results", "--share", "5", limit_s=90)
    assert ran.code == 0, ran.output
    assert "measuring 1 of them" in ran.output and "ratio of the two times" in ran.output
