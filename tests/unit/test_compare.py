"""Two runs side by side, on constructed tables."""

import csv
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compare as script
from asrmeter.analysis.comparison.guard import regressions, unjudged
from asrmeter.analysis.comparison.rules import Pair, Verdict
from asrmeter.analysis.comparison.runs import MOST_SHOWN, ByMetric, Comparison, Run, compare
from asrmeter.analysis.variance_components import Sitting, fit
from asrmeter.common.errors import AsrmeterError
from asrmeter.records import run_folders
from asrmeter.study import validation
from asrmeter.study.model import Compare, Study
from helpers.tables import (
    cell,
    example_cells,
    example_transcripts,
    failed,
    measured_again,
    without_interval,
    write_tables,
)

Row = dict[str, Any]
NAMES = ("before", "after")
MODELS = ("whisper-tiny.en", "whisper-base", "wav2vec2-base-960h", "whisper-small")
PLACES = [(5, 1), (5, 4), (15, 1), (15, 4), (30, 1), (60, 1)]


def timed(latency_s: float, half_width: float = 0.01, **changes: Any) -> Row:
    """Return a cell with that latency in seconds, the same in another run, and an interval of that half-width."""
    latency = {
        "latency_s_median": latency_s,
        "latency_s_ci_low": latency_s * (1 - half_width),
        "latency_s_ci_high": latency_s * (1 + half_width),
    }
    return cell(**{"noise_floor": 0.02, **latency, **changes})


def part(comparison: Comparison, name: str) -> ByMetric:
    """Return the part of a comparison that is by the metric with that name."""
    return next(one for one in comparison.by_metric if one.metric.name == name)


def compared(first: list[Row], second: list[Row], texts: tuple[list[Row], list[Row]] = ([], [])) -> Comparison:
    return compare(*(Run.of(*run) for run in zip(NAMES, (first, measured_again(second)), texts, strict=True)))


def by_latency(first: list[Row], second: list[Row]) -> ByMetric:
    return part(compared(first, second), "latency")


def judged(first: Row, second: Row) -> tuple[Verdict, str]:
    (pair,) = by_latency([first], [second]).pairs
    return pair.verdict, pair.reason


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (timed(1.0), Verdict.SAME),
        (timed(1.1), Verdict.SLOWER),
        (timed(0.9), Verdict.FASTER),
        (timed(1.1, half_width=0.1), Verdict.SAME),
        (timed(1.018, half_width=0.001), Verdict.SAME),
        (timed(1.1, noise_floor=0.12), Verdict.SAME),
        (timed(1.1, noise_floor=None), Verdict.SLOWER),
    ],
)
def test_cell_changes_only_beyond_interval_and_larger_floor(second, verdict) -> None:
    assert judged(timed(1.0), second) == (verdict, "")


def test_cell_on_other_hardware_than_its_run_is_not_comparable() -> None:
    def run(slow_batch: int, latency_s: float) -> list[Row]:
        other = {"machine_id": "slow", "latency_s": latency_s}
        rows = [(batch, other if batch == slow_batch else {"latency_s": 1.0}) for batch in (1, 2, 4)]
        return [timed(batch_size=batch, **changes) for batch, changes in rows]

    found = compared(run(1, 2.0), run(4, 2.0))
    # Both runs were on both machines: as wholes they do not differ.
    assert not found.other_machine
    reasons = {pair.cell.batch_size: (pair.verdict, pair.reason) for pair in part(found, "latency").pairs}
    elsewhere = "measured on other hardware than most of its run"
    assert reasons == {
        1: (Verdict.NOT_COMPARABLE, f"before: {elsewhere}"),
        2: (Verdict.SAME, ""),
        4: (Verdict.NOT_COMPARABLE, f"after: {elsewhere}"),
    }
    assert {pair.verdict for pair in part(found, "wer").pairs} <= {Verdict.SAME, Verdict.INCONCLUSIVE}
    # Runs that were made on one machine each are compared as ever, and it is said.
    whole = compared([timed(1.0)], [timed(2.0, machine_id="slow")])
    assert whole.other_machine and [pair.verdict for pair in part(whole, "latency").pairs] == [Verdict.SLOWER]


def test_within_the_floor_disjoint_intervals_are_the_same() -> None:
    assert judged(timed(1.0, half_width=0.001), timed(1.019, half_width=0.001))[0] is Verdict.SAME
    assert judged(timed(1.0, half_width=0.001), timed(1.021, half_width=0.001))[0] is Verdict.SLOWER


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (
            timed(1.5, latency_s_ci_low=None, latency_s_ci_high=None, interval_note="one lap"),
            "after: no interval: one lap",
        ),
        (failed(timed(1.5), "oom", "too large"), "after: oom, too large"),
        (timed(1.5, disturbed=True, disturbance="steal 9 %"), "after: disturbed in every lap: steal 9 %"),
        (timed(1.0, disturbed=True, disturbance="steal 9 %"), "after: disturbed in every lap: steal 9 %"),
    ],
)
def test_inconclusive_cells_have_a_reason_in_either_order(second, reason) -> None:
    assert judged(timed(1.0), second) == (Verdict.INCONCLUSIVE, reason)
    assert judged(second, timed(1.0)) == (Verdict.INCONCLUSIVE, reason.replace("after", "before"))


