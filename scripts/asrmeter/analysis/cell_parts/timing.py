"""How long the timed passes of a cell took, over all laps that count."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import STAGES


@dataclass(frozen=True)
class Timing:
    """The passes of a cell that were timed for latency, each with its lap; `latency_s` is the estimate made of them."""

    passes: Sequence[Row]
    latency_s: float | None = None

    @property
    def n_rounds(self) -> int:
        """Rounds that were timed, of all laps."""
        return len({(entry["lap"], entry["round"]) for entry in self.passes})

    def of_class(self, name: str) -> float | None:
        """Return the seconds of a part of a pass, such as a stage: its part of the passes, of the latency of the class.

        Laps that count may not have timed every batch, as the estimate of the latency has. None without a pass, and
        where one lacks the value: not every runtime marks every stage.
        """
        if self.latency_s is None or any(entry[name] is None for entry in self.passes):
            return None
        share = ratio(self._median(name), self._median("latency_s"))
        return None if share is None else share * self.latency_s

    def _median(self, name: str) -> float | None:
        """Return the median of each batch and lap, the mean of these over laps, then over batches."""
        of_batch: defaultdict[int, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for entry in self.passes:
            of_batch[entry["batch"]][entry["lap"]].append(entry[name])
        means = [statistics.fmean(map(statistics.median, of_lap.values())) for of_lap in of_batch.values()]
        return statistics.fmean(means) if means else None

    @property
    def stage_coverage(self) -> float | None:
        """The sum of a pass' stages over its latency, the median of the passes: 1 if the stages are the whole.

        None where no stage was marked.
        """
        marked = [[s for stage in STAGES if (s := entry[f"{stage}_s"]) is not None] for entry in self.passes]
        if not any(marked):
            return None
        return statistics.median(sum(s) / entry["latency_s"] for s, entry in zip(marked, self.passes, strict=True))
