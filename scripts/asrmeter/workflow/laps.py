"""The laps of a study as jobs: in which order cells are measured and measured again, and in which time."""

import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from asrmeter.measure import time_ledger
from asrmeter.measure.time_ledger import TimeLedger
from asrmeter.runtimes.base import DEFAULT_ENVIRONMENT
from asrmeter.study import grid
from asrmeter.study.grid import Sitting
from asrmeter.study.model import Study
from asrmeter.workflow import job_resources

# A machine that disturbs more sittings of a lap than this is none to measure on.
_RETRIES_OF_A_LAP = 8


# A model, variant and device.
Way = tuple[str, str, str]


def way_of(cell: grid.Cell) -> Way:
    """Return model, variant and device of a cell."""
    return cell.model, cell.variant, cell.device


class PlannedJob(NamedTuple):
    """A job of Snakemake's DAG. `is_needed` says that it will run, `has_attempts` that it counts its attempts."""

    number: int
    rule: str
    outputs: list[str]
    is_needed: bool
    has_attempts: bool


@dataclass(frozen=True)
class Laps:
    """The laps of a complete study. Paths are relative to the checkout, as rules name them.

    `refused` cannot run on this machine, as is known beforehand.
    """

    study: Study
    refused: Collection[Way] = frozenset()

    @cached_property
    def sittings(self) -> dict[str, Sitting]:
        """The sittings by id, in the order in which they are measured.

        What is refused comes first, and once: its records only say why.
        """
        order = grid.execution_order(self.study)
        refused = [sitting for sitting in order if sitting.lap == 1 and self._is_refused(sitting)]
        return {sitting.id: sitting for sitting in (*refused, *self._possible)}

    @cached_property
    def _possible(self) -> list[Sitting]:
        return [sitting for sitting in grid.execution_order(self.study) if not self._is_refused(sitting)]

    def _is_refused(self, sitting: Sitting) -> bool:
        return way_of(sitting.cell) in self.refused

    @cached_property
    def priorities(self) -> dict[str, int]:
        """The priority of each sitting's job: those that come first have the highest."""
        first = self.top_priority - 1
        refused = {name: first for name, sitting in self.sittings.items() if self._is_refused(sitting)}
        # A place after each lap is for `retry_priority`.
        return refused | {sitting.id: first - n - sitting.lap for n, sitting in enumerate(self._possible)}

    def retry_priority(self, lap: int) -> int:
        """Return the priority of the jobs that measure a lap's disturbed sittings again: after it, before the next."""
        return self.top_priority - 1 - lap * (self._n_cells + 1)

    @cached_property
    def top_priority(self) -> int:
        """The priority of jobs that run before any sitting."""
        return self.study.protocol.laps * (self._n_cells + 1) + 2

    @cached_property
    def _n_cells(self) -> int:
        return sum(way_of(cell) not in self.refused for cell in grid.cells(self.study))

    @property
    def retried(self) -> list[str]:
        """What the jobs leave that measure disturbed sittings again: one file a device, environment and lap."""
        folder = f"{self.study.results}/measurements/.laps"
        environments = sorted({variant.environment for variant in self.study.variants.values()})
        return [
            f"{folder}/{device}{self._ending(environment)}-lap{lap}.json"
            for lap in grid.laps(self.study)
            for device in self.study.devices
            for environment in environments
        ]

    @staticmethod
    def _ending(environment: str) -> str:
        return "" if environment == DEFAULT_ENVIRONMENT else f"-{environment}"

    def environment_of(self, ending: str) -> str:
        """Return the environment of a job that `retried` names with this ending after the device."""
        return ending.removeprefix("-") or DEFAULT_ENVIRONMENT

    def records(self, device: str, environment: str, lap: int) -> list[str]:
        """Return the paths of the records of a lap on a device whose jobs run in an environment."""
        variants = self.study.variants
        return [
            self.record(name)
            for name, sitting in self.sittings.items()
            if (sitting.lap, sitting.cell.device) == (lap, device)
            and variants[sitting.cell.variant].environment == environment
        ]

    def record(self, sitting: str) -> str:
        """Return the path of a sitting's record."""
        return f"{self.study.results}/measurements/{sitting}.parquet"

    @property
    def share_s(self) -> float | None:
        """The time (s) of each sitting where all have the same; None where the study does not limit the whole."""
        minutes = self.study.protocol.minutes
        return None if minutes is None or not self._possible else round(60 * minutes / len(self._possible), 3)

    @property
    def ledger(self) -> str:
        """The file in which sittings write down their time."""
        return f"{self.study.results}/measurements/{time_ledger.FILE}"

    @cached_property
    def untracked(self) -> str:
        """The options of `measure.py` that measure nothing again when they change, for a shell."""
        options = [f"--laps={self.study.protocol.laps}"]
        if self.share_s is not None:
            options += [f"--share-s={self.share_s}", f"--time-ledger={self.ledger}"]
        if self.study.protocol.larger_than_oom:
            options.append("--larger-than-oom")
        return shlex.join(options)

    @property
    def retry_s(self) -> int:
        """Seconds after which no disturbed sitting is tried again, so that a job on a cluster ends in its time."""
        return _RETRIES_OF_A_LAP * int(self.study.protocol.timeout_s)

    @property
    def retry_minutes(self) -> int:
        """The time (min) of a job that measures disturbed sittings again."""
        return job_resources.minutes(self.retry_s)

    def sittings_of_jobs(self, jobs: Iterable[PlannedJob]) -> tuple[dict[int, str], set[str]]:
        """Return the sittings that a run measures by the number of their job, and the sittings of its other jobs."""
        sitting_of_file = {self.record(sitting): sitting for sitting in self.sittings}
        of_jobs = [(job, sitting_of_file[file]) for job in jobs for file in job.outputs if file in sitting_of_file]
        to_measure = {job.number: sitting for job, sitting in of_jobs if job.is_needed}
        return to_measure, {sitting for _, sitting in of_jobs} - set(to_measure.values())

    def begin_ledger(self, to_measure: Collection[str], done: Collection[str]) -> None:
        """Begin the ledger of a run that measures sittings, where the study limits the time of the whole.

        Raises:
            AsrmeterError: it cannot be written.
        """
        if self.share_s is not None and to_measure:
            TimeLedger(Path(self.ledger)).begin(self.share_s, to_measure, done)
