"""Select the utterances of a speech and draw segments from them. Standard library only."""

from collections import Counter
from collections.abc import Sequence

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.typed_json import JsonObject
from asrmeter.corpora.additions import known_segments
from asrmeter.corpora.kinds.base import CorpusKind, Speech
from asrmeter.corpora.segments import JoinPolicy, Segment, Utterance, sample, segment_corpus

# No word is shorter, and most models need some milliseconds to hear anything.
SHORTEST_S = 0.1
# Classes to advise; a study may have any up to the last one.
_USUAL_CLASSES_S = (5, 10, 15, 30, 60, 120, 180, 300, 600)

# Segments by their duration class in seconds.
SegmentsByClass = dict[int, list[Segment]]


def note_lengths(speech: Speech, durations_s: Sequence[int]) -> None:
    """Note the utterances that are too short to be used, and those that fit into no class.

    Those are noted by name where the corpus is to keep all, else by their number.
    """
    for utterance in speech.utterances:
        length_s = (utterance.end - utterance.begin) / SAMPLE_RATE_HZ
        if length_s < SHORTEST_S:
            speech.skipped[utterance.id] = f"{length_s:.2f} s is too short for a word"
        elif length_s > max(durations_s) and speech.keep_all:
            speech.skipped[utterance.id] = f"{length_s:.1f} s long: {_remedy(length_s)}"
        elif length_s > max(durations_s):
            too_long = f"longer than the longest of durations_s ({max(durations_s)})"
            speech.dropped[too_long] = speech.dropped.get(too_long, 0) + 1


def _remedy(length_s: float) -> str:
    """Return the remedy for an utterance that fits into no class."""
    fitting = next((duration_s for duration_s in _USUAL_CLASSES_S if duration_s >= length_s), None)
    if fitting is None:
        return f"durations_s goes up to {_USUAL_CLASSES_S[-1]}, so cut it in a pause"
    return f"add {fitting} to durations_s"


def usable_utterances(speech: Speech) -> list[Utterance]:
    """Return the utterances that are not skipped."""
    return [utterance for utterance in speech.utterances if utterance.id not in speech.skipped]


def draw(
    corpus: CorpusKind, speech: Speech, durations_s: Sequence[int], seed: int, earlier: Sequence[JsonObject] = ()
) -> tuple[SegmentsByClass, SegmentsByClass]:
    """Return the possible segments of every class, and those that are drawn from them.

    The segments of `earlier` rows of the manifest stay if their recordings are there, joined ones if all of them are.
    """
    usable = usable_utterances(speech)
    known = known_segments(usable, earlier)
    if len(known) < len(earlier) and speech.join_policy is not JoinPolicy.NONE:
        # What is left of a segment that lost a part would have no place in its class.
        known = []
    possible = segment_corpus(usable, durations_s, speech.join_policy, speech.keep_all, known)
    n_known = Counter(segment.duration_s for segment in known)
    return possible, {
        duration_s: _drawn(segments, n_known[duration_s], corpus.segments_per_class, seed)
        for duration_s, segments in possible.items()
    }


def _drawn(segments: Sequence[Segment], n_known: int, most: int | None, seed: int) -> list[Segment]:
    return [*segments[:n_known], *sample(segments[n_known:], None if most is None else max(0, most - n_known), seed)]
