"""Build a corpus: load the speech, draw segments of each duration class, and write them with their manifest."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

from asrmeter.common.errors import MOST_CHARACTERS, AsrmeterError, line
from asrmeter.common.printable import printable
from asrmeter.common.typed_json import JsonObject
from asrmeter.corpora import additions, kinds, manifest, spoken_language
from asrmeter.corpora.kinds.base import AUTO, CorpusKind, Speech
from asrmeter.corpora.segments import Clip, Utterance, selection_sha256
from asrmeter.corpora.selection import SegmentsByClass, draw, note_lengths, usable_utterances


def build(
    corpus: CorpusKind, durations_s: list[int], seed: int, downloads: Path, output: Path, key: str | None = None
) -> None:
    """Write the corpus folder `output`; `key` is the fingerprint of its sources, for the record.

    Raises:
        AsrmeterError: the speech cannot be read, a class has no segment, or the selection differs from the pinned one.
    """
    speech = kinds.load(corpus, downloads)
    note_lengths(speech, durations_s)
    _log_unusable(corpus.name, speech)
    speech = spoken_language.settle(corpus, speech, usable_utterances(speech))
    earlier = additions.earlier_rows(output, corpus, durations_s, seed) if speech.keep_all else []
    possible, selected, clip = select(corpus, speech, durations_s, seed, earlier)
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
        "warnings": [
            {"name": printable(name, MOST_CHARACTERS), "reason": line(reason)}
            for name, reason in speech.warnings.items()
        ],
    }
    rows = manifest.write(output, segments, clip, selection, detected=corpus.language == AUTO, silent=speech.silent)
    if speech.keep_all:
        additions.remember(output, corpus, durations_s, seed, rows)


def select(
    corpus: CorpusKind,
    speech: Speech,
    durations_s: list[int],
    seed: int,
    earlier: Sequence[JsonObject] = (),
) -> tuple[SegmentsByClass, SegmentsByClass, Clip]:
    """Return the possible segments of every class, those drawn from them, and the function that returns their samples.

    If a fetched utterance turns out to be unusable, it joins `speech.skipped` and all segments are drawn again without
    it: so the selection depends on the speech and the seed alone, and on what was there before recordings were added.

    Raises:
        AsrmeterError: a class has no segment.
    """
    while True:
        possible, selected = draw(corpus, speech, durations_s, seed, earlier)
        _check_classes(corpus.name, possible, len(speech.skipped))
        clip, unusable = speech.fetch(_distinct_utterances(selected))
        if not unusable:
            return possible, selected, clip
        for name, reason in unusable.items():
            logging.warning("skipped %s: %s", printable(name, MOST_CHARACTERS), line(reason))
        speech.skipped.update(unusable)


def _log_unusable(name: str, speech: Speech) -> None:
    """Log the unusable audio with reasons.

    Raises:
        AsrmeterError: nothing is usable.
    """
    for skipped, reason in speech.skipped.items():
        logging.warning("skipped %s: %s", printable(skipped, MOST_CHARACTERS), line(reason))
    for reason, n in speech.dropped.items():
        logging.info("left out %d: %s", n, reason)
    if speech.silent:
        logging.info("%d recordings are silent and have no text; they are kept separately", len(speech.silent))
    usable = usable_utterances(speech)
    if not usable:
        n_left_out = len(speech.skipped) + sum(speech.dropped.values())
        raise AsrmeterError(f"{name}: there is no usable audio; {n_left_out} files were left out, see above")
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