def test_an_unconverged_cell_is_judged_by_its_interval() -> None:
    wide = {"status": "unconverged", "reason": "the interval is 9 % wide to a side"}
    assert judged(timed(1.0), timed(1.5, half_width=0.09, **wide)) == (Verdict.SLOWER, "")
    assert judged(timed(1.0), timed(1.05, half_width=0.09, **wide)) == (Verdict.SAME, "")


def test_laps_of_two_runs_have_nothing_in_common() -> None:
    """Two cells of one run are compared by their own scatter, a cell of two runs by whole intervals."""
    own = {"half_width": 0.2, "latency_own_se": 0.001, "latency_own_df": 50.0}
    assert judged(timed(1.0, **own), timed(1.1, **own)) == (Verdict.SAME, "")


def controlled(speed: float, latency_s: float = 1.0, **changes: Any) -> list[Row]:
    """Return six cells of a run on a machine of that speed, that take so long each."""
    rates = {"control_matmul_flop_per_s": 1e11 * speed, "control_copy_bytes_per_s": 1e10 * speed}
    rows = [timed(latency_s, duration_s=d, batch_size=b, **rates, **changes) for d, b in PLACES]
    return [row | {"machine_speed": 0.9} for row in rows]


@pytest.mark.parametrize(
    ("speed", "latency_s", "explains", "verdict", "ratio"),
    [
        (0.9, 1 / 0.9, True, Verdict.SAME, 1.0),
        # Partly the machine: the rest is what is told.
        (0.9, 1.2, True, Verdict.SLOWER, 1.08),
        # Half of it is left.
        (0.95, 1.1, True, Verdict.SLOWER, 1.045),
        # Most of it is left.
        (0.98, 1.2, False, Verdict.SLOWER, 1.2),
        # The kernel is slower, and the cells are not.
        (0.8, 1.0, False, Verdict.SAME, 1.0),
        # The cells are slower, and the kernel is not.
        (1.0, 1.2, False, Verdict.SLOWER, 1.2),
        # They go in opposite ways.
        (1.1, 1.2, False, Verdict.SLOWER, 1.2),
    ],
)
def test_two_runs_are_compared_after_controls_that_explain(
    speed: float, latency_s: float, explains: bool, verdict: Verdict, ratio: float
) -> None:
    comparison = compared(controlled(1.0), controlled(speed, latency_s))
    (speeds,) = comparison.speeds
    assert (speeds.device, speeds.n_cells, speeds.explains) == ("cpu", 6, explains)
    assert (speeds.ratio, speeds.shift, speeds.best_shares) == (
        pytest.approx(speed),
        pytest.approx(latency_s),
        (0.9, 0.9),
    )
    pairs = part(comparison, "latency").pairs
    assert {pair.verdict for pair in pairs} == {verdict}
    assert all(pair.effect and pair.effect.value == pytest.approx(ratio) for pair in pairs)
    assert all(pair.second and pair.second.value == pytest.approx(latency_s) for pair in pairs), "as it was measured"
    line = next(line for line in script.as_text(comparison).splitlines() if line.startswith("cpu: the machine ran at"))
    assert ("taken out of the ratios" in line) is explains and "90 % of its best in before" in line


@pytest.mark.parametrize("changes", [{"torch_version": "2.9.0"}, {"machine_id": "other"}, {"library_versions": "{}"}])
def test_a_kernel_of_other_software_or_machine_is_no_bridge(changes: Row) -> None:
    comparison = compared(controlled(1.0), controlled(0.9, 1 / 0.9, **changes))
    (speeds,) = comparison.speeds
    assert (speeds.ratio, speeds.explains, speeds.n_cells) == (None, False, 0)
    assert {pair.verdict for pair in part(comparison, "latency").pairs} == {Verdict.SLOWER}


def test_few_cells_or_disturbed_ones_show_no_common_shift() -> None:
    first, second = controlled(1.0), controlled(0.9, 1 / 0.9)
    assert not compared(first[:2], second[:2]).speeds[0].explains
    disturbed = [row | {"disturbed": True, "disturbance": "others"} for row in second]
    assert not compared(first, disturbed).speeds[0].explains
    assert compared([timed(1.0)], [timed(1.0)]).speeds[0].ratio is None


