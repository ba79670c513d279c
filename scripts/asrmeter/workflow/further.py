"""What a run measures beside its cells: layouts and load tests, and their time. Standard library only."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asrmeter.study.fingerprints import LAYOUT_BUDGET_S
from asrmeter.workflow.announcement import approx_duration, count
from asrmeter.workflow.laps import PlannedJob, way_of

if TYPE_CHECKING:
    from asrmeter.workflow.plan import Plan

LAYOUT, LOAD = "layout", "load test"
# A layout is measured in each lap.
_COUNTED = {LAYOUT: "layout measurement", LOAD: "load test"}
# The rules' names begin with it, and so do the folders of records and logs.
_KINDS = {"layout": (LAYOUT, "layouts"), "load": (LOAD, "load")}
# What each takes besides: the start of its processes, a guess.
_START_S = 10.0


class Further(NamedTuple):
    """A layout in a lap, or a load test: its record, the log of its job, and about how long it takes (s)."""

    kind: str
    id: str
    record: Path
    log: Path
    takes_s: float

    @property
    def name(self) -> str:
        """What people see: `layout whisper-base/fp32/cpu/4x2/lap1`."""
        return f"{self.kind} {self.id}"


def further_of_jobs(plan: "Plan", jobs: Iterable[PlannedJob]) -> dict[int, Further]:
    """Return the layouts and load tests that a run measures by the number of their job."""
    found = {}
    for job in jobs:
        kind, folder = _KINDS.get(job.rule.rpartition("_")[0], (None, ""))
        if kind is None or not job.is_needed:
            continue
        record = Path(job.outputs[0])
        name = record.relative_to(Path(plan.results, folder)).with_suffix("").as_posix()
        log = Path(plan.results, "logs", folder, f"{name}.log")
        found[job.number] = Further(kind, name, record, log, _takes_s(plan, kind, name))
    return found


def _takes_s(plan: "Plan", kind: str, name: str) -> float:
    cell = plan.load_tests[name] if kind == LOAD else plan.layouts[name].cell
    if way_of(cell) in plan.refused:
        return 0.0
    return _START_S + (plan.load_search_s if kind == LOAD else plan.study.protocol.budget_s or LAYOUT_BUDGET_S)


def in_words(further: Iterable[Further]) -> str:
    """Return how many there are of each kind: `4 layout measurements and 1 load test`."""
    numbers = Counter(one.kind for one in further)
    return " and ".join(count(n, _COUNTED[kind]) for kind, n in sorted(numbers.items()))


def time_in_words(further: Iterable[Further]) -> str:
    """Return how long they take."""
    return f"about {approx_duration(sum(one.takes_s for one in further))}"
