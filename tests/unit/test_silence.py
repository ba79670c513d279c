"""Silence: the clips are the same everywhere, and the tables hold what was written of them, counted by hand."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_silence
from asrmeter.analysis import silence as silence_tables
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.common.stats import wilson_interval
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import SILENCE_KINDS, UNREADABLE
from asrmeter.corpora import silence
from asrmeter.study import grid, validation
from asrmeter.study.fingerprints import NO_FINGERPRINTS, fingerprints_of, silence_options
from asrmeter.study.model import Study
from asrmeter.workflow.plan import Plan
from helpers.made_inputs import sign_corpus, sign_model

# Whoever changes a clip raises SILENCE_VERSION: what was heard of it before is of another.
SAMPLES = {
    "digital-silence-5s": "ac287821",
    "digital-silence-10s": "3d00ed86",
    "digital-silence-20s": "ac8ced7a",
    "digital-silence-30s": "124617c1",
    "white-noise-50dbfs-5s": "0c59f81a",
    "white-noise-30dbfs-10s": "1a754184",
    "white-noise-50dbfs-20s": "df55d2fb",
    "white-noise-30dbfs-30s": "9620e1af",
    "hum-50hz-5s": "0ca6f58a",
    "hum-60hz-10s": "3b514d1b",
    "hum-50hz-20s": "cb787648",
    "hum-60hz-30s": "c90a51e3",
    "room-tone-5s": "9825d767",
    "room-tone-10s": "ec72423c",
    "room-tone-20s": "e14b590d",
    "room-tone-30s": "481661be",
}
# Writes of digital silence and of hums, whose first samples tell them apart, and nothing of anything else.
ENGINE = """
import numpy as np
from asrmeter.runtimes.base import *
class Engine(Runtime):
    def __init__(self, setup): pass
    def transcribe(self, speech, timeline):
        (wave,), (told,) = speech.waveforms, speech.languages
        if not wave.any():
            return [Hypothesis(" Thank you.", language=None if told else "ja")]
        spectrum = np.abs(np.fft.rfft(wave[:16_000]))
        if spectrum.max() > 0.3 * spectrum.sum():
            return [Hypothesis("Hm hm hm hm hm!" if len(wave) > 400_000 else "... thank  you ")]
        return [Hypothesis("." if len(wave) > 400_000 else "  ")]
"""
LIKE_SEGMENT = {"duration_s": 5, "audio_s": 5.0, "text": "one two", "path": "a.flac"}
Heard = Callable[..., tuple[list[Row], Row]]


@pytest.mark.parametrize("clip", silence.MADE, ids=lambda clip: clip.name)
def test_a_clip_has_its_length_level_and_samples(clip: silence.Clip) -> None:
    waveform = silence.samples(clip, seed=42)
    assert (waveform.dtype, waveform.shape) == (np.float32, (int(clip.audio_s * 16_000),))
    assert silence.sha256_of(waveform).startswith(SAMPLES[clip.name])
    rms = float(np.sqrt(np.mean(waveform.astype(float) ** 2)))
    assert (rms == 0) if clip.level_dbfs is None else 20 * np.log10(rms) == pytest.approx(clip.level_dbfs, abs=0.1)
    assert np.array_equal(waveform, silence.samples(clip, seed=42))
    assert np.array_equal(waveform, silence.samples(clip, seed=43)) is (clip.level_dbfs is None)


def test_kinds_count_alike_and_come_in_all_lengths() -> None:
    made = [kind for kind in SILENCE_KINDS if kind != "recording"]
    assert Counter(clip.kind for clip in silence.MADE) == dict.fromkeys(made, 4)
    for kind in made:
        assert [clip.audio_s for clip in silence.MADE if clip.kind == kind] == [5, 10, 20, silence.LONGEST_S]
    assert len({clip.name for clip in silence.MADE}) == len(silence.MADE) == len(SAMPLES)


def test_noise_is_white_hum_is_of_the_mains_and_rooms_are_dull() -> None:
    def power(name: str) -> np.ndarray:
        clip = next(clip for clip in silence.MADE if clip.name == name)
        return np.abs(np.fft.rfft(silence.samples(clip, 42)[:16_000].astype(float))) ** 2

    white, hum, room = map(power, ("white-noise-30dbfs-10s", "hum-60hz-10s", "room-tone-10s"))
    halves = white[1:4000].sum() / white[4000:].sum()
    assert 0.9 < halves < 1.1
    assert set(np.flatnonzero(hum > 1e-4 * hum.max())) == {60 * k for k in range(1, 9)}
    assert room[1:1000].sum() > 2 * room[1000:].sum()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder `m`, and a corpus `c` of one segment and a silent recording of 10 s."""
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    monkeypatch.setenv("ASRMETER_FORK_SERVER", "0")
    for folder in ("m", "c/silent"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "m" / "model.safetensors").write_text("weights")
    sign_model(tmp_path / "m")
    corpus = tmp_path / "c"
    soundfile.write(corpus / "a.flac", np.zeros(5 * 16_000), 16_000)
    soundfile.write(corpus / "silent" / "000.flac", np.zeros(10 * 16_000), 16_000)
    sign(corpus)
    return tmp_path


