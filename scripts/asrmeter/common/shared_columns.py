"""The columns that several tables have, with one meaning in all of them."""

import pyarrow as pa

from asrmeter.common.table_types import FLAG, HOST, INTEGER, LABEL, MESSAGE, NUMBER, Source, column

_OLD = "the record does not say it"
_SHARED = (
    column("model", LABEL, "The model, by its name in the study.", Source.STUDY),
    column(
        "weights",
        LABEL,
        "`pretrained`, or `random`: such a model shows speed and memory, but transcribes nothing.",
        Source.STUDY,
    ),
    column("variant", LABEL, "A runtime and its options, by their name in the study.", Source.STUDY),
    column("device", LABEL, "`cpu` or `cuda`.", Source.STUDY),
    column(
        "duration_s",
        INTEGER,
        "The duration class. Its segments have about that length; `audio_s_mean` is what they really have.",
        Source.STUDY,
        unit="s",
    ),
    column("batch_size", INTEGER, "The segments that a pass transcribes together.", Source.STUDY, unit="segments"),
    column("threads", INTEGER, "The CPU threads of the runtime.", Source.STUDY, unit="threads", null_when=_OLD),
    column("protocol", INTEGER, "The version of the measuring protocol.", Source.RECORDED),
    column("lap", INTEGER, "Which time through the study it was, from 1.", Source.RECORDED),
    column(
        "status",
        LABEL,
        "`ok`; `unconverged`: measured, but without an interval within the target; `oom`, `timeout`, `killed`, "
        "`error`, `unsupported`: not measured; `unreadable`: the file is damaged, or has a value that cannot be.",
        Source.RECORDED,
    ),
    column(
        "reason", MESSAGE, "Why the status is not `ok`, and what else went wrong.", Source.RECORDED, null_when="nothing"
    ),
    column(
        "machine_id",
        LABEL,
        "Twelve hexadecimal digits of processor, number of cores and memory: machines that are alike share them.",
        Source.MACHINE,
        null_when=_OLD,
    ),
    column(
        "device_name",
        LABEL,
        "The name of the processor or the GPU.",
        Source.MACHINE,
        null_when="the GPU was never reached, or the record does not say it",
    ),
    column("node", HOST, "The node of a cluster.", Source.MACHINE, null_when="not on a SLURM cluster"),
    column("slurm_job_id", HOST, "The SLURM job that measured it.", Source.MACHINE, null_when="not on a SLURM cluster"),
    column("started_at", LABEL, "When it began, in UTC.", Source.RECORDED, null_when=_OLD),
    column("measured_at", LABEL, "When it ended, in UTC.", Source.RECORDED, null_when=_OLD),
    column("n_passes", INTEGER, "The timed passes.", Source.COUNTED, unit="passes"),
    column("n_rounds", INTEGER, "The timed rounds: one pass over each batch.", Source.COUNTED, unit="rounds"),
    column("n_batches", INTEGER, "The batches of the class that were timed.", Source.COUNTED, unit="batches"),
    column(
        "n_tries",
        INTEGER,
        "How often it was measured: what is disturbed is tried again, of a cell the sum over laps.",
        Source.COUNTED,
        unit="tries",
    ),
    column(
        "disturbed",
        FLAG,
        "Whether something interfered with the timed passes; of a cell: in every lap, so that it decides nothing.",
        Source.COMPUTED,
        null_when="no pass was timed",
    ),
    column("disturbance", MESSAGE, "What interfered with the timed passes.", Source.MEASURED, null_when="nothing"),
    column(
        "machine_speed",
        NUMBER,
        "How fast the control kernel ran, as a share of its best on this machine in this study.",
        Source.MEASURED,
        unit="share",
        null_when="no control kernel ran",
    ),
    column(
        "job_s",
        NUMBER,
        "How long its jobs held the machine, start-up and warm-up included.",
        Source.MEASURED,
        unit="s",
        null_when=_OLD,
    ),
    column(
        "timed_s",
        NUMBER,
        "The sum of all timed passes.",
        Source.MEASURED,
        unit="s",
        null_when="no pass was timed",
    ),
    column(
        "startup_cpu_s",
        NUMBER,
        "The CPU time from the start of the process until the model was loaded.",
        Source.MEASURED,
        unit="CPU s",
        null_when="the model was not loaded",
    ),
    column(
        "attention",
        MESSAGE,
        "The implementation of attention that the model runs with.",
        Source.RECORDED,
        null_when="the runtime has no choice of it, or the model was not loaded",
    ),
    column(
        "load_s",
        NUMBER,
        "The wall time of loading the model, without what a fork server imported before; of a cell the median over the "
        "laps that count.",
        Source.MEASURED,
        unit="s",
        null_when="the model was not loaded, or the record does not say it",
    ),
    column(
        "first_pass_s",
        NUMBER,
        "The wall time of the first pass after loading, over at most 5 s of each segment, compiling included: what a "
        "first request waits; of a cell the median over the laps that count.",
        Source.MEASURED,
        unit="s",
        null_when="the warm-up was not passed, or the record does not say it",
    ),
    column(
        "compile_s",
        NUMBER,
        "What compiling took of the warm-up; of a cell the median over the laps that had nothing in a cache.",
        Source.MEASURED,
        unit="s",
        null_when="nothing is compiled in the warm-up, or each lap had compiled parts in a cache",
    ),
    column(
        "n_compile_cache_hits",
        INTEGER,
        "The compiled parts that came from the cache of an earlier process; of a cell the most in a lap.",
        Source.COUNTED,
        unit="parts",
        null_when="nothing is compiled in the warm-up",
    ),
    column(
        "busy_threads",
        NUMBER,
        "The CPU time of the process over the wall time of its timed passes: the threads that it kept busy.",
        Source.MEASURED,
        unit="threads",
        null_when="no pass was timed, or the record does not say it",
    ),
    column("torch_version", LABEL, "The version of torch.", Source.MACHINE, null_when="it was not used"),
)
_BY_NAME = {field.name: field for field in _SHARED}


def shared(name: str, kind: pa.DataType | None = None) -> pa.Field:
    """Return a column that several tables have; `kind` is its type where that is not the usual one."""
    found = _BY_NAME[name]
    return found if kind is None else found.with_type(kind)
