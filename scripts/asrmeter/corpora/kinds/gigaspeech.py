"""GigaSpeech (Chen et al., 2021): its segments, streamed from the Hub.

The evaluation parts are annotated without gaps: the segments of a recording follow each other, and a segment without
speech has a tag as its text. So neighbours can be joined, and text and audio agree exactly.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asrmeter.common.options import HUB_ID, TEXT
from asrmeter.corpora.gigaspeech_text import GARBAGE, RULES_VERSION, words
from asrmeter.corpora.kinds.base import (
    KIND,
    REVISION,
    SEGMENTS_PER_CLASS,
    SELECTION_SHA256,
    CorpusKind,
    Speech,
    kind_config,
)

if TYPE_CHECKING:
    from asrmeter.corpora.segments import Clip, Utterance

# A summary of the terms on the Hub; the texts are under Apache 2.0.
LICENCE = "GigaSpeech terms: non-commercial research and education"

ID, AUDIO = "segment_id", "audio"
COLUMNS = (ID, "audio_id", "begin_time", "end_time", "text", "source")
# Begin and end times are single precision: off by a millisecond after three hours. A shorter gap is not a gap.
CONTIGUOUS_S = 0.02
# Largest difference between the length of a segment by its times and that of its audio.
TOLERANCE_S = 0.1


@dataclass(frozen=True, kw_only=True)
class GigaSpeechCorpus(CorpusKind):
    """A split of GigaSpeech on the Hub. Only the Hub knows whether this account may read it."""

    __pydantic_config__: ClassVar = kind_config(
        "gigaspeech",
        "GigaSpeech, streamed from the Hub. It needs a token (HF_TOKEN) of an account that has accepted the terms.",
    )

    kind: Literal["gigaspeech"] = field(metadata=KIND)
    id: str = field(
        default="speechcolab/gigaspeech",
        metadata=HUB_ID | {"description": "Dataset on the Hub, owner/name; a mirror must have the same columns."},
    )
    config: str = field(default="dev", metadata=TEXT | {"description": "Configuration of the dataset."})
    split: str = field(default="validation", metadata=TEXT | {"description": "Split of the dataset."})
    revision: str = field(default="main", metadata=REVISION)
    segments_per_class: int | None = field(default=32, metadata=SEGMENTS_PER_CLASS)
    selection_sha256: str | None = field(default=None, metadata=SELECTION_SHA256)

    def default_name(self) -> str:
        """Return the name of the corpus."""
        return "gigaspeech"

    def natural_language(self) -> str:
        """Return English."""
        return "en"

    def fingerprint_inputs(self) -> Any:
        """Return the version of the rules that make words of the texts; the options say the rest."""
        return RULES_VERSION


def load(corpus: GigaSpeechCorpus, downloads: Path) -> Speech:
    """Return the speech of the split. Only the table is read, and later the clips that are chosen.

    Raises:
        AsrmeterError: the dataset cannot be read.
    """
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.hub_stream import HubStream
    from asrmeter.corpora.segments import JoinPolicy

    stream = HubStream(corpus, AUDIO, downloads)
    utterances, dropped = speech_of(stream.read_columns(COLUMNS))

    def fetch(chosen: "Sequence[Utterance]") -> "tuple[Clip, dict[str, str]]":
        unfit = stream.fetch([utterance.id for utterance in chosen], ID)
        for utterance in chosen:
            if utterance.id not in unfit:
                audio_s = len(stream.clips.sound(utterance.id).samples) / SAMPLE_RATE_HZ
                listed_s = (utterance.end - utterance.begin) / SAMPLE_RATE_HZ
                if abs(audio_s - listed_s) > TOLERANCE_S:
                    unfit[utterance.id] = f"its audio has {audio_s:.2f} s, its times say {listed_s:.2f} s"
        return lambda utterance: stream.clips.sound(utterance.id), unfit

    return Speech(utterances, fetch, JoinPolicy.WITHIN, dropped=dropped, origin=stream.origin)


def speech_of(rows: Iterable[dict[str, Any]]) -> "tuple[list[Utterance], dict[str, int]]":
    """Return the utterances in the order of their recordings, and the number of rows without speech by reason.

    `rows` have the columns COLUMNS, times in seconds. The samples of a row that follows another begin where those end.
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
        if listed[row[ID]] > 1:  # either could be the one of the audio
            reason = "its id is listed twice"
        if reason:
            dropped[reason] += 1
        else:
            source = "not stated" if row["source"] is None else str(row["source"])
            utterances.append(Utterance(row[ID], recording, begin, end, words(row["text"]), source, LICENCE, "en"))
    return utterances, dict(dropped)


def _why_unusable(row: dict[str, Any]) -> str | None:
    """Return why a row is unusable, or None."""
    if not isinstance(row[ID], str) or not isinstance(row["audio_id"], str):
        return "has no id"
    times_s = (row["begin_time"], row["end_time"])
    if not all(isinstance(time_s, int | float) and math.isfinite(time_s) for time_s in times_s):
        return "has no times"
    return None if isinstance(row["text"], str | None) else "its text is not text"


def _why_unfit(text: str) -> str | None:
    """Return why a text is not speech, or None."""
    if words(text):
        return None
    tags = sorted(GARBAGE.intersection(text.split()))
    return f"no speech: {' '.join(tags)}" if tags else "has no words"