def sign(corpus: Path, languages: Sequence[str | None] = ("en",)) -> None:
    silent = {"name": "hall.wav", "path": "silent/000.flac", "audio_s": 10.0}
    silent["sha256"] = sha256_of(corpus / "silent" / "000.flac")
    rows = [LIKE_SEGMENT | {"segment_id": f"s{n}", "language_told": code} for n, code in enumerate(languages)]
    sign_corpus(corpus, rows, silent=[silent])


def study_of(folder: Path, **changes: Any) -> Study:
    written = {
        "name": "t",
        "corpus": {"kind": "packages", "name": "quickstart"},
        "models": {"whisper-base": {"weights": "packaged"}, "whisper-tiny": {"weights": "random"}},
        "variants": {"fp32": {}, "mine": {"runtime": {"path": str(folder / "engine.py")}}},
        "devices": ["cpu", "cuda"],
        "robustness": {"silence": True},
    }
    (folder / "engine.py").touch()
    return validation.with_defaults(written | changes, "t.yaml")


@pytest.fixture
def heard(folders: Path) -> Heard:
    """Has an engine hear all clips; returns the rows of both tables."""

    def hear(engine: str = ENGINE, *more: str) -> tuple[list[Row], Row]:
        (folders / "engine.py").write_text(engine)
        study = study_of(folders)
        options = json.dumps(study.as_json()["variants"]["mine"])
        path = folders / "silence" / "whisper-base" / "mine" / "cpu.parquet"
        hear_silence.main(
            [
                *(f"--model-folder={folders}/m", f"--segments={folders}/c/segments.json", "--variant=mine"),
                *(f"--variant-options={options}", "--model=whisper-base", "--device=cpu", "--threads=1", "--seed=42"),
                *('--protocol={"version": 1}', f"--output={path}", *more),
            ]
        )
        # The corpus is none of the study's.
        header = parquet.header_of(parquet.read(path)) | {"corpus": None}
        parquet.save(path, parquet.read(path), header)
        tables = silence_tables.tables(study, [path], NO_FINGERPRINTS)
        parquet.write(tables, folders / "tables")
        clips = silence_tables.read(folders / "tables" / "silence.parquet")
        (model,) = silence_tables.read_models(folders / "tables" / "silence_models.parquet")
        return clips, model

    return hear


