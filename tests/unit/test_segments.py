"""Segments: joined, never cut, text and audio agreeing."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.corpora import manifest
from asrmeter.segments import JOIN_SILENCE_S, LEAST_FILL, SAMPLE_RATE_HZ, Segment, Utterance, compose, sample


def utterances(lengths_s: list[float], one_recording: bool = False) -> list[Utterance]:
    made, at = [], 0
    for i, length_s in enumerate(lengths_s):
        n = round(length_s * SAMPLE_RATE_HZ)
        begin = at if one_recording else 0
        name = "r" if one_recording else f"r{i}"
        made.append(Utterance(name, begin, begin + n, f"word{i}", f"source {i % 3}", "free"))
        at += n
    return made


def recordings(spoken: list[Utterance]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    ends = {u.recording: max(v.end for v in spoken if v.recording == u.recording) for u in spoken}
    return {name: rng.uniform(-0.5, 0.5, end).astype(np.float32) for name, end in ends.items()}


@given(st.lists(st.floats(0.2, 20), min_size=1, max_size=30), st.sampled_from([5, 15, 30, 60]), st.booleans())
def test_joining_keeps_every_promise(lengths_s: list[float], duration_s: int, one_recording: bool) -> None:
    spoken = utterances(lengths_s, one_recording)
    sound = recordings(spoken)
    used: list[Utterance] = []
    for segment in compose(spoken, duration_s):
        seconds = len(segment.audio(sound)) / SAMPLE_RATE_HZ
        assert LEAST_FILL * duration_s <= seconds <= duration_s
        assert segment.text.split() == [u.text for u in segment.utterances]
        used += segment.utterances
    assert len(used) == len(set(used))
    assert used == [u for u in spoken if u in used]


def test_audio_of_one_recording_goes_on_and_others_are_parted_by_silence() -> None:
    together, apart = utterances([2, 2], one_recording=True), utterances([2, 2])
    sound = recordings(together)["r"]
    assert np.array_equal(compose(together, 5)[0].audio({"r": sound}), sound)
    joined = compose(apart, 5)[0].audio(recordings(apart))
    gap = round(JOIN_SILENCE_S * SAMPLE_RATE_HZ)
    assert len(joined) == 4 * SAMPLE_RATE_HZ + gap
    assert not joined[2 * SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ + gap].any()


def test_a_sample_is_seeded_and_takes_from_every_source() -> None:
    segments = [Segment(f"5s-{i:03d}", 5, (u,)) for i, u in enumerate(utterances([4] * 30))]
    chosen = sample(segments, 6, seed=1)
    assert chosen == sample(segments, 6, seed=1) != sample(segments, 6, seed=2)
    assert sorted(s.utterances[0].source for s in chosen) == ["source 0"] * 2 + ["source 1"] * 2 + ["source 2"] * 2
    assert sample(segments, 99, seed=1) == segments
    assert sample([], 3, seed=1) == []


def test_the_manifest_tells_what_lies_there(tmp_path: Path) -> None:
    spoken = utterances([4, 3, 4])
    segments = compose(spoken, 5)
    manifest.write(tmp_path / "c", segments, recordings(spoken))
    rows = pq.read_table(tmp_path / "c" / manifest.SEGMENTS).to_pylist()
    assert [row["segment_id"] for row in rows] == [segment.id for segment in segments]
    for row in rows:
        samples, rate_hz = soundfile.read(tmp_path / "c" / row["path"], dtype="float32")
        assert rate_hz == SAMPLE_RATE_HZ and len(samples) == row["audio_s"] * rate_hz
        assert row["licence"] == "free"
    first = {path.name: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")}
    manifest.write(tmp_path / "c", segments, recordings(spoken))
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")}
