"""The data of figures, and which part of it is drawn: of a large study a part, and the figure says which."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest

from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.pareto import Front, front
from asrmeter.analysis.results import Candidate, CellResult, results_of
from asrmeter.analysis.scenarios import Recommendation, recommend_first
from asrmeter.analysis.under_load import with_capacities
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Texts
from asrmeter.report.figures.style import (
    OTHER,
    LineStyle,
    colour_of,
    line_of,
    mark_of,
    marker_of,
    names_in,
    variants_in,
)
from asrmeter.study.grid import reference_duration
from asrmeter.study.model import Study

# More than these cannot be told apart, or make the panels too narrow.
MOST_CANDIDATES, MOST_CLASSES = 12, 6


@dataclass(frozen=True)
class FigureContext:
    """The tables and words of a figure; what is drawn of them and how each model looks is the same in all figures.

    `recommendation` is that of the study's first purpose, None if it states none. `optimisations`, `silence`, `loads`
    and `layouts` are the rows of the tables of these names.
    """

    cells: Sequence[Row]
    tables: Bottlenecks
    words: Texts
    recommendation: Recommendation | None = None
    optimisations: Sequence[Row] = ()
    silence: Sequence[Row] = ()
    loads: Sequence[Row] = ()
    layouts: Sequence[Row] = ()

    @classmethod
    def of(
        cls,
        study: Study,
        rows: Sequence[Row],
        transcripts: Sequence[Row],
        tables: Bottlenecks,
        words: Texts,
        optimisations: Sequence[Row] = (),
        silence: Sequence[Row] = (),
        loads: Sequence[Row] = (),
        capacities: Sequence[Row] = (),
        layouts: Sequence[Row] = (),
    ) -> "FigureContext":
        """Return the context of a complete study, all of its rows, and those of the tables of what has a name here."""
        cells, elsewhere = split_by_hardware(rows)
        results = with_capacities(results_of(cells, transcripts), loads, capacities)
        recommendation = recommend_first(results, unmeasured_of(cells, elsewhere), study)
        return cls(cells, tables.of(cells), words, recommendation, optimisations, silence, loads, layouts)

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The models and variants that are drawn, sorted: all of them, unless there are too many."""
        everyone = sorted({candidate_of(row) for row in self.cells})
        return everyone if len(everyone) <= MOST_CANDIDATES else sorted(_telling(self._results, self.front))

    @cached_property
    def front(self) -> Front:
        """The Pareto front of all settings."""
        return front(self._results, unmeasured_of(self.cells))

    @cached_property
    def durations_s(self) -> list[int]:
        """The duration classes that are drawn (s), the usual one among them."""
        durations_s = sorted({row["duration_s"] for row in self.cells})
        return spread(durations_s, reference_duration(durations_s)) if durations_s else []

    @cached_property
    def batch_sizes(self) -> list[int]:
        """The batch sizes that are drawn."""
        return spread(sorted({row["batch_size"] for row in self.cells}))

    @cached_property
    def drawn(self) -> list[Row]:
        """The cells that are drawn."""
        return [row for row in self.cells if self.draws(row)]

    @cached_property
    def left_out(self) -> str:
        """What the figures leave out of the study, and where it is; "" if they show all."""
        parts = []
        for key, n, total in (
            ("shown_candidates", len(self.candidates), len({candidate_of(row) for row in self.cells})),
            ("shown_durations", len(self.durations_s), len({row["duration_s"] for row in self.cells})),
            ("shown_batches", len(self.batch_sizes), len({row["batch_size"] for row in self.cells})),
        ):
            if n < total:
                parts.append(self.text(key, n=n, total=total))
        return self.text("shown", parts=", ".join(parts)) if parts else ""

    @cached_property
    def _results(self) -> list[CellResult]:
        return results_of(self.cells)

    @cached_property
    def _models(self) -> list[str]:
        return sorted({model for model, _ in self.candidates})

    @cached_property
    def variants(self) -> list[str]:
        """The variants that are drawn, the baseline first."""
        return variants_in(self.drawn)

    def draws(self, row: Row) -> bool:
        """Tell whether the cell of a row is drawn."""
        return (
            candidate_of(row) in self.candidates
            and row["duration_s"] in self.durations_s
            and row["batch_size"] in self.batch_sizes
        )

    def fewer(self, rows: Sequence[Row], most: int) -> tuple[list[Row], str]:
        """Return at most so many rows, of the usual class and the smallest batches first, and what is left out.

        `rows` are those of cells that are drawn.
        """
        kept = list(rows)
        if len(kept) > most:
            usual = reference_duration({row["duration_s"] for row in kept})
            kept = [row for row in kept if row["duration_s"] == usual]
        if len(kept) > most:
            sizes = sorted({row["batch_size"] for row in kept})
            while len(sizes) > 1 and len(kept) > most:
                largest = sizes.pop()
                kept = [row for row in kept if row["batch_size"] != largest]
            kept = kept[:most]
        if len(kept) == len(rows):
            return kept, ""
        return kept, self.text("shown_rows", n=len(kept), total=len(rows), durations=_joined(kept, "duration_s"))

    def text(self, key: str, **values: object) -> str:
        """Return a text of the catalogue's section `drawing`."""
        return self.words["drawing"][key].format(**values)

    def whole(self, value: float) -> str:
        """Return a number in full without decimals, thousands apart."""
        return self._apart(f"{value:,.0f}")

    def tick(self, value: float, _: int | None = None) -> str:
        """Return the label of a value on an axis, thousands apart."""
        return self._apart(f"{value:,g}")

    def _apart(self, number: str) -> str:
        return number.replace(",", self.words["drawing"]["thousands"])

    def colour(self, model: str) -> str:
        """Return the colour of a model, in all figures the same; grey for one that the figures of cells leave out."""
        return colour_of(self._models.index(model)) if model in self._models else OTHER

    def marker(self, model: str) -> str:
        """Return the marker of a model."""
        return marker_of(self._models.index(model))

    def line(self, variant: str) -> LineStyle:
        """Return the line style of a variant."""
        return line_of(self.variants.index(variant))

    def mark(self, variant: str) -> str:
        """Return what is drawn into the markers of a variant; "" for the first."""
        return mark_of(self.variants.index(variant))


