"""Segments: pieces of audio with their exact text, in duration classes."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

import numpy as np

SAMPLE_RATE_HZ = 16_000
# Silence between joined utterances of different recordings; within one recording the audio simply goes on.
JOIN_SILENCE_S = 0.4
# A segment shorter than this share of its class would not stand for the class.
LEAST_FILL = 0.5


@dataclass(frozen=True)
class Utterance:
    """Spoken words with their exact text: samples `begin` to `end` of `recording`."""

    recording: str
    begin: int
    end: int
    text: str
    source: str
    licence: str


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

    def audio(self, recordings: dict[str, np.ndarray]) -> np.ndarray:
        """Return the samples, shape (n,), float32, from `recordings` by name."""
        pieces: list[np.ndarray] = []
        for i, utterance in enumerate(self.utterances):
            if i and not _continues(self.utterances[i - 1], utterance):
                pieces.append(np.zeros(_silence_samples(), dtype=np.float32))
            pieces.append(recordings[utterance.recording][utterance.begin : utterance.end])
        return np.concatenate(pieces)


def compose(utterances: Sequence[Utterance], duration_s: int) -> list[Segment]:
    """Join consecutive utterances into segments of at most `duration_s` seconds.

    Utterances are taken in order and each at most once; audio is never cut, so an utterance that is longer than the
    class is left out. Segments that fill less than half of the class are left out too.
    """
    segments: list[Segment] = []
    current: list[Utterance] = []

    def close() -> None:
        if current and _n_samples(current) >= LEAST_FILL * duration_s * SAMPLE_RATE_HZ:
            segments.append(Segment(f"{duration_s}s-{len(segments):03d}", duration_s, tuple(current)))
        current.clear()

    for utterance in utterances:
        if _n_samples([utterance]) > duration_s * SAMPLE_RATE_HZ:
            continue
        if _n_samples([*current, utterance]) > duration_s * SAMPLE_RATE_HZ:
            close()
        current.append(utterance)
    close()
    return segments


def sample(segments: Sequence[Segment], n: int, seed: int) -> list[Segment]:
    """Return at most `n` segments of one class in their own order, drawn by `seed` evenly from every source."""
    rng = random.Random(f"{seed}/{segments[0].duration_s if segments else 0}")
    strata: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        strata[segment.utterances[0].source].append(segment)
    for stratum in strata.values():
        rng.shuffle(stratum)
    in_turns = [segment for turn in zip_longest(*strata.values()) for segment in turn if segment is not None]
    return sorted(in_turns[:n], key=lambda segment: segment.id)


def _n_samples(utterances: Sequence[Utterance]) -> int:
    joints = sum(not _continues(a, b) for a, b in pairwise(utterances))
    return sum(utterance.end - utterance.begin for utterance in utterances) + joints * _silence_samples()


def _continues(first: Utterance, second: Utterance) -> bool:
    return first.recording == second.recording and first.end == second.begin


def _silence_samples() -> int:
    return round(JOIN_SILENCE_S * SAMPLE_RATE_HZ)
