"""Build a corpus: load the speech, draw segments of each duration class, write them with their manifest."""

import itertools
import logging
from pathlib import Path

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import MOST_CHARACTERS, AsrmeterError, line
from asrmeter.common.printable import printable
from asrmeter.corpora import kinds, manifest
from asrmeter.corpora.kinds.base import CorpusKind, Speech
from asrmeter.corpora.segments import Clip, Segment, Utterance, sample, segment_corpus, selection_sha256

# No word is shorter, and most models need some milliseconds to hear anything.
SHORTEST_S = 0.1

# Segments by their duration class in seconds.
SegmentsByClass = dict[int, list[Segment]]


def build(
    corpus: CorpusKind, durations_s: list[int], seed: int, downloads: Path, output: Path, key: str | None = None
) -> None:
    """Write the corpus folder `output`; `key` is the fingerprint of what it is made of, for the record.

    Raises:
        AsrmeterError: the speech cannot be read, a class has no segment, or the selection differs from the pinned one.
    """
    speech = kinds.load(corpus, downloads)
    _note_lengths(speech, durations_s)
    _log_unusable(corpus.name, speech)
    possible, selected, clip = select(corpus, speech, durations_s, seed)
    segments = [segment for chosen in selected.values() for segment in chosen]
    for duration_s, chosen in selected.items():
        logging.info("%d s: %d of %d segments", duration_s, len(chosen), len(possible[duration_s]))
    digest = selection_sha256(segments)
    logging.info("selection: sha256 %s", digest)
    if corpus.selection_sha256 not in (None, digest):
        raise AsrmeterError(
            f"{corpus.name}: corpus.selection_sha256 is {corpus.selection_sha256}, but this selection has "
            f"{digest}: its revision, seed, durations_s or segments_per_class differ from those of the pinned one"
        )
    selection = {
        "key": key,
        "corpus": corpus.as_json(),
        "origin": speech.origin,
        "seed": seed,
        "selection_sha256": digest,
        "classes": [
            {"duration_s": duration_s, "n_segments": len(chosen), "n_possible": len(possible[duration_s])}
            for duration_s, chosen in selected.items()
        ],
        "skipped": [
            {"name": printable(name, MOST_CHARACTERS), "reason": line(reason)}
            for name, reason in speech.skipped.items()
        ],
        "dropped": speech.dropped,
    }
    manifest.write(output, segments, clip, selection)


def select(
    corpus: CorpusKind, speech: Speech, durations_s: list[int], seed: int
) -> tuple[SegmentsByClass, SegmentsByClass, Clip]:
    """Return the possible segments of every class, those drawn from them, and the function that returns their samples.

    If a fetched utterance turns out to be unusable, it joins `speech.skipped` and all segments are drawn again without
    it: so the selection depends on the speech and the seed alone.

    Raises:
        AsrmeterError: a class has no segment.
    """
    while True:
        possible = segment_corpus(_usable(speech), durations_s, speech.join_policy, speech.keep_all)
        _check_classes(corpus.name, possible, len(speech.skipped))
        selected = {
            duration_s: sample(segments, corpus.segments_per_class, seed) for duration_s, segments in possible.items()
        }
        clip, unusable = speech.fetch(_distinct_utterances(selected))
        if not unusable:
            return possible, selected, clip
        for name, reason in unusable.items():
            logging.warning("skipped %s: %s", printable(name, MOST_CHARACTERS), line(reason))
        speech.skipped.update(unusable)


def _note_lengths(speech: Speech, durations_s: list[int]) -> None:
    """Note the utterances that are too short to be used, and those that fit into no class.

    Those are noted by name where the corpus is to keep all, else by their number.
    """
    too_long = f"longer than the longest of durations_s ({max(durations_s)})"
    for utterance in speech.utterances:
        length_s = (utterance.end - utterance.begin) / SAMPLE_RATE_HZ
        if length_s < SHORTEST_S:
            speech.skipped[utterance.id] = f"{length_s:.2f} s is too short for a word"
        elif length_s > max(durations_s) and speech.keep_all:
            speech.skipped[utterance.id] = f"{length_s:.2f} s is {too_long}"
        elif length_s > max(durations_s):
            speech.dropped[too_long] = speech.dropped.get(too_long, 0) + 1


def _usable(speech: Speech) -> list[Utterance]:
    return [utterance for utterance in speech.utterances if utterance.id not in speech.skipped]


def _log_unusable(name: str, speech: Speech) -> None:
    """Log what is unusable and why.

    Raises:
        AsrmeterError: nothing is usable.
    """
    for skipped, reason in speech.skipped.items():
        logging.warning("skipped %s: %s", printable(skipped, MOST_CHARACTERS), line(reason))
    for reason, n in speech.dropped.items():
        logging.info("left out %d: %s", n, reason)
    usable = _usable(speech)
    if not usable:
        n_left_out = len(speech.skipped) + sum(speech.dropped.values())
        raise AsrmeterError(f"{name}: no usable audio is left; {n_left_out} were left out, see above")
    logging.info("%d utterances, %d skipped", len(usable), len(speech.skipped))


def _check_classes(name: str, possible: SegmentsByClass, n_skipped: int) -> None:
    empty = [duration_s for duration_s, segments in possible.items() if not segments]
    if empty:
        filled = [duration_s for duration_s, segments in possible.items() if segments]
        way_out = f"write durations_s: {filled}, which have some" if filled else "choose other classes in durations_s"
        source = f"what is left after {n_skipped} were skipped (see above)" if n_skipped else "it"
        raise AsrmeterError(
            f"{name}: no segment of {', '.join(map(str, empty))} s can be made from {source}; {way_out}"
        )


def _distinct_utterances(selected: SegmentsByClass) -> list[Utterance]:
    segments = itertools.chain.from_iterable(selected.values())
    return list(dict.fromkeys(utterance for segment in segments for utterance in segment.utterances))
