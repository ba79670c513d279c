"""Access to Snakemake's internal interface, as far as rules need it. Written for Snakemake 9.20.

`workflow` is the object of that name in a Snakefile.
"""

import contextlib
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from asrmeter.common.errors import AsrmeterError
from asrmeter.workflow import command_line
from asrmeter.workflow.laps import PlannedJob

T = TypeVar("T")
# What marks our own lines among all records of Snakemake's log: `extra={OWN: None}`.
OWN = "asrmeter"


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End Snakemake with the message of an AsrmeterError. A WorkflowError would add a traceback of the rule file."""
    try:
        yield
    except AsrmeterError as error:
        sys.exit(f"error: {error}")


def or_exit(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function, and end Snakemake with the message of an AsrmeterError: see `errors_in_one_line`."""
    with errors_in_one_line():
        return function(*arguments)


def runs_here(workflow: Any) -> bool:
    """Return True if jobs run on this machine, and not on a cluster.

    The executor is unknown while rules are read, but the number of jobs (--jobs) is given only for a cluster.
    """
    return workflow.nodes is None and bool(workflow.is_main_process)


def take_command_line() -> None:
    """Make Snakemake read --configfile and --config with asrmeter's readers. It is safe to do this twice.

    Snakemake reads them before any rule, so `profiles/default` calls this. Its own readers answer mistakes with a
    traceback and accept a file of any size.
    """
    from snakemake import cli
    from snakemake.settings import types

    types.load_configfile = lambda path: or_exit(command_line.read_study, Path(path))
    parse = getattr(cli.parse_config, "__wrapped__", cli.parse_config)

    @functools.wraps(parse)
    def parse_config(entries: list[str] | None) -> Any:
        with errors_in_one_line():
            try:
                return parse(entries)
            except ValueError as error:
                raise command_line.bad_key(entries or [], error) from error

    cli.parse_config = parse_config


def before_planning(workflow: Any, check: Callable[[], None], results: str) -> None:
    """Call a function before Snakemake plans jobs, but not when it removes its lock or lists rules.

    A target without a rule is reported in one line; `results` is the folder of targets that are files.
    """
    from snakemake.exceptions import MissingRuleException

    plan = workflow._build_dag

    def checked() -> None:
        with errors_in_one_line():
            check()
            try:
                plan()
            except MissingRuleException as error:
                targets = [str(target) for target in workflow.dag_settings.targets]
                missing = next((target for target in targets if f"produce {target} (" in str(error)), targets[0])
                rules = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
                raise command_line.no_such_target(missing, rules, results, study_sources(workflow)) from None

    workflow._build_dag = checked


def after_run(workflow: Any, after_dry: Callable[[], None], after_success: Callable[[], None]) -> None:
    """Call a function at the end of a dry run, or of a run without failed jobs: below all that Snakemake says.

    Unlike `onsuccess`, it is called too where nothing was left to be done.
    """
    execute = workflow.execute

    @functools.wraps(execute)
    def executed(*arguments: Any, **options: Any) -> Any:
        done = execute(*arguments, **options)
        if workflow.is_main_process and workflow.dryrun:
            after_dry()
        elif runs_jobs(workflow) and not workflow.touch:
            after_success()
        return done

    workflow.execute = executed


def let_scheduler_sleep(workflow: Any) -> None:
    """Make Snakemake look for jobs as rarely as possible. Call this before jobs are planned.

    To limit the jobs per second, it looks again one second after each job began, then every second: after 36 jobs it
    looked 36 times a second and used a fifth of a core during each measurement. The limit is useless for jobs on this
    machine. For submitted jobs, one look per second is enough.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    def look_again(scheduler: Any, delay_s: float) -> None:
        def look() -> None:
            scheduler.will_look_again = False
            scheduler._open_jobs.release()

        if not getattr(scheduler, "will_look_again", False):
            scheduler.will_look_again = True
            threading.Timer(delay_s, look).start()

    JobScheduler._schedule_reevalutation = look_again
    submits = workflow.is_main_process and not workflow.local_exec
    if workflow.scheduling_settings and not submits:
        workflow.scheduling_settings.max_jobs_per_timespan = None


def runs_jobs(workflow: Any) -> bool:
    """Return True if this process runs jobs, so not in a dry run, a report of Snakemake, or a job."""
    return (
        workflow.is_main_process
        and workflow.executor_plugin is not None
        and not workflow.dryrun
        and workflow.execution_settings.lock
    )


def cores(workflow: Any) -> int | None:
    """Return the number of cores of the run; None if none was given, for example when Snakemake removes its lock."""
    return workflow.resource_settings.cores


def jobs_have_own_python(workflow: Any) -> bool:
    """Return True if jobs run in the environment of this Python, rather than in one environment per rule."""
    return not workflow.deployment_settings.deployment_method


def downloads_with_own_python(workflow: Any) -> bool:
    """Return True if jobs run in the environment of this Python and one of the planned jobs downloads packages."""
    return jobs_have_own_python(workflow) and any(job.rule.name == "download" for job in workflow.dag.needrun_jobs())


def use_bash() -> None:
    """Make jobs run in bash, even if it was not on PATH when Snakemake looked for it."""
    from snakemake.shell import shell

    if os.path.basename(shell.get_executable() or "") != "bash":
        shell.executable("bash")


def config_files(workflow: Any) -> list[str]:
    """Return the files of the study: those of --configfile, or else config.yaml."""
    return [os.path.relpath(file) for file in workflow.overwrite_configfiles or ["config.yaml"]]


def study_sources(workflow: Any) -> str:
    """Return the sources of the study for messages: its files, and --config if it is used."""
    return ", ".join([*config_files(workflow), *(["--config"] if workflow.config_settings.config else [])])


def limit_resource(workflow: Any, name: str, most: int) -> None:
    """Limit the total use of a resource, if the command line does not."""
    workflow.register_resource(name, most)


def is_untracked(workflow: Any) -> Callable[[str], bool]:
    """Return a function that is True for an existing file that Snakemake has no record of."""
    from snakemake.io import IOFile

    return lambda path: os.path.exists(path) and not workflow.persistence.metadata(IOFile(path))


def planned_jobs(workflow: Any) -> list[PlannedJob]:
    """Return all jobs of the DAG."""
    return [
        PlannedJob(
            job.jobid,
            job.rule.name,
            [str(file) for file in job.output],
            bool(workflow.dag.needrun(job)),
            "attempt_no" in job.rule.resources,
        )
        for job in workflow.dag.jobs
    ]


def progress_line(logger: logging.Logger) -> Callable[..., None]:
    """Return a function that shows a line, unless --quiet suppresses the progress.

    Its second argument, if any, is what a bar shows of the line.
    """
    from snakemake.settings.enums import Quietness

    return lambda line, shown=None: logger.info(line, extra={"quietness": Quietness.PROGRESS, OWN: shown})
