"""Transcripts in the report: errors as they are counted, the worst first, audio where it is asked for."""

import base64
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.analysis.scoring import compare
from asrmeter.report.catalogue import load_words
from asrmeter.report.html import audio
from asrmeter.report.html.transcripts import MOST_TEXTS, Run, aligned, shown_first, transcripts_section
from helpers.tables import cell, example_segments, example_transcripts, transcripts_of

WORDS = load_words(Path(__file__).parents[2] / "report", "en")
TEXTS = st.lists(st.sampled_from(["so", "the", "old", "house", "stood"]), max_size=12).map(" ".join)


def test_errors_are_told_by_their_kind() -> None:
    assert aligned("the old house stood", "the cold house stood still") == [
        Run("equal", ("the",), ("the",)),
        Run("substitute", ("old",), ("cold",)),
        Run("equal", ("house", "stood"), ("house", "stood")),
        Run("insert", (), ("still",)),
    ]
    assert aligned("by itself", "") == [Run("delete", ("by", "itself"), ())]
    assert aligned("", "") == []


@given(TEXTS, TEXTS)
def test_what_is_marked_is_what_the_wer_counts(reference: str, hypothesis: str) -> None:
    runs = aligned(reference, hypothesis)
    counted = compare(reference, hypothesis)
    by_kind = {kind: [run for run in runs if run.kind == kind] for kind in ("substitute", "delete", "insert")}
    assert sum(len(run.reference) for run in by_kind["substitute"]) == counted.n_substitutions
    assert sum(len(run.reference) for run in by_kind["delete"]) == counted.n_deletions
    assert sum(len(run.hypothesis) for run in by_kind["insert"]) == counted.n_insertions
    assert [word for run in runs for word in run.reference] == reference.split()
    assert [word for run in runs for word in run.hypothesis] == hypothesis.split()


def test_segments_and_models_are_worst_first_each_model_once() -> None:
    cells = [cell(model, batch_size=b) for model in ("whisper-base", "whisper-tiny.en") for b in (1, 2)]
    found = transcripts_section(example_transcripts(cells), example_segments(), {}, WORDS)
    shares = [[_share(text.errors) for text in segment.texts] for segment in found.segments]
    assert all(own == sorted(own, reverse=True) and len(own) == 2 for own in shares)
    assert [own[0] for own in shares] == sorted((own[0] for own in shares), reverse=True)
    assert all("-b1" in text.cell for segment in found.segments for text in segment.texts)
    assert "8 of 8" in found.note and len(found.segments) == 8


def test_a_segment_names_where_it_comes_from() -> None:
    (first, *_), n_all = (
        (found := transcripts_section(transcripts_of(cell()), example_segments(), {}, WORDS)).segments,
        8,
    )
    assert first.source == "An old house, house.wav" and f"8 of {n_all}" in found.note
    (unknown, *_) = transcripts_section(transcripts_of(cell()), {}, {}, WORDS).segments
    assert unknown.source == ""


def test_large_studies_show_the_worst_only_and_say_of_how_many() -> None:
    cells = [cell(f"model-{index}") for index in range(100)]
    rows = [text for row in cells for text in transcripts_of(row, n_segments=30)]
    found = transcripts_section(rows, {}, {}, WORDS)
    assert sum(len(segment.texts) for segment in found.segments) <= MOST_TEXTS
    assert len(found.segments) == 2 and "2 of 30" in found.note


def test_long_stretches_without_an_error_are_cut() -> None:
    row = transcripts_of(cell())[0] | {"reference_normalised": "a " * 40 + "cat", "hypothesis_normalised": "a " * 40}
    (segment,) = transcripts_section([row], {}, {}, WORDS).segments
    (_, _, equal), (kind, deleted, _) = segment.texts[0].runs
    assert equal.count("a") == 16 and "…" in equal
    assert (kind, deleted) == ("delete", "cat")


