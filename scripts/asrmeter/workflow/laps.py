"""The laps of a study as jobs: order and time of measurements and retries."""

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

# A machine that disturbs more sittings of a lap than this is unfit for measuring.
_RETRIES_OF_A_LAP = 8


# A model, variant and device.
Way = tuple[str, str, str]


def way_of(cell: grid.Cell) -> Way:
    """Return model, variant and device of a cell."""
    return cell.model, cell.variant, cell.device


class PlannedJob(NamedTuple):
    """A job of Snakemake's DAG. `is_needed`: it will run; `has_attempts`: it counts its attempts."""

    number: int
    rule: str
    outputs: list[str]
    is_needed: bool
    has_attempts: bool


@dataclass(frozen=True)
class Laps:
    """The laps of a complete study. Paths are relative to the checkout, as rules name them.

    `refused` cells are known beforehand not to run on this machine.
    """

    study: Study
    refused: Collection[Way] = frozenset()

    @cached_property
    def sittings(self) -> dict[str, Sitting]:
        """The sittings by id, in the order of measurement.

        Refused cells come first, and once, because their records only give the reason.
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
        """The priority of each sitting's job; the first ones have the highest."""
        first = self.top_priority - 1
        refused = {name: first for name, sitting in self.sittings.items() if self._is_refused(sitting)}
        # The place after each lap is reserved for `retry_priority`.
        return refused | {sitting.id: first - n - sitting.lap for n, sitting in enumerate(self._possible)}

    def retry_priority(self, lap: int) -> int:
        """Return the priority of the retry jobs of a lap: after the lap, before the next one."""
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
        """The output files of the retry jobs: one for each device, environment and lap."""
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
        """Return the environment of a retry job by the suffix after the device in its file name."""
        return ending.removeprefix("-") or DEFAULT_ENVIRONMENT

    def records(self, device: str, environment: str, lap: int) -> list[str]:
        """Return the paths of the records of a lap on a device for one environment."""
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
        """The time (s) of each sitting as an equal share; None if the study has no total time."""
        minutes = self.study.protocol.minutes
        return None if minutes is None or not self._possible else round(60 * minutes / len(self._possible), 3)

    @property
    def ledger(self) -> str:
        """The file in which sittings record their time."""
        return f"{self.study.results}/measurements/{time_ledger.FILE}"

    @cached_property
    def untracked(self) -> str:
        """The options of `measure.py`, for a shell, whose change does not repeat measurements."""
        options = [f"--laps={self.study.protocol.laps}"]
        if self.share_s is not None:
            options += [f"--share-s={self.share_s}", f"--time-ledger={self.ledger}"]
        if self.study.protocol.larger_than_oom:
            options.append("--larger-than-oom")
        return shlex.join(options)

    @property
    def retry_s(self) -> int:
        """Seconds after which no retry begins, so that a job on a cluster ends in time."""
        return _RETRIES_OF_A_LAP * int(self.study.protocol.timeout_s)

    @property
    def retry_minutes(self) -> int:
        """The time (min) of a retry job."""
        return job_resources.minutes(self.retry_s)

    def sittings_of_jobs(self, jobs: Iterable[PlannedJob]) -> tuple[dict[int, str], set[str]]:
        """Return the sittings that a run measures, by the number of their job, and the sittings of all other jobs."""
        sitting_of_file = {self.record(sitting): sitting for sitting in self.sittings}
        of_jobs = [(job, sitting_of_file[file]) for job in jobs for file in job.outputs if file in sitting_of_file]
        to_measure = {job.number: sitting for job, sitting in of_jobs if job.is_needed}
        return to_measure, {sitting for _, sitting in of_jobs} - set(to_measure.values())

    def begin_ledger(self, to_measure: Collection[str], done: Collection[str]) -> None:
        """Begin the time ledger of a run, if the study limits the total time.

        Raises:
            AsrmeterError: the ledger cannot be written.
        """
        if self.share_s is not None and to_measure:
            TimeLedger(Path(self.ledger)).begin(self.share_s, to_measure, done)
