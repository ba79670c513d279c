"""The difference of two WERs over the same segments, paired segment by segment."""

from collections import Counter
from collections.abc import Mapping, Sequence

from asrmeter.analysis.results import n_errors
from asrmeter.common import stats
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row

# The transcripts of a cell by segment, and those of the cell that it is compared with.
Transcripts = Mapping[str, Row]


def difference(pairs: Sequence[tuple[Transcripts, Transcripts]]) -> Estimate:
    """Return the second WER minus the first of all segments of some cells, with its 95 % interval.

    It is 0 exactly where all texts are the same. A segment that was transcribed in several cells (batch sizes, devices)
    is one item that is drawn, with all its errors.
    """
    before: Counter[tuple[int, str]] = Counter()
    after, words = before.copy(), before.copy()
    identical = True
    for first, second in pairs:
        for segment, text in first.items():
            other, item = second[segment], (text["duration_s"], segment)
            before[item] += n_errors(text)
            after[item] += n_errors(other)
            words[item] += text["n_words"]
            identical &= text["hypothesis"] == other["hypothesis"]
    if identical:
        return Estimate(0.0, 0.0, 0.0)
    items = sorted(words)
    errors, others, of_words = ([counts[item] for item in items] for counts in (before, after, words))
    low, high = stats.difference_interval(errors, others, of_words) or (None, None)
    return Estimate((sum(others) - sum(errors)) / sum(of_words), low, high)