def candidate_of(row: Row) -> Candidate:
    """Return the model and variant of a row."""
    return row["model"], row["variant"]


def spread(values: Sequence[int], wanted: int | None = None) -> list[int]:
    """Return at most `MOST_CLASSES` of sorted values, evenly spread from the first to the last, `wanted` among them."""
    if len(values) <= MOST_CLASSES:
        return list(values)
    places = [round(i * (len(values) - 1) / (MOST_CLASSES - 1)) for i in range(MOST_CLASSES)]
    if wanted is not None and (place := values.index(wanted)) not in places:
        inner = range(1, MOST_CLASSES - 1)
        places[min(inner, key=lambda i: abs(places[i] - place))] = place
    return [values[place] for place in sorted(places)]


def _telling(results: Sequence[CellResult], found: Front) -> set[Candidate]:
    """Return candidates in turn from the Pareto front, the fastest, and the fastest of the most accurate."""
    by_rtfx = sorted(results, key=lambda result: -result.rtfx.value)
    scored = [result.wer for result in (*found.members, *found.dominated) if result.wer]
    lowest = min(scored, key=lambda wer: wer.value, default=None)
    accurate = [
        result
        for result in by_rtfx
        if result.duration_s == found.duration_s and lowest and result.wer and not result.wer.differs_from(lowest)
    ]
    rankings = [dict.fromkeys(one.candidate for one in ranking) for ranking in (found.members, by_rtfx, accurate)]
    in_turn = dict.fromkeys(one for one in chain.from_iterable(zip_longest(*rankings)) if one)
    return set(list(in_turn)[:MOST_CANDIDATES])


def _joined(rows: Sequence[Row], column: str) -> str:
    return ", ".join(map(str, names_in(rows, column)))
