"""What holds the cells of a finished run back: work, operators, ceilings and verdicts fit together."""

import gzip
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from asrmeter.analysis.roofline import LOSSES
from asrmeter.study.edlm2025 import MODELS
from helpers.checkouts import CELLS, PROFILED, Checkout

pytestmark = pytest.mark.pipeline
Row = dict[str, Any]


def rows(checkout: Checkout, table: str) -> list[Row]:
    return pq.read_table(checkout.results / "tables" / f"{table}.parquet").to_pylist()


def cell_of(row: Row) -> str:
    return f"{row['model']}/{row['variant']}/{row['device']}/{row['duration_s']}s-b{row['batch_size']}"


def test_every_cell_has_its_operations(finished: Checkout) -> None:
    for cell in rows(finished, "cells"):
        assert cell["gflop_note"] is None
        assert cell["achieved_gflops"] == pytest.approx(
            cell["gflop_per_sample"] * cell["batch_size"] / cell["latency_s_median"]
        )
        if cell["family"] == "whisper":
            # One window a segment, whatever its length.
            assert cell["encoder_gflop"] == pytest.approx(36.937728 * cell["batch_size"])
            assert cell["n_decoder_runs_mean"] > 1 and cell["decoder_gflop"] > 3.5
        else:
            assert cell["decoder_gflop"] is None and cell["n_decoder_runs_mean"] == 0


def test_the_models_of_the_2025_study_are_counted_on_request(finished: Checkout) -> None:
    counted = {(row["model"], row["duration_s"]): row for row in rows(finished, "flops") if row["batch_size"] == 1}
    assert {(model, duration_s) for model in MODELS for duration_s in (5, 15, 30, 60)} <= counted.keys()
    assert all(row["checked_against"] == "torch's counter, closed formula" for row in counted.values())


def test_every_cell_has_a_verdict_below_its_ceilings(finished: Checkout) -> None:
    judged = rows(finished, "roofline")
    passes = [row for row in judged if row["stage"] == "pass"]
    assert [cell_of(row) for row in passes] == sorted(CELLS)
    for row in judged:
        shares = [row[f"{kind}_share"] for kind in ("compute", "memory") if row[f"{kind}_share"] is not None]
        assert all(0 < share <= 1 for share in shares)
        # On a machine that others use, ceilings may have been measured in a worse moment than a cell.
        assert row["bound"] in LOSSES or row["note"]
        if row["bound"]:
            assert sum(row[f"{loss}_time_share"] for loss in LOSSES) == pytest.approx(1)


def test_ceilings_are_of_this_machine(finished: Checkout) -> None:
    ceilings, cells = rows(finished, "ceilings"), rows(finished, "cells")
    assert {row["machine_id"] for row in ceilings} == {row["machine_id"] for row in cells}
    assert {row["kind"] for row in ceilings} >= {"matmul", "copy", "read"}
    assert all(row["flop_per_s"] or row["bytes_per_s"] for row in ceilings)


def test_operators_add_up_to_the_pass(finished: Checkout) -> None:
    operators = rows(finished, "operators")
    assert {cell_of(row) for row in operators} == set(PROFILED)
    for cell in PROFILED:
        own = [row for row in operators if cell_of(row) == cell]
        assert sum(row["cpu_share"] for row in own) == pytest.approx(1, abs=0.02)
        assert all(row["cuda_self_s"] is None and row["cuda_note"] for row in own)
        assert own[0]["overhead"] is not None
        named = {row["stage"] for row in own}
        assert {"features", "encoder", "output_layer"} <= named


def test_every_profile_has_a_trace_that_the_report_names(finished: Checkout) -> None:
    report = (finished.results / "report.html").read_text()
    for cell in PROFILED:
        trace = f"profiles/{cell}.trace.json.gz"
        assert f"<code>{trace}</code>" in report
        events = json.loads(gzip.decompress((finished.results / trace).read_bytes()))["traceEvents"]
        assert len(events) > 100
        assert str(finished.folder) not in json.dumps(events)


def test_batches_have_a_saturation_or_a_reason(finished: Checkout) -> None:
    scaled = rows(finished, "scaling")
    expected: dict[str, list[int]] = {}
    for cell in rows(finished, "cells"):
        # Tests that run at the same time may disturb a cell.
        if not cell["disturbed"]:
            expected.setdefault(cell["model"], []).append(cell["batch_size"])
    assert {row["model"]: row["batch_sizes"] for row in scaled} == expected
    assert all(row["saturation_batch"] in (1, 2) and row["saturated"] != bool(row["note"]) for row in scaled)


def test_the_published_tables_stand_beside_ours(finished: Checkout) -> None:
    published = rows(finished, "edlm2025")
    encoder = next(row for row in published if row["model"] == "whisper-medium" and row["metric"] == "encoder_gflops")
    assert round(encoder["reproduced_low"], 1) == encoder["published_low"] == 917.5
    assert encoder["measured_low"] == pytest.approx(1138.065408)
    assert all((row["measured_low"] is not None) or row["note"] for row in published)