def test_audio_is_embedded_as_mp3_as_far_as_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rate_hz = 16000
    tone = 0.1 * np.sin(np.arange(2 * rate_hz) / 10)
    names = ["house-5-0", "house-5-1"]
    (tmp_path / "audio").mkdir()
    for name in names:
        soundfile.write(tmp_path / "audio" / f"{name}.flac", tone, rate_hz)
    made = audio.embedded(names, example_segments(), tmp_path)
    assert list(made) == names
    kind, _, data = made[names[0]].uri.partition(",")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert (kind, rate) == ("data:audio/mpeg;base64", rate_hz)
    assert len(samples) == pytest.approx(len(tone), rel=0.1)
    monkeypatch.setattr(audio, "MOST_BYTES", len(made[names[0]].uri) + 1)
    assert list(audio.embedded(names, example_segments(), tmp_path)) == names[:1]


def why_none(corpus: Path, name: str = "house-5-0", **changes: Any) -> str:
    """Return why a segment has no audio; the audio of the next one is there all the same."""
    (corpus / "audio").mkdir(exist_ok=True)
    soundfile.write(corpus / "audio" / "house-5-1.flac", np.zeros(16000), 16000)
    segments = example_segments()
    segments["house-5-0"] |= changes
    made = audio.embedded([name, "house-5-1"], segments, corpus)
    assert made["house-5-1"].uri and not made[name].uri
    return made[name].why_none


def test_audio_that_is_not_there_says_why(tmp_path: Path) -> None:
    assert why_none(tmp_path).startswith("audio/house-5-0.flac: cannot be read as audio")
    assert why_none(tmp_path, "other") == "the corpus has no such segment; make the tables again"


@pytest.mark.parametrize("path", ["../private.wav", "/etc/passwd", "audio/../../private.wav", "", "audio/link.wav"])
def test_audio_outside_of_the_corpus_is_not_read(tmp_path: Path, path: str) -> None:
    soundfile.write(tmp_path / "private.wav", np.zeros(16000), 16000)
    (tmp_path / "corpus" / "audio").mkdir(parents=True)
    (tmp_path / "corpus" / "audio" / "link.wav").symlink_to(tmp_path / "private.wav")
    assert why_none(tmp_path / "corpus", path=path).endswith("leads out of this folder")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "is a pipe, not a file"),
        (os.mkdir, "is a folder, not a file"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 10**12), "more than the 100 MB"),
        (lambda path: soundfile.write(path, np.zeros(3601 * 100), 100), "is longer than 3600 s"),
    ],
)
def test_audio_that_is_no_file_of_a_segment_is_not_read(tmp_path: Path, make: Any, why: str) -> None:
    (tmp_path / "audio").mkdir()
    make(tmp_path / "audio" / "odd.wav")
    assert why in why_none(tmp_path, path="audio/odd.wav")


def test_the_page_says_why_a_segment_has_no_audio() -> None:
    rows = transcripts_of(cell(duration_s=5))
    heard = {"house-5-0": audio.Audio(why_none="it is <gone>"), "house-5-1": audio.Audio("data:audio/mpeg;base64,")}
    section = transcripts_section(rows, {}, heard, WORDS)
    assert section.n_audio == 1
    by_name = {segment.name: segment.audio for segment in section.segments}
    assert by_name["house-5-0"].why_none and by_name["house-5-1"].uri and by_name["house-5-2"] == audio.Audio()


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(12345, 1), (16000, 6)])
def test_audio_that_no_mp3_can_hold_is_named(rate_hz: int, n_channels: int, tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "house-5-0.flac", np.zeros((rate_hz, n_channels)), rate_hz)
    said = why_none(tmp_path)
    assert "house-5-0.flac: cannot be read as audio" in said and said.isprintable()


def test_number_with_audio_is_given_only_if_some_is_left_out() -> None:
    rows, segments = transcripts_of(cell()), example_segments()
    names = [name for _, name in shown_first(rows)]
    for made, n_audio in ((None, None), ({}, 0), (names[:3], 3), (names, None)):
        audio_of = None if made is None else dict.fromkeys(made, audio.Audio("data:"))
        assert transcripts_section(rows, segments, audio_of, WORDS).n_audio == n_audio


def test_shown_first_of_nothing_is_nothing() -> None:
    assert shown_first([]) == {}


def _share(errors: str) -> float:
    wrong, n_words = (int(part) for part in errors.split() if part.isdigit())
    return wrong / n_words
