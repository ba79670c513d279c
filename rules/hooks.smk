"""
The run as a whole: whether it can write, what time it has, and how far it has come.

Needs: the cells of the study
Makes: a line on the terminal and in <results>/logs/progress.log whenever a measurement begins or ends
Steps: try to write; forget earlier attempts; begin the ledger of the time; tell the plan; listen to Snakemake's own log;
nothing of it runs in the jobs
"""

from asrmeter.common.files import check_room
from asrmeter.measure import retries
from asrmeter.records import earlier
from asrmeter.sources import packages
from asrmeter.workflow.announcement import announcement
from asrmeter.workflow.briefing import Briefing
from asrmeter.workflow.further import further_of_jobs
from asrmeter.workflow.progress import RunProgress

# Only on a cluster: beside a measurement nothing may wake up.
POLL_S = 30
SAY = snakemake_api.progress_line(logger)
PROGRESS = RunProgress(Path(PLAN.results), SAY)


def brief(jobs):
    "Say what will be measured, how long that takes, what is left out, and what can be answered."
    for line in Briefing(PLAN, jobs).lines():
        SAY(line)


snakemake_api.after_dry_run(
    workflow, lambda: or_exit(brief, snakemake_api.planned_jobs(workflow))
)


onstart:
    with errors_in_one_line():
        # Before the first job, and not hours later where the first cell is written.
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
    # Where one cell of a job fails for good, Snakemake removes what the others have measured.
    for sitting in PROGRESS.to_measure:
        retries.put_back(Path(PLAN.laps.record(sitting)))
    PROGRESS.end()