def test_what_is_written_of_silence_is_counted(heard: Heard) -> None:
    clips, model = heard()
    assert [row["clip"] for row in clips] == [*SAMPLES, "recording-000"]
    assert {row["status"] for row in clips} == {"ok"}
    by_kind = {kind: sum(row["n_words"] for row in clips if row["kind"] == kind) for kind in SILENCE_KINDS}
    # Two words of each silence, and of three hums; five of the longest; a full stop and spaces are none.
    assert by_kind == {"digital_silence": 8, "white_noise": 0, "hum": 11, "room_tone": 0, "recording": 2}
    assert clips[-1]["text"] == " Thank you." and clips[-1]["audio_s"] == 10
    assert {row["clip"]: row["sha256"][:8] for row in clips[:-1]} == SAMPLES
    assert clips[-1]["sha256"][:8] == SAMPLES["digital-silence-10s"]
    assert (model["n_clips"], model["n_with_text"], model["status"], model["reason"]) == (17, 9, "ok", None)
    assert model["share_with_text"] == pytest.approx(9 / 17)
    assert (model["share_ci_low"], model["share_ci_high"]) == wilson_interval(9, 17)
    # Four times 65 s are made, and 10 s recorded.
    assert model["words_per_minute"] == pytest.approx(21 / (270 / 60))
    assert model["n_words_longest"] == 5
    assert (model["commonest"], model["n_commonest"]) == (["thank you", "hm hm hm hm hm"], [8, 1])


def test_silent_recordings_are_none_that_are_scored(folders: Path) -> None:
    manifest = folders / "c" / "segments.json"
    rows = hear_silence.integrity.check_segments(manifest, 5)
    assert [row["path"] for row in rows] == ["a.flac"]
    silent, _ = hear_silence.integrity.check_silent(manifest)
    assert [entry["path"] for entry in silent] == ["silent/000.flac"]


def test_a_changed_recording_is_refused(heard: Heard, folders: Path) -> None:
    soundfile.write(folders / "c" / "silent" / "000.flac", np.ones(160), 16_000)
    with pytest.raises(AsrmeterError, match=r"c/silent/000.flac: is damaged or was changed"):
        heard()


def test_a_corpus_without_silent_recordings_has_none(folders: Path) -> None:
    sign_corpus(folders / "c", [LIKE_SEGMENT | {"segment_id": "s"}])
    assert hear_silence.integrity.check_silent(folders / "c" / "segments.json") == ([], None)


@pytest.mark.parametrize(("languages", "told"), [(["ru", "ru"], "ru"), (["ru", "en"], None), ([None], None)])
def test_models_are_told_the_language_of_the_corpus(folders: Path, languages: list[str], told: str | None) -> None:
    sign(folders / "c", languages)
    assert hear_silence.integrity.check_silent(folders / "c" / "segments.json")[1] == told


def test_characters_count_where_no_spaces_part_words(heard: Heard, folders: Path) -> None:
    assert silence_tables.n_words("ご視聴ありがとう。", "ja") == 8
    assert silence_tables.n_words("ご視聴ありがとう。", None) == 1
    assert silence_tables.n_words("♪ . — so, 5!", "en") == 2
    sign(folders / "c", [None])
    clips, _ = heard()
    # What the model found counts where it was told nothing: here Japanese.
    assert clips[0]["n_words"] == len("Thankyou")


def test_a_model_that_breaks_off_leaves_what_it_heard(heard: Heard) -> None:
    clips, model = heard(
        ENGINE.replace('return [Hypothesis("Hm', "raise MemoryError('enough')\n            [Hypothesis(\"Hm")
    )
    assert [row["status"] for row in clips] == ["ok"] * 8 + ["oom"] * 9
    assert {row["reason"] for row in clips[8:]} == {"MemoryError: enough"} and clips[9]["text"] is None
    assert (model["n_clips"], model["n_with_text"], model["status"]) == (8, 4, "oom")
    assert model["reason"] == "MemoryError: enough"


@pytest.mark.parametrize(
    ("engine", "more", "status", "reason"),
    [
        (ENGINE, ["--refused=needs a GPU"], "unsupported", "needs a GPU"),
        (ENGINE.replace("pass", "raise UnsupportedError('not here')"), [], "unsupported", "not here"),
        (ENGINE.replace("if not wave", "1 / 0\n        if not wave"), [], "error", "ZeroDivisionError"),
        ("import time\n" + ENGINE.replace("pass", "time.sleep(60)"), ["--timeout-s=2"], "timeout", "ended after"),
    ],
)
def test_who_hears_nothing_has_rows_that_say_why(
    heard: Heard, engine: str, more: list[str], status: str, reason: str
) -> None:
    clips, model = heard(engine, *more)
    assert len(clips) == 17 and {row["status"] for row in clips} == {status}
    assert all(reason in row["reason"] for row in [*clips, model])
    assert (model["n_clips"], model["share_with_text"], model["commonest"]) == (0, None, None)


