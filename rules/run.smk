"""
The run as a whole: whether it can write, and how far it has come.

Needs: the cells of the study
Makes: a line on the terminal and in <results>/logs/progress.log whenever a cell begins or ends
Steps: try to write; forget earlier attempts; listen to Snakemake's own log; nothing of it runs in the jobs
"""

from snakemake.settings.enums import Quietness

from asrmeter.measure.retries import forget, put_back
from asrmeter.common.files import check_room
from asrmeter.workflow.progress import RunProgress

# Only on a cluster: beside a measurement nothing may wake up.
POLL_S = 30
CELLS_OF_FILES = {f"{RESULTS}/measurements/{cell}.parquet": cell for cell in CELLS}
PROGRESS = RunProgress(
    Path(RESULTS),
    lambda line: logger.info(line, extra={"quietness": Quietness.PROGRESS}),
)
TO_MEASURE = {}


onstart:
    with errors_in_one_line():
        # Before the first job, and not hours later where the first cell is written.
        check_room(Path(RESULTS) / ownership.FILE)
    if not workflow.touch:
        cell_of_job = {
            job: CELLS_OF_FILES[file]
            for job in workflow.dag.jobs
            for file in job.output
            if file in CELLS_OF_FILES
        }
        TO_MEASURE.update(
            (job.jobid, cell)
            for job, cell in cell_of_job.items()
            if workflow.dag.needrun(job)
        )
        done = set(cell_of_job.values()) - set(TO_MEASURE.values())
        for job in workflow.dag.jobs:
            if "attempt_no" in job.rule.resources and workflow.dag.needrun(job):
                forget(Path(job.output[0]))
        PROGRESS.begin(TO_MEASURE, done, None if workflow.local_exec else POLL_S)
        logger.addHandler(PROGRESS)


onsuccess:
    PROGRESS.end()


onerror:
    # Where one cell of a job fails for good, Snakemake removes what the others have measured.
    for cell in TO_MEASURE.values():
        put_back(Path(RESULTS) / "measurements" / f"{cell}.parquet")
    PROGRESS.end()
