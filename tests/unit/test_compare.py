"""Two runs side by side, on constructed tables."""

import random
import statistics
from pathlib import Path
from typing import Any

import pytest
from tables_for_tests import cell, example_cells, failed, write_tables

import compare as script
from asrmeter import study
from asrmeter.compare import Comparison, Verdict, cells_file, compare
from asrmeter.errors import AsrmeterError

NAMES = ("before", "after")
MODELS = ("whisper-tiny.en", "whisper-base", "wav2vec2-base-960h", "whisper-small")
PLACES = [(5, 1), (5, 4), (15, 1), (15, 4), (30, 1), (60, 1)]


def timed(latency_s: float, half_width: float = 0.01, **changes: Any) -> dict[str, Any]:
    """Return a cell with that latency in seconds and an interval of that relative half-width."""
    latency = {
        "latency_s_median": latency_s,
        "latency_s_ci_low": latency_s * (1 - half_width),
        "latency_s_ci_high": latency_s * (1 + half_width),
    }
    return cell(**{"noise_floor": 0.02, **latency, **changes})


def judged(first: dict[str, Any], second: dict[str, Any]) -> tuple[Verdict, str]:
    (pair,) = compare([first], [second], NAMES).pairs
    return pair.verdict, pair.reason


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (timed(1.0), Verdict.SAME),
        (timed(1.1), Verdict.SLOWER),
        (timed(0.9), Verdict.FASTER),
        (timed(1.1, half_width=0.09), Verdict.SAME),
        (timed(1.018, half_width=0.001), Verdict.SAME),
        (timed(1.1, noise_floor=0.12), Verdict.SAME),
        (timed(1.1, noise_floor=None), Verdict.SLOWER),
    ],
)
def test_a_cell_changed_only_beyond_its_interval_and_the_larger_floor(second, verdict) -> None:
    assert judged(timed(1.0), second) == (verdict, "")


def test_within_the_floor_intervals_apart_are_still_the_same_cell() -> None:
    assert judged(timed(1.0, half_width=0.001), timed(1.019, half_width=0.001))[0] is Verdict.SAME
    assert judged(timed(1.0, half_width=0.001), timed(1.021, half_width=0.001))[0] is Verdict.SLOWER


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (timed(1.5, latency_s_ci_low=None, latency_s_ci_high=None), "after: no interval"),
        (timed(1.5, status="unconverged", reason="10 s were spent"), "after: unconverged, 10 s were spent"),
        (timed(1.0, status="unconverged", reason="10 s were spent"), "after: unconverged, 10 s were spent"),
        (failed(timed(1.5), "oom", "too large"), "after: oom, too large"),
        (timed(1.5, disturbed=True, disturbance="steal 9 %"), "disturbed in after: steal 9 %"),
    ],
)
def test_what_cannot_be_told_is_ambiguous_with_its_reason_in_either_order(second, reason) -> None:
    assert judged(timed(1.0), second) == (Verdict.AMBIGUOUS, reason)
    assert judged(second, timed(1.0)) == (Verdict.AMBIGUOUS, reason.replace("after", "before"))


def test_disturbance_matters_only_where_there_is_a_difference() -> None:
    assert judged(timed(1.0), timed(1.0, disturbed=True, disturbance="steal 9 %")) == (Verdict.SAME, "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"corpus_sha256": "other"}, "other audio"),
        ({"weights_sha256": "other"}, "other weights"),
        ({"weights": "random"}, "other weights"),
        ({"protocol": 2}, "another protocol"),
        ({"audio_s_mean": 29.0}, "other batches were timed"),
    ],
)
def test_other_work_is_not_compared(changes, reason) -> None:
    comparison = compare([timed(1.0)], [timed(1.5, **changes)], NAMES)
    (pair,) = comparison.pairs
    assert (pair.verdict, pair.reason, pair.ratio, pair.overlap) == (Verdict.NOT_COMPARABLE, reason, None, None)
    assert comparison.overlap_share is None


def changed(*ratios: float) -> Comparison:
    """Compare two runs of a model whose cells take so many times as long in the second."""
    first = [timed(1.0, duration_s=duration_s, batch_size=batch) for duration_s, batch in PLACES[: len(ratios)]]
    return compare(first, [row | timed_as(row, ratio) for row, ratio in zip(first, ratios, strict=True)], NAMES)


def timed_as(row: dict[str, Any], ratio: float) -> dict[str, Any]:
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
def test_a_model_changed_if_three_and_most_of_its_cells_did_and_none_the_other_way(ratios, change) -> None:
    (model,) = changed(*ratios).models
    assert model.change is change
    assert sum(model.counts.values()) == len(ratios)
    assert model.ratio == pytest.approx(statistics.median(ratios))


def test_all_models_alike_are_drift_of_the_machine_unless_a_setting_differs() -> None:
    first = [timed(1.0, model=model, duration_s=d, batch_size=b) for model in MODELS[:2] for d, b in PLACES]
    second = [row | timed_as(row, 1.1) for row in first]
    drifted = compare(first, second, NAMES)
    assert (drifted.drift, drifted.changed) == (Verdict.SLOWER, ())
    upgraded = compare(first, [row | {"torch_version": "2.9.0"} for row in second], NAMES)
    assert (upgraded.drift, len(upgraded.changed)) == (Verdict.SLOWER, 2)
    one_model = compare(first, [*first[: len(PLACES)], *second[len(PLACES) :]], NAMES)
    assert (one_model.drift, len(one_model.changed)) == (None, 1)
    assert compare(first, first, NAMES).drift is None


