"""From records to tables: nothing is lost, nothing is made up."""

from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest

from asrmeter import record, study, tables
from asrmeter.errors import AsrmeterError
from asrmeter.scoring import compare, plain

STUDY = study.complete(
    {
        "name": "t",
        "models": {"whisper-base": {}, "wav2vec2-base-960h": {"weights": "random"}},
        "devices": ["cpu"],
        "durations_s": [5],
        "batch_sizes": [2],
    },
    "t.yaml",
)
SEGMENTS = [
    {"segment_id": "a", "text": "One two three", "audio_s": 4.0, "sha256": "1"},
    {"segment_id": "b", "text": "four", "audio_s": 3.0, "sha256": "2"},
    {"segment_id": "c", "text": "five six", "audio_s": 3.5, "sha256": "3"},
]


def a_pass(latency_s: float, ids: list[str], texts: list[str], phase: str = "latency") -> dict[str, Any]:
    stages = {"features_s": 0.1, "encoder_s": 0.2, "decoder_s": latency_s - 0.3, "text_s": 0.0}
    times = {"started_at_s": 0.0, "ended_at_s": latency_s, "latency_s": latency_s, "audio_s": 7.0}
    return {
        "phase": phase,
        "batch": 0,
        "segment_ids": ids,
        "texts": texts,
        "n_tokens": [3, 1],
        "n_windows": [1, 1],
        **stages,
        **times,
    }


def a_header(model: str, **changes: Any) -> dict[str, Any]:
    window = {"n_passes": 5, "seconds": 6.0, "cpu_j": 50.0, "gpu_j": None, "ram_j": 10.0}
    events = {
        "ready": {"startup_cpu_s": 3.0, "model_rss_bytes": 5, "gpu_name": None},
        "memory": {"peak_rss_bytes": 7, "peak_device_bytes": None},
        "latency": {"converged": True},
        "energy": {
            "method_cpu": "cpu_load_model",
            "method_gpu": "none",
            "note": "modelled",
            "windows": [window],
            "idle": [],
        },
    }
    header = {"model": model, "family": "whisper", "variant": "fp32", "device": "cpu", "duration_s": 5, "batch_size": 2}
    header |= {
        "threads": 2,
        "protocol": 1,
        "status": "ok",
        "reason": None,
        "machine_id": "m",
        "cpu_name": "CPU",
        "n_cpus": 2,
    }
    header |= {
        "weights": "pretrained" if model.startswith("whisper") else "random",
        "segments": SEGMENTS,
        "events": events,
    }
    header |= {"before": {"load_1min": 0.1}, "after": {"load_1min": 0.2}, "corpus_sha256": "c", "weights_sha256": model}
    return header | changes


PASSES = [
    a_pass(9.0, ["a", "b"], ["warm", "warm"], phase="warmup"),
    a_pass(1.0, ["a", "b"], ["one too three", "four"]),
    a_pass(2.0, ["c", "a"], ["five", "another text"]),
    a_pass(3.0, ["a", "b"], ["x", "x"]),
]


def gathered(
    tmp_path: Path, records: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]
) -> dict[str, list[dict[str, Any]]]:
    for model, (header, passes) in records.items():
        record.write(tmp_path / f"{model}/fp32/cpu/5s-b2.parquet", header, passes)
    return {name: table.to_pylist() for name, table in tables.gather(STUDY, tmp_path, plain).items()}


def test_a_cell_becomes_a_row(tmp_path: Path) -> None:
    failed = a_header("wav2vec2-base-960h", status="killed", reason="gone", events={})
    made = gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES), "wav2vec2-base-960h": (failed, [])})
    lost, cell = made["cells"]
    assert (cell["model"], cell["n_passes"], cell["latency_s_median"]) == ("whisper-base", 3, 2.0)
    assert cell["samples_per_s"] == 1.0
    assert cell["rtfx"] == pytest.approx(21 / 6)
    assert cell["latency_s_p95"] is None
    assert cell["energy_j_per_sample"] == cell["energy_cpu_j_per_sample"] == 5.0
    assert cell["energy_ram_j_per_sample"] == 1.0
    assert cell["energy_gpu_j_per_sample"] is cell["energy_net_j_per_sample"] is cell["idle_power_w"] is None
    assert (cell["wer_errors"], cell["wer_words"], cell["wer"]) == (2, 6, pytest.approx(2 / 6))
    assert cell["wer_plain"] == pytest.approx(2 / 6)
    assert (cell["n_substitutions"], cell["n_deletions"], cell["n_insertions"]) == (1, 1, 0)
    assert (lost["status"], lost["reason"], lost["n_passes"]) == ("killed", "gone", 0)
    for name in ("latency_s_median", "rtfx", "energy_j_per_sample", "peak_rss_bytes", "wer", "startup_cpu_s"):
        assert lost[name] is None, name
    assert lost["wer_note"] == "random weights transcribe nothing"
    assert len(made["passes"]) == 4


