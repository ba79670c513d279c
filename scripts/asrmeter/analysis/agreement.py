"""How the texts of cells agree with those of others over the same segments: those that are identical, and the WERs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from asrmeter.analysis import paired_wer
from asrmeter.analysis.table_rows import cell_of
from asrmeter.common.stats import Estimate, ratio
from asrmeter.common.table_types import Row
from asrmeter.study.grid import Cell


@dataclass(frozen=True)
class Agreement:
    """Of `n_texts` segments so many texts are identical; white space at the ends of a text does not count.

    A segment counts once for each pair of cells. `wer_change` is the second WER minus the first, None where nothing was
    scored.
    """

    n_texts: int
    n_identical: int
    wer_change: Estimate | None

    @property
    def share_identical(self) -> float | None:
        """The share of the texts that are identical; None without any."""
        return ratio(self.n_identical, self.n_texts)


@dataclass(frozen=True)
class Texts:
    """The texts of cells by segment, as they were transcribed first, and the rows of the table `transcripts`."""

    raw: Mapping[Cell, Mapping[str, str]] = field(default_factory=dict)
    scored: Mapping[Cell, Mapping[str, Row]] = field(default_factory=dict)

    @classmethod
    def of(cls, passes: Iterable[Row], transcripts: Iterable[Row]) -> "Texts":
        """Return the texts of rows of the tables `passes` and `transcripts`; passes are in the order of laps."""
        raw: dict[Cell, dict[str, str]] = {}
        for entry in passes:
            own = raw.setdefault(cell_of(entry), {})
            for segment, text in zip(entry["segment_ids"], entry["texts"], strict=True):
                own.setdefault(segment, text.strip())
        scored: dict[Cell, dict[str, Row]] = {}
        for row in transcripts:
            scored.setdefault(cell_of(row), {})[row["segment_id"]] = row
        return cls(raw, scored)

    def agreement(self, pairs: Iterable[tuple[Cell, Cell]]) -> Agreement:
        """Hold the texts of the second cell of each pair against those of the first, segment by segment."""
        texts: list[tuple[str, str]] = []
        scores: list[tuple[Mapping[str, Row], Mapping[str, Row]]] = []
        for first, second in pairs:
            ours, theirs = self.raw.get(first, {}), self.raw.get(second, {})
            texts += [(ours[segment], theirs[segment]) for segment in ours if segment in theirs]
            scored, others = self.scored.get(first, {}), self.scored.get(second, {})
            common = [segment for segment in scored if segment in others]
            scores.append(({one: scored[one] for one in common}, {one: others[one] for one in common}))
        n_words = sum(row["n_words"] for scored, _ in scores for row in scored.values())
        change = paired_wer.difference(scores) if n_words else None
        return Agreement(len(texts), sum(one == other for one, other in texts), change)
