"""What is not known decides nothing: it makes no answer sure, and it is named with what it takes to know it."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_pareto import row as point
from test_scenarios import CELLS, chosen, model, of

from asrmeter.analysis.limits import Outcome
from asrmeter.analysis.pareto import front
from asrmeter.analysis.ranking import rank_all
from asrmeter.analysis.results import results_of
from asrmeter.analysis.scenarios import NoRecommendation, Recommendation, recommend
from asrmeter.analysis.star_rating import stars
from asrmeter.analysis.table_rows import cell_name
from asrmeter.analysis.unknowns import Needs, Unknown, Why
from asrmeter.analysis.unmeasured import unmeasured_of
from helpers.tables import example_study, failed

Row = dict[str, Any]
NO_P95 = {"latency_s_p95": None, "latency_s_p95_ci_low": None, "latency_s_p95_ci_high": None}
NO_WER = {"wer": None, "wer_ci_low": None, "wer_ci_high": None, "wer_words": None}


def disturbed(row: Row) -> Row:
    """Return a cell that was disturbed in every lap: its latency is what was seen, and has no interval."""
    ends = dict.fromkeys(("latency_s_ci_low", "latency_s_ci_high", "latency_own_se", "latency_own_df"))
    said = {"disturbed": True, "disturbance": "lap 1: others were busy", "laps": "", "status": "unconverged"}
    return row | ends | said | {"latency_s_median": row["latency_s_median"] * 20, "rtfx": row["rtfx"] / 20}


def timed_out(row: Row) -> Row:
    return failed(row, "timeout", "stopped after 600 s") | {"n_segments": row["n_segments"]}


def with_p95(row: Row, value: float, low: float, high: float) -> Row:
    return row | {"latency_s_p95": value, "latency_s_p95_ci_low": low, "latency_s_p95_ci_high": high}


# A way to lose what was known of a cell, whether it says nothing of its speed any more, and why it is then unknown.
LOSSES = {
    "disturbed": disturbed,
    "timeout": timed_out,
    "killed": lambda row: failed(row, "killed", "gone") | {"n_segments": row["n_segments"]},
    "unreadable": lambda row: failed(row, "unreadable", "damaged"),
    "no p95": lambda row: row | NO_P95,
    "no WER": lambda row: row | NO_WER,
    "few segments": lambda row: row | {"n_segments": 5, "wer_ci_low": None, "wer_ci_high": None},
    "no energy": lambda row: row | {"energy_j_per_sample": None},
    "no memory": lambda row: row | {"peak_rss_bytes": None},
}


def named(found: Recommendation) -> dict[str, Unknown]:
    return {one.cell: one for one in found.unknowns}


# A limit that decides, what is preferred, and which losses of the fastest cell, `small`, leave that open.
PLACES = [
    ({}, ["disturbed", "timeout", "killed", "unreadable"]),
    ({"prefer": "latency"}, ["disturbed", "timeout"]),
    ({"prefer": "energy"}, ["disturbed", "timeout", "no energy"]),
    ({"prefer": "accuracy", "max_latency_s_median": 0.7}, ["disturbed", "timeout", "no WER", "few segments"]),
    ({"max_wer": 0.5}, ["disturbed", "timeout", "no WER", "few segments"]),
    ({"max_latency_s_median": 2}, ["disturbed", "timeout"]),
    ({"max_latency_s_p95": 2}, ["disturbed", "timeout", "no p95"]),
    ({"min_rtfx": 5}, ["disturbed", "timeout"]),
    ({"max_memory_gb": 2}, ["disturbed", "timeout", "no memory"]),
]


@pytest.mark.parametrize(("limits", "loss"), [(limits, loss) for limits, losses in PLACES for loss in losses])
def test_what_would_have_won_is_named_and_nothing_else_is_sure(limits: Row, loss: str) -> None:
    cells = [with_p95(row, 1.1 * row["latency_s_median"], row["latency_s_median"], 1.2 * row["latency_s_median"])
             for row in CELLS]  # fmt: skip
    cells = [row | {"energy_method_cpu": "rapl", "energy_range_rel": 0.001} for row in cells]
    before = of(cells, **limits)
    assert chosen(before) == "small" and not before.unknowns
    found = of([LOSSES[loss](cells[0]), *cells[1:]], **limits)
    assert chosen(found) != "small" and not found.is_sure
    assert list(named(found)) == ["small/fp32/cpu/30s-b1"]
    # What is not known was not missed.
    assert found.n_unknown == 1 and found.n_meeting + found.n_missing_limit == 2
    assert before.ruled_out == found.ruled_out
    if found.ranking is None:
        assert found.missing is NoRecommendation.NOT_KNOWN


@pytest.mark.parametrize("loss", ["disturbed", "no p95"])
def test_what_misses_another_limit_for_sure_could_not_win(loss: str) -> None:
    cells = [CELLS[0] | {"wer_ci_low": 0.19}, CELLS[1]]
    found = of([LOSSES[loss](cells[0]), with_p95(cells[1], 1.1, 1.0, 1.2)], max_wer=0.15, max_latency_s_p95=2)
    assert chosen(found) == "middle" and found.is_sure and not found.unknowns
    assert (found.n_missing_limit, found.ruled_out) == (1, {"max_wer": 1})
    # Where its WER may yet be within the limit, it could.
    near = LOSSES[loss](model("small", 0.5, 0.155, wer_ci_low=0.14))
    assert list(named(of([near, with_p95(cells[1], 1.1, 1.0, 1.2)], max_wer=0.15, max_latency_s_p95=2))) == [
        "small/fp32/cpu/30s-b1"
    ]


def test_what_is_known_to_be_slower_could_not_win() -> None:
    slow = model("slow", 2.0, 0.05) | NO_P95
    found = of([with_p95(CELLS[1], 1.1, 1.0, 1.2), slow], max_latency_s_p95=9)
    assert found.is_sure and not found.unknowns and found.n_unknown == 1
    tied = model("tied", 1.001, 0.05) | NO_P95
    assert list(named(of([with_p95(CELLS[1], 1.1, 1.0, 1.2), tied], max_latency_s_p95=9))) == ["tied/fp32/cpu/30s-b1"]


def test_what_does_not_run_is_known_and_named() -> None:
    gone = [failed(model("huge", 9.0, 0.01), "oom", "too large"), failed(model("odd", 9.0, 0.01), "unsupported", "no")]
    found = of([*CELLS, *gone])
    assert found.is_sure and not found.unknowns
    assert [one.model for one in found.does_not_run] == ["huge", "odd"]
    assert (found.n_considered, found.n_meeting, found.n_unknown, found.left_out) == (5, 3, 0, ())


def test_a_percentile_is_met_missed_or_not_known() -> None:
    def outcome(row: Row, limit: float) -> Outcome:
        found = of([row], max_latency_s_p95=limit)
        (nearest,) = [found.checks] if found.ranking else [found.nearest[1]] if found.nearest else [()]
        return next((check.outcome for check in nearest if check.key == "max_latency_s_p95"), Outcome.UNKNOWN)

    known = with_p95(CELLS[0], 1.0, 0.9, 1.2)
    assert [outcome(known, limit) for limit in (1.3, 1.1, 0.95)] == [Outcome.MET, Outcome.LIKELY, Outcome.MISSED]
    few = CELLS[0] | NO_P95 | {"latency_s_p95_ci_low": 0.9}
    assert [outcome(few, limit) for limit in (1.3, 0.8)] == [Outcome.UNKNOWN, Outcome.MISSED]
    missed = of([few], max_latency_s_p95=0.8)
    assert missed.missing is NoRecommendation.NONE_MEETS and missed.ruled_out == {"max_latency_s_p95": 1}
    assert outcome(disturbed(few), 0.8) is Outcome.UNKNOWN


def test_what_it_takes_comes_from_the_figures_of_the_study() -> None:
    cells = [
        model("small", 0.5, 0.2, job_s=90.0, timed_s=30.0) | NO_P95,
        disturbed(model("quick", 0.1, 0.2, job_s=45.0)),
        timed_out(model("lost", 1.0, 0.2)) | {"job_s": 1800.0},
        timed_out(model("unheard", 1.0, 0.2, batch_size=4)) | {"job_s": None},
        model("mute", 0.3, 0.2, n_segments=4, job_s=60.0, timed_s=20.0, wer_ci_low=None, wer_ci_high=None),
    ]
    cells[4] = with_p95(cells[4], 0.3, 0.3, 0.3)
    found = named(of(cells, max_latency_s_p95=2, max_wer=0.5))
    by_model = {one.model: one for one in found.values()}
    # 60 s of the jobs were not timed, and 59 batches of 0.5 s take 29.5 s: as long as was timed already.
    assert by_model["small"].needs == Needs(minutes=1.5, passes=59, segments=59)
    assert by_model["small"].why is Why.TOO_FEW_REQUESTS and by_model["small"].key == "corpus.segments_per_class"
    assert (by_model["quick"].needs, by_model["quick"].why) == (Needs(minutes=0.75), Why.DISTURBED)
    assert by_model["quick"].command == "python scripts/list_cells.py results --disturbed --delete"
    assert by_model["quick"].detail == "lap 1: others were busy"
    assert (by_model["lost"].needs, by_model["lost"].key) == (Needs(minutes=30.0), "protocol.timeout_s")
    assert by_model["lost"].detail == "timeout: stopped after 600 s"
    assert by_model["lost"].command == "python scripts/list_cells.py results --status failed --delete"
    # Of no time of its own: the mean of the others, 90, 45, 1800 and 60 s.
    assert by_model["unheard"].needs == Needs(minutes=pytest.approx(1995 / 4 / 60))
    assert by_model["mute"].why is Why.NO_WER and by_model["mute"].needs == Needs(pytest.approx(1.0), 6, 6)


def test_cells_of_other_hardware_are_not_known() -> None:
    study = example_study({"scenarios": {"mine": {}}})
    elsewhere = model("quick", 0.1, 0.2, machine_id="other")
    (found,) = recommend(results_of(CELLS), unmeasured_of(CELLS, [elsewhere]), study)
    assert chosen(found) == "small" and not found.is_sure
    (unknown,) = found.unknowns
    assert (unknown.why, unknown.command) == (
        Why.NOT_MEASURED,
        "python scripts/list_cells.py results --machine other --delete",
    )


def test_one_lap_has_no_interval_and_says_what_one_more_takes() -> None:
    bare = {"latency_s_ci_low": None, "latency_s_ci_high": None, "laps": "1", "job_s": 30.0}
    study = example_study({"scenarios": {"mine": {}}})
    study = study.model_copy(update={"protocol": study.protocol.model_copy(update={"laps": 1})})
    cells = [model("a", 1.0, 0.1, **bare), model("b", 2.0, 0.1, **bare)]
    (found,) = recommend(results_of(cells), [], study)
    (unknown,) = found.unknowns
    assert (unknown.model, unknown.why, unknown.key) == ("b", Why.NO_INTERVAL, "protocol.laps")
    assert unknown.needs == Needs(minutes=1.0) and not found.is_sure


def test_the_unknown_are_named_the_most_promising_first() -> None:
    slow, quick = disturbed(model("slow", 3.0, 0.1)), disturbed(model("quick", 0.1, 0.1))
    found = of([CELLS[1], timed_out(model("lost", 9.0, 0.1)), slow, quick])
    assert [one.model for one in found.unknowns] == ["quick", "slow", "lost"]


@pytest.mark.parametrize("loss", ["disturbed", "timeout"])
def test_rankings_name_what_could_come_first(loss: str) -> None:
    cells = [LOSSES[loss](model("small", 0.5, 0.1)), model("middle", 1.0, 0.1), model("large", 3.0, 0.1)]
    found = rank_all(results_of(cells), unmeasured_of(cells))
    for ranking in (found.interactive, found.fastest, *(one.latency for one in found.by_duration)):
        assert ranking and ranking.first.model == "middle"
    assert found.fastest and found.fastest.unknown == ("small/fp32/cpu/30s-b1",)
    assert found.unscored == ((("small", "fp32"),) if loss == "timeout" else ())
    other = rank_all(results_of([model("small", 0.5, 0.1, energy_j_per_sample=None), *cells[1:]]), []).frugal
    assert other and "small/fp32/cpu/30s-b1" in other.unknown


def test_the_front_names_whom_it_cannot_place() -> None:
    rows = [point("good", 0.04, 2.0), disturbed(point("quick", 0.09, 0.5)), timed_out(point("lost", 0.04, 1.0))]
    rows.append(point("mute", 0.04, 1.0) | NO_WER)
    found = front(results_of(rows), unmeasured_of(rows))
    assert [one.model for one in found.members] == ["good"] and not found.dominated
    assert [one.model for one in found.unknown] == ["quick"]
    assert found.unplaced == ("mute/fp32/cpu/30s-b1", "lost/fp32/cpu/30s-b1")


def test_no_star_is_given_by_what_was_disturbed() -> None:
    given = stars(results_of([disturbed(CELLS[0]) | {"latency_s_median": 0.001, "rtfx": 30000.0}, *CELLS[1:]]))
    assert (given["small", "fp32"]["speed"], given["small", "fp32"]["energy"]) == (None, None)
    assert given["middle", "fp32"]["speed"] == 5


def test_a_failed_cell_does_not_choose_the_class() -> None:
    short = {"duration_s": 5, "n_segments": 20}
    cells = [*CELLS, *(model(name, 0.1, 0.1, **short) for name in ("small", "middle", "large"))]
    found = of([timed_out(cells[0]), *cells[1:]])
    assert found.duration_s == 30 and list(named(found)) == ["small/fp32/cpu/30s-b1"]


LATENCIES = st.sampled_from([0.5, 1.0, 1.005, 1.1, 1.5, 3.0])
WERS = st.sampled_from([0.05, 0.052, 0.09, 0.11, 0.2])
TABLE = st.lists(
    st.tuples(LATENCIES, WERS, st.sampled_from([0.01, 0.1, 0.3]), st.sampled_from([1, 4]), st.booleans()),
    min_size=2,
    max_size=5,
)
LIMITS = st.fixed_dictionaries(
    {"prefer": st.sampled_from(["throughput", "latency", "energy", "accuracy"])},
    optional={
        "max_wer": st.sampled_from([0.06, 0.1, 0.25]),
        "max_latency_s_median": st.sampled_from([0.9, 1.05, 2.0]),
        "max_latency_s_p95": st.sampled_from([1.0, 1.6]),
        "min_rtfx": st.sampled_from([15.0, 28.0]),
        "max_memory_gb": st.sampled_from([0.8, 2.0]),
    },
)


def table(drawn: Sequence[tuple[float, float, float, int, bool]]) -> list[Row]:
    rows = []
    for place, (latency_s, wer, width, batch_size, measured) in enumerate(drawn):
        ends = {"latency_s_ci_low": latency_s / (1 + width), "latency_s_ci_high": latency_s * (1 + width)}
        energy = {"energy_method_cpu": "rapl", "energy_range_rel": 0.01} if measured else {}
        row = model(f"m{place // 2}", latency_s, wer, **ends, **energy, batch_size=batch_size)
        row |= {"wer_ci_low": wer * (1 - width), "wer_ci_high": wer * (1 + width)}
        rows.append(with_p95(row, latency_s * 1.1, latency_s, latency_s * 1.3))
    return list({cell_name(row): row for row in rows}.values())


@settings(max_examples=300, deadline=None)
@given(TABLE, LIMITS, st.sampled_from(sorted(LOSSES)), st.integers(0, 4))
def test_to_know_less_of_a_cell_makes_nothing_surer(drawn: Any, limits: Row, loss: str, place: int) -> None:
    cells = table(drawn)
    assume(place < len(cells))
    name = cell_name(cells[place])
    before = of(cells, **limits)
    after = of([*cells[:place], LOSSES[loss](cells[place]), *cells[place + 1 :]], **limits)
    first, then = (found.ranking and found.ranking.first.cell for found in (before, after))
    # A limit that was not missed before is not missed now.
    assert all(after.ruled_out[key] <= before.ruled_out.get(key, 0) for key in after.ruled_out)
    if after.is_sure:
        assert before.is_sure and first == then
    if then != first:
        # Whoever takes its place does so as far as is known, and who that is not known of is named.
        assert name in named(after) and not after.is_sure
    for one in after.unknowns:
        assert one.cell != then
