"""Every runtime of the project measures a cell of a real model, from conversion to the report."""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from asrmeter.common.table_types import Row
from asrmeter.records import cell_record
from asrmeter.sources import integrity
from helpers.checkouts import Checkout, MakeCheckout, one_cell

pytestmark = pytest.mark.pipeline

MODEL = "whisper-tiny.en"
VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "torch-loop": {"runtime": "torch_loop"},
    "ct2-fp32": {"runtime": "ctranslate2", "format": "float32"},
    "ct2-int8": {"runtime": "ctranslate2", "format": "int8"},
    "ct2-fp16": {"runtime": "ctranslate2", "format": "float16"},
    "ort-fp32": {"runtime": "onnxruntime", "format": "float32"},
    "openvino-fp32": {"runtime": "openvino", "format": "float32"},
    "int8-weights": {"quantisation": "int8-weights"},
    "faster-whisper": {"runtime": "faster_whisper", "format": "int8"},
    "whispercpp-q8_0": {"runtime": "whispercpp", "format": "q8_0"},
    "streams": {"transfers": "overlapped"},
}
# What this machine lacks: no processor of those that tests run on computes in float16, and there is no GPU.
IMPOSSIBLE = {"ct2-fp16", "streams"}
WITHOUT_TORCH = {"ct2-fp32", "ct2-int8", "ort-fp32", "openvino-fp32", "faster-whisper", "whispercpp-q8_0"}
EQUAL = {"torch-loop", "ct2-fp32", "ort-fp32", "openvino-fp32"}


@pytest.fixture(scope="module")
def run(make_checkout: MakeCheckout, inputs: Checkout) -> Checkout:
    checkout = make_checkout("engines", inputs)
    study = one_cell(variants=VARIANTS)
    study["protocol"] = {"laps": 1, "budget_s": 0.5, "max_passes": 6}
    checkout.write(study)
    checkout.run(limit_s=600)
    return checkout


@pytest.fixture(scope="module")
def rows(run: Checkout) -> dict[str, Row]:
    return {row["variant"]: row for row in pq.read_table(run.results / "tables" / "cells.parquet").to_pylist()}


@pytest.mark.parametrize("variant", sorted({*VARIANTS} - IMPOSSIBLE))
def test_each_runtime_measures_a_cell(rows: dict[str, Row], variant: str) -> None:
    found = rows[variant]
    assert found["status"] in ("ok", "unconverged"), found["reason"]
    assert found["latency_s_median"] > 0 and found["threads"] == 1 and found["library"] and found["load_s"] > 0
    assert 0 < found["busy_threads"] < 1.2
    assert found["wer"] < 0.5
    assert found["model_bytes"] > 1e7


@pytest.mark.parametrize("variant", sorted(IMPOSSIBLE))
def test_what_cannot_run_is_a_row_with_the_reason(run: Checkout, rows: dict[str, Row], variant: str) -> None:
    found = rows[variant]
    assert found["status"] == "unsupported" and found["reason"]
    assert not (run.results / "converted" / MODEL / "ctranslate2-float16").exists()


def test_engines_say_what_fp32_says(run: Checkout) -> None:
    transcripts = pq.read_table(run.results / "tables" / "transcripts.parquet").to_pylist()
    texts: dict[str, dict[str, str]] = {}
    for row in transcripts:
        texts.setdefault(row["variant"], {})[row["segment_id"]] = row["hypothesis"]
    assert {variant: texts[variant] for variant in EQUAL} == dict.fromkeys(EQUAL, texts["fp32"])


@pytest.mark.parametrize("variant", sorted(WITHOUT_TORCH))
def test_memory_is_that_of_the_engine_alone(rows: dict[str, Row], variant: str) -> None:
    assert rows[variant]["peak_rss_bytes"] < 0.95 * rows["fp32"]["peak_rss_bytes"]
    assert "torch" not in json.loads(rows[variant]["library_versions"])


def test_conversions_are_sealed_and_shared(run: Checkout, rows: dict[str, Row]) -> None:
    made = sorted(path.name for path in (run.results / "converted" / MODEL).iterdir() if not path.name.startswith("."))
    # faster-whisper loads what CTranslate2 does.
    assert made == [
        "ctranslate2-float32",
        "ctranslate2-int8",
        "onnxruntime-float32",
        "openvino-float32",
        "whispercpp-q8_0",
    ]
    for name in made:
        told = integrity.check_converted(run.results / "converted" / MODEL / name)
        assert told["refused"] is None and told["bytes"] > 1e7
    header, _ = cell_record.read(run.record(f"{MODEL}/ct2-int8/cpu/5s-b1/lap1"))
    assert header.conversion is not None and header.conversion["format"] == "ctranslate2-int8"


def test_verdicts_are_given_on_each_variant(run: Checkout) -> None:
    table = pq.read_table(run.results / "tables" / "optimisations.parquet").to_pylist()
    verdicts = {row["variant"]: row["verdict"] for row in table}
    assert {*VARIANTS} - {"fp32"} <= {*verdicts}
    assert {variant for variant, verdict in verdicts.items() if verdict == "not_possible"} == IMPOSSIBLE


def test_a_second_run_converts_nothing(run: Checkout) -> None:
    assert "converted" not in run.plan()