def test_whether_the_first_run_foresaw_the_second_is_told() -> None:
    first = [timed(1.0, duration_s=d, batch_size=b) for d, b in PLACES]
    foreseen = {"latency_s_next_low": 0.9, "latency_s_next_high": 1.1}
    told = [row | foreseen for row in first]
    later = [row | timed_as(row, 1.05 if place else 1.2) for place, row in enumerate(first)]
    found = by_latency(told, later)
    assert [pair.predicted for pair in found.pairs].count(False) == 1
    assert found.predicted_share == pytest.approx(5 / 6)
    nothing = dict.fromkeys(foreseen)
    assert by_latency([row | nothing for row in first], later).predicted_share is None
    # After the controls, where these explain the shift.
    slow = [row | foreseen for row in controlled(1.0)]
    assert by_latency(slow, controlled(0.8, 1.25)).predicted_share == 1.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"corpus_sha256": "other"}, "other audio"),
        ({"weights_sha256": "other"}, "other weights"),
        ({"weights": "random"}, "other weights"),
        ({"protocol": 1}, "another protocol"),
        ({"audio_s_mean": 29.0}, "other batches were timed"),
    ],
)
def test_other_work_is_not_compared(changes, reason) -> None:
    latency = by_latency([timed(1.0)], [timed(1.5, **changes)])
    (pair,) = latency.pairs
    assert (pair.verdict, pair.reason, pair.effect, pair.overlap) == (Verdict.NOT_COMPARABLE, reason, None, None)
    assert latency.overlap_share is None


def changed(*ratios: float) -> ByMetric:
    """Compare two runs of a model whose cells take so many times as long in the second."""
    first = [timed(1.0, duration_s=duration_s, batch_size=batch) for duration_s, batch in PLACES[: len(ratios)]]
    return by_latency(first, [row | timed_as(row, ratio) for row, ratio in zip(first, ratios, strict=True)])


def timed_as(row: Row, ratio: float) -> Row:
    return {key: row[key] * ratio for key in row if key.startswith("latency_s") and row[key] is not None}


@pytest.mark.parametrize(
    ("ratios", "change"),
    [
        ((0.9, 0.9, 0.9), Verdict.FASTER),
        ((1.1, 1.1, 1.1), Verdict.SLOWER),
        ((0.9, 0.9), None),
        ((0.9, 0.9, 1.0), None),
        ((0.9, 0.9, 0.9, 1.1), None),
        ((0.9, 0.9, 0.9, 1.0, 1.0), Verdict.FASTER),
        ((0.9, 0.9, 0.9, 1.0, 1.0, 1.0), None),
    ],
)
def test_model_changed_if_three_and_most_cells_did_none_opposite(ratios, change) -> None:
    (model,) = changed(*ratios).models
    assert model.change is change
    assert sum(model.counts.values()) == len(ratios)
    assert model.effect and model.effect.value == pytest.approx(statistics.median(ratios))


def test_all_models_alike_are_drift_unless_a_setting_differs() -> None:
    first = [timed(1.0, model=model, duration_s=d, batch_size=b) for model in MODELS[:2] for d, b in PLACES]
    second = [row | timed_as(row, 1.1) for row in first]
    drifted = by_latency(first, second)
    assert (drifted.drift, drifted.changed) == (Verdict.SLOWER, ())
    upgraded = by_latency(first, [row | {"torch_version": "2.9.0"} for row in second])
    assert (upgraded.drift, len(upgraded.changed)) == (Verdict.SLOWER, 2)
    one_model = by_latency(first, [*first[: len(PLACES)], *second[len(PLACES) :]])
    assert (one_model.drift, len(one_model.changed)) == (None, 1)
    assert by_latency(first, first).drift is None


def test_missing_cells_and_differing_settings_are_named() -> None:
    first = [timed(1.0), timed(1.0, batch_size=2)]
    second = [timed(1.0, torch_version="2.9.0"), timed(1.0, batch_size=4)]
    comparison = compared(first, second)
    assert [(cell.batch_size, name) for cell, name in comparison.missing] == [(2, "before"), (4, "after")]
    assert comparison.differing == (("torch_version", "2.8.0", "2.9.0"),)
    assert comparison.n_cells == len(part(comparison, "latency").pairs) == 1


class Machine:
    """Runs of a study on a machine whose speed differs between passes, between laps of a cell, and of all cells."""

    def __init__(self, seed: int, passes: float, laps: float, common: float):
        self.dice = np.random.default_rng(seed)
        self.passes, self.laps, self.common = passes, laps, common

    def study(self, speed_up: dict[str, float], n_laps: int = 3, n_passes: int = 4) -> list[Row]:
        places = [(model, *place) for model in MODELS for place in PLACES]
        common = self.dice.normal(0, self.common, n_laps)
        sittings = []
        for place in places:
            model, duration_s, _ = place
            level = math.log(duration_s / 10 / speed_up.get(model, 1.0))
            for lap in range(n_laps):
                scatter = common[lap] + self.dice.normal(0, self.laps) + self.dice.normal(0, self.passes, n_passes)
                sittings.append(Sitting(place, lap + 1, {0: np.exp(level + scatter).tolist()}))
        fitted = fit(sittings)
        return [
            timed(
                fitted[place].value,
                **dict(zip(("model", "duration_s", "batch_size"), place, strict=True)),
                latency_s_ci_low=fitted[place].low,
                latency_s_ci_high=fitted[place].high,
                latency_s_next_low=fitted[place].next_low,
                latency_s_next_high=fitted[place].next_high,
                noise_floor=0.0,
            )
            for place in places
        ]


