"""Segments: pieces of audio with their exact text, grouped into duration classes.

The planner asks how many there will be: numpy is imported where there are samples.
"""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from asrmeter.common.constants import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np

# Silence between joined utterances, unless the second one continues the recording of the first.
JOIN_SILENCE_S = 0.4


class JoinPolicy(Enum):
    """Which utterances may be joined into a longer segment."""

    # Any two that follow each other in the corpus, with a short silence where the recording does not go on.
    ANY = "any"
    # Only utterances that follow each other without a gap in one recording.
    WITHIN = "within"
    # None: every utterance is a segment of the shortest class into which it fits.
    NONE = "none"


# A segment has to fill at least this share of its duration class to be representative.
MIN_FILL = {JoinPolicy.ANY: 0.5, JoinPolicy.WITHIN: 0.8, JoinPolicy.NONE: 0.0}


@dataclass(frozen=True)
class Utterance:
    """Speech with its exact text: samples `begin` to `end` of `recording`, at 16 kHz.

    `id` is its name in the corpus. Samples of segments are drawn evenly over the values of `source`. `language` is the
    code of what is spoken (`common/languages`), None where nobody knows.
    """

    id: str
    recording: str
    begin: int
    end: int
    text: str
    source: str
    licence: str
    language: str | None = None


class Sound(NamedTuple):
    """Samples, shape (n,), float32, 16 kHz, and what was put right in them, in words; "" if nothing was."""

    samples: "np.ndarray"
    mended: str = ""


# The sound of an utterance: `end` - `begin` samples.
Clip = Callable[[Utterance], Sound]


@dataclass(frozen=True)
class Segment:
    """Consecutive utterances that belong to one duration class.

    `addition` is 0 for the segments that a corpus was first made with, 1 for those of the first recordings that were
    added later, and so on.
    """

    id: str
    duration_s: int
    utterances: tuple[Utterance, ...]
    addition: int = 0

    @property
    def n_samples(self) -> int:
        """The number of its samples, with the silence between utterances."""
        return _n_samples(self.utterances)

    @property
    def text(self) -> str:
        """The reference text; empty where the corpus has none."""
        return " ".join(utterance.text for utterance in self.utterances).strip()

    @property
    def language(self) -> str | None:
        """The language of its utterances, which are all of one; None where nobody knows."""
        return self.utterances[0].language

    def audio(self, clip: Clip) -> "tuple[np.ndarray, dict[str, str]]":
        """Return the samples, shape (n,), float32, and what was put right in them, by the id of the utterance."""
        import numpy as np

        pieces: list[np.ndarray] = []
        mended: dict[str, str] = {}
        for i, utterance in enumerate(self.utterances):
            if i and not _continues(self.utterances[i - 1], utterance):
                pieces.append(np.zeros(_silence_samples(), dtype=np.float32))
            sound = clip(utterance)
            pieces.append(sound.samples)
            if sound.mended:
                mended[utterance.id] = sound.mended
        return np.concatenate(pieces), mended


def segment_corpus(
    utterances: Sequence[Utterance],
    durations_s: Sequence[int],
    join_policy: JoinPolicy,
    keep_all: bool = False,
    known: Sequence[Segment] = (),
) -> dict[int, list[Segment]]:
    """Return the possible segments of every duration class, in the order of the utterances.

    With `keep_all`, an utterance that is in no segment becomes a segment of the shortest class into which it fits,
    however little of the class it fills. Segments that are `known` stay as they are and come first; others are made of
    what is in none of them.
    """
    possible: dict[int, list[Segment]] = {}
    in_known = {utterance.id for segment in known for utterance in segment.utterances}
    rest = [utterance for utterance in utterances if utterance.id not in in_known]
    for duration_s in durations_s:
        possible[duration_s] = [segment for segment in known if segment.duration_s == duration_s]
        joined = join_utterances(rest, duration_s, join_policy)
        possible[duration_s] += _following(possible[duration_s], [segment.utterances for segment in joined], duration_s)
    if keep_all or join_policy is JoinPolicy.NONE:
        used = {
            utterance.id for segments in possible.values() for segment in segments for utterance in segment.utterances
        }
        alone: dict[int, list[Sequence[Utterance]]] = defaultdict(list)
        for utterance in utterances:
            fitting = [duration_s for duration_s in durations_s if _fits([utterance], duration_s)]
            if fitting and utterance.id not in used:
                alone[min(fitting)].append([utterance])
        for duration_s, pieces in alone.items():
            n_known = sum(segment.duration_s == duration_s for segment in known)
            own = possible[duration_s]
            new = [*(segment.utterances for segment in own[n_known:]), *pieces]
            possible[duration_s] = own[:n_known] + _following(own[:n_known], new, duration_s)
    return possible


