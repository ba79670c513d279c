"""
Common ground: the study, its plan, and the functions that the rules' inputs, parameters and resources use.

Needs: config.yaml, or what --configfile names
Makes: STUDY, PLAN, MODELS, SEGMENTS, ALL_SITTINGS

What is imported here is pydantic and the standard library: on a cluster every job pays for it.
"""

import json
import os
import re
import sys
from pathlib import Path

BASE = Path(workflow.basedir)
if workflow.is_main_process and not BASE.samefile(os.curdir):
    sys.exit(
        f"error: Snakemake runs in {os.getcwd()}: run it in the checkout, by the same command without -s and "
        f"--directory after cd {BASE}; files of other folders are named by their whole path"
    )
sys.path.insert(0, str(BASE / "scripts"))

from asrmeter.machine import lock
from asrmeter.measure import launcher
from asrmeter.records import run_folders, status
from asrmeter.study import fingerprints, ownership, validation
from asrmeter.workflow import (
    command_line,
    environment,
    import_closure,
    run_lock,
    snakemake_api,
)
from asrmeter.workflow.plan import MACHINE_PEAKS_MB, Plan
from asrmeter.workflow.snakemake_api import errors_in_one_line, or_exit

or_exit(environment.prepare)
snakemake_api.use_bash()
launcher.new_run()
LOCAL = snakemake_api.runs_here(workflow)

if workflow.is_main_process:
    # Before Snakemake reads config.yaml: it names no line, and takes the last of two keys without a word.
    or_exit(command_line.check_studies, snakemake_api.config_files(workflow))

# A study of --configfile is self-contained. Keys that it omits take the schema's defaults, never values of config.yaml.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


with errors_in_one_line():
    source = snakemake_api.study_sources(workflow)
    STUDY = validation.with_defaults(config, source=source, here=LOCAL)
    environment.check_names(
        json.dumps(STUDY.as_json(), ensure_ascii=False), source=source
    )
if STUDY.device_note and workflow.is_main_process:
    logger.info(
        f"Measuring on the CPU only: {STUDY.device_note}.",
        extra={snakemake_api.OWN: None},
    )


pathvars:
    results=STUDY.results,


def before_planning():
    "Refuse a results folder of another study or protocol, or where another run works, and a lock that is none."
    ownership.check_results_owner(STUDY)
    status.check_protocol(Path(STUDY.results))
    if LOCAL:
        lock.check_lock()
    snakemake_api.let_scheduler_sleep(workflow)
    if snakemake_api.runs_jobs(workflow):
        run_lock.hold(Path(STUDY.results))


snakemake_api.before_planning(workflow, before_planning, STUDY.results)
PLAN = Plan(
    STUDY,
    on_cluster=not LOCAL,
    own_packages=snakemake_api.jobs_have_own_python(workflow),
)
ALL_SITTINGS = [
    f"<results>/measurements/{sitting}.parquet" for sitting in PLAN.laps.sittings
]
# All cores, so that nothing runs beside a measurement. On a cluster the profile says how many a node has.
MEASURE_THREADS = LOCAL and snakemake_api.cores(workflow) or os.cpu_count()


def ancient_if_current(made):
    """
    The input, ancient while its folder was made of what the study names: then its age says nothing.

    Always ancient would not do: where a job before a cell runs, Snakemake looks for no reason of the cell's own.
    """
    return ancient(made.output) if made.is_current else made.output


MODELS = {model: ancient_if_current(made) for model, made in PLAN.models.items()}
CONVERTED = {name: ancient_if_current(made) for name, made in PLAN.converted.items()}
SEGMENTS = ancient_if_current(PLAN.segments)


# A limit holds for a machine: on a cluster for each job, and never for all jobs together.
resource_scopes:
    gpu="local",
    serial_slot="local",


# Jobs that are grouped on a cluster run one after another. On one machine `threads` sees to that.
snakemake_api.limit_resource(workflow, "serial_slot", 1)


wildcard_constraints:
    model="|".join(map(re.escape, STUDY.models)),
    variant="|".join(map(re.escape, STUDY.variants)),
    # One for what could be three: each takes a part of the time to plan.
    size=r"\d+s-b\d+",
    sitting=r"\d+s-b\d+/lap[1-9]",
    lap=r"[1-9]",
    layout=r"\d+x\d+",
    machine=r"[^/]+",
    format=r"[a-z0-9][a-z0-9_-]*",
    environment=r"(-[a-z][a-z-]*)?",


