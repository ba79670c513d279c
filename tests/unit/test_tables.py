"""From records to tables: nothing is lost, nothing is made up."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from asrmeter.analysis import cells_table, columns
from asrmeter.analysis.normalisers import NORMALISERS, PLAIN, Normaliser
from asrmeter.analysis.sitting_columns import SITTINGS
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record
from asrmeter.records.header import RecordHeader
from asrmeter.study import validation
from helpers.records import header, measured

STUDY = validation.with_defaults(
    {
        "name": "t",
        "models": {"whisper-base": {}, "wav2vec2-base-960h": {"weights": "random"}},
        "devices": ["cpu"],
        "durations_s": [5],
        "batch_sizes": [2],
        "protocol": {"laps": 1},
    },
    "t.yaml",
)
SEGMENTS = [
    {"segment_id": "a", "text": "One two three", "audio_s": 4.0, "sha256": "1"},
    {"segment_id": "b", "text": "four", "audio_s": 3.0, "sha256": "2"},
    {"segment_id": "c", "text": "five six", "audio_s": 3.5, "sha256": "3"},
]
FLOPS: list[dict[str, Any]] = [
    {
        "model": "whisper-base",
        "has_decoder": True,
        "is_studied": True,
        "duration_s": 5,
        "batch_size": 2,
        "note": None,
        "encoder_mac_per_window": 40_000_000,
        "cross_kv_mac_per_window": 5_000_000,
        "decoder_mac_per_token": 1_000_000,
        "decoder_mac_per_position": 100_000,
    },
    {
        **{"model": "wav2vec2-base-960h", "has_decoder": False, "is_studied": True},
        **{"duration_s": 5, "batch_size": 2, "note": "disagree"},
    },
]


def no_archive(_: str | None) -> dict[str, Normaliser]:
    """What needs no archive scores in the place of every normaliser."""
    return dict.fromkeys(NORMALISERS, PLAIN)


def a_pass(latency_s: float, ids: list[str], texts: list[str], phase: str = "latency") -> dict[str, Any]:
    stages = {"features_s": 0.1, "encoder_s": 0.2, "decoder_s": latency_s - 0.3, "text_s": 0.0}
    times = {"started_at_s": 0.0, "ended_at_s": latency_s, "latency_s": latency_s, "audio_s": 7.0}
    return {
        "phase": phase,
        "lap": 1,
        "round": 0,
        "batch": 0,
        "segment_ids": ids,
        "texts": texts,
        "n_tokens": [3, 1, 2][: len(ids)],
        "n_windows": [1] * len(ids),
        "processed_s": [30.0] * len(ids),
        "n_decoder_runs": 4,
        "n_decoder_rows": 8,
        "n_decoder_tokens": 14,
        "n_decoder_positions": 60,
        **stages,
        **times,
    }


def a_header(model: str, **changes: Any) -> RecordHeader:
    window = {"n_passes": 5, "seconds": 6.0, "cpu_j": 50.0, "gpu_j": None, "ram_j": 10.0}
    window |= {"counter_cpu_j": None, "counter_gpu_j": None}
    events = {
        "ready": {"startup_cpu_s": 3.0, "model_rss_bytes": 5, "gpu_name": None},
        "memory": {"peak_rss_bytes": 7, "peak_device_bytes": None},
        "latency": {"timed_s": 6.0},
        "energy": {
            "method_cpu": "cpu_load_model",
            "method_gpu": "none",
            "note": "modelled",
            "windows": [window],
            "idle": [],
        },
    }
    told: dict[str, Any] = {
        "model": model,
        "weights": "pretrained" if model.startswith("whisper") else "random",
        "segments": SEGMENTS,
        "events": events,
        "corpus_sha256": "c",
        "weights_sha256": model,
    }
    told |= {"before": {"load_1min": 0.1}, "after": {"load_1min": 0.2}}
    return header(**(told | changes))


PASSES = [
    a_pass(9.0, [], [], phase="warmup"),
    a_pass(1.0, ["a", "b"], ["one too three", "four"]),
    a_pass(2.0, ["c", "a"], ["five", "another text"]) | {"round": 1},
    a_pass(3.0, ["a", "b"], ["x", "x"]) | {"round": 2},
]


CTC = {"wav2vec2-base-960h": (a_header("wav2vec2-base-960h", family="ctc"), PASSES)}


UNMEASURED = {"wav2vec2-base-960h": (a_header("wav2vec2-base-960h", status="killed", reason="gone"), [])}


def gathered(
    tmp_path: Path, records: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]
) -> dict[str, list[dict[str, Any]]]:
    for model, (own_header, passes) in records.items():
        cell_record.write(tmp_path / f"{model}/fp32/cpu/5s-b2/lap1.parquet", own_header, passes)
    return {name: table.to_pylist() for name, table in cells_table.gather(STUDY, tmp_path, no_archive, FLOPS).items()}


def test_phonemes_are_not_compared_with_words(tmp_path: Path) -> None:
    other = a_header("wav2vec2-base-960h", status="killed", reason="gone", events={})
    records = {
        "whisper-base": (a_header("whisper-base", outputs="phonemes"), PASSES),
        "wav2vec2-base-960h": (other, []),
    }
    made = gathered(tmp_path, records)
    cell = made["cells"][1]
    assert (cell["model"], cell["wer_note"]) == ("whisper-base", "its output are phonemes, not words")
    assert cell["wer"] is cell["wer_plain"] is cell["cer"] is cell["wer_words"] is None
    assert cell["latency_s_median"] == 2.0
    assert made["transcripts"] == []


def test_audio_without_texts_has_everything_but_a_wer(tmp_path: Path) -> None:
    without = [segment | {"text": ""} for segment in a_header("whisper-base").to_json()["segments"]]
    other = a_header("wav2vec2-base-960h", status="killed", reason="gone", events={})
    own = a_header("whisper-base", segments=without)
    made = gathered(tmp_path, {"whisper-base": (own, PASSES), "wav2vec2-base-960h": (other, [])})
    cell = made["cells"][1]
    assert cell["wer_note"] == "no reference texts"
    assert cell["wer"] is cell["wer_plain"] is cell["cer"] is cell["wer_words"] is cell["n_hallucinated"] is None
    assert (cell["status"], cell["latency_s_median"], cell["n_segments"]) == ("unconverged", 2.0, len(without))
    assert made["transcripts"] == []


def test_a_cell_becomes_a_row(tmp_path: Path) -> None:
    failed = a_header("wav2vec2-base-960h", status="killed", reason="gone", events={})
    made = gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES), "wav2vec2-base-960h": (failed, [])})
    lost, cell = made["cells"]
    assert (cell["model"], cell["n_passes"], cell["latency_s_median"]) == ("whisper-base", 3, 2.0)
    assert cell["samples_per_s"] == 1.0
    assert cell["rtfx"] == pytest.approx(21 / 6)
    assert cell["latency_s_p95"] is cell["jitter_s_p95"] is None
    assert cell["n_requests"] == 3
    assert cell["energy_j_per_sample"] == cell["energy_cpu_j_per_sample"] == pytest.approx(50 / 6 * 2.0 / 2)
    assert cell["energy_ram_j_per_sample"] == pytest.approx(10 / 6 * 2.0 / 2)
    assert cell["energy_gpu_j_per_sample"] is cell["energy_net_j_per_sample"] is cell["idle_power_w"] is None
    assert (cell["wer_errors"], cell["wer_words"], cell["wer"]) == (2, 6, pytest.approx(2 / 6))
    assert cell["wer_plain"] == pytest.approx(2 / 6)
    assert (cell["n_substitutions"], cell["n_deletions"], cell["n_insertions"]) == (1, 1, 0)
    assert (lost["status"], lost["reason"], lost["n_passes"]) == ("killed", "gone", 0)
    for name in ("latency_s_median", "rtfx", "energy_j_per_sample", "peak_rss_bytes", "wer", "startup_cpu_s"):
        assert lost[name] is None, name
    assert lost["wer_note"] == "random weights transcribe nothing"
    assert len(made["passes"]) == 4


def test_the_first_text_counts_and_differing_ones_are_counted(tmp_path: Path) -> None:
    random = a_header("wav2vec2-base-960h")
    passes = [PASSES[0], a_pass(1.0, ["c", "b"], ["five", "four"], phase="warmup"), *PASSES[1:]]
    made = gathered(
        tmp_path, {"whisper-base": (a_header("whisper-base"), passes), "wav2vec2-base-960h": (random, passes)}
    )
    assert {row["segment_id"]: row["hypothesis"] for row in made["transcripts"]} == {
        "a": "one too three",
        "b": "four",
        "c": "five",
    }
    assert {row["model"] for row in made["transcripts"]} == {"whisper-base"}
    assert made["cells"][1]["n_nondeterministic"] == 2  # a and b; c has the same text twice


@pytest.mark.parametrize(
    ("passes", "n_nondeterministic"),
    [
        ([], None),
        ([a_pass(1.0, ["a", "b"], ["x", "y"])], None),
        ([a_pass(1.0, ["a", "b"], ["x", "y"]), a_pass(1.0, ["b", "c"], ["y", "z"])], 0),
        ([a_pass(1.0, ["a", "b"], ["x", "y"]), a_pass(1.0, ["b", "a"], ["y", "X"], phase="warmup")], 1),
    ],
)
def test_texts_that_differ_between_passes_are_counted(
    passes: list[dict[str, Any]], n_nondeterministic: int | None
) -> None:
    assert measured((a_header("whisper-base"), passes)).accuracy.n_nondeterministic == n_nondeterministic


def test_empty_and_hallucinated_output_is_counted(tmp_path: Path) -> None:
    failures = [a_pass(1.0, ["a", "b", "c"], ["...", "and and and and", "five six"])]
    made = gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), failures), **UNMEASURED})
    lost, cell = made["cells"]
    assert (cell["n_empty"], cell["n_hallucinated"]) == (1, 1)
    assert [(row["is_empty"], row["is_hallucinated"]) for row in made["transcripts"]] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert lost["n_empty"] is lost["n_hallucinated"] is None


def test_silence_that_stays_silent_is_no_empty_output(tmp_path: Path) -> None:
    silent = a_header("whisper-base", segments=[{"segment_id": "a", "text": "...", "audio_s": 4.0, "sha256": "1"}])
    passes = [a_pass(1.0, ["a"], [""])]
    made = gathered(tmp_path, {"whisper-base": (silent, passes), **UNMEASURED})
    cell = made["cells"][1]
    assert cell["n_empty"] == cell["n_hallucinated"] == cell["wer_words"] == 0
    assert cell["wer"] is cell["cer"] is None


@pytest.mark.parametrize(
    ("processed_s", "share"),
    [([[30.0, 30.0]], 1 - 7 / 60), ([[30.0, 30.0], [3.0, 4.0]], 1 - 14 / 67), ([[2.0, 3.0]], 0.0), ([None], None)],
)
def test_padding_is_what_was_worked_through_beyond_the_audio(processed_s: list[Any], share: float | None) -> None:
    passes = [a_pass(1.0, ["a", "b"], ["x", "y"]) | {"processed_s": seconds} for seconds in processed_s]
    passes.append(a_pass(1.0, ["a", "b"], ["x", "y"], phase="warmup") | {"processed_s": [100.0, 100.0]})
    cell = measured((a_header("whisper-base"), passes))
    assert cell.work.encoder_padding_share == (share if share is None else pytest.approx(share))


def test_padding_of_a_record_that_does_not_have_it_is_unknown() -> None:
    older = [{name: value for name, value in entry.items() if name != "processed_s"} for entry in PASSES]
    assert measured((a_header("whisper-base"), older)).work.encoder_padding_share is None
    assert measured((a_header("whisper-base"), [])).work.encoder_padding_share is None


def test_the_settings_of_decoding_are_in_the_cell(tmp_path: Path) -> None:
    ready = {"ready": {"decoding": {"num_beams": 1, "do_sample": False}}}
    told = a_header("whisper-base", events=ready, status="timeout")
    made = gathered(tmp_path, {"whisper-base": (told, []), **UNMEASURED})
    assert [cell["decoding"] for cell in made["cells"]] == [None, '{"do_sample": false, "num_beams": 1}']


def test_a_class_that_was_not_heard_whole_has_no_wer(tmp_path: Path) -> None:
    made = gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES[:2]), **UNMEASURED})
    assert made["cells"][1]["wer"] is None
    assert made["cells"][1]["wer_note"] == (
        "2 of 3 segments were transcribed: laps of it failed; scripts/list_cells.py lists their records, and --delete "
        "has them measured again"
    )
    assert made["transcripts"] == []


def test_energy_with_a_counter_has_a_net_share() -> None:
    windows = [{"n_passes": 5, "seconds": 5.0, "cpu_j": 100.0 + i, "gpu_j": None, "ram_j": 10.0} for i in range(3)]
    idle = [{"n_passes": 1, "seconds": 5.0, "cpu_j": 25.0, "gpu_j": None, "ram_j": 10.0}]
    events = {"energy": {"method_cpu": "rapl", "method_gpu": "none", "note": "", "windows": windows, "idle": idle}}
    cell = measured((a_header("whisper-base", events=events), a_round(0, 1.0)))
    assert cell.energy.idle_power_w == 5.0
    assert cell.energy.power_w() == pytest.approx(20.2)
    assert cell.energy.j_per_sample("cpu") == pytest.approx(10.1)
    assert cell.energy.net_j_per_sample == pytest.approx(10.1 - 5 * 0.5)
    assert cell.energy.range_j_per_sample == pytest.approx((10.0, 10.2))
    one_window = {"energy": events["energy"] | {"windows": windows[:1]}}
    assert measured((a_header("whisper-base", events=one_window), a_round(0, 1.0))).energy.range_j_per_sample is None


def test_energy_is_the_power_of_all_laps_times_the_latency() -> None:
    def lap(number: int, joules: float, seconds: float, method: str = "rapl") -> Any:
        window = {"n_passes": 9, "seconds": seconds, "cpu_j": joules, "gpu_j": None, "ram_j": 1.0}
        energy = {"method_cpu": method, "windows": [window], "idle": []}
        told = a_header("whisper-base", lap=number, events={"energy": energy})
        return told, [entry | {"lap": number} for entry in a_round(0, 4.0)]

    cell = measured(lap(1, 100.0, 5.0), lap(2, 300.0, 10.0), lap(3, 9e9, 1.0, method="cpu_load_model"))
    # 400 J in 15 s, 4 s a pass, 2 segments in each; what was found in another way does not count.
    assert cell.energy.j_per_sample() == pytest.approx(400 / 15 * 4 / 2)
    assert cell.energy.range_rel == pytest.approx((30 - 20) / 25)
    assert cell.energy.range_j_per_sample == pytest.approx((20 * 4 / 2, 30 * 4 / 2))
    assert len(cell.energy.windows) == 2


def test_peaks_are_the_largest_of_the_laps() -> None:
    laps = [a_header("whisper-base", lap=lap, events={"memory": {"peak_rss_bytes": 10 * lap}}) for lap in (2, 1)]
    peak, least = (
        next(value for field, value in columns.CELL_COLUMNS if field.name == name)
        for name in ("peak_rss_bytes", "peak_rss_bytes_min")
    )
    cell = measured(*((told, []) for told in laps))
    assert (least(cell), peak(cell)) == (10, 20)
    assert peak(measured((a_header("whisper-base", events={}), []))) is None
    # The peak of one lap is no range.
    assert (least(measured((laps[0], []))), peak(measured((laps[0], [])))) == (None, 20)


def test_cells_of_different_audio_are_not_mixed(tmp_path: Path) -> None:
    other = a_header("wav2vec2-base-960h", corpus_sha256="d")
    with pytest.raises(
        AsrmeterError, match=r"cells of 5 were measured on different audio: delete .*parquet and run again"
    ):
        gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES), "wav2vec2-base-960h": (other, PASSES)})


def test_cells_of_another_study_are_not_gathered(tmp_path: Path) -> None:
    other = a_header("wav2vec2-base-960h", seed=STUDY.seed + 1)
    with pytest.raises(
        AsrmeterError, match=r"wav2vec2-base-960h/.*: belongs to another study or version \(seed 43, but 42"
    ):
        gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES), "wav2vec2-base-960h": (other, PASSES)})


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 no")
    for case in (path, tmp_path / "missing.parquet"):
        with pytest.raises(AsrmeterError, match=rf"{case.name}: cannot be read as a cell .* delete it and run again"):
            cell_record.read(case)


def test_error_rates_are_over_units_of_their_own_normaliser() -> None:
    def segment(*counts: int) -> dict[str, int]:
        names = ("n_errors", "n_words", "n_character_errors", "n_characters")
        return dict(zip([*names, *(f"{name}_plain" for name in names)], counts, strict=True))

    scored = [segment(1, 4, 2, 20, 2, 5, 3, 24), segment(0, 6, 0, 30, 1, 5, 2, 26)]
    rates = measured((a_header("whisper-base"), []), scored=scored).accuracy.error_rates
    assert (rates["wer"], rates["cer"], rates["wer_plain"], rates["cer_plain"]) == (0.1, 0.04, 0.3, 0.1)
    # Of two segments the bootstrap draws one twice often enough: the ends are the segments' own rates.
    assert (rates["wer_ci_low"], rates["wer_ci_high"]) == (0.0, 0.25)
    assert (rates["cer_ci_low"], rates["cer_ci_high"]) == (0.0, 0.1)
    assert (rates["wer_ci_low_plain"], rates["wer_ci_high_plain"]) == (0.2, 0.4)


def test_gflop_of_a_pass_is_its_runs_times_counted_macs(tmp_path: Path) -> None:
    old = [
        {key: value for key, value in entry.items() if "decoder" not in key or key == "decoder_s"} for entry in PASSES
    ]
    made = gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), PASSES), **CTC})
    ctc, cell = made["cells"]
    assert (ctc["has_decoder"], cell["has_decoder"]) == (False, True)
    assert cell["encoder_gflop"] == pytest.approx(2 * 2 * 0.04)
    assert cell["decoder_gflop"] == pytest.approx(2 * (2 * 0.005 + 14 * 0.001 + 60 * 0.0001))
    assert cell["gflop_per_sample"] == pytest.approx((0.16 + 0.06) / 2)
    assert cell["achieved_gflops"] == pytest.approx(0.22 / 2.0)
    assert (cell["n_decoder_runs_mean"], cell["gflop_note"]) == (4, None)
    # Texts of three and one tokens, and the prompt's run for each, of eight rows.
    assert cell["decoder_padding_share"] == pytest.approx(1 - 6 / 8)
    # One run more for each language that was looked for.
    found = measured((a_header("whisper-base"), [entry | {"languages": ["ru", None]} for entry in PASSES]))
    assert found.work.decoder_padding_share == pytest.approx(1 - 7 / 8)
    alike = measured((a_header("whisper-base", weights="random"), PASSES))
    assert alike.work.decoder_padding_share == 0.0
    assert ctc["gflop_per_sample"] is ctc["achieved_gflops"] is None
    assert ctc["gflop_note"] == "disagree"
    made = gathered(tmp_path, {"whisper-base": (a_header("whisper-base"), old), **CTC})
    assert made["cells"][1]["gflop_per_sample"] is None
    assert "measure it again" in made["cells"][1]["gflop_note"]
    counted = {"has_decoder": False, "encoder_mac_per_window": 40_000_000}
    assert measured((a_header("mine"), PASSES), flops=counted).work.gflop == cell["encoder_gflop"]
    assert measured((a_header("mine"), PASSES)).work.has_decoder is None


def test_csv_holds_the_same_rows(tmp_path: Path) -> None:
    for model in STUDY.models:
        cell_record.write(tmp_path / f"{model}/fp32/cpu/5s-b2/lap1.parquet", a_header(model), PASSES)
    made = cells_table.gather(STUDY, tmp_path, no_archive, FLOPS)
    parquet.write(made, tmp_path / "tables")
    for name, table in made.items():
        back = pyarrow.csv.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert back.column_names == table.column_names
        assert back.num_rows == table.num_rows
    assert '"[""a"",""b""]"' in (tmp_path / "tables" / "passes.csv").read_text().replace('"", ""', '"",""')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("one\0two\n", "one\\x00two\\n"),
        ("a\u202eb\ufeff", "a\\u202eb\\ufeff"),
        ("naïve, 你好 👩\u200d🔬", "naïve, 你好 👩\u200d🔬"),
        ("", ""),
    ],
)
def test_tables_show_what_cannot_be_seen(tmp_path: Path, text: str, shown: str) -> None:
    table = pa.table({"text": ["plain", text, None], "texts": [[text], None, []], "n": [1, 2, 3]})
    parquet.write({"t": table}, tmp_path)
    written = (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert f'"{shown}"' in written and written.count(shown) >= 1
    assert not set("\x1b\0\u202e\ufeff") & set(written) and len(written.splitlines()) == 4
    assert parquet.read(tmp_path / "t.parquet")["text"].to_pylist() == ["plain", shown, None]
    assert parquet.read(tmp_path / "t.parquet")["texts"] == table["texts"]


def a_round(number: int, *latencies_s: float, phase: str = "latency") -> list[dict[str, Any]]:
    return [
        a_pass(latency_s, ["a", "b"], ["x", "y"], phase) | {"round": number, "batch": batch}
        for batch, latency_s in enumerate(latencies_s)
    ]


def test_texts_of_any_signs_are_escaped_in_both_files(tmp_path: Path) -> None:
    odd = ["red \x1b[31m", "a\u202eb", "\x9b\0", "two\nlines", None, "caf\u00e9"]
    parquet.write({"odd": pa.table({"text": odd, "texts": [[text] for text in odd]})}, tmp_path)
    shown = ["red \\x1b[31m", "a\\u202eb", "\\x9b\\x00", "two\\nlines", None, "caf\u00e9"]
    assert pq.read_table(tmp_path / "odd.parquet")["text"].to_pylist() == shown
    written = (tmp_path / "odd.csv").read_text(encoding="utf-8")
    assert all(line.isprintable() for line in written.splitlines())
    rows = list(csv.DictReader(written.splitlines()))
    assert [row["text"] or None for row in rows] == shown
    assert [json.loads(row["texts"]) for row in rows] == [[text] for text in odd]


def test_the_latency_is_the_mean_over_batches() -> None:
    passes = [*a_round(0, 1.0, 10.0), *a_round(1, 1.2, 10.4), *a_round(2, 1.1, 10.2)]
    cell = measured((a_header("whisper-base"), passes))
    assert (len(cell.content.by_batch), cell.timing.n_rounds) == (2, 3)
    assert cell.timing.latency_s == pytest.approx((1.1 + 10.2) / 2)
    assert cell.timing.of_class("encoder_s") == pytest.approx(0.2)


def test_a_batch_of_every_lap_weighs_no_more_than_others() -> None:
    def lap(number: int, **latencies_s: float) -> list[dict[str, Any]]:
        batches = enumerate(("long", "short", "middle"))
        return [
            a_pass(latencies_s[name], ["a", "b"][: batch + 1], ["x", "y"][: batch + 1])
            | {"lap": number, "batch": batch, "audio_s": 10.0 * latencies_s[name], "encoder_s": latencies_s[name]}
            for batch, name in batches
            if name in latencies_s
        ]

    cell = measured(
        (a_header("whisper-base", lap=1), lap(1, long=4.0, short=1.0)),
        (a_header("whisper-base", lap=2), lap(2, long=4.0, middle=2.5)),
    )
    assert cell.timing.latency_s == pytest.approx(7.5 / 3)
    assert cell.timing.of_class("encoder_s") == pytest.approx(7.5 / 3)
    assert cell.content.per_pass(lambda entry: entry["audio_s"]) == pytest.approx(75 / 3)
    assert cell.timing.of_class("text_s") == 0.0


def test_a_pass_holds_what_only_a_disturbed_lap_timed_too() -> None:
    """Or the audio of some batches would stand over the latency of all, and their stages would not add up to it."""

    def lap(number: int, batches: dict[int, float], slower: float = 1.0) -> list[dict[str, Any]]:
        return [
            a_pass(slower * seconds, ["a"], ["x"])
            | {"lap": number, "batch": batch, "audio_s": 10 * seconds, "encoder_s": slower * seconds / 4}
            for batch, seconds in batches.items()
        ]

    disturbed = a_header("whisper-base", lap=2, events={"latency": {"disturbance": "steal 9 %"}})
    cell = measured(
        (a_header("whisper-base", lap=1), lap(1, {0: 4.0, 1: 1.0})), (disturbed, lap(2, {0: 4.0, 2: 2.5}, slower=5.0))
    )
    assert (len(cell.timing.passes), len(cell.content.by_batch)) == (2, 3)
    assert cell.timing.latency_s == pytest.approx(2.5)
    assert cell.content.per_pass(lambda entry: entry["audio_s"]) == pytest.approx(25.0)
    assert cell.timing.of_class("encoder_s") == pytest.approx(2.5 / 4)


def test_untimed_passes_do_not_count() -> None:
    passes = [*a_round(0, 9.0, 9.0, phase="warmup"), *a_round(1, 1.0, 2.0)]
    cell = measured((a_header("whisper-base"), passes))
    assert (len(cell.timing.passes), cell.timing.n_rounds, cell.timing.latency_s) == (2, 1, 1.5)
    assert measured((a_header("whisper-base"), [])).timing.latency_s is None
    failed = measured((a_header("whisper-base", status="timeout", reason="late"), passes))
    assert (failed.timing.latency_s, failed.outcome.status, failed.outcome.reason) == (None, "timeout", "late")


def test_codecarbon_and_the_counter_stand_side_by_side() -> None:
    window = {"n_passes": 5, "seconds": 5.0, "gpu_j": None, "ram_j": 1.0, "counter_gpu_j": None}
    windows = [window | {"cpu_j": joules, "counter_cpu_j": 100.0} for joules in (98.0, 102.0, 101.0)]
    energy = {"method_cpu": "rapl", "method_gpu": "none", "note": "", "windows": windows, "idle": []}
    cell = measured((a_header("whisper-base", events={"energy": energy}), a_round(0, 1.0)))
    assert cell.energy.j_per_sample("counter_cpu") == 10.0
    assert cell.energy.counter_difference == pytest.approx(301 / 300 - 1)
    assert cell.energy.range_rel == pytest.approx(4 / 101)
    assert cell.energy.j_per_sample("counter_gpu") is None


def test_the_tables_have_the_promised_columns() -> None:
    of_cells = (
        "model, weights, variant, device, device_name, duration_s, batch_size, threads, status, reason, n_laps, laps, "
        "n_laps_disturbed, n_tries, n_passes, n_rounds, n_batches, latency_s_median, latency_s_ci_low, "
        "latency_s_ci_high, latency_s_next_low, latency_s_next_high, latency_own_se, latency_own_df, interval_note, "
        "lap_scatter, noise_floor, machine_speed, latency_s_p95, latency_s_p95_ci_low, n_requests, "
        "features_s_median, encoder_s_median, decoder_s_median, text_s_median, samples_per_s, rtfx, "
        "energy_j_per_sample, energy_net_j_per_sample, energy_method_cpu, energy_method_gpu, idle_power_w, "
        "peak_rss_bytes, peak_device_bytes, wer, wer_ci_low, wer_ci_high, n_segments, tokens_per_s, "
        "gflop_per_sample, achieved_gflops, converged, disturbed, disturbance, startup_cpu_s, timed_s, job_s, "
        "protocol, machine_id, commit"
    )
    of_sittings = (
        "model, variant, device, duration_s, batch_size, lap, attempt, status, reason, started_at, measured_at, "
        "n_passes, n_rounds, latency_s, disturbed, disturbance, counts, machine_speed, timed_s, job_s, "
        "control_matmul_flop_per_s_before, control_copy_bytes_per_s_after, steal_share, node, slurm_job_id, "
        "startup_cpu_s"
    )
    for promised, schema in ((of_cells, columns.CELLS), (of_sittings, SITTINGS)):
        assert set(promised.split(", ")) <= set(schema.names)
        assert len(schema.names) == len(set(schema.names))
    assert "lap" in columns.PASSES.names
