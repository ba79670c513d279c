"""
Shared definitions: the study, its plan, and the functions for the rules' inputs, parameters and resources.

Needs: config.yaml, or the files of --configfile
Makes: STUDY, PLAN, MODELS, SEGMENTS, ALL_SITTINGS

Imports only pydantic and the standard library, because every job on a cluster reads this file.
"""

import json
import os
import re
import sys
from pathlib import Path

BASE = Path(workflow.basedir)
if workflow.is_main_process and not BASE.samefile(os.curdir):
    sys.exit(
        f"error: Snakemake runs in {os.getcwd()}: run the same command in the checkout (cd {BASE}), without -s and "
        f"--directory; give files in other folders by their full path"
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
    # Before Snakemake reads config.yaml: its errors name no line, and it silently takes the last of two equal keys.
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
    "Refuse a results folder of another study, protocol or active run, and an invalid lock file."
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
# All cores, so that nothing else runs during a measurement. On a cluster the profile gives the cores of a node.
MEASURE_THREADS = LOCAL and snakemake_api.cores(workflow) or os.cpu_count()


def ancient_if_current(made):
    """
    Return the input, marked as ancient while its folder matches the study, because its age is then irrelevant.

    It cannot always be ancient: if a job before a cell runs, Snakemake does not check the cell's own reasons.
    """
    return ancient(made.output) if made.is_current else made.output


MODELS = {model: ancient_if_current(made) for model, made in PLAN.models.items()}
CONVERTED = {name: ancient_if_current(made) for name, made in PLAN.converted.items()}
SEGMENTS = ancient_if_current(PLAN.segments)


# A limit applies to one machine: on a cluster to each job, not to all jobs together.
resource_scopes:
    gpu="local",
    serial_slot="local",


# Grouped jobs on a cluster run one after another. On one machine `threads` ensures this.
snakemake_api.limit_resource(workflow, "serial_slot", 1)


wildcard_constraints:
    model="|".join(map(re.escape, STUDY.models)),
    variant="|".join(map(re.escape, STUDY.variants)),
    # One wildcard instead of three, because each wildcard takes planning time.
    size=r"\d+s-b\d+",
    sitting=r"\d+s-b\d+/lap[1-9]",
    lap=r"[1-9]",
    layout=r"\d+x\d+",
    machine=r"[^/]+",
    format=r"[a-z0-9][a-z0-9_-]*",
    environment=r"(-[a-z][a-z-]*)?",


def code(script):
    "Return the script and all our modules that it imports: inputs of the rules that are cheap to repeat."
    return import_closure.closure(BASE / "scripts" / script, BASE)


def saved_study(wildcards):
    "Return the saved study. Refuse outputs of another study or version that Snakemake would reuse."
    or_exit(PLAN.check_untracked, snakemake_api.is_untracked(workflow))
    return f"{PLAN.results}/{ownership.FILE}"


def cell_of(wildcards, device):
    "Return the planned cell of a file; refuse any other."
    name = f"{wildcards.model}/{wildcards.variant}/{device}/{wildcards.size}"
    return or_exit(PLAN.cell, name)


def hearing_of(wildcards, device):
    "Return a cell of the model and variant of a planned silence record; refuse any other file."
    return or_exit(PLAN.hearing, f"{wildcards.model}/{wildcards.variant}/{device}")


def sitting_of(wildcards, device):
    "Return the planned sitting of a file; refuse any other."
    name = f"{wildcards.model}/{wildcards.variant}/{device}/{wildcards.sitting}"
    return or_exit(PLAN.sitting, name)


def load_test_of(wildcards, device):
    "Return the planned load test of a file; refuse any other."
    return or_exit(PLAN.load_test, f"{wildcards.model}/{wildcards.variant}/{device}")


def layout_of(wildcards, device):
    "Return the planned layout and lap of a file; refuse any other."
    name = f"{wildcards.model}/{wildcards.variant}/{device}/{wildcards.layout}/lap{wildcards.lap}"
    return or_exit(PLAN.layout, name)


def memory_mb(planned, device):
    "Return a function for the memory of a job on this device; `planned` is `cell_of` or a similar function."
    return lambda wildcards, attempt: PLAN.memory_mb(
        planned(wildcards, device), attempt
    )


def converted_of(planned, device):
    "Return a function for the converted folder that a cell's variant loads; empty if it loads the model folder."
    return lambda wildcards: [
        CONVERTED[name]
        for name in [PLAN.conversion_of(planned(wildcards, device))]
        if name
    ]


def environment_of(wildcards):
    "Return the environment of a job that runs a variant."
    return f"../envs/{STUDY.variants[wildcards.variant].environment}.yaml"


def measuring_resources(**more):
    "Return the resources of a measuring job."
    attempt_no = lambda wildcards, attempt: attempt
    return {**PLAN.measuring_resources(), "attempt_no": attempt_no, **more}


def loading_resources(**more):
    "Return the resources of a load test."
    return measuring_resources(
        timeout_s=PLAN.load_timeout_s, runtime=PLAN.load_minutes, **more
    )


def environment_in(wildcards):
    "Return the name of the environment of a retry job."
    return PLAN.laps.environment_of(wildcards.environment)


def environment_of_retry(wildcards):
    "Return the environment file of a retry job."
    return f"../envs/{environment_in(wildcards)}.yaml"


def records_of(device):
    "Return a function for the records of a lap on this device, of the variants in one environment."
    return lambda wildcards: PLAN.laps.records(
        device, environment_in(wildcards), int(wildcards.lap)
    )


def converted_in(wildcards):
    "Return the converted folders of the variants in one environment."
    return [CONVERTED[name] for name in PLAN.conversions_in(environment_in(wildcards))]


def variant_to_convert(wildcards):
    "Return the options of a variant that needs a converted folder."
    return STUDY.variants[PLAN.variant_to_convert(wildcards.format)]


def environment_of_conversion(wildcards):
    "Return the environment file of a conversion."
    return f"../envs/{variant_to_convert(wildcards).environment}.yaml"


def retrying_resources(device):
    "Return the resources of a job that measures disturbed cells of this device again."
    return measuring_resources(
        mem_mb=lambda wildcards, attempt: PLAN.most_memory_mb(device, attempt),
        runtime=PLAN.laps.retry_minutes,
        time_s=PLAN.laps.retry_s,
    )
