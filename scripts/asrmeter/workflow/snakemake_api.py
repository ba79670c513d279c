"""Snakemake's interface, as far as it is not for users: all of it that rules need is here, written for Snakemake 9.20.

`workflow` is the object of that name in a Snakefile.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from asrmeter.common.errors import AsrmeterError
from asrmeter.workflow.plan import PlannedJob

T = TypeVar("T")


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End Snakemake with the message of an AsrmeterError. A WorkflowError would add a trace of the rule file."""
    try:
        yield
    except AsrmeterError as error:
        sys.exit(f"error: {error}")


def or_exit(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function, and end Snakemake with the message of an AsrmeterError: see `errors_in_one_line`."""
    with errors_in_one_line():
        return function(*arguments)


def put_own_python_first() -> None:
    """Have jobs run under the Python that runs Snakemake, also where no environment is activated.

    An environment of a rule (`--sdm conda`) puts its own Python before that, and a container has a PATH of its own.
    """
    # Not resolved: the Python of a virtual environment is a link, and its packages are beside the link.
    folder = str(Path(sys.executable).parent)
    if os.environ.get("PATH", "").split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PATH", os.defpath))))


def runs_here(workflow: Any) -> bool:
    """Return True if jobs run on this machine, and not on a cluster.

    The executor is not known while rules are read, but only for a cluster is the number of jobs (--jobs) given.
    """
    return workflow.nodes is None and bool(workflow.is_main_process)


def config_files(workflow: Any) -> list[str]:
    """Return the files of the study: those of --configfile, or else config.yaml."""
    return [os.path.relpath(file) for file in workflow.overwrite_configfiles or ["config.yaml"]]


def study_sources(workflow: Any) -> str:
    """Return where the study comes from, for messages: its files, and --config if that says something."""
    return ", ".join([*config_files(workflow), *(["--config"] if workflow.config_settings.config else [])])


def limit_resource(workflow: Any, name: str, most: int) -> None:
    """Limit how much of a resource jobs may use together, where the command line does not."""
    workflow.register_resource(name, most)


def is_untracked(workflow: Any) -> Callable[[str], bool]:
    """Return a function: True if a file is there and Snakemake does not remember how it was made."""
    from snakemake.io import IOFile

    return lambda path: os.path.exists(path) and not workflow.persistence.metadata(IOFile(path))


def planned_jobs(workflow: Any) -> list[PlannedJob]:
    """Return all jobs of the DAG."""
    return [
        PlannedJob(
            job.jobid,
            [str(file) for file in job.output],
            bool(workflow.dag.needrun(job)),
            "attempt_no" in job.rule.resources,
        )
        for job in workflow.dag.jobs
    ]


def progress_line(logger: logging.Logger) -> Callable[[str], None]:
    """Return a function that shows a line unless --quiet asks for no progress."""
    from snakemake.settings.enums import Quietness

    return lambda line: logger.info(line, extra={"quietness": Quietness.PROGRESS})
