"""Make a corpus: segments of each duration class as FLAC, with their manifest."""

import argparse
import itertools
import json
import logging
from pathlib import Path
from typing import Any

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora import kinds, manifest
from asrmeter.corpora.kinds import Speech
from asrmeter.corpora.segments import Clip, Segment, Utterance, divide, sample, selection_sha256
from asrmeter.workflow.cli import run

# Segments by their duration class in seconds.
Classes = dict[int, list[Segment]]


def build(
    options: dict[str, Any], durations_s: list[int], seed: int, downloads: Path, output: Path, key: str | None = None
) -> None:
    """Write the corpus folder `output`; `key` stands for what it is made of, for the record.

    Raises:
        AsrmeterError: the speech cannot be had, a class has no segment, or it is another selection than the study's.
    """
    speech = kinds.kind(options["kind"]).load(options, downloads)
    _leave_out_too_long(speech, durations_s)
    _tell(options["name"], speech)
    possible, classes, clip = choose(options, speech, durations_s, seed)
    segments = [segment for chosen in classes.values() for segment in chosen]
    for duration_s, chosen in classes.items():
        logging.info("%d s: %d of %d segments", duration_s, len(chosen), len(possible[duration_s]))
    digest = selection_sha256(segments)
    logging.info("selection: sha256 %s", digest)
    if options["selection_sha256"] not in (None, digest):
        raise AsrmeterError(
            f"{options['name']}: corpus.selection_sha256 is {options['selection_sha256']}, but this selection has "
            f"{digest}: its revision, seed, durations_s or segments_per_class differ from what was pinned"
        )
    selection = {
        "key": key,
        "corpus": options,
        "origin": speech.origin,
        "seed": seed,
        "selection_sha256": digest,
        "classes": [
            {"duration_s": duration_s, "n_segments": len(chosen), "n_possible": len(possible[duration_s])}
            for duration_s, chosen in classes.items()
        ],
        "skipped": [{"name": name, "reason": reason} for name, reason in speech.skipped.items()],
        "dropped": speech.dropped,
    }
    manifest.write(output, segments, clip, selection)


def choose(options: dict[str, Any], speech: Speech, durations_s: list[int], seed: int) -> tuple[Classes, Classes, Clip]:
    """Return the possible segments of every class, those that were drawn of them, and what gives their samples.

    An utterance that turns out not to be fit for use when it is fetched joins `speech.skipped`, and it is drawn anew
    without it: what is drawn still depends on the speech and the seed alone.

    Raises:
        AsrmeterError: a class has no segment.
    """
    while True:
        possible = divide(_fit(speech), durations_s, speech.joining, speech.keep_all)
        _check_classes(options["name"], possible, len(speech.skipped))
        classes = {
            duration_s: sample(segments, options["segments_per_class"], seed)
            for duration_s, segments in possible.items()
        }
        clip, unfit = speech.fetch(_distinct_utterances(classes))
        if not unfit:
            return possible, classes, clip
        for name, reason in unfit.items():
            logging.warning("skipped %s: %s", name, reason)
        speech.skipped.update(unfit)


def _leave_out_too_long(speech: Speech, durations_s: list[int]) -> None:
    """Note the utterances that fit in no class: each of them where the corpus promises to lose none."""
    lengths_s = {utterance.id: (utterance.end - utterance.begin) / SAMPLE_RATE_HZ for utterance in speech.utterances}
    too_long = {name: length_s for name, length_s in lengths_s.items() if length_s > max(durations_s)}
    reason = f"longer than the longest of durations_s ({max(durations_s)})"
    if speech.keep_all:
        speech.skipped.update({name: f"{length_s:.2f} s is {reason}" for name, length_s in too_long.items()})
    elif too_long:
        speech.dropped[reason] = len(too_long)


def _fit(speech: Speech) -> list[Utterance]:
    return [utterance for utterance in speech.utterances if utterance.id not in speech.skipped]


def _tell(name: str, speech: Speech) -> None:
    """Log what was not fit for use.

    Raises:
        AsrmeterError: nothing is left.
    """
    for skipped, reason in speech.skipped.items():
        logging.warning("skipped %s: %s", skipped, reason)
    for reason, n in speech.dropped.items():
        logging.info("left out %d: %s", n, reason)
    fit = _fit(speech)
    if not fit:
        n_left_out = len(speech.skipped) + sum(speech.dropped.values())
        raise AsrmeterError(f"{name}: no usable audio is left; {n_left_out} were left out, see above")
    logging.info("%d utterances, %d skipped", len(fit), len(speech.skipped))


def _check_classes(name: str, possible: Classes, n_skipped: int) -> None:
    empty = [duration_s for duration_s, segments in possible.items() if not segments]
    if empty:
        left = [duration_s for duration_s, segments in possible.items() if segments]
        way_out = f"write durations_s: {left}, of which it has some" if left else "choose other classes in durations_s"
        of_it = f"what is left after {n_skipped} were skipped (see above)" if n_skipped else "it"
        raise AsrmeterError(f"{name}: no segment of {', '.join(map(str, empty))} s can be made of {of_it}; {way_out}")


def _distinct_utterances(classes: Classes) -> list[Utterance]:
    segments = itertools.chain.from_iterable(classes.values())
    return list(dict.fromkeys(utterance for segment in segments for utterance in segment.utterances))


def main(argv: list[str] | None = None) -> None:
    """Read the command line and build the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="the study's corpus as JSON, every key given")
    parser.add_argument(
        "--downloads", type=Path, required=True, help="folder of the downloaded archives and of what is fetched"
    )
    parser.add_argument("--durations-s", type=int, nargs="+", required=True, help="duration classes in seconds")
    parser.add_argument("--seed", type=int, required=True, help="seed of the selection")
    parser.add_argument("--key", help="digest of what the corpus is made of, for the record")
    parser.add_argument("--output", type=Path, required=True, help="the corpus folder")
    args = parser.parse_args(argv)
    build(json.loads(args.corpus), args.durations_s, args.seed, args.downloads, args.output, args.key)


if __name__ == "__main__":
    run(main)