@pytest.mark.simulation
@pytest.mark.parametrize(("laps", "common"), [(0.0, 0.0), (0.03, 0.0), (0.03, 0.03), (0.1, 0.03)])
def test_two_runs_of_the_same_study_differ_in_one_cell_of_twenty(laps: float, common: float) -> None:
    """Without a noise floor: the floor, the scatter of a single lap, asks for more than the interval does."""
    machine = Machine(1, passes=0.03, laps=laps, common=common)
    comparisons = [by_latency(machine.study({}), machine.study({})) for _ in range(60)]
    verdicts = [pair.verdict for one in comparisons for pair in one.pairs]
    false = sum(verdict in (Verdict.FASTER, Verdict.SLOWER) for verdict in verdicts) / len(verdicts)
    assert false < 0.07
    assert statistics.mean(one.predicted_share or 0.0 for one in comparisons) > 0.93
    assert sum(len(one.changed) for one in comparisons) <= 0.02 * 60 * len(MODELS)


@pytest.mark.simulation
def test_a_model_that_did_get_faster_is_found() -> None:
    machine = Machine(2, passes=0.02, laps=0.02, common=0.005)
    comparisons = [by_latency(machine.study({}), machine.study({"whisper-base": 1.15})) for _ in range(40)]
    found = [[(model.candidate[0], model.change) for model in one.changed] for one in comparisons]
    assert found.count([("whisper-base", Verdict.FASTER)]) >= 36


def spoken(row: Row, errors: list[int], n_words: int = 20, text: str = "") -> list[Row]:
    """Return the transcripts of a cell with so many substitutions in each segment."""
    place = {key: row[key] for key in ("model", "variant", "device", "duration_s", "batch_size")}
    return [
        place
        | {"segment_id": f"s{index}", "n_words": n_words, "hypothesis": f"{text}{n_errors} wrong"}
        | {"n_substitutions": n_errors, "n_deletions": 0, "n_insertions": 0}
        for index, n_errors in enumerate(errors)
    ]


def by_wer(first: list[int], second: list[int], changes: Row | None = None, text: str = "") -> Pair:
    """Compare two runs of a cell by the errors of its segments."""
    rows = [cell(wer=sum(errors) / (20 * len(errors) or 1)) for errors in (first, second)]
    rows[1] |= changes or {}
    texts = spoken(rows[0], first), spoken(rows[1], second, text=text)
    (pair,) = part(compared([rows[0]], [rows[1]], texts), "wer").pairs
    return pair


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        ([3, 0, 9, 1, 2, 5], Verdict.SAME),
        ([4, 1, 10, 2, 3, 6], Verdict.WORSE),
        ([2, 0, 8, 0, 1, 4], Verdict.BETTER),
        ([4, 0, 8, 1, 2, 5], Verdict.SAME),
    ],
)
def test_wer_is_paired_so_that_hard_segments_are_not_noise(second: list[int], verdict: Verdict) -> None:
    first = [3, 0, 9, 1, 2, 5]
    pair = by_wer(first, second)
    assert (pair.verdict, pair.reason) == (verdict, "")
    assert pair.effect and pair.effect.value == pytest.approx((sum(second) - sum(first)) / 120)
    opposite = {Verdict.WORSE: Verdict.BETTER, Verdict.BETTER: Verdict.WORSE}.get(verdict, verdict)
    assert by_wer(second, first).verdict is opposite


def test_identical_texts_are_the_same_even_of_one_segment() -> None:
    one = by_wer([2], [2])
    assert (one.verdict, one.effect and (one.effect.value, one.effect.low, one.effect.high)) == (
        Verdict.SAME,
        (0, 0, 0),
    )
    reason = "fewer than two segments with words"
    assert (by_wer([2], [3]).verdict, by_wer([2], [3]).reason) == (Verdict.INCONCLUSIVE, reason)
    # As many errors, but others: that is no proof.
    assert by_wer([2], [2], text="other: ").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({"corpus_sha256": "other"}, Verdict.NOT_COMPARABLE, "other audio"),
        ({"weights_sha256": "other"}, Verdict.NOT_COMPARABLE, "other weights"),
        ({"normaliser": "plain"}, Verdict.NOT_COMPARABLE, "another normaliser"),
        ({"status": "oom", "reason": "too large", "wer": None}, Verdict.INCONCLUSIVE, "after: oom, too large"),
        ({"wer": None}, Verdict.INCONCLUSIVE, "after: it was not scored"),
    ],
)
def test_what_wer_cannot_tell_has_its_reason(changes: Row, verdict: Verdict, reason: str) -> None:
    pair = by_wer([1, 2, 3], [4, 5, 6], changes)
    assert (pair.verdict, pair.reason) == (verdict, reason)


def test_segments_that_one_run_lacks_are_another_corpus() -> None:
    assert by_wer([1, 2, 3], [1, 2]).reason == "other segments were scored"


def test_random_weights_have_no_verdict_by_wer() -> None:
    row = cell("wav2vec2-base-960h")
    assert "wer" not in [part.metric.name for part in compared([row], [row]).by_metric]


