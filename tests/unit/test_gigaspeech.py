"""GigaSpeech: its tags, its scoring, and segments whose texts are the words between their times."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.analysis import normalisers, scoring
from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.corpora.gigaspeech_text import official, without_fillers, words
from asrmeter.corpora.kinds import gigaspeech
from asrmeter.corpora.kinds.gigaspeech import speech_of
from asrmeter.corpora.segments import JoinPolicy, sample, segment_corpus, selection_sha256
from asrmeter.sources.packages import Archives

REFERENCE = (
    "SO UM <COMMA> IN TWENTY TWENTY ONE <COMMA> MISTER SMITH'S E-COMMERCE STORE WAS OKAY <PERIOD>"  # as annotated
)
HEARD = "So, in 2021, Mr. Smith's e-commerce store was OK."  # as Whisper writes it


@pytest.mark.parametrize(
    ("text", "scored"),
    [
        # The two examples that the scoring script gives for its rule on hyphens.
        ("E-COMMERCE", "E COMMERCE"),
        ("STATE-OF-THE-ART", "STATE OF THE ART"),
        ("I SEE LOTS OF PEOPLE HAVE AH DRONES HERE <COMMA> AH MAVERICK AH AS WELL <PERIOD>",
         "I SEE LOTS OF PEOPLE HAVE DRONES HERE MAVERICK AS WELL"),
        ("uh-huh <QUESTIONMARK> well <EXCLAMATIONPOINT>", "WELL"),
        ("YOU <UNK> IT <unk>", "YOU IT"),
        ("<SIL>", ""), ("<MUSIC>", ""), ("<NOISE>", ""), ("<OTHER>", ""), ("", ""),
        # Not in the rules: other fillers, digits, a model's punctuation, other brackets.
        ("HMM, 21 <LAUGH> UM,", "HMM, 21 <LAUGH> UM,"),
        (REFERENCE, "SO IN TWENTY TWENTY ONE MISTER SMITH'S E COMMERCE STORE WAS OKAY"),
        (HEARD, "SO, IN 2021, MR. SMITH'S E COMMERCE STORE WAS OK."),
    ],
)  # fmt: skip
def test_texts_are_scored_as_the_corpus_does(text: str, scored: str) -> None:
    assert official(text) == scored


def test_corpus_own_scoring_counts_digits_and_punctuation() -> None:
    errors = scoring.compare(official(REFERENCE), official(HEARD))
    # SO/SO, TWENTY/2021, MISTER/MR. OKAY/OK. substituted, IN kept, the other TWENTY and ONE deleted.
    assert (errors.n_words, errors.n_errors) == (12, 6)


def test_models_are_compared_without_punctuation_and_fillers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Archives, "read", lambda *_, **__: b"{}")
    by_ending = normalisers.normalisers(Archives.__new__(Archives), "gigaspeech")("en")
    assert list(by_ending) == ["", "_plain", "_corpus"]
    compared = by_ending[""]
    errors = scoring.compare(compared(words(REFERENCE)), compared(HEARD))
    assert (errors.n_errors, errors.n_words) == (1, 11)  # okay, and ok
    assert compared("Er, I, eh, went. Huh!") == compared("I went") == "i went"
    assert "gigaspeech-scoring 1" in str(compared)
    assert list(normalisers.normalisers(Archives.__new__(Archives), "hub")("en")) == ["", "_plain"]


def test_fillers_go_only_as_whole_words() -> None:
    assert without_fillers("er the umbrella um of haha") == "the umbrella of haha"


def row(segment: str, begin_s: float, end_s: float, text: str, **more: Any) -> dict[str, Any]:
    single = np.float32  # as the table has them
    times = {"begin_time": float(single(begin_s)), "end_time": float(single(end_s))}
    return {"segment_id": segment, "audio_id": "POD1", "text": text, "source": "podcast"} | times | more


def test_rows_without_speech_are_counted_and_part_neighbours() -> None:
    rows = [
        row("S1", 0, 2, "ONE <PERIOD>"),
        row("S2", 2, 4, "<MUSIC>"),
        row("S3", 4, 6, "TWO <COMMA> THREE"),
        row("S4", 6, 8, "FOUR"),
        row("S5", 8, 9, "<SIL>"),
        row("S6", 9, 9, "FIVE"),
        row("S7", 9, 10, "<PERIOD>"),
        row("S8", 10, float("nan"), "SIX"),
        row("S9", 10, 12, "SIX", begin_time=None),
        row("S10", 10, 12, "SIX", audio_id=None),
        row("S11", 10, 12, ["SIX"]),  # type: ignore[arg-type]
    ]
    utterances, dropped = speech_of(reversed(rows))
    assert [(u.id, u.text) for u in utterances] == [("S1", "ONE"), ("S3", "TWO THREE"), ("S4", "FOUR")]
    # With an id that is listed twice, either row could be the one of the audio.
    twice, counted = speech_of([*rows, row("S3", 20, 22, "OTHER")])
    assert ([u.id for u in twice], counted["its id is listed twice"]) == (["S1", "S4"], 2)
    assert dropped == {
        "no speech: <MUSIC>": 1,
        "no speech: <SIL>": 1,
        "has no length": 1,
        "has no words": 1,
        "has no times": 2,
        "has no id": 1,
        "its text is not text": 1,
    }
    (segment,) = segment_corpus(utterances, [5], JoinPolicy.WITHIN)[5]
    assert (segment.text, [u.id for u in segment.utterances]) == ("TWO THREE FOUR", ["S3", "S4"])


def test_times_in_single_precision_leave_no_gap_after_hours() -> None:
    begin_s = 3 * 3600 + 0.123
    rows = [row(f"S{i}", begin_s + 1.6667 * i, begin_s + 1.6667 * (i + 1), "WORD") for i in range(3)]
    utterances, _ = speech_of(rows)
    assert [a.end == b.begin for a, b in pairwise(utterances)] == [True, True]
    apart, _ = speech_of([rows[0], rows[1] | {"begin_time": rows[1]["begin_time"] + 0.05}])
    assert apart[0].end != apart[1].begin


@st.composite
def annotated(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, list[tuple[float, str]]]]:
    """Rows that tile some recordings without gaps, and every spoken word with the time of its middle."""
    rows: list[dict[str, Any]] = []
    spoken: dict[str, list[tuple[float, str]]] = {}
    for recording in range(draw(st.integers(1, 3))):
        audio_id, at_s = f"YOU{recording}", draw(st.sampled_from([0.0, 12.5, 7200.3]))
        spoken[audio_id] = []
        for i in range(draw(st.integers(1, 25))):
            length_s, tag = draw(st.floats(0.5, 20)), draw(st.sampled_from(["", "", "", "<COMMA>", "<UNK>", "<NOISE>"]))
            said = [] if tag == "<NOISE>" else [f"W{recording}N{i}X{n}" for n in range(draw(st.integers(1, 4)))]
            times = [at_s + length_s * (n + 0.5) / max(1, len(said)) for n in range(len(said))]
            spoken[audio_id] += zip(times, said, strict=True)
            text = " ".join([*said, tag]).strip()
            name = f"{audio_id}_S{i:07d}"
            rows.append(row(name, at_s, at_s + length_s, text, audio_id=audio_id, source=f"source {recording % 2}"))
            at_s += length_s
    return draw(st.permutations(rows)), spoken


@given(annotated())
def test_joined_texts_are_the_words_between_their_times(
    case: tuple[list[dict[str, Any]], dict[str, list[tuple[float, str]]]],
) -> None:
    rows, spoken = case
    utterances, dropped = speech_of(rows)
    assert len(utterances) + sum(dropped.values()) == len(rows)
    for duration_s, segments in segment_corpus(utterances, [5, 15, 30, 60], JoinPolicy.WITHIN).items():
        for segment in segments:
            first, last = segment.utterances[0], segment.utterances[-1]
            assert first.recording == last.recording
            begin_s, end_s = first.begin / SAMPLE_RATE_HZ, last.end / SAMPLE_RATE_HZ
            assert 0.8 * duration_s * SAMPLE_RATE_HZ <= last.end - first.begin <= duration_s * SAMPLE_RATE_HZ
            between = [word for time_s, word in spoken[first.recording] if begin_s < time_s < end_s]
            assert segment.text.split() == between


def test_selection_is_the_same_on_any_machine_and_row_order() -> None:
    recordings = {"POD1": "podcast", "POD2": "podcast", "YOU1": "youtube"}
    rows = [
        row(name, 3.3 * i, 3.3 * (i + 1), f"WORD {i}" if i % 7 else "<SIL>", audio_id=name[:4], source=source)
        for audio_id, source in recordings.items()
        for i, name in enumerate(f"{audio_id}_S{i:07d}" for i in range(120))
    ]
    for given_rows in (rows, rows[::-1]):
        possible = segment_corpus(speech_of(given_rows)[0], [5, 15], JoinPolicy.WITHIN)
        chosen = [segment for segments in possible.values() for segment in sample(segments, 8, 42)]
        assert {segment.utterances[0].source for segment in chosen} == {"podcast", "youtube"}
        assert selection_sha256(chosen) == "edcee78fb89850ad609bc5ed441cf6d11449cafed65c55f899d57137fb80203d"


def test_the_rules_have_a_version() -> None:
    assert gigaspeech.GigaSpeechCorpus(kind="gigaspeech").fingerprint_inputs() == gigaspeech.RULES_VERSION == 1
