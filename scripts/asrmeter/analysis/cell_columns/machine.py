"""What disturbed a cell, how fast the machine was, and what it was measured with."""

from asrmeter.analysis.cell_columns.values import (
    NOT_LOADED,
    OLD_RECORD,
    CellColumn,
    as_json,
    event,
    header,
    of_laps,
    outcome,
    utc,
    version,
)
from asrmeter.analysis.measured_sitting import WATCHED
from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import HOST, INTEGER, LABEL, MESSAGE, NUMBER, Source, Text, column
from asrmeter.records.events import Latency, Ready, Waited

_NO_GPU = "the cell ran on the CPU"


def _text(
    name: str, meaning: str, source: Source = Source.MACHINE, null_when: str = OLD_RECORD, kind: Text = LABEL
) -> CellColumn:
    return column(name, kind, meaning, source, null_when=null_when), header(name)


def _control(name: str, unit: str, meaning: str) -> CellColumn:
    null_when = "no control kernel ran"
    return (
        column(f"control_{name}", NUMBER, meaning, Source.MEASURED, unit=unit, null_when=null_when),
        lambda cell: cell.control_rate(name),
    )


def _load(when: str) -> CellColumn:
    meaning = f"The system's load average of one minute {when} the measurement."
    unit = "runnable threads"
    return (
        column(f"load_1min_{when}", NUMBER, meaning, Source.MEASURED, unit=unit, null_when=OLD_RECORD),
        lambda cell: getattr(cell.header, when).get("load_1min"),
    )


DISTURBANCE: list[CellColumn] = [
    (shared("disturbed"), outcome("disturbed")),
    (shared("disturbance"), outcome("disturbance")),
    (shared("machine_speed"), lambda cell: cell.machine_speed),
    _control(
        "matmul_flop_per_s",
        "FLOP/s",
        "The rate of the control kernel's product of matrices, the mean of the laps that count.",
    ),
    _control("copy_bytes_per_s", "bytes/s", "The rate of the control kernel's copy, the mean of the laps that count."),
    (
        column(
            "control_slope",
            NUMBER,
            "Slowdown of cells per slowdown of the control kernel (1: equal). The latencies are corrected for it.",
            Source.COMPUTED,
            unit="share",
            null_when="the control kernel does not explain how laps differ",
        ),
        lambda cell: cell.control_slope,
    ),
    *((watched.column, lambda cell, watched=watched: cell.watched(watched.when, watched.key)) for watched in WATCHED),
]
SPENT: list[CellColumn] = [
    (shared("startup_cpu_s"), event(Ready, "startup_cpu_s")),
    (
        column(
            "fork_server_import_cpu_s",
            NUMBER,
            "The CPU time in which the run's fork server imported the runtime, once for all cells.",
            Source.MEASURED,
            unit="CPU s",
            null_when="there was no fork server: the start-up includes the imports",
        ),
        event(Ready, "preload_cpu_s"),
    ),
    (
        column(
            "parent_cpu_s",
            NUMBER,
            "The CPU time of the job while its worker measured.",
            Source.MEASURED,
            unit="CPU s",
            null_when=OLD_RECORD,
        ),
        event(Waited, "parent_cpu_s"),
    ),
    (
        column(
            "integrity_check_cpu_s",
            NUMBER,
            "The CPU time of hashing weights and audio, before the start-up.",
            Source.MEASURED,
            unit="CPU s",
            null_when=OLD_RECORD,
        ),
        header("check_cpu_s"),
    ),
    (shared("timed_s"), of_laps(Latency, "timed_s", sum)),
    (shared("job_s"), lambda cell: cell.job_s),
]
PROVENANCE: list[CellColumn] = [
    (shared("protocol"), header("protocol")),
    (shared("machine_id"), header("machine_id")),
    (shared("node"), header("node")),
    (shared("slurm_job_id"), header("slurm_job_id")),
    _text("cpu_name", "The name of the processor."),
    (
        column(
            "n_cpus", INTEGER, "Number of CPUs that the run may use.", Source.MACHINE, unit="CPUs", null_when=OLD_RECORD
        ),
        header("n_cpus"),
    ),
    (
        column(
            "memory_bytes", INTEGER, "The memory of the machine.", Source.MACHINE, unit="bytes", null_when=OLD_RECORD
        ),
        header("memory_bytes"),
    ),
    _text("os", "The distribution, and the version of Linux."),
    _text("governor", "Clock governor of the first core.", null_when="it is unknown"),
    (
        column("gpu_name", LABEL, "The name of the GPU.", Source.MACHINE, null_when=_NO_GPU),
        event(Ready, "gpu_name"),
    ),
    (
        column("gpu_uuid", HOST, "The identifier of the GPU.", Source.MACHINE, null_when=_NO_GPU),
        event(Ready, "gpu_uuid"),
    ),
    _text("visible_gpus", "`CUDA_VISIBLE_DEVICES` of the job.", null_when="it was not set", kind=HOST),
    (
        column("driver_version", LABEL, "The version of NVIDIA's driver.", Source.MACHINE, null_when=_NO_GPU),
        event(Ready, "driver_version"),
    ),
    _load("before"),
    _load("after"),
    _text("python_version", "The version of Python."),
    (shared("torch_version"), version("torch")),
    (
        column(
            "transformers_version", LABEL, "The version of transformers.", Source.MACHINE, null_when="it was not used"
        ),
        version("transformers"),
    ),
    (
        column(
            "library",
            MESSAGE,
            "Library that ran the computation, and its version.",
            Source.RECORDED,
            null_when=NOT_LOADED,
        ),
        event(Ready, "library"),
    ),
    (
        column(
            "library_versions",
            MESSAGE,
            "Versions of all packages used in the measurement, as JSON.",
            Source.MACHINE,
            null_when=OLD_RECORD,
        ),
        lambda cell: as_json(cell.main.library_versions),
    ),
    (
        column("codecarbon_version", LABEL, "The version of codecarbon.", Source.MACHINE, null_when="it was not used"),
        version("codecarbon"),
    ),
    _text("corpus_sha256", "The hash of the class' audio.", Source.COMPUTED),
    _text("weights_sha256", "The hash of the weights.", Source.COMPUTED),
    _text(
        "commit", "The commit of the checkout, with `-dirty` if files differ from it.", null_when="not in a checkout"
    ),
    (
        column(
            "clock_jump_s",
            NUMBER,
            "By how much the wall clock was set during the first lap that counts.",
            Source.MEASURED,
            unit="s",
            null_when=OLD_RECORD,
        ),
        header("clock_jump_s"),
    ),
    (shared("started_at"), lambda cell: utc(min(cell.of_headers("started_at_s"), default=None))),
    (shared("measured_at"), lambda cell: max(cell.of_headers("measured_at"), default=None)),
]
