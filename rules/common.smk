"""
Common ground: the study, its cells, and what a rule depends on.

Needs: config.yaml, or what --configfile names
Makes: STUDY, CELLS, ALL_CELLS and the functions that the rules' inputs and parameters use

What is imported here is standard library only: on a cluster every job pays for it.
"""

import contextlib
import json
import os
import re
import sys
from pathlib import Path

from snakemake.io import IOFile

BASE = Path(workflow.basedir)
sys.path.insert(0, str(BASE / "scripts"))

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora import kinds
from asrmeter.machine.facts import machine_id
from asrmeter.measure import retries
from asrmeter.models import catalogue as models
from asrmeter.records import run_folders, status
from asrmeter.sources.packages import catalogue as package_catalogue
from asrmeter.study import grid, ownership, validation, yaml_file
from asrmeter.workflow import import_closure, job_resources


@contextlib.contextmanager
def errors_in_one_line():
    "Not a WorkflowError: Snakemake would wrap the line into a trace of this file."
    try:
        yield
    except AsrmeterError as error:
        sys.exit(f"error: {error}")


# Which executor there will be is not known yet; only for a cluster's it is said how many jobs it may have at a time.
LOCAL = workflow.nodes is None and workflow.is_main_process

SAID_IN = [
    os.path.relpath(file) for file in workflow.overwrite_configfiles or ["config.yaml"]
]
if workflow.is_main_process:
    with errors_in_one_line():
        # Before Snakemake reads config.yaml: it names no line, and takes the last of two keys without a word.
        for file in SAID_IN:
            yaml_file.read(Path(file))

# A study given by --configfile stands for itself: what it does not say comes from the schema, not from config.yaml.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


if workflow.config_settings.config:
    SAID_IN.append("--config")
with errors_in_one_line():
    STUDY = validation.with_defaults(config, source=", ".join(SAID_IN), here=LOCAL)
    ownership.check_results_owner(STUDY)


pathvars:
    results=STUDY["results"],


if STUDY["device_note"] and workflow.is_main_process:
    logger.info(f"Measuring on the CPU only: {STUDY['device_note']}.")

CELLS = {cell.id: cell for cell in grid.order(STUDY)}
ALL_CELLS = [f"<results>/measurements/{cell}.parquet" for cell in CELLS]
PRIORITIES = {cell: len(CELLS) - position for position, cell in enumerate(CELLS)}
FIRST = len(CELLS) + 1
PACKAGES = package_catalogue()
RESULTS = STUDY["results"]
CORPUS = STUDY["corpus"]["name"]
TIMEOUT_S = int(STUDY["protocol"]["timeout_s"])
LARGER_THAN_OOM = "--larger-than-oom" if STUDY["protocol"]["larger_than_oom"] else ""
RETRIES = retries.MOST if LOCAL else retries.RETRIES
# All cores, so that nothing runs beside a measurement. On a cluster the profile says how many a node has.
MEASURE_THREADS = workflow.cores if LOCAL else os.cpu_count()
# On a cluster the machine of a job is not known beforehand.
MACHINE = machine_id() if LOCAL else "cluster"
MODEL_KEYS = {model: grid.model_key(STUDY, model) for model in STUDY["models"]}
CORPUS_KEY = grid.corpus_key(STUDY)
KEYS = json.dumps({"models": MODEL_KEYS, "corpus": CORPUS_KEY})


# What stands there and is of another study or version: a file that Snakemake knows, and what to delete.
OTHERS = {}
if ownership.load_saved(STUDY) not in (None, STUDY):
    OTHERS[f"{RESULTS}/{ownership.FILE}"] = f"{RESULTS}/{ownership.FILE}"


def if_changed(path, record, key):
    """
    The input `path`, ancient unless it is to be made of something else than its record says that it was made of.

    Always ancient would not do: where a job before a cell runs, Snakemake looks for no reason of the cell's own.
    """
    recorded = grid.recorded_key(Path(record))
    if recorded == key:
        return ancient(path)
    if recorded is not None:
        OTHERS[path.replace("<results>", RESULTS)] = os.path.dirname(record)
    return path


MODELS = {
    model: if_changed(
        f"<results>/models/{model}", f"{RESULTS}/models/{model}/provenance.json", key
    )
    for model, key in MODEL_KEYS.items()
}
SEGMENTS = if_changed(
    f"<results>/corpus/{CORPUS}/segments.json",
    f"{RESULTS}/corpus/{CORPUS}/selection.json",
    CORPUS_KEY,
)