def test_pooled_segments_are_drawn_once_each() -> None:
    cells = [cell(batch_size=batch, wer=0.1) for batch in (1, 4)]
    texts = [[text for row in cells for text in spoken(row, errors)] for errors in ([1, 2, 3], [2, 3, 4])]
    (model,) = part(compared(cells, cells, (texts[0], texts[1])), "wer").models
    assert (model.change, model.judged) == (Verdict.WORSE, True)
    assert model.effect and model.effect.value == pytest.approx(3 / 60)
    # One segment is one, in two cells too.
    texts = [[text for row in cells for text in spoken(row, errors)] for errors in ([1], [2])]
    (model,) = part(compared(cells, cells, (texts[0], texts[1])), "wer").models
    assert (model.change, model.judged) == (None, False)


def powered(joules: float, method: str = "rapl", **changes: Any) -> Row:
    """Return a cell with that energy, measured in windows that lie 2 % apart."""
    own = {"energy_j_per_sample": joules, "energy_method_cpu": method, "energy_range_rel": 0.02, "noise_floor": 0.01}
    row = cell(**own | changes)
    if row["latency_s_median"]:
        row |= {
            f"latency_s_ci_{end}": row["latency_s_median"] * part for end, part in (("low", 0.995), ("high", 1.005))
        }
    return row


@pytest.mark.parametrize(
    ("second", "verdict", "reason"),
    [
        (powered(100), Verdict.SAME, ""),
        (powered(101.9), Verdict.SAME, ""),
        (powered(103), Verdict.HIGHER, ""),
        (powered(97), Verdict.LOWER, ""),
        (powered(103, energy_range_rel=0.04), Verdict.SAME, ""),
        (powered(103, status="unconverged"), Verdict.HIGHER, ""),
        (
            powered(103, disturbed=True, disturbance="steal 9 %"),
            Verdict.INCONCLUSIVE,
            "after: disturbed in every lap: steal 9 %",
        ),
        (
            powered(103, energy_range_rel=None, noise_floor=None),
            Verdict.INCONCLUSIVE,
            "after: neither several windows nor a noise floor",
        ),
        (failed(powered(1), "oom", "too large"), Verdict.INCONCLUSIVE, "after: oom, too large"),
        (powered(103, "cpu_load_model"), Verdict.NOT_COMPARABLE, "other energy methods: rapl, cpu_load_model"),
        (powered(103, "none", energy_j_per_sample=None), Verdict.NOT_COMPARABLE, "other energy methods: rapl, none"),
        (powered(103, audio_s_mean=29.0), Verdict.NOT_COMPARABLE, "other batches were timed"),
    ],
)
def test_energy_is_compared_by_the_same_method_and_its_windows(second: Row, verdict: Verdict, reason: str) -> None:
    (pair,) = part(compared([powered(100)], [second]), "energy").pairs
    assert (pair.verdict, pair.reason) == (verdict, reason)
    assert pair.first and pair.first.value == pytest.approx(100 / 30)


def energies(*joules: float, method: str = "rapl") -> list[Row]:
    return [
        powered(one, method, duration_s=duration, batch_size=batch, audio_s_mean=duration, wer=None)
        for one, (duration, batch) in zip(joules, PLACES, strict=False)
    ]


def test_modelled_energy_is_separate_and_not_guarded() -> None:
    measured = compared(energies(100, 100, 100), energies(110, 110, 110))
    assert [model.change for model in part(measured, "energy").models] == [Verdict.HIGHER]
    assert regressions(measured) == ["energy: whisper-base/fp32 higher"]
    modelled = compared(energies(1, 1, 1, method="tdp_constant"), energies(2, 2, 2, method="tdp_constant"))
    assert [part.metric.name for part in modelled.by_metric] == ["latency", "energy_modelled"]
    assert [model.change for model in part(modelled, "energy_modelled").models] == [Verdict.HIGHER]
    assert regressions(modelled) == []


def test_a_ratio_has_an_interval_of_its_own() -> None:
    (pair,) = by_latency([timed(1.0, half_width=0.03)], [timed(2.0, half_width=0.04)]).pairs
    assert pair.effect and pair.effect.low and pair.effect.high
    assert (pair.effect.value, pair.effect.floor) == (2.0, 0.02)
    assert (pair.effect.low, pair.effect.high) == pytest.approx((1.9, 2.1), rel=0.003)


def slower_run(factor: float = 1.2, models: tuple[str, ...] = MODELS[:2]) -> tuple[list[Row], list[Row]]:
    places = [(model, *place) for model in MODELS[:2] for place in PLACES]
    first = [timed(1.0, model=model, duration_s=d, batch_size=b, wer=None) for model, d, b in places]
    return first, [row | (timed_as(row, factor) if row["model"] in models else {}) for row in first]