def code(script):
    "The script and all of our modules that it imports: rules that are cheap to repeat name them as inputs."
    return import_closure.closure(BASE / "scripts" / script, BASE)


def saved_study(wildcards):
    "The saved study. Outputs of another study or version are refused where Snakemake would take them for its own."
    or_exit(PLAN.check_untracked, snakemake_api.is_untracked(workflow))
    return f"{PLAN.results}/{ownership.FILE}"


def cell_of(wildcards, device):
    "The planned cell of a file. Any other is refused."
    name = f"{wildcards.model}/{wildcards.variant}/{device}/{wildcards.size}"
    return or_exit(PLAN.cell, name)


def hearing_of(wildcards, device):
    "A cell of who hears clips without speech, of the planned record of a file. Any other is refused."
    return or_exit(PLAN.hearing, f"{wildcards.model}/{wildcards.variant}/{device}")


def sitting_of(wildcards, device):
    "The planned sitting of a file. Any other is refused."
    name = f"{wildcards.model}/{wildcards.variant}/{device}/{wildcards.sitting}"
    return or_exit(PLAN.sitting, name)


def load_test_of(wildcards, device):
    "The planned load test of a file. Any other is refused."
    return or_exit(PLAN.load_test, f"{wildcards.model}/{wildcards.variant}/{device}")


def layout_of(wildcards, device):
    "The planned layout, in a lap, of a file. Any other is refused."
    name = f"{wildcards.model}/{wildcards.variant}/{device}/{wildcards.layout}/lap{wildcards.lap}"
    return or_exit(PLAN.layout, name)


def memory_mb(planned, device):
    "A function that returns the memory of a job on a cell on this device; `planned` is `cell_of` or one of its like."
    return lambda wildcards, attempt: PLAN.memory_mb(
        planned(wildcards, device), attempt
    )


def converted_of(planned, device):
    "A function that returns what a cell's variant loads instead of the model folder, nothing if it loads that."
    return lambda wildcards: [
        CONVERTED[name]
        for name in [PLAN.conversion_of(planned(wildcards, device))]
        if name
    ]


def environment_of(wildcards):
    "The environment of a job that runs a variant."
    return f"../envs/{STUDY.variants[wildcards.variant].environment}.yaml"


def measuring_resources(**more):
    "The resources of a job that measures."
    attempt_no = lambda wildcards, attempt: attempt
    return {**PLAN.measuring_resources(), "attempt_no": attempt_no, **more}


def loading_resources(**more):
    "The resources of a job that tests a load."
    return measuring_resources(
        timeout_s=PLAN.load_timeout_s, runtime=PLAN.load_minutes, **more
    )


def environment_in(wildcards):
    "The environment that a job which measures again is for."
    return PLAN.laps.environment_of(wildcards.environment)


def environment_of_retry(wildcards):
    "The file of the environment of a job that measures again."
    return f"../envs/{environment_in(wildcards)}.yaml"


def records_of(device):
    "A function that returns the records of a lap on this device, of the variants that run in an environment."
    return lambda wildcards: PLAN.laps.records(
        device, environment_in(wildcards), int(wildcards.lap)
    )


def converted_in(wildcards):
    "What is made of model folders for the variants that run in an environment."
    return [CONVERTED[name] for name in PLAN.conversions_in(environment_in(wildcards))]


def variant_to_convert(wildcards):
    "The options of a variant that needs a converted folder."
    return STUDY.variants[PLAN.variant_to_convert(wildcards.format)]


def environment_of_conversion(wildcards):
    "The file of the environment in which a model folder is converted."
    return f"../envs/{variant_to_convert(wildcards).environment}.yaml"


def retrying_resources(device):
    "The resources of a job that measures any disturbed cells of this device again."
    return measuring_resources(
        mem_mb=lambda wildcards, attempt: PLAN.most_memory_mb(device, attempt),
        runtime=PLAN.laps.retry_minutes,
        time_s=PLAN.laps.retry_s,
    )
