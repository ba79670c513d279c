"""The present or future content of a corpus, as far as it is known. Standard library only."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrmeter.common.printable import printable
from asrmeter.corpora import additions
from asrmeter.corpora.kinds.base import CorpusKind
from asrmeter.corpora.selection import draw, note_lengths
from asrmeter.sources.integrity import SELECTION


@dataclass(frozen=True)
class Outlook:
    """The content of a corpus.

    Attributes:
        n_segments: the number of segments of each duration class (s).
        has_texts: whether there is anything to count errors by.
        utterances: the names of the recordings, or parts of them, that are in a segment.
        left_out: the names of those that are not, with the reason.
        dropped: how many more are left out for which reason, where names do not matter.
    """

    n_segments: Mapping[int, int]
    has_texts: bool
    utterances: Sequence[str]
    left_out: Mapping[str, str]
    dropped: Mapping[str, int]


def foresee(corpus: CorpusKind, durations_s: Sequence[int], seed: int, manifest: Path) -> Outlook | None:
    """Return the future content of the corpus with this segments.json; None if only its job can find out.

    Raises:
        AsrmeterError: the speech cannot be read.
    """
    speech = corpus.foreseen()
    if speech is None:
        return None
    note_lengths(speech, durations_s)
    earlier = additions.earlier_rows(manifest.parent, corpus, durations_s, seed) if speech.keep_all else []
    _, drawn = draw(corpus, speech, durations_s, seed, earlier)
    used = [utterance for segments in drawn.values() for segment in segments for utterance in segment.utterances]
    return Outlook(
        {duration_s: len(segments) for duration_s, segments in drawn.items()},
        any(utterance.text for utterance in used),
        _distinct(utterance.id for utterance in used),
        {printable(name): reason for name, reason in speech.skipped.items()},
        speech.dropped,
    )


def of_made(manifest: Path) -> Outlook | None:
    """Return the content of an existing corpus from its segments.json; None if that cannot be read."""
    try:
        rows = json.loads(manifest.read_text(encoding="utf-8"))
        told = json.loads(manifest.with_name(SELECTION).read_text(encoding="utf-8"))
        return Outlook(
            {entry["duration_s"]: entry["n_segments"] for entry in told["classes"]},
            any(row["text"] for row in rows),
            _distinct(name for row in rows for name in row["utterances"]),
            {entry["name"]: entry["reason"] for entry in told["skipped"]},
            told["dropped"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(printable, names)))