def test_what_is_a_regression() -> None:
    first, slower = slower_run(models=("whisper-base",))
    assert regressions(compared(first, first)) == []
    assert regressions(compared(slower, first)) == []
    assert regressions(compared(first, slower)) == ["latency: whisper-base/fp32 slower"]
    oom = [failed(first[0], "oom", "too large"), *first[1:]]
    name = "whisper-tiny.en/fp32/cpu/5s-b1"
    assert regressions(compared(first, oom)) == [f"failed: {name} (oom, too large)"]
    assert regressions(compared(oom, first)) == regressions(compared(oom, oom)) == []
    assert regressions(compared(first, first[1:])) == []
    assert [unjudged(compared(first, other)) for other in (slower, oom, first[1:])] == [[], [], []]


def test_what_could_not_be_judged_is_no_regression() -> None:
    first, slower = slower_run()
    drift = compared(first, slower)
    (said,) = unjudged(drift)
    assert regressions(drift) == [] and said.startswith("latency: all models slower alike")
    assert said.endswith("the machine may have drifted, measure again")
    updated = compared(first, [row | {"torch_version": "2.9.0"} for row in slower])
    assert regressions(updated) == ["latency: whisper-base/fp32, whisper-tiny.en/fp32 slower"]
    assert regressions(compared(slower, first)) == unjudged(compared(slower, first)) == []
    nothing = "no cell that was measured is in both runs"
    assert unjudged(compared([], [])) == [nothing]
    assert unjudged(compared(first, [])) == ["whisper-base/fp32, whisper-tiny.en/fp32: not in after", nothing]
    assert unjudged(compared(first, [row | {"corpus_sha256": "other"} for row in first])) == ["latency: other audio"]
    wide = [row | {"latency_s_ci_low": None, "latency_s_ci_high": None} for row in first]
    lacking = "no interval: its laps do not say how they scatter"
    assert unjudged(compared(wide, wide)) == [f"latency: both: {lacking}"]
    evidence = "three cells with an interval, and most of its cells, to compare"
    some = compared(first, [*first[:1], *wide[1:]])
    assert unjudged(some) == [f"latency: no model has {evidence} (11 of 12 cells: after: {lacking})"]


def test_a_file_that_cannot_be_read_is_no_regression() -> None:
    first, _ = slower_run()
    found = compared(first, [failed(first[0], "unreadable", "x.parquet: is damaged"), *first[1:]])
    name = "whisper-tiny.en/fp32/cpu/5s-b1"
    assert (regressions(found), unjudged(found)) == ([], [f"{name} (unreadable, x.parquet: is damaged)"])


def test_slow_run_does_not_pass_for_want_of_intervals() -> None:
    first, _ = slower_run()
    slower = [row | timed_as(row, 1.5) for row in first]
    slower = [row if place % 6 == 0 else without_interval(row, "one lap") for place, row in enumerate(slower)]
    texts = [text for row in first for text in spoken(row, [1, 2, 3])]
    told = [[row | {"wer": 0.1} for row in rows] for rows in (first, slower)]
    (found,) = unjudged(compared(told[0], told[1], (texts, texts)))
    assert found.startswith("latency: no model has three cells with an interval")
    assert unjudged(compared(first, first, ([], []))) == []
    assert unjudged(compared(told[0], told[0])) == ["wer: both: it was not scored"]


def test_a_model_that_the_second_run_lacks_is_not_judged() -> None:
    first, _ = slower_run()
    (one, other) = (first[: len(PLACES)], first[len(PLACES) :])
    assert unjudged(compared(first, one)) == [f"{other[0]['model']}/fp32: not in after"]
    assert regressions(compared(first, one)) == []
    assert unjudged(compared(one, first)) == []
    assert unjudged(compared([*one, *(failed(row, "oom", "too large") for row in other)], one)) == []


def test_worse_texts_are_a_regression_and_better_ones_are_none() -> None:
    rows = [cell(wer=0.1)]
    worse = spoken(rows[0], [2, 3, 4, 5]), spoken(rows[0], [4, 5, 6, 7])
    assert regressions(compared(rows, rows, worse)) == ["wer: whisper-base/fp32 worse"]
    assert [found.split(":")[0] for found in unjudged(compared(rows, rows, worse))] == ["latency"]
    assert regressions(compared(rows, rows, worse[::-1])) == []
    # No machine drifts in what it hears.
    both = [cell(model, wer=0.1) for model in MODELS[:2]]
    texts = [[text for row in both for text in spoken(row, errors)] for errors in ([2, 3, 4], [4, 5, 6])]
    assert len(part(compared(both, both, (texts[0], texts[1])), "wer").changed) == 2


@pytest.mark.parametrize("column", ["started_at", "measured_at"])
def test_what_was_not_measured_again_is_not_compared(column: str) -> None:
    first, _ = slower_run()
    again = [*(row | timed_as(row, 1.5) for row in measured_again(first[:1])), *measured_again(first[1:])]
    kept = [row | {column: first[0][column]} if place else row for place, row in enumerate(again)]
    comparison = compare(Run.of("before", first, []), Run.of("after", kept, []))
    reasons = {pair.cell.id: pair.reason for pair in part(comparison, "latency").pairs}
    same = "not measured again: both runs have the same measurement"
    assert [*reasons.values()].count(same) == len(first) - 1 and reasons["whisper-tiny.en/fp32/cpu/5s-b1"] == ""
    unchanged = compare(Run.of("before", first, []), Run.of("after", first, []))
    assert unjudged(unchanged) == [f"latency: {same}"] and regressions(unchanged) == []
    elsewhere = [row | {"machine_id": "other"} for row in first]
    assert unjudged(compare(Run.of("before", first, []), Run.of("after", elsewhere, []))) == []


