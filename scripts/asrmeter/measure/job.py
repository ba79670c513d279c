"""A measuring job: hold the machine, start the process that measures, wait for it, and write a record in any case.

While the worker measures, the job sleeps in the kernel and has imported nothing but the standard library.
"""

import logging
import platform
import time
from abc import ABC, abstractmethod
from pathlib import Path

from asrmeter.common.files import check_room
from asrmeter.common.paths import ROOT
from asrmeter.machine.facts import node
from asrmeter.machine.lock import exclusive_lock
from asrmeter.measure.retries import Attempts
from asrmeter.measure.spec import Spec
from asrmeter.measure.supervisor import Outcome, run_supervised


class Job(ABC):
    """A measuring job and the writing of its result; `run_job` runs it.

    Attributes:
        files: what it writes; the first one is its record.
        attempt: which attempt of Snakemake's job this is, from 1.
        timeout_s: the worker is killed after this many seconds.
        keeps_record: whether a later attempt takes over a finished record instead of measuring again.
        begun_s: since when it has held the machine, by the clock `time.monotonic`.
    """

    keeps_record = False

    def __init__(self, files: tuple[Path, ...], attempt: int, timeout_s: float) -> None:
        self.files, self.attempt, self.timeout_s = files, attempt, timeout_s
        self.begun_s = time.monotonic()

    @property
    def output(self) -> Path:
        """The record."""
        return self.files[0]

    @property
    def title(self) -> str:
        """The job's name in the log."""
        return str(self.output.with_suffix(""))

    @abstractmethod
    def prepare(self) -> Spec:
        """Check the inputs and return the spec of the worker. Nothing runs on the machine beside it.

        Raises:
            AsrmeterError: an input is not what it should be.
        """

    def refusal(self) -> tuple[str, str | None] | None:
        """Return status and reason of a job that need not be tried, None for all others."""
        return None

    def measure(self, spec: Spec, lock: int) -> Outcome:
        """Run the worker; `lock` is the descriptor of the machine's lock, which it holds too."""
        return run_supervised(spec, self.timeout_s, lock, ROOT)

    @abstractmethod
    def write(self, outcome: Outcome) -> str:
        """Write the files and return a summary in a line. Only this may import more than the standard library."""


def run_job(job: Job) -> None:
    """Run a job alone on the machine. The job writes its files even if the worker dies."""
    attempts = Attempts(job.output, job.attempt)
    with exclusive_lock() as lock:
        job.begun_s = time.monotonic()
        if job.keeps_record and attempts.restore():
            logging.info("%s: was measured before its job died, and is kept", job.title)
            return
        # A cluster's progress report reads this line: `asrmeter.workflow.progress`.
        logging.info("measuring %s on %s", job.title, node() or platform.node())
        check_room(*job.files)
        spec = job.prepare()
        if died := attempts.begin():
            outcome = Outcome("killed", died)
        elif refusal := job.refusal():
            outcome = Outcome(*refusal)
        else:
            outcome = job.measure(spec, lock)
        summary = job.write(outcome)
        if job.keeps_record:
            attempts.keep(out_of_memory=outcome.status == "oom")
        else:
            attempts.done()
    logging.info("%s: %s", job.title, summary)