# A limit holds for a machine: on a cluster for each job, and never for all jobs together.
resource_scopes:
    gpu="local",
    turn="local",


# What a cluster job holds is done one after another, and so much of a node is asked for. On one machine `threads` sees to
# it that nothing runs beside a measurement.
workflow.register_resource("turn", 1)


wildcard_constraints:
    model=r"[^/]+",
    variant=r"[^/]+",
    duration=r"\d+",
    batch=rf"\d+({grid.AGAIN})?",
    machine=r"[^/]+",


def forgotten(path):
    "Whether a file stands there and Snakemake does not remember how it was made, as where .snakemake was deleted."
    return os.path.exists(path) and not workflow.persistence.metadata(IOFile(path))


def own_study(wildcards):
    """
    The study as it is written down.

    What another study or version has left is made again because Snakemake remembers how it was made. Without that
    memory it would be taken for ours: then it is refused here.
    """
    others = dict.fromkeys(whole for path, whole in OTHERS.items() if forgotten(path))
    if others:
        sys.exit(
            f"error: {', '.join(others)}: was made by another version or study, or of something else, and .snakemake "
            "does not remember how; delete it and run again"
        )
    records = {
        Path(path): (cell, status.header(Path(path)))
        for cell in CELLS.values()
        if forgotten(path := f"{RESULTS}/measurements/{cell.id}.parquet")
    }
    with errors_in_one_line():
        grid.check_records(STUDY, records, grid.Keys.read(KEYS))
    return f"{RESULTS}/{ownership.FILE}"


def code(script):
    "The script and every module of ours that it imports: a rule that is cheap to repeat names them as inputs."
    return import_closure.closure(BASE / "scripts" / script, BASE)


def archives(packages):
    "The downloaded archives of packages."
    return [f"<results>/downloads/{PACKAGES[name].archive}" for name in packages]


def model_archives(wildcards):
    "The archives that a model folder is made from."
    settings = STUDY["models"][wildcards.model]
    return archives(models.archives(wildcards.model, settings))


def corpus_archives():
    "The archives that the corpus is made from."
    options = STUDY["corpus"]
    return archives(kinds.kind(options["kind"]).archives(options))


def cell_of(wildcards, device):
    "The planned cell of a file; asking for any other is an error that says so."
    name = f"{wildcards.model}/{wildcards.variant}/{device}/{wildcards.duration}s-b{wildcards.batch}"
    if name not in CELLS:
        sys.exit(
            f"error: {name} is not a cell of the study {STUDY['name']}; add its model, variant, device, duration or batch size"
        )
    return CELLS[name]


def options_of(device, options=grid.options):
    "A function that returns all that decides what a cell on this device measures, or what its profile shows."

    def of_cell(wildcards):
        cell = cell_of(wildcards, device)
        return options(STUDY, cell, MODEL_KEYS[cell.model], CORPUS_KEY)

    return of_cell


def priority_of(device):
    "A function that returns the priority of a cell: those that were planned first are measured first."
    return lambda wildcards: PRIORITIES[cell_of(wildcards, device).id]


def attempt_number(wildcards, attempt):
    "Which try of a job this is."
    return attempt


def memory_mb(device):
    "A function that returns the memory of a job on a cell on this device, twice as much after the first try."

    def of_cell(wildcards, attempt):
        cell = cell_of(wildcards, device)
        audio_s = job_resources.batch_audio_s(cell.duration_s, cell.batch_size)
        model = STUDY["models"][cell.model]
        return min(attempt, retries.MOST) * job_resources.memory_mb(
            Path(RESULTS), cell.model, model, device, audio_s
        )

    return of_cell


def of_measuring(**more):
    """
    The resources of a job that measures. They are no parameters: none of them changes what is measured.
    """
    return {
        "turn": 1,
        # On SLURM: nobody else on the node. Elsewhere it means nothing.
        "slurm_extra": "--exclusive",
        "attempt_no": attempt_number,
        "timeout_s": TIMEOUT_S,
        # Of all of them, though only cells ask: members of a group have to agree on a text.
        "larger_than_oom": LARGER_THAN_OOM,
        "runtime": job_resources.minutes(TIMEOUT_S),
        **more,
    }


def compared_runs(wildcards):
    "The folders of both runs; a study that names none, or one without tables, is told so in one line."
    with errors_in_one_line():
        return run_folders.compared(STUDY)
