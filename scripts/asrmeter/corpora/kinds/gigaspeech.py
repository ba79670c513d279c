"""GigaSpeech (Chen et al., 2021): its segments, tags and scoring, streamed from the Hub.

The evaluation parts are annotated without gaps: the segments of a recording follow each other, and what is no speech
has a tag for a text. So neighbours can be joined, and text and audio agree exactly.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.corpora.kinds import Speech

if TYPE_CHECKING:
    from asrmeter.corpora.segments import Clip, Utterance

# Raised when `words`, `official` or `without_fillers` make another text of any text.
RULES_VERSION = 1
# The corpus' own scoring leaves these out (utils/gigaspeech_scoring.py of SpeechColab/GigaSpeech at 44289e4).
PUNCTUATION = frozenset({"<COMMA>", "<PERIOD>", "<QUESTIONMARK>", "<EXCLAMATIONPOINT>"})
GARBAGE = frozenset({"<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"})
UNKNOWN = frozenset({"<UNK>", "<unk>"})
FILLERS = frozenset({"UH", "UHH", "UM", "EH", "MM", "HM", "AH", "HUH", "HA", "ER", "OOF", "HEE", "ACH", "EEE", "EW"})
# The terms that the Hub shows, in short; the texts are under Apache 2.0.
LICENCE = "GigaSpeech terms: non-commercial research and education"

ID, AUDIO = "segment_id", "audio"
COLUMNS = (ID, "audio_id", "begin_time", "end_time", "text", "source")
# Begin and end times are single precision: a millisecond after three hours. A gap of this length is none.
CONTIGUOUS_S = 0.02
# Between a segment's times and its audio.
TOLERANCE_S = 0.1


def name_of(options: dict[str, Any]) -> str:
    """Return the name of the corpus."""
    return "gigaspeech"


def check(options: dict[str, Any]) -> None:
    """Raise nothing: whether the Hub has the data set, and gives it, is found out there."""


def archives(options: dict[str, Any]) -> list[str]:
    """Return no package: everything comes from the Hub."""
    return []


def made_of(options: dict[str, Any]) -> Any:
    """Return the version of the rules that make words of the texts; the rest is in the options."""
    return RULES_VERSION


def load(options: dict[str, Any], downloads: Path) -> Speech:
    """Return the speech of the split; only the table is read, and later the clips that are chosen.

    Raises:
        AsrmeterError: the data set cannot be had.
    """
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.hub_stream import Stream
    from asrmeter.corpora.segments import Joining

    stream = Stream(options, AUDIO, downloads)
    utterances, dropped = speech_of(stream.rows(COLUMNS))

    def fetch(chosen: "Sequence[Utterance]") -> "tuple[Clip, dict[str, str]]":
        unfit = stream.fetch([utterance.id for utterance in chosen], ID)
        for utterance in chosen:
            if utterance.id not in unfit:
                seconds = len(stream.clips.samples(utterance.id)) / SAMPLE_RATE_HZ
                said_s = (utterance.end - utterance.begin) / SAMPLE_RATE_HZ
                if abs(seconds - said_s) > TOLERANCE_S:
                    unfit[utterance.id] = f"its audio has {seconds:.2f} s, its times say {said_s:.2f} s"
        return lambda utterance: stream.clips.samples(utterance.id), unfit

    return Speech(utterances, fetch, Joining.WITHIN, dropped=dropped, origin=stream.origin)


def speech_of(rows: Iterable[dict[str, Any]]) -> "tuple[list[Utterance], dict[str, int]]":
    """Return the utterances in the order of their recordings, and how many rows hold no speech, by reason.

    `rows` have the columns COLUMNS, times in seconds. Where one row ends and the next begins, so do their samples.
    """
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.segments import Utterance

    utterances: list[Utterance] = []
    dropped: Counter[str] = Counter()
    usable: list[dict[str, Any]] = []
    for row in rows:
        if reason := _why_unusable(row):
            dropped[reason] += 1
        else:
            usable.append(row)
    listed = Counter(row[ID] for row in usable)
    recording, end_s, end = None, 0.0, 0
    for row in sorted(usable, key=lambda row: (row["audio_id"], row["begin_time"], row[ID])):
        begin = round(row["begin_time"] * SAMPLE_RATE_HZ)
        if row["audio_id"] == recording and abs(row["begin_time"] - end_s) <= CONTIGUOUS_S:
            begin = end
        recording, end_s, end = row["audio_id"], row["end_time"], round(row["end_time"] * SAMPLE_RATE_HZ)
        reason = _why_unfit(row["text"] or "") or ("has no length" if end <= begin else None)
        if listed[row[ID]] > 1:  # which audio is whose cannot be told
            reason = "its id is listed twice"
        if reason:
            dropped[reason] += 1
        else:
            source = "not stated" if row["source"] is None else str(row["source"])
            utterances.append(Utterance(row[ID], recording, begin, end, words(row["text"]), source, LICENCE))
    return utterances, dict(dropped)


def _why_unusable(row: dict[str, Any]) -> str | None:
    """Return why a row is none that the corpus has, or None."""
    if not isinstance(row[ID], str) or not isinstance(row["audio_id"], str):
        return "has no id"
    times_s = (row["begin_time"], row["end_time"])
    if not all(isinstance(time_s, int | float) and math.isfinite(time_s) for time_s in times_s):
        return "has no times"
    return None if isinstance(row["text"], str | None) else "its text is none"


def _why_unfit(text: str) -> str | None:
    """Return why a text stands for no speech, or None."""
    if words(text):
        return None
    tags = sorted(GARBAGE.intersection(text.split()))
    return f"no speech: {' '.join(tags)}" if tags else "has no words"


def words(text: str) -> str:
    """Return what was spoken: the words of a text, without the tags between them."""
    return " ".join(word for word in text.split() if word not in PUNCTUATION | GARBAGE | UNKNOWN)


def official(text: str) -> str:
    """Return a text as the corpus' own scoring compares it: upper case, hyphens apart, no tags and no fillers.

    Figures and punctuation that a model writes stay: they count as errors.
    """
    spoken = words(text.upper().replace("-", " ")).split()
    return " ".join(word for word in spoken if word not in FILLERS)


def without_fillers(normalised: str) -> str:
    """Return a normalised text without the hesitations that the corpus' own scoring leaves out."""
    return " ".join(word for word in normalised.split() if word.upper() not in FILLERS)