def test_two_machines_are_compared_and_said_to_be_two() -> None:
    first, slower = slower_run()
    other = compared(first, [row | {"machine_id": "other"} for row in slower])
    assert other.other_machine and len(part(other, "latency").changed) == 2
    assert not compared(first, slower).other_machine
    assert "the machines differ: what changed may be theirs" in script.as_text(other).splitlines()


def test_the_order_of_rows_does_not_matter() -> None:
    cells = example_cells(("cpu", "cuda"))
    texts = example_transcripts(cells)
    other = [row | timed_as(row, 1.03) for row in cells]
    heard = [row | {"n_insertions": index % 3, "hypothesis": str(index)} for index, row in enumerate(texts)]
    comparison = compared(cells, other, (texts, heard))
    assert compared(cells[::-1], other[::-1], (texts[::-1], heard[::-1])) == comparison
    assert {part.metric.name for part in comparison.by_metric} == {"latency", "wer", "energy", "energy_modelled"}


def test_of_many_pairs_those_that_differ_are_shown_first() -> None:
    first = [timed(1.0, batch_size=batch) for batch in range(1, MOST_SHOWN + 51)]
    second = [*first[:-1], timed(2.0, batch_size=MOST_SHOWN + 50)]
    comparison = compared(first, second)
    shown = part(comparison, "latency").shown
    assert (len(shown), shown[0].verdict) == (MOST_SHOWN, Verdict.SLOWER)
    assert f"shown {MOST_SHOWN} of {MOST_SHOWN + 50}; the whole comparison: python" in script.as_text(comparison)


LEAST = {"name": "mine", "models": {"whisper-base": {}}}


def test_study_may_name_runs_to_compare_default_is_none() -> None:
    whole = validation.with_defaults(LEAST, "mine.yaml")
    assert whole.compare == Compare(first=None, second=None, guard=False)
    assert run_folders.of_report(whole) == ([], [])
    named: dict[str, Any] = {"first": "results-a", "second": "results-b", "guard": True}
    assert validation.with_defaults(LEAST | {"compare": named}, "mine.yaml").compare == Compare(**named)
    with pytest.raises(AsrmeterError, match=r"compare\.first"):
        validation.with_defaults(LEAST | {"compare": {"first": ""}}, "mine.yaml")
    with pytest.raises(AsrmeterError, match=r"unknown key compare_with"):
        validation.with_defaults(LEAST | {"report": {"compare_with": "results-a"}}, "mine.yaml")


def test_what_the_command_line_says_inside_of_braces_is_text() -> None:
    said = {"first": "results-a", "second": "null", "guard": "true"}
    typed = Compare(first="results-a", second=None, guard=True)
    assert validation.with_defaults(LEAST | {"compare": said}, "config").compare == typed
    with pytest.raises(AsrmeterError, match=r'compare\.guard: "maybe" must be true or false'):
        validation.with_defaults(LEAST | {"compare": {"guard": "maybe"}}, "config")