def test_cells_of_one_run_only_are_missing_and_settings_that_differ_are_named() -> None:
    first = [timed(1.0), timed(1.0, batch_size=2)]
    second = [timed(1.0, torch_version="2.9.0"), timed(1.0, batch_size=4)]
    comparison = compare(first, second, NAMES)
    assert [(cell.batch_size, name) for cell, name in comparison.missing] == [(2, "before"), (4, "after")]
    assert comparison.differing == (("torch_version", "2.8.0", "2.9.0"),)
    assert len(comparison.pairs) == 1


class Machine:
    """Runs of a study on a machine whose speed differs between measurements as well as inside them."""

    def __init__(self, seed: int, inside: float, between: float):
        self.dice = random.Random(seed)
        self.inside, self.between = inside, between

    def latency(self, true_s: float) -> float:
        return true_s * (1 + self.dice.gauss(0, self.inside) + self.dice.gauss(0, self.between))

    def study(self, speed_up: dict[str, float]) -> list[dict[str, Any]]:
        again = [self.latency(1.0), self.latency(1.0)]
        floor = abs(again[0] - again[1]) / statistics.mean(again)
        template = cell(noise_floor=floor)
        rows = []
        for model in MODELS:
            for duration_s, batch_size in PLACES:
                seconds = self.latency(duration_s / 10 / speed_up.get(model, 1.0))
                rows.append(
                    template
                    | {"model": model, "duration_s": duration_s, "batch_size": batch_size}
                    | {"latency_s_median": seconds}
                    | {"latency_s_ci_low": seconds * (1 - 1.96 * self.inside)}
                    | {"latency_s_ci_high": seconds * (1 + 1.96 * self.inside)}
                )
        return rows


@pytest.mark.parametrize(
    ("between", "most_false", "most_claims"),
    [(0.0, 0.01, 0), (0.005, 0.02, 0), (0.01, 0.06, 0), (0.02, 0.2, 0.005 * 4000)],
    ids=["quiet", "half-as-noisy-as-passes", "as-noisy-as-passes", "twice-as-noisy-as-passes"],
)
def test_two_runs_of_the_same_study_claim_no_winner(between: float, most_false: float, most_claims: float) -> None:
    machine = Machine(1, inside=0.01, between=between)
    comparisons = [compare(machine.study({}), machine.study({}), NAMES) for _ in range(1000)]
    verdicts = [pair.verdict for one in comparisons for pair in one.pairs]
    false = sum(verdict in (Verdict.FASTER, Verdict.SLOWER) for verdict in verdicts) / len(verdicts)
    claims = sum(len(one.changed) for one in comparisons)
    assert false < most_false
    assert claims <= most_claims


def test_a_model_that_did_get_faster_is_found() -> None:
    machine = Machine(2, inside=0.01, between=0.005)
    comparisons = [compare(machine.study({}), machine.study({"whisper-base": 1.1}), NAMES) for _ in range(100)]
    found = [[(model.candidate[0], model.change) for model in one.changed] for one in comparisons]
    assert found.count([("whisper-base", Verdict.FASTER)]) >= 95


def test_a_study_may_name_a_run_to_compare_with_and_names_none_by_itself() -> None:
    least = {"name": "mine", "models": {"whisper-base": {}}}
    assert study.complete(least, "mine.yaml")["report"]["compare_with"] is None
    named = least | {"report": {"compare_with": "results-old"}}
    assert study.complete(named, "mine.yaml")["report"]["compare_with"] == "results-old"
    with pytest.raises(AsrmeterError, match=r"report\.compare_with"):
        study.complete(least | {"report": {"compare_with": ""}}, "mine.yaml")


def test_cells_are_found_in_results_and_tables_folders(tmp_path: Path) -> None:
    write_tables(tmp_path / "results" / "tables", [cell()], [])
    assert cells_file(tmp_path / "results") == cells_file(tmp_path / "results" / "tables")
    with pytest.raises(AsrmeterError, match=r"nowhere: neither .* holds no cells.parquet"):
        cells_file(tmp_path / "nowhere")


def test_command_line_prints_the_cells_and_ends_with_the_counts(tmp_path: Path, capsys) -> None:
    cells = example_cells()
    write_tables(tmp_path / "a", cells, [])
    write_tables(tmp_path / "b" / "tables", [*cells[1:], cell("whisper-new")], [])
    script.main([str(tmp_path / "a"), str(tmp_path / "b")])
    lines = capsys.readouterr().out.splitlines()
    n = len(cells) - 1
    assert lines[-1] == f"{n} cells: {n - 2} same, 2 ambiguous; 100 % of the latency intervals overlap"
    assert any(line.startswith("wav2vec2-base-960h/fp32/cpu/60s-b1") and "killed" in line for line in lines)
    assert "no model is faster or slower as a whole" in lines
    assert f"only in {tmp_path / 'b'}: whisper-new/fp32/cpu/30s-b1" in lines
