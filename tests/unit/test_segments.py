"""Segments are joined and never cut, text and audio agree, and the selection is reproducible."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.corpora import manifest
from asrmeter.corpora.segments import (
    JOIN_SILENCE_S,
    MIN_FILL,
    Clip,
    JoinPolicy,
    Segment,
    Sound,
    Utterance,
    join_utterances,
    sample,
    segment_corpus,
    selection_sha256,
)


def utterances(lengths_s: list[float], one_recording: bool = False) -> list[Utterance]:
    made, at = [], 0
    for i, length_s in enumerate(lengths_s):
        n = round(length_s * SAMPLE_RATE_HZ)
        begin = at if one_recording else 0
        name = "r" if one_recording else f"r{i}"
        made.append(Utterance(f"u{i}", name, begin, begin + n, f"word{i}", f"source {i % 3}", "free"))
        at += n
    return made


def hear(spoken: list[Utterance]) -> Clip:
    sound = recordings(spoken)
    return lambda utterance: Sound(sound[utterance.recording][utterance.begin : utterance.end])


def recordings(spoken: list[Utterance]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    ends = {u.recording: max(v.end for v in spoken if v.recording == u.recording) for u in spoken}
    return {name: rng.uniform(-0.5, 0.5, end).astype(np.float32) for name, end in ends.items()}


@given(st.lists(st.floats(0.2, 20), min_size=1, max_size=30), st.sampled_from([5, 15, 30, 60]), st.booleans())
def test_joined_segments_keep_every_promise(lengths_s: list[float], duration_s: int, one_recording: bool) -> None:
    spoken = utterances(lengths_s, one_recording)
    clip = hear(spoken)
    used: list[Utterance] = []
    for segment in join_utterances(spoken, duration_s):
        seconds = len(segment.audio(clip)[0]) / SAMPLE_RATE_HZ
        assert MIN_FILL[JoinPolicy.ANY] * duration_s <= seconds <= duration_s
        assert segment.text.split() == [u.text for u in segment.utterances]
        used += segment.utterances
    assert len(used) == len(set(used))
    assert used == [u for u in spoken if u in used]


def test_silence_parts_utterances_of_different_recordings_only() -> None:
    together, apart = utterances([2, 2], one_recording=True), utterances([2, 2])
    sound = recordings(together)["r"]
    assert np.array_equal(join_utterances(together, 5)[0].audio(hear(together))[0], sound)
    joined, _ = join_utterances(apart, 5)[0].audio(hear(apart))
    gap = round(JOIN_SILENCE_S * SAMPLE_RATE_HZ)
    assert len(joined) == 4 * SAMPLE_RATE_HZ + gap
    assert not joined[2 * SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ + gap].any()


def test_sample_is_seeded_and_takes_from_every_source() -> None:
    segments = [Segment(f"5s-{i:03d}", 5, (u,)) for i, u in enumerate(utterances([4] * 30))]
    chosen = sample(segments, 6, seed=1)
    assert chosen == sample(segments, 6, seed=1) != sample(segments, 6, seed=2)
    assert sorted(s.utterances[0].source for s in chosen) == ["source 0"] * 2 + ["source 1"] * 2 + ["source 2"] * 2
    assert sample(segments, 99, seed=1) == sample(segments, None, seed=1) == segments
    assert sample([], 3, seed=1) == []


def test_within_recordings_gaps_and_full_utterances_stay_apart() -> None:
    first, second, third = utterances([3, 1, 4.5], one_recording=True)
    elsewhere = Utterance("v", "other", 0, 2 * SAMPLE_RATE_HZ, "v", "s", "free")
    joined = join_utterances([first, second, third, elsewhere], 5, JoinPolicy.WITHIN)
    assert [segment.utterances for segment in joined] == [(first, second), (third,)]
    # A gap: the 3 s before it and the 1 s after it fill too little of 5 s each.
    assert join_utterances([first, third], 5, JoinPolicy.WITHIN) == [Segment("5s-000", 5, (third,))]


@given(st.lists(st.floats(0.2, 20), min_size=1, max_size=40), st.sets(st.integers(0, 39)))
def test_segments_within_recordings_are_the_recording(lengths_s: list[float], missing: set[int]) -> None:
    spoken = [u for i, u in enumerate(utterances(lengths_s, one_recording=True)) if i not in missing]
    if not spoken:
        return
    sound = recordings(spoken)["r"]
    for duration_s in (5, 15, 30, 60):
        for segment in join_utterances(spoken, duration_s, JoinPolicy.WITHIN):
            begin, end = segment.utterances[0].begin, segment.utterances[-1].end
            assert np.array_equal(segment.audio(hear(spoken))[0], sound[begin:end])
            assert 0.8 * duration_s * SAMPLE_RATE_HZ <= end - begin <= duration_s * SAMPLE_RATE_HZ


@given(st.lists(st.floats(0.2, 60), min_size=1, max_size=30), st.sampled_from([JoinPolicy.ANY, JoinPolicy.NONE]))
def test_keep_all_loses_no_utterance_that_fits(lengths_s: list[float], join_policy: JoinPolicy) -> None:
    spoken = utterances(lengths_s)
    possible = segment_corpus(spoken, [5, 15, 30], join_policy, keep_all=True)
    used = {u for segments in possible.values() for segment in segments for u in segment.utterances}
    assert used == {u for u in spoken if u.end <= 30 * SAMPLE_RATE_HZ}
    ids = [segment.id for segments in possible.values() for segment in segments]
    assert len(ids) == len(set(ids))
    if join_policy is JoinPolicy.NONE:
        natural = [(duration_s, *segment.utterances) for duration_s in possible for segment in possible[duration_s]]
        classes = {u: min(d for d in (5, 15, 30) if u.end <= d * SAMPLE_RATE_HZ) for u in used}
        assert set(natural) == {(duration_s, u) for u, duration_s in classes.items()}


@given(st.lists(st.floats(0.2, 20), min_size=2, max_size=20), st.integers(1, 19), st.sampled_from(list(JoinPolicy)))
def test_segments_stay_when_recordings_are_added(lengths_s: list[float], n_first: int, join_policy: JoinPolicy) -> None:
    spoken = utterances(lengths_s)
    # What is added may come before, between or after what was there.
    first = spoken[::2] if n_first % 2 else spoken[:n_first]
    before = segment_corpus(first, [5, 15], join_policy, keep_all=True)
    known = [segment for segments in before.values() for segment in segments]
    after = segment_corpus(spoken, [5, 15], join_policy, True, known)
    for duration_s, segments in before.items():
        assert after[duration_s][: len(segments)] == segments
        new = after[duration_s][len(segments) :]
        assert {segment.addition for segment in new} <= {1 if segments else 0}
        assert not {u for one in segments for u in one.utterances} & {u for one in new for u in one.utterances}
    names = [segment.id for segments in after.values() for segment in segments]
    assert len(names) == len(set(names))
    assert {u for segments in after.values() for one in segments for u in one.utterances} == {
        u for u in spoken if u.end <= 15 * SAMPLE_RATE_HZ
    }
    assert segment_corpus(first, [5, 15], join_policy, True, known) == before


def test_the_selection_is_the_same_on_every_machine() -> None:
    spoken = [u for length_s in (2.5, 3.1, 1.9) for u in utterances([length_s] * 40)]
    spoken = [Utterance(f"{i}", f"r{i}", 0, u.end, u.text, u.source, u.licence) for i, u in enumerate(spoken)]
    chosen = [
        segment
        for segments in segment_corpus(spoken, [5, 15], JoinPolicy.ANY).values()
        for segment in sample(segments, 6, 42)
    ]
    assert selection_sha256(chosen) == "87f2995103d67d1fa726340e7f61bbda861172f229c39b4bb572bbdccf271556"


def test_manifest_describes_the_files(tmp_path: Path) -> None:
    spoken = utterances([4, 3, 4])
    segments = join_utterances(spoken, 5)
    manifest.write(tmp_path / "c", segments, hear(spoken), {"seed": 1})
    rows = pq.read_table(tmp_path / "c" / manifest.SEGMENTS).to_pylist()
    assert [row["segment_id"] for row in rows] == [segment.id for segment in segments]
    for row in rows:
        samples, rate_hz = soundfile.read(tmp_path / "c" / row["path"], dtype="float32")
        assert rate_hz == SAMPLE_RATE_HZ and len(samples) == row["audio_s"] * rate_hz
        assert row["licence"] == "free"
        assert row["mended"] is None
    first = {path.name: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")}
    manifest.write(tmp_path / "c", segments, hear(spoken), {"seed": 1})
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")}


def test_the_manifest_says_what_was_put_right(tmp_path: Path) -> None:
    spoken = utterances([4, 2, 2])
    sound = {"u0": "", "u1": "scaled by 0.5", "u2": "channel 2 of 2 alone"}
    clip = hear(spoken)
    manifest.write(
        tmp_path / "c", join_utterances(spoken, 5), lambda u: clip(u)._replace(mended=sound[u.id]), {"seed": 1}
    )
    rows = pq.read_table(tmp_path / "c" / manifest.SEGMENTS).to_pylist()
    assert [row["mended"] for row in rows] == [None, "u1: scaled by 0.5; u2: channel 2 of 2 alone"]
    selection = json.loads((tmp_path / "c" / "selection.json").read_text())
    assert selection["mended"] == [
        {"name": "u1", "how": "scaled by 0.5"},
        {"name": "u2", "how": "channel 2 of 2 alone"},
    ]