def test_a_model_of_phonemes_is_not_asked_for_words(heard: Heard, folders: Path) -> None:
    provenance = json.loads((folders / "m" / "provenance.json").read_text()) | {"outputs": "phonemes"}
    (folders / "m" / "provenance.json").write_text(json.dumps(provenance))
    _, model = heard()
    assert (model["status"], model["reason"]) == ("unsupported", "its tokens spell phonemes, not words")


def test_a_damaged_record_is_a_row_and_another_study_is_refused(heard: Heard, folders: Path) -> None:
    heard()
    path = folders / "silence" / "whisper-base" / "mine" / "cpu.parquet"
    header = parquet.header_of(parquet.read(path))
    parquet.save(path, parquet.read(path), header | {"seed": 43})
    with pytest.raises(AsrmeterError, match=r"cpu.parquet: belongs to another study or version \(seed 43, but 42"):
        silence_tables.tables(study_of(folders), [path], NO_FINGERPRINTS)
    path.write_bytes(path.read_bytes()[:-100])
    made = silence_tables.tables(study_of(folders), [path], NO_FINGERPRINTS)
    for table in made.values():
        (row,) = table.to_pylist()
        assert (row["model"], row["variant"], row["device"]) == ("whisper-base", "mine", "cpu")
        assert row["status"] == UNREADABLE and "cpu.parquet" in row["reason"]


def test_wilson_interval() -> None:
    # As in Wilson's own formula, worked out by hand for 8 of 20, and its ends.
    assert wilson_interval(8, 20) == pytest.approx((0.2188, 0.6134), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(16, 16) == pytest.approx((0.8064, 1), abs=1e-4)


def test_pretrained_models_hear_on_the_first_device_they_run_on(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(study_of(folders), on_cluster=True)
    assert list(plan.hearings) == ["whisper-base/fp32/cpu", "whisper-base/mine/cpu"]
    monkeypatch.setitem(plan.__dict__, "refused", {("whisper-base", "mine", "cpu"): "no"})
    del plan.__dict__["hearings"]
    assert list(plan.hearings) == ["whisper-base/fp32/cpu", "whisper-base/mine/cuda"]
    with pytest.raises(
        AsrmeterError, match=r"^whisper-tiny/fp32/cpu does not transcribe silence in the study t: this needs"
    ):
        plan.hearing("whisper-tiny/fp32/cpu")


def test_without_the_key_nothing_of_it_is_planned(folders: Path) -> None:
    for robustness in ({"silence": False}, {}):
        plan = Plan(study_of(folders, robustness=robustness), on_cluster=True)
        assert plan.hearings == {}
    assert {name: table.num_rows for name, table in silence_tables.tables(plan.study, [], NO_FINGERPRINTS).items()} == {
        "silence": 0,
        "silence_models": 0,
    }


def test_what_is_heard_depends_on_no_class_or_batch(folders: Path) -> None:
    study = study_of(folders)
    made_of = fingerprints_of(study)
    own = [
        cell for cell in grid.cells(study) if (cell.model, cell.variant, cell.device) == ("whisper-base", "fp32", "cpu")
    ]
    assert len(own) > 1
    found = {tuple(silence_options(study.as_json(), cell, made_of)) for cell in own}
    (options,) = found
    names = [option.partition("=")[0].removeprefix("--") for option in options]
    assert names == [
        *("model", "model-key", "corpus-key", "variant", "variant-options", "device", "threads", "seed", "protocol")
    ]
    assert options[-1] == '--protocol={"version": 1}'
