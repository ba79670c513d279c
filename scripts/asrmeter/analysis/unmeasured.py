"""The cells of a run without a result: rows of the table `cells` that failed, or that cannot be compared."""

from collections.abc import Iterable
from dataclasses import dataclass

from asrmeter.analysis.results import Candidate, CellResult, Effort, effort_of, is_measured
from asrmeter.analysis.table_rows import cell_name, cell_of
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import IMPOSSIBLE_STATUS


@dataclass(frozen=True)
class Unmeasured:
    """A cell without a result to compare: it failed, as `status` and `reason` say, or was measured on other hardware.

    `elsewhere` is the machine that measured it, "" if that is not known, None for one that failed.
    """

    cell: str
    model: str
    variant: str
    weights: str
    device: str
    duration_s: int
    batch_size: int
    status: str
    reason: str
    n_segments: int
    elsewhere: str | None
    effort: Effort

    @property
    def candidate(self) -> Candidate:
        """The model and its variant."""
        return self.model, self.variant

    @property
    def writes_words(self) -> bool:
        """Whether a WER could be had of it, as far as is known."""
        return self.weights != "random"

    @property
    def is_contender(self) -> bool:
        """Whether it could be recommended if it were known: its weights are not random, and it may run."""
        return self.writes_words and not self.does_not_run

    @property
    def does_not_run(self) -> bool:
        """Whether it is known that this setting does not run on this machine: measuring it again would tell nothing."""
        return self.elsewhere is None and self.status in IMPOSSIBLE_STATUS


Setting = CellResult | Unmeasured


def unmeasured_of(cells: Iterable[Row], elsewhere: Iterable[Row] = ()) -> list[Unmeasured]:
    """Return the cells that have no latency, and those that were measured on other hardware, in the order of names."""
    failed = [row for row in cells if not is_measured(row)]
    rows = [*((row, False) for row in failed), *((row, True) for row in elsewhere)]
    return [_unmeasured(*row) for row in sorted(rows, key=lambda pair: cell_of(pair[0]))]


def _unmeasured(row: Row, elsewhere: bool) -> Unmeasured:
    return Unmeasured(
        cell=cell_name(row),
        model=row["model"],
        variant=row["variant"],
        weights=row["weights"] or "",
        device=row["device"],
        duration_s=row["duration_s"],
        batch_size=row["batch_size"],
        status=row["status"],
        reason=row["reason"] or "",
        n_segments=int(row["n_segments"] or 0),
        elsewhere=(row["machine_id"] or "") if elsewhere else None,
        effort=effort_of(row),
    )
