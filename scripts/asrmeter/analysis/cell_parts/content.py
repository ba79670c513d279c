"""What the passes of a cell hold: audio, tokens, windows, and what its decoder ran on."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row


@dataclass(frozen=True)
class Content:
    """The passes over every batch of the class that is in the latency, disturbed ones too: their content is the same.

    Batches differ, and some are timed more often than others. So what is told of a pass is the mean over the batches,
    each with the same weight.
    """

    passes: Sequence[Row]

    @cached_property
    def by_batch(self) -> Sequence[Sequence[Row]]:
        """The passes of each batch."""
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for entry in self.passes:
            found[entry["batch"]].append(entry)
        return list(found.values())

    def per_pass(self, value: Callable[[Row], float]) -> float | None:
        """Return the mean of a value of the passes; None without any."""
        return _mean(statistics.fmean(map(value, own)) for own in self.by_batch)

    def sum_per_pass(self, name: str) -> float | None:
        """Return the mean of the sum of a value that each pass lists by segment; see `per_segment`."""
        if any(entry[name] is None or None in entry[name] for entry in self.passes):
            return None
        return self.per_pass(lambda entry: sum(entry[name]))

    def per_segment(self, name: str) -> float | None:
        """Return the mean over segments of a value that each pass lists by segment.

        None without passes, and where the runtime does not know the value.
        """
        return ratio(self.sum_per_pass(name), self.per_pass(lambda entry: len(entry["segment_ids"])))


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return statistics.fmean(known) if known else None
