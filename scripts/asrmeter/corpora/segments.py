"""Segments: pieces of audio with their exact text, in duration classes."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise, zip_longest

import numpy as np

from asrmeter.common.constants import SAMPLE_RATE_HZ

# Silence between joined utterances of different recordings; within one recording the audio simply goes on.
JOIN_SILENCE_S = 0.4


class Joining(Enum):
    """Which utterances may be joined to a longer segment."""

    # Any that follow each other in the corpus; where the audio does not go on, a short silence parts them.
    ACROSS = "across"
    # Only those between which the audio of one recording goes on.
    WITHIN = "within"
    # None: every utterance is a segment of the shortest class that it fits in.
    NONE = "none"


# A segment that fills less of its class than this would not stand for the class.
LEAST_FILL = {Joining.ACROSS: 0.5, Joining.WITHIN: 0.8, Joining.NONE: 0.0}


@dataclass(frozen=True)
class Utterance:
    """Spoken words with their exact text: samples `begin` to `end` of `recording`, at 16 kHz.

    `id` is what the corpus calls it; sampling is even over the values of `source`.
    """

    id: str
    recording: str
    begin: int
    end: int
    text: str
    source: str
    licence: str


# The samples of an utterance, shape (end - begin,), float32.
Clip = Callable[[Utterance], np.ndarray]


@dataclass(frozen=True)
class Segment:
    """Consecutive utterances that belong to one duration class."""

    id: str
    duration_s: int
    utterances: tuple[Utterance, ...]

    @property
    def text(self) -> str:
        """The reference text."""
        return " ".join(utterance.text for utterance in self.utterances)

    def audio(self, clip: Clip) -> np.ndarray:
        """Return the samples, shape (n,), float32; `clip` gives those of an utterance."""
        pieces: list[np.ndarray] = []
        for i, utterance in enumerate(self.utterances):
            if i and not _continues(self.utterances[i - 1], utterance):
                pieces.append(np.zeros(_silence_samples(), dtype=np.float32))
            pieces.append(clip(utterance))
        return np.concatenate(pieces)


def divide(
    utterances: Sequence[Utterance], durations_s: Sequence[int], joining: Joining, keep_all: bool = False
) -> dict[int, list[Segment]]:
    """Return the possible segments of every duration class, in the order of the utterances.

    With `keep_all` an utterance that came into no segment becomes one of the shortest class that it fits in, however
    little of the class it fills.
    """
    possible = {duration_s: compose(utterances, duration_s, joining) for duration_s in durations_s}
    if keep_all or joining is Joining.NONE:
        used = {
            utterance.id for segments in possible.values() for segment in segments for utterance in segment.utterances
        }
        for utterance in utterances:
            fitting = [duration_s for duration_s in durations_s if _fits([utterance], duration_s)]
            if fitting and utterance.id not in used:
                segments = possible[min(fitting)]
                segments.append(_segment(min(fitting), len(segments), [utterance]))
    return possible


def compose(utterances: Sequence[Utterance], duration_s: int, joining: Joining = Joining.ACROSS) -> list[Segment]:
    """Join consecutive utterances into segments of at most `duration_s` seconds.

    Utterances are taken in order and each at most once; audio is never cut, so an utterance that is longer than the
    class is left out. Segments that fill too little of the class are left out too. Within recordings, an utterance that
    fills the class by itself is not joined.
    """
    if joining is Joining.NONE:
        return []
    segments: list[Segment] = []
    current: list[Utterance] = []

    def fills(joined: Sequence[Utterance]) -> bool:
        return _n_samples(joined) >= LEAST_FILL[joining] * duration_s * SAMPLE_RATE_HZ

    def close() -> None:
        if current and fills(current):
            segments.append(_segment(duration_s, len(segments), current))
        current.clear()

    for utterance in utterances:
        if not _fits([utterance], duration_s):
            continue
        alone = joining is Joining.WITHIN and fills([utterance])
        apart = joining is Joining.WITHIN and bool(current) and not _continues(current[-1], utterance)
        if alone or apart or not _fits([*current, utterance], duration_s):
            close()
        current.append(utterance)
        if alone:
            close()
    close()
    return segments


def sample(segments: Sequence[Segment], n: int | None, seed: int) -> list[Segment]:
    """Return at most `n` segments of one class (None: all) in their own order, drawn evenly from every source.

    The same segments give the same sample on any machine: `random.Random` is seeded with text, and only shuffles.
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
    """Return one hash over which utterances make which segment, in order."""
    content = [[segment.id, [utterance.id for utterance in segment.utterances]] for segment in segments]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


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
