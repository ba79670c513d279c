"""What would make it faster, on constructed tables: ratios, verdicts in their order, and reasons."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.analysis import optimisations
from asrmeter.analysis.cell_parts.accuracy import NO_WORDS
from asrmeter.analysis.columns import CELLS, PASSES, TRANSCRIPTS
from asrmeter.analysis.optimisation_columns import OPTIMISATIONS
from asrmeter.analysis.variance_components import Sitting, fit
from asrmeter.common import parquet, stats
from asrmeter.common.errors import AsrmeterError
from asrmeter.study import proposals, validation
from asrmeter.study.model import Study
from helpers.optimisations import BATCHES_AND_EAGER
from helpers.tables import Cell, cell, failed, transcripts_of, without_interval

ADVICE = f"""{BATCHES_AND_EAGER}[bf16]
wording = "bfloat16"
of_2025 = false
variant = "bf16"
options = {{ dtype = "bfloat16" }}
[graphs]
wording = "CUDA graphs"
variant = "bf16"
options = {{ dtype = "bfloat16" }}
devices = ["cuda"]
[both]
wording = "Both"
variant = "both"
options = {{ dtype = "bfloat16", attention = "eager" }}
against = "eager"
"""
MODEL = "whisper-base"
SIZES = [(5, 1), (5, 4), (30, 1)]
VARIANTS: dict[str, Any] = {
    "bf16": {"dtype": "bfloat16"},
    "eager": {"attention": "eager"},
    "both": {"dtype": "bfloat16", "attention": "eager"},
    "half": {"dtype": "float16"},
}
OF_TIME = (
    *(f"latency_s_{part}" for part in ("median", "ci_low", "ci_high", "next_low", "next_high")),
    *(f"{stage}_s_median" for stage in ("features", "encoder", "decoder", "text")),
    "energy_j_per_sample",
)


@pytest.fixture(autouse=True, scope="module")
def _advice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("advice") / "proposals.toml"
    path.write_text(ADVICE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals, "CATALOGUE", path)
        yield


def study(*variants: str, **changes: Any) -> Study:
    told: dict[str, Any] = {"name": "mine", "models": {MODEL: {}}, "devices": ["cpu"], "durations_s": [5, 30]}
    told |= {"variants": {"fp32": {}} | {name: VARIANTS[name] for name in variants}}
    told |= {"batch_sizes": [1, 4], "max_batch_audio_s": 30}
    return validation.with_defaults(told | changes, "a test")


def timed(variant: str = "fp32", slower: float = 1.0, **changes: Any) -> list[Cell]:
    """Return the cells of a variant that takes so many times as long as fp32."""
    rows = []
    for duration_s, batch_size in SIZES:
        row = cell(MODEL, changes.get("device", "cpu"), duration_s, batch_size)
        # `cell` forgets how far laps scatter where it is told another interval.
        row |= {name: row[name] * slower for name in OF_TIME} | {"variant": variant, "rtfx": row["rtfx"] / slower}
        rows.append(row | changes)
    return rows


def table(whole: Study, *cells: list[Cell], heard: Callable[[str, Cell], str] = lambda text, row: text) -> list[Cell]:
    """Return the rows by cells whose texts are those of `transcripts_of`, as `heard` changes them."""
    rows = [row for own in cells for row in own]
    transcripts = [one for row in rows for one in transcripts_of(row)]
    passes = [
        {name: one[name] for name in ("model", "variant", "device", "duration_s", "batch_size")}
        | {"segment_ids": [one["segment_id"]], "texts": [heard(one["hypothesis"], one)]}
        for one in transcripts
    ]
    return optimisations.rows(whole, rows, transcripts, passes)


def row_of(rows: list[Cell], proposal: str | None = "bf16", **wanted: Any) -> Cell:
    (found,) = [row for row in rows if row["proposal"] == proposal and wanted.items() <= row.items()]
    return found


def judged(slower: float, **changes: Any) -> tuple[str, str | None]:
    """Return the verdict on a variant that takes so many times as long, and why."""
    row = row_of(table(study("bf16"), timed(), timed("bf16", slower, **changes)))
    return row["verdict"], row["reason"]


def test_each_proposal_and_variant_has_a_row_of_model_and_device() -> None:
    whole = study("half", "bf16", "eager", "both", devices=["cpu", "cuda"], models={MODEL: {}, "whisper-tiny.en": {}})
    rows = table(whole, timed())
    names = [row["proposal"] for row in rows if (row["model"], row["device"]) == (MODEL, "cuda")]
    assert names == ["larger-batches", "fused-operations", "bf16", "graphs", "both", None]
    assert len(rows) == 6 * 4
    assert {row["variant"] for row in rows if row["proposal"] is None} == {"half"}
    told = row_of(rows, "larger-batches", model=MODEL, device="cpu")
    assert (told["wording"], told["of_2025"], told["kind"], told["variant"]) == (
        "Larger batches",
        True,
        "batch",
        "fp32",
    )


@pytest.mark.parametrize(("variants", "tried"), [((), []), (("half",), [None])])
def test_a_study_without_a_proposal_has_no_row_of_one(variants: tuple[str, ...], tried: list[None]) -> None:
    assert [row["proposal"] for row in table(study(*variants), timed())] == tried


def test_a_proposal_is_known_by_its_options_not_by_a_name() -> None:
    whole = study().model_copy(update={"variants": study("bf16").variants | {"b": study("eager").variants["eager"]}})
    assert row_of(table(whole, timed()), "fused-operations")["variant"] == "b"


def test_ratios_say_how_many_times_better() -> None:
    lean = {"peak_rss_bytes": 5e8}
    whole = table(study("bf16"), timed(peak_rss_bytes=1e9), timed("bf16", 0.5, **lean))
    row = row_of(whole)
    half = 2.086 * 0.005 * math.sqrt(2) / math.sqrt(3)
    assert (row["n_cells"], row["verdict"], row["reason"]) == (3, "helps", None)
    assert row["speed_ratio"] == pytest.approx(2)
    assert math.log(row["speed_ratio_high"] / 2) == pytest.approx(half, rel=0.01)
    assert math.log(2 / row["speed_ratio_low"]) == pytest.approx(half, rel=0.01)
    assert (row["energy_ratio"], row["energy_method"]) == (pytest.approx(2), "cpu_load_model")
    assert row["memory_ratio"] == pytest.approx(2)
    for stage in ("features", "encoder", "decoder"):
        assert row[f"{stage}_ratio"] == pytest.approx(2)
        assert row[f"baseline_{stage}_s"] / row[f"{stage}_s"] == pytest.approx(2)
    per_segment = [one["encoder_s_median"] / one["batch_size"] for one in timed()]
    assert row["baseline_encoder_s"] == pytest.approx(math.prod(per_segment) ** (1 / 3))


def test_what_leaves_something_out_is_turned_round() -> None:
    row = row_of(table(study("eager"), timed(), timed("eager", 1.5)), "fused-operations")
    assert (row["verdict"], row["variant"], row["baseline"]) == ("helps", "eager", "fp32")
    assert row["speed_ratio"] == pytest.approx(1.5) and row["encoder_ratio"] == pytest.approx(1.5)
    assert row["encoder_s"] < row["baseline_encoder_s"]
    assert row_of(table(study("eager"), timed(), timed("eager", 0.5)), "fused-operations")["verdict"] == "hurts"


def test_a_batch_is_held_against_batch_size_1_of_its_class() -> None:
    row = row_of(table(study("bf16"), timed()), "larger-batches")
    # The class of 30 s has one batch size only; the cells of `timed` take 4 ** 0.9 times as long for 4.
    assert row["n_cells"] == 1 and row["speed_ratio"] == pytest.approx(4**0.1)
    sizes = [row | {"batch_size": 2, "rtfx": row["rtfx"] * 9} for row in timed()[:1]]
    whole = study("bf16", batch_sizes=[1, 2, 4])
    assert row_of(table(whole, timed(), sizes), "larger-batches")["speed_ratio"] == pytest.approx(4**0.1)
    not_four = [timed()[0], failed(timed()[1], "oom", "too large"), timed()[2], *sizes]
    assert row_of(table(whole, not_four), "larger-batches")["speed_ratio"] == pytest.approx(9)
    alone = study("bf16", batch_sizes=[1])
    assert (
        row_of(table(alone, [timed()[0], timed()[2]]), "larger-batches")["reason"]
        == "the study has one batch size only"
    )


def test_a_proposal_is_held_against_what_it_differs_from_alone() -> None:
    cells = timed(), timed("eager", 4), timed("both", 2)
    row = row_of(table(study("eager", "both"), *cells), "both")
    assert (row["baseline"], row["speed_ratio"]) == ("eager", pytest.approx(2))
    row = row_of(table(study("both"), cells[0], cells[2]), "both")
    assert (row["verdict"], row["reason"]) == ("not_measured", "the study has no variant eager")


@given(st.floats(0.2, 5), st.sampled_from(["variant", "without"]))
def test_the_verdict_is_that_of_the_ratio(slower: float, kind: str) -> None:
    name, variant = ("bf16", "bf16") if kind == "variant" else ("fused-operations", "eager")
    row = row_of(table(study(variant), timed(), timed(variant, slower)), name)
    ratio = 1 / slower if kind == "variant" else slower
    assert row["speed_ratio"] == pytest.approx(ratio)
    apart = not row["speed_ratio_low"] <= 1 <= row["speed_ratio_high"] and abs(ratio - 1) / (ratio + 1) * 2 > 0.012
    assert row["verdict"] == (("helps" if ratio > 1 else "hurts") if apart else "no_difference")
    assert row["reason"] is None


def test_noise_floor_and_interval_each_make_no_difference() -> None:
    assert judged(0.98)[0] == "helps"
    assert judged(0.98, noise_floor=0.03)[0] == "no_difference"
    assert judged(0.98, latency_own_se=0.05)[0] == "no_difference"


@pytest.mark.parametrize(("slower", "verdict"), [(0.5, "helps"), (2, "hurts"), (1, "no_difference")])
def test_with_one_lap_the_value_decides_and_it_is_said(slower: float, verdict: str) -> None:
    bare = [without_interval(row, "one lap") | {"noise_floor": None} for row in timed("bf16", slower)]
    once = [without_interval(row, "one lap") | {"noise_floor": None} for row in timed()]
    for laps, what in ((1, "one lap"), (2, "the ratio")):
        row = row_of(table(study("bf16", protocol={"laps": laps}), once, bare))
        assert (row["verdict"], row["speed_ratio_low"], row["speed_ratio_high"]) == (verdict, None, None)
        assert row["reason"] == f"{what} has no interval: the value alone decides"


def speed_ratio(fits: list[dict[Any, Any]], n_classes: int) -> stats.Estimate:
    """Return the mean ratio of two variants, the first of the first fit and the last of the last."""
    sides = [
        [
            stats.Estimate(one.value, one.low, one.high, None, one.own_se, one.own_df, "laps 1 2")
            for one in (fitted[variant, size] for size in range(n_classes))
        ]
        for fitted, variant in ((fits[0], 0), (fits[-1], max(variant for variant, _ in fits[-1])))
    ]
    found = stats.mean_ratio(list(zip(*sides, strict=True)))
    assert found
    return found


@pytest.mark.simulation
@pytest.mark.parametrize("groups", [(10,), (6, 1)])
@pytest.mark.parametrize(("n_laps", "n_classes", "drift"), [(2, 1, 0.05), (2, 3, 0.02), (2, 6, 0.05), (3, 3, 0.05)])
def test_the_interval_of_the_ratio_holds_the_truth(
    groups: tuple[int, ...], n_laps: int, n_classes: int, drift: float
) -> None:
    """Variants of one runtime are fitted together, those of two apart; both met the same laps."""
    dice, n_studies, own_sd, pass_sd = np.random.default_rng(4), 400, 0.03, 0.015
    holds = 0
    for _ in range(n_studies):
        of_laps = dice.normal(0, drift, n_laps)

        def sitting(variant: int, size: int, lap: int, slow: float) -> Sitting:
            level = math.log(0.5 * (size + 1)) + slow + dice.normal(0, own_sd)
            passes = np.exp(level + dice.normal(0, pass_sd, 3)).tolist()
            return Sitting((variant, size), lap, {0: passes}, False, 1.0, (size,))

        fits = [
            fit(
                sitting(variant, size, lap, of_laps[lap])
                for variant in range(n_variants)
                for size in range(n_classes)
                for lap in range(n_laps)
            )
            for n_variants in groups
        ]
        ratio = speed_ratio(fits, n_classes)
        holds += ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high
    assert 0.92 <= holds / n_studies <= 0.98, (groups, n_laps, n_classes)


def refused(rows: list[Cell], why: str = "this processor has no instructions for it") -> list[Cell]:
    return [failed(row, "unsupported", why) for row in rows]


def test_what_cannot_run_here_says_why() -> None:
    row = row_of(table(study("bf16"), timed(), refused(timed("bf16"))))
    assert (row["verdict"], row["reason"]) == ("not_possible", "this processor has no instructions for it")
    assert row["n_cells"] == 0 and row["speed_ratio"] is None and row["share_identical"] is None
    # Nothing is said against having what cannot be left out.
    row = row_of(table(study("eager"), timed(), refused(timed("eager"), "no eager")), "fused-operations")
    assert (row["verdict"], row["reason"]) == ("not_measured", "unsupported: no eager")


def test_what_is_for_another_device_is_not_possible() -> None:
    rows = table(study("bf16"), timed(), timed("bf16", 0.5))
    graphs = row_of(rows, "graphs")
    assert (graphs["verdict"], graphs["reason"]) == ("not_possible", "it is not for cpu, only for cuda")
    assert graphs["speed_ratio"] is None and row_of(rows)["verdict"] == "helps"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([timed(), [failed(row, "timeout", "600 s") for row in timed("bf16")]], "timeout: 600 s"),
        ([[failed(row, "error", "no") for row in timed()], timed("bf16")], "error: no"),
        ([timed(), [row | {"disturbed": True} for row in timed("bf16")]], "disturbed in every lap"),
        ([timed(), timed("bf16", threads=1), timed("x"), timed("y")], "measured on other hardware"),
    ],
)
def test_what_was_not_measured_says_why(cells: list[list[Cell]], reason: str) -> None:
    row = row_of(table(study("bf16"), *cells))
    assert (row["verdict"], row["reason"], row["speed_ratio"]) == ("not_measured", reason, None)


def test_a_cell_that_does_not_count_is_named_others_decide() -> None:
    first, *others = timed("bf16", 0.5)
    row = row_of(table(study("bf16"), timed(), [failed(first, "unsupported", "too short"), *others]))
    assert (row["verdict"], row["n_cells"]) == ("helps", 2)
    assert row["reason"] == "1 of 3 cells do not count: unsupported: too short"


def test_a_study_has_rows_of_what_it_tries_and_of_batches() -> None:
    rows = table(study("bf16"), timed())
    assert [row["proposal"] for row in rows] == ["larger-batches", "bf16", "graphs"]


def test_accuracy_comes_before_speed_by_the_gate_of_the_answer() -> None:
    # fp32 has a WER of 6 %: 93 % of the words are right, and 99 % of that is a WER of 6.94 %.
    for wer, verdict in ((0.069, "helps"), (0.08, "costs_accuracy")):
        found, reason = judged(0.5, wer=wer)
        assert found == verdict
    assert reason == "30 s, batch size 1: it keeps 97.9% of the word accuracy, not 99.0%"
    row = row_of(
        table(study("bf16", report={"accuracy_gate": None}), timed(), timed("bf16", 0.5, wer=0.9)),
    )
    assert (row["verdict"], row["reason"]) == ("helps", None)


def test_accuracy_is_judged_in_the_class_of_comparison() -> None:
    short, _, long = timed("bf16", 0.5)
    cells = [short | {"wer": 0.5}, long]
    assert row_of(table(study("bf16", batch_sizes=[1]), [timed()[0], timed()[2]], cells))["verdict"] == "helps"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": "random", "wer": None, "wer_note": None}, "accuracy is unknown: weights are random"),
        ({"wer": None, "wer_note": NO_WORDS}, f"accuracy is unknown: {NO_WORDS}"),
        ({"n_segments": 5}, "accuracy is not judged: too few segments were scored"),
    ],
)
def test_what_has_no_accuracy_is_judged_by_speed_and_it_is_said(changes: dict[str, Any], reason: str) -> None:
    row = row_of(table(study("bf16"), timed(**changes), timed("bf16", 0.5, **changes)))
    assert (row["verdict"], row["reason"]) == ("helps", reason)


@pytest.mark.parametrize(("variant", "name"), [("eager", "fused-operations"), ("eager", "larger-batches")])
def test_random_weights_are_said_for_what_the_baseline_has_too(variant: str, name: str) -> None:
    random = {"weights": "random", "wer": None, "wer_note": "random weights transcribe nothing"}
    row = row_of(table(study(variant), timed(**random), timed(variant, 2, **random)), name)
    assert (row["verdict"], row["reason"]) == ("helps", "accuracy is unknown: random weights transcribe nothing")


def test_texts_of_random_weights_are_not_compared() -> None:
    random = {"weights": "random"}
    row = row_of(table(study("bf16"), timed(**random), timed("bf16", **random)))
    assert (row["n_texts"], row["share_identical"]) == (0, None)


def test_texts_are_identical_to_the_letter_but_for_their_ends() -> None:
    def heard(text: str, row: Cell) -> str:
        if row["variant"] == "fp32":
            return f" {text}\n"
        return text.upper() if row["segment_id"] == "house-30-0" else text

    row = row_of(table(study("bf16"), timed(), timed("bf16"), heard=heard))
    assert row["n_texts"] == 16 + 16 + 8
    assert row["share_identical"] == pytest.approx(39 / 40)
    assert (row["wer_change"], row["wer_change_low"], row["wer_change_high"]) == (0, 0, 0)


def test_wers_are_compared_by_segment_and_turned_round_too() -> None:
    cells = timed(), timed("bf16", wer=0.3), timed("eager", wer=0.3)
    rows = table(study("bf16", "eager"), *cells)
    worse, better = row_of(rows), row_of(rows, "fused-operations")
    assert 0 < worse["wer_change_low"] < worse["wer_change"] < worse["wer_change_high"]
    assert better["wer_change"] == pytest.approx(-worse["wer_change"])
    assert better["share_identical"] == worse["share_identical"] < 1


def test_texts_on_a_gpu_are_held_against_fp32_there_or_on_cpu() -> None:
    on_gpu = timed("bf16", device="cuda")
    whole = study("bf16", devices=["cpu", "cuda"])
    missing = [failed(row, "oom", "too large") for row in timed(device="cuda", wer=None)]
    row = row_of(table(whole, timed(), missing, on_gpu), device="cuda")
    assert (row["verdict"], row["n_texts"], row["share_identical"]) == ("not_measured", 40, 1)
    other = timed(device="cuda", wer=0.5)
    assert row_of(table(whole, timed(), other, on_gpu), device="cuda")["share_identical"] < 1


@pytest.mark.parametrize(
    "changes",
    [{"energy_j_per_sample": None}, {"energy_method_cpu": "rapl"}, {"energy_method_cpu": "none"}],
)
def test_energies_by_other_methods_are_not_compared(changes: dict[str, Any]) -> None:
    row = row_of(table(study("bf16"), timed(), timed("bf16", **changes)))
    assert (row["energy_ratio"], row["energy_method"]) == (None, None)
    assert row["speed_ratio"] == pytest.approx(1)


def test_a_stage_that_a_runtime_does_not_mark_has_no_ratio() -> None:
    row = row_of(table(study("bf16"), timed(), timed("bf16", decoder_s_median=None)))
    assert (row["decoder_ratio"], row["decoder_s"]) == (None, None)
    assert row["baseline_decoder_s"] and row["encoder_ratio"] == pytest.approx(1)


def test_size_and_what_differs_come_from_the_cells() -> None:
    known = {"model_bytes": 100, "differences": ["features"], "emulated": True}
    row = row_of(table(study("bf16"), timed(model_bytes=400), timed("bf16", **known)))
    assert (row["model_bytes"], row["baseline_model_bytes"]) == (100, 400)
    assert (row["differences"], row["emulated"], row["equal_settings"]) == (["features"], True, True)


def test_the_table_is_made_of_tables_and_read_again(tmp_path: Path) -> None:
    cells = [*timed(), *timed("bf16", 0.5), *refused(timed("eager"))]
    transcripts = [one for row in cells if row["wer"] for one in transcripts_of(row)]
    tables = {
        "cells": pa.Table.from_pylist(cells, schema=CELLS),
        "transcripts": pa.Table.from_pylist(transcripts, schema=TRANSCRIPTS),
        "passes": pa.Table.from_pylist([], schema=PASSES),
    }
    whole = study("bf16", "eager")
    made = optimisations.table(whole, tables)
    assert made.schema.equals(OPTIMISATIONS, check_metadata=True)
    parquet.write({"optimisations": made}, tmp_path)
    again = optimisations.read(tmp_path / "optimisations.parquet")
    assert [row["verdict"] for row in again] == [row["verdict"] for row in made.to_pylist()]
    assert row_of(again)["speed_ratio"] == pytest.approx(2)
    with pytest.raises(AsrmeterError):
        optimisations.read(tmp_path / "cells.parquet")
