"""
Hooks of the whole run: check for disk space, time ledger and progress.

Needs: the cells of the study
Makes: a line on the terminal and in <results>/logs/progress.log whenever a measurement begins or ends
Steps: try to write; forget earlier attempts; begin the time ledger; print the plan; listen to Snakemake's own log;
print the answer. Nothing of this runs in the jobs
"""

from asrmeter.common.files import check_room
from asrmeter.measure import retries
from asrmeter.records import earlier
from asrmeter.sources import packages
from asrmeter.workflow.announcement import announcement
from asrmeter.workflow.briefing import Briefing, answer_of
from asrmeter.workflow.further import further_of_jobs
from asrmeter.workflow.progress import RunProgress

# Only on a cluster: nothing may wake up during a measurement on this machine.
POLL_S = 30
SAY = snakemake_api.progress_line(logger)
PROGRESS = RunProgress(Path(PLAN.results), SAY)


def brief(jobs):
    "Print what will be measured, the expected time, what is left out, and which questions can be answered."
    for line in Briefing(PLAN, jobs).lines():
        SAY(line)


snakemake_api.after_run(
    workflow,
    after_dry=lambda: or_exit(brief, snakemake_api.planned_jobs(workflow)),
    after_success=lambda: list(
        map(SAY, answer_of(PLAN, snakemake_api.planned_jobs(workflow)))
    ),
)


onstart:
    with errors_in_one_line():
        # Before the first job, rather than hours later when the first record is written.
        check_room(Path(PLAN.results) / ownership.FILE)
        if snakemake_api.downloads_with_own_python(workflow):
            packages.check_pip()
    if not workflow.touch:
        jobs = snakemake_api.planned_jobs(workflow)
        for job in jobs:
            if job.has_attempts and job.is_needed:
                retries.forget(Path(job.outputs[0]))
        to_measure, done = PLAN.laps.sittings_of_jobs(jobs)
        for sitting in to_measure.values():
            earlier.set_aside(
                Path(PLAN.laps.record(sitting)), PLAN.fingerprints.corpus
            )
        with errors_in_one_line():
            PLAN.laps.begin_ledger(to_measure.values(), done)
            brief(jobs)
        plan = announcement(STUDY, len(to_measure), len(PLAN.laps.sittings))
        poll_s = None if workflow.local_exec else POLL_S
        PROGRESS.begin(to_measure, done, plan, poll_s, further_of_jobs(PLAN, jobs))
        logger.addHandler(PROGRESS)


onsuccess:
    for sitting in PROGRESS.to_measure:
        earlier.forget(Path(PLAN.laps.record(sitting)))
    PROGRESS.end()


onerror:
    # If one cell of a grouped job fails for good, Snakemake removes the records of the others.
    for sitting in PROGRESS.to_measure:
        retries.put_back(Path(PLAN.laps.record(sitting)))
    PROGRESS.end()