@pytest.mark.parametrize(("second", "shown"), [(None, 1), ("results", 1), ("results/", 1), ("results-b", 0)])
def test_the_report_compares_what_is_its_own(
    second: str | None, shown: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = validation.with_defaults(LEAST | {"compare": {"first": "a", "second": second}}, "mine.yaml")
    tables = [str(path) for path in write_tables(tmp_path / "a" / "tables", [cell()], [])[:2]]
    assert run_folders.of_report(whole) == (
        ["a"] * shown,
        [str(Path(path).relative_to(tmp_path)) for path in tables] * shown,
    )


def test_runs_that_cannot_be_compared_are_told_what_to_type(tmp_path: Path) -> None:
    def whole(**named: str) -> Study:
        study = validation.with_defaults(LEAST, "mine.yaml")
        return study.model_copy(update={"results": str(tmp_path / "b"), "compare": Compare(**named)})

    first = str(tmp_path / "a")
    with pytest.raises(AsrmeterError, match=r"compare\.first: name the results folder .* snakemake --cores 1 compare"):
        run_folders.compared(whole())
    with pytest.raises(AsrmeterError, match=r"compare\.first: .*/a: neither .* snakemake --cores 1 compare"):
        run_folders.compared(whole(first=first))
    write_tables(tmp_path / "a" / "tables", [cell()], [])
    with pytest.raises(AsrmeterError, match=r"compare\.second: .*/b: neither"):
        run_folders.compared(whole(first=first))
    with pytest.raises(AsrmeterError, match=r"a/tables and .*a/tables are the same run; name two that differ: snake"):
        run_folders.compared(whole(first=first, second=f"{tmp_path}/a/tables"))
    write_tables(tmp_path / "b", [cell()], [])
    assert run_folders.compared(whole(first=first)) == (str(tmp_path / "a"), str(tmp_path / "b"))


def test_tables_are_found_in_results_and_tables_folders(tmp_path: Path) -> None:
    write_tables(tmp_path / "results" / "tables", [cell()], [])
    assert run_folders.tables_of(tmp_path / "results") == run_folders.tables_of(tmp_path / "results" / "tables")
    with pytest.raises(AsrmeterError, match=r"nowhere: neither .* holds no cells.parquet"):
        run_folders.tables_of(tmp_path / "nowhere")


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    write_tables(tmp_path / "a" / "tables", [cell()], [])
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for other in ("a", "a/tables", "link"):
        with pytest.raises(AsrmeterError, match=r"are the same run; name two that differ"):
            script.main([str(tmp_path / "a"), str(tmp_path / other), "--guard"])
    with pytest.raises(AsrmeterError, match=r"are the same run"):
        itself = {"results": f"{tmp_path}/a", "compare": Compare(first=f"{tmp_path}/link")}
        run_folders.of_report(validation.with_defaults(LEAST, "mine").model_copy(update=itself))


def test_command_line_prints_the_cells_and_ends_with_the_verdict(tmp_path: Path, capsys: Any) -> None:
    cells = example_cells()
    write_tables(tmp_path / "a", cells, example_transcripts(cells))
    again = measured_again([*cells[1:], cell("whisper-new")])
    write_tables(tmp_path / "b" / "tables", again, example_transcripts(cells))
    script.main([str(tmp_path / "a"), str(tmp_path / "b")])
    lines = capsys.readouterr().out.splitlines()
    n = len(cells) - 1
    counted = f"{n} cells: {n - 2} same, 2 inconclusive; 100 % of the intervals overlap"
    assert f"{counted}; 100 % lie where the first run expected them" in lines
    assert any(line.startswith("wav2vec2-base-960h/fp32/cpu/60s-b1") and "killed" in line for line in lines)
    assert f"only in {tmp_path / 'b'}: whisper-new/fp32/cpu/30s-b1" in lines
    nothing = "no model changed"
    assert lines[-1] == f"verdict: latency: {nothing}; wer: {nothing}; energy modelled: {nothing}"


def guarded(capsys: Any, *folders: str) -> tuple[int, str]:
    """Return the exit code of a guard, and its line: on stderr where it fails."""
    with pytest.raises(SystemExit) as ended:
        script.main([*folders, "--guard"])
    assert isinstance(ended.value.code, int)
    said = capsys.readouterr()
    return ended.value.code, said.err.rstrip("\n") if ended.value.code else said.out.splitlines()[-1]


def test_code_and_word_of_a_guard_fit_what_it_found(tmp_path: Path, capsys: Any) -> None:
    first, slower = slower_run(models=("whisper-base",))
    runs = {"a": first, "b": measured_again(slower), "c": [row | {"wer": None} for row in measured_again(first[:6])]}
    for name, rows in runs.items():
        write_tables(tmp_path / name, rows, [])
    a, b, c = (str(tmp_path / name) for name in runs)
    script.main([a, b])
    assert capsys.readouterr().out.splitlines()[-1].startswith("verdict: latency: whisper-base/fp32 slower")
    assert guarded(capsys, a, b) == (1, "REGRESSION: latency: whisper-base/fp32 slower")
    assert guarded(capsys, b, a) == (0, "no regression (latency of 2 of 2 models could be judged)")
    assert guarded(capsys, a, c) == (3, f"NOTHING TO JUDGE: whisper-base/fp32: not in {c}")
    slow = [row | timed_as(row, 1.5) for row in runs["c"]]
    write_tables(tmp_path / "d", slow, [])
    worse, left = "latency: whisper-tiny.en/fp32 slower", f"whisper-base/fp32: not in {tmp_path / 'd'}"
    assert guarded(capsys, a, f"{tmp_path}/d") == (1, f"REGRESSION: {worse}; not judged: {left}")


def test_all_pairs_are_written_as_csv_in_raw_numbers(tmp_path: Path, capsys: Any) -> None:
    cells = [cell(), powered(100, batch_size=2)]
    write_tables(tmp_path / "a", cells, example_transcripts(cells))
    write_tables(tmp_path / "b", measured_again(cells), example_transcripts(cells))
    script.main([str(tmp_path / "a"), str(tmp_path / "b"), "--csv", str(tmp_path / "all.csv")])
    with open(tmp_path / "all.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["metric"] for row in rows] == ["latency"] * 2 + ["wer"] * 2 + ["energy", "energy_modelled"]
    assert float(rows[0]["first"]) == cells[0]["latency_s_median"] and float(rows[0]["effect"]) == 1.0
    assert rows[2]["effect_is"] == "difference" and rows[2]["verdict"] == "same"
    assert float(rows[4]["first_low"]) < float(rows[4]["first"]) and float(rows[4]["floor"]) == 0.02
    assert rows[5]["first_low"] == "" and (rows[0]["predicted"], rows[2]["predicted"]) == ("True", "")