def join_utterances(
    utterances: Sequence[Utterance], duration_s: int, join_policy: JoinPolicy = JoinPolicy.ANY
) -> list[Segment]:
    """Join consecutive utterances of a language into segments of at most `duration_s` seconds.

    Utterances are used in order, each at most once. Audio is never cut: an utterance longer than the class is left out.
    Segments that fill too little of the class are left out too. Within recordings, an utterance that fills the class by
    itself is not joined.
    """
    if join_policy is JoinPolicy.NONE:
        return []
    by_language: dict[str | None, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_language[utterance.language].append(utterance)
    if len(by_language) > 1:
        joined = (join_utterances(own, duration_s, join_policy) for own in by_language.values())
        pieces = [segment.utterances for own in joined for segment in own]
        return [_segment(duration_s, number, piece) for number, piece in enumerate(pieces)]
    segments: list[Segment] = []
    current: list[Utterance] = []

    def fills(joined: Sequence[Utterance]) -> bool:
        return _n_samples(joined) >= MIN_FILL[join_policy] * duration_s * SAMPLE_RATE_HZ

    def close() -> None:
        if current and fills(current):
            segments.append(_segment(duration_s, len(segments), current))
        current.clear()

    for utterance in utterances:
        if not _fits([utterance], duration_s):
            continue
        alone = join_policy is JoinPolicy.WITHIN and fills([utterance])
        apart = join_policy is JoinPolicy.WITHIN and bool(current) and not _continues(current[-1], utterance)
        if alone or apart or not _fits([*current, utterance], duration_s):
            close()
        current.append(utterance)
        if alone:
            close()
    close()
    return segments


def sample(segments: Sequence[Segment], n: int | None, seed: int) -> list[Segment]:
    """Draw at most `n` segments of one class (None: all), evenly over the sources; return them in their own order.

    The sample is the same on every machine: `random.Random` is seeded with text, and used to shuffle only.
    """
    rng = random.Random(f"{seed}/{segments[0].duration_s if segments else 0}")
    strata: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        strata[segment.utterances[0].source].append(segment)
    for stratum in strata.values():
        rng.shuffle(stratum)
    in_turns = [segment for turn in zip_longest(*strata.values()) for segment in turn if segment is not None]
    chosen = {segment.id for segment in in_turns[:n]}
    return [segment for segment in segments if segment.id in chosen]


def selection_sha256(segments: Sequence[Segment]) -> str:
    """Return the sha256 of a selection: its segments in order, each with its utterances."""
    content = [[segment.id, [utterance.id for utterance in segment.utterances]] for segment in segments]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _following(known: Sequence[Segment], pieces: Sequence[Sequence[Utterance]], duration_s: int) -> list[Segment]:
    """Return segments of a class that follow those that are known, among whose numbers some may lack."""
    first = max((int(one.id.rpartition("-")[2]) + 1 for one in known), default=0)
    addition = max((one.addition for one in known), default=-1) + 1
    return [replace(_segment(duration_s, first + n, piece), addition=addition) for n, piece in enumerate(pieces)]


def _segment(duration_s: int, number: int, utterances: Sequence[Utterance]) -> Segment:
    return Segment(f"{duration_s}s-{number:03d}", duration_s, tuple(utterances))


def _fits(utterances: Sequence[Utterance], duration_s: int) -> bool:
    return _n_samples(utterances) <= duration_s * SAMPLE_RATE_HZ


def _n_samples(utterances: Sequence[Utterance]) -> int:
    joints = sum(not _continues(a, b) for a, b in pairwise(utterances))
    return sum(utterance.end - utterance.begin for utterance in utterances) + joints * _silence_samples()


def _continues(first: Utterance, second: Utterance) -> bool:
    return first.recording == second.recording and first.end == second.begin


def _silence_samples() -> int:
    return round(JOIN_SILENCE_S * SAMPLE_RATE_HZ)