def test_the_first_timed_text_counts_and_never_the_warm_up(tmp_path: Path) -> None:
    random = a_header("wav2vec2-base-960h")
    made = gathered(
        tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES), "wav2vec2-base-960h": (random, PASSES)}
    )
    assert {row["segment_id"]: row["hypothesis"] for row in made["transcripts"]} == {
        "a": "one too three",
        "b": "four",
        "c": "five",
    }
    assert {row["model"] for row in made["transcripts"]} == {"whisper-base"}


def test_a_class_that_was_not_heard_whole_has_no_wer(tmp_path: Path) -> None:
    random = (a_header("wav2vec2-base-960h"), [])
    made = gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES[:2]), "wav2vec2-base-960h": random})
    assert made["cells"][1]["wer"] is None
    assert made["cells"][1]["wer_note"] == "2 of 3 segments were transcribed"
    assert made["transcripts"] == []


def test_energy_with_a_counter_has_a_net_share() -> None:
    windows = [{"n_passes": 5, "seconds": 5.0, "cpu_j": 100.0 + i, "gpu_j": None, "ram_j": 10.0} for i in range(3)]
    idle = [{"n_passes": 1, "seconds": 5.0, "cpu_j": 25.0, "gpu_j": None, "ram_j": 10.0}]
    events = {"energy": {"method_cpu": "rapl", "method_gpu": "none", "note": "", "windows": windows, "idle": idle}}
    cell = tables.Measured(a_header("whisper-base", events=events), [], [], "t")
    assert cell.idle_power_w == 5.0
    assert cell.energy_j_per_sample("cpu") == pytest.approx(10.1)
    assert cell.energy_net_j_per_sample() == pytest.approx(10.1 - 5 * 0.5)


def test_cells_of_different_audio_are_not_mixed(tmp_path: Path) -> None:
    other = a_header("wav2vec2-base-960h", corpus_sha256="d")
    with pytest.raises(
        AsrmeterError, match=r"cells of 5 were measured on different audio: delete .*parquet and run again"
    ):
        gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES), "wav2vec2-base-960h": (other, [])})


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 no")
    for case in (path, tmp_path / "missing.parquet"):
        with pytest.raises(AsrmeterError, match=rf"{case.name}: cannot be read as a cell .* delete it and run again"):
            record.read(case)


def test_each_wer_is_over_the_words_of_its_own_normaliser() -> None:
    scored = [{"n_errors": 1, "n_words": 4, "n_errors_plain": 2, "n_words_plain": 5}]
    cell = tables.Measured(a_header("whisper-base"), [], scored, "t")
    assert cell.wer("n_errors", "n_words") == 0.25
    assert cell.wer("n_errors_plain", "n_words_plain") == 0.4


def test_csv_holds_the_same_rows(tmp_path: Path) -> None:
    for model in STUDY["models"]:
        record.write(tmp_path / f"{model}/fp32/cpu/5s-b2.parquet", a_header(model), PASSES)
    made = tables.gather(STUDY, tmp_path, plain)
    tables.write(made, tmp_path / "tables")
    for name, table in made.items():
        back = pyarrow.csv.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert back.column_names == table.column_names
        assert back.num_rows == table.num_rows
    assert '"[""a"",""b""]"' in (tmp_path / "tables" / "passes.csv").read_text().replace('"", ""', '"",""')


def test_the_cells_table_has_the_promised_columns() -> None:
    promised = (
        "model, weights, variant, device, device_name, duration_s, batch_size, threads, status, reason, n_passes, "
        "latency_s_median, latency_s_ci_low, latency_s_ci_high, latency_s_p95, features_s_median, encoder_s_median, "
        "decoder_s_median, text_s_median, samples_per_s, rtfx, energy_j_per_sample, energy_net_j_per_sample, "
        "energy_method_cpu, energy_method_gpu, idle_power_w, peak_rss_bytes, peak_device_bytes, wer, wer_ci_low, "
        "wer_ci_high, n_segments, tokens_per_s, gflop_per_sample, achieved_gflops, converged, startup_cpu_s, protocol, "
        "machine_id, commit"
    )
    assert set(promised.split(", ")) <= set(tables.CELLS.names)
    assert len(tables.CELLS.names) == len(set(tables.CELLS.names))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("a b c", "a b c", (3, 0, 0, 0)),
        ("a b c", "a x c d", (3, 1, 0, 1)),
        ("a b c", "", (3, 0, 3, 0)),
        ("", "a b", (0, 0, 0, 2)),
        ("", "", (0, 0, 0, 0)),
    ],
)
def test_word_errors(reference: str, hypothesis: str, counts: tuple[int, int, int, int]) -> None:
    found = compare(reference, hypothesis)
    assert (found.n_words, found.n_substitutions, found.n_deletions, found.n_insertions) == counts


def test_the_plain_normaliser_only_lowers_case_and_drops_punctuation() -> None:
    assert plain("Don’t — stop,  NOW! It's 5 o'clock.") == "don't stop now it's 5 o'clock"
