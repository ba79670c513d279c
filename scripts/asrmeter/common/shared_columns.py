"""Columns of several tables, with the same meaning in all of them."""

import pyarrow as pa

from asrmeter.common.table_types import FLAG, HOST, INTEGER, LABEL, MESSAGE, NUMBER, Source, column

_OLD = "the record does not contain it"
_SHARED = (
    column("model", LABEL, "Name of the model in the study.", Source.STUDY),
    column(
        "weights",
        LABEL,
        "`pretrained` or `random`. A random model shows speed and memory, but transcribes nothing.",
        Source.STUDY,
    ),
    column("variant", LABEL, "Name of the variant in the study: a runtime with its options.", Source.STUDY),
    column("device", LABEL, "`cpu` or `cuda`.", Source.STUDY),
    column(
        "duration_s",
        INTEGER,
        "The duration class. Its segments have about this length; `audio_s_mean` is their true mean.",
        Source.STUDY,
        unit="s",
    ),
    column("batch_size", INTEGER, "Number of segments in a pass.", Source.STUDY, unit="segments"),
    column("threads", INTEGER, "The CPU threads of the runtime.", Source.STUDY, unit="threads", null_when=_OLD),
    column("protocol", INTEGER, "The version of the measuring protocol.", Source.RECORDED),
    column("lap", INTEGER, "Number of the lap, from 1.", Source.RECORDED),
    column(
        "status",
        LABEL,
        "`ok`; `unconverged`: measured, but without an interval within the target; `oom`, `timeout`, `killed`, "
        "`error`, `unsupported`: not measured; `unreadable`: the file is damaged or has an impossible value.",
        Source.RECORDED,
    ),
    column(
        "reason",
        MESSAGE,
        "Reason why the status is not `ok`, and other problems.",
        Source.RECORDED,
        null_when="nothing",
    ),
    column(
        "machine_id",
        LABEL,
        "Twelve hexadecimal digits from processor, number of cores and memory. Equal machines share them.",
        Source.MACHINE,
        null_when=_OLD,
    ),
    column(
        "device_name",
        LABEL,
        "The name of the processor or the GPU.",
        Source.MACHINE,
        null_when="the GPU was never reached, or the record does not contain it",
    ),
    column("node", HOST, "The node of a cluster.", Source.MACHINE, null_when="not on a SLURM cluster"),
    column("slurm_job_id", HOST, "The SLURM job that measured it.", Source.MACHINE, null_when="not on a SLURM cluster"),
    column("started_at", LABEL, "Begin of the measurement, in UTC.", Source.RECORDED, null_when=_OLD),
    column("measured_at", LABEL, "End of the measurement, in UTC.", Source.RECORDED, null_when=_OLD),
    column("n_passes", INTEGER, "Number of timed passes.", Source.COUNTED, unit="passes"),
    column(
        "n_rounds",
        INTEGER,
        "Number of timed rounds. A round is one pass over each batch.",
        Source.COUNTED,
        unit="rounds",
    ),
    column("n_batches", INTEGER, "Number of timed batches of the class.", Source.COUNTED, unit="batches"),
    column(
        "n_tries",
        INTEGER,
        "Number of tries: a disturbed sitting is tried again. For a cell, the sum over laps.",
        Source.COUNTED,
        unit="tries",
    ),
    column(
        "disturbed",
        FLAG,
        "Whether something interfered with the timed passes. For a cell: in every lap, so that it decides nothing.",
        Source.COMPUTED,
        null_when="no pass was timed",
    ),
    column(
        "disturbance",
        MESSAGE,
        "Description of the interference with the timed passes.",
        Source.MEASURED,
        null_when="nothing",
    ),
    column(
        "machine_speed",
        NUMBER,
        "Speed of the control kernel, as a share of its best on this machine in this study.",
        Source.MEASURED,
        unit="share",
        null_when="no control kernel ran",
    ),
    column(
        "job_s",
        NUMBER,
        "Time for which its jobs held the machine, including start-up and warm-up.",
        Source.MEASURED,
        unit="s",
        null_when=_OLD,
    ),
    column(
        "timed_s",
        NUMBER,
        "Sum of all timed passes.",
        Source.MEASURED,
        unit="s",
        null_when="no pass was timed",
    ),
    column(
        "startup_cpu_s",
        NUMBER,
        "CPU time from the start of the process until the model was loaded.",
        Source.MEASURED,
        unit="CPU s",
        null_when="the model was not loaded",
    ),
    column(
        "attention",
        MESSAGE,
        "Attention implementation of the model.",
        Source.RECORDED,
        null_when="the runtime has no such choice, or the model was not loaded",
    ),
    column(
        "load_s",
        NUMBER,
        "Wall time of loading the model, without earlier imports of a fork server; for a cell the median over the laps "
        "that count.",
        Source.MEASURED,
        unit="s",
        null_when="the model was not loaded, or the record does not contain it",
    ),
    column(
        "first_pass_s",
        NUMBER,
        "Wall time of the first pass after loading, over at most 5 s of each segment, including compilation: the wait "
        "of a first request. For a cell the median over the laps that count.",
        Source.MEASURED,
        unit="s",
        null_when="the warm-up was not completed, or the record does not contain it",
    ),
    column(
        "compile_s",
        NUMBER,
        "Time of compilation in the warm-up; for a cell the median over the laps without cached parts.",
        Source.MEASURED,
        unit="s",
        null_when="nothing is compiled in the warm-up, or every lap found compiled parts in a cache",
    ),
    column(
        "n_compile_cache_hits",
        INTEGER,
        "Number of compiled parts from the cache of an earlier process; for a cell the maximum over laps.",
        Source.COUNTED,
        unit="parts",
        null_when="nothing is compiled in the warm-up",
    ),
    column(
        "busy_threads",
        NUMBER,
        "CPU time of the process divided by the wall time of its timed passes: the number of busy threads.",
        Source.MEASURED,
        unit="threads",
        null_when="no pass was timed, or the record does not contain it",
    ),
    column("torch_version", LABEL, "The version of torch.", Source.MACHINE, null_when="it was not used"),
)
_BY_NAME = {field.name: field for field in _SHARED}


def shared(name: str, kind: pa.DataType | None = None) -> pa.Field:
    """Return a shared column; `kind` is its type if it differs from the usual one."""
    found = _BY_NAME[name]
    return found if kind is None else found.with_type(kind)
