"""Roofline analysis: how close each cell comes to its machine's ceilings, and what bounds it.

The roofline (Williams, Waterman, Patterson, CACM 52(4), 2009): a stage takes at least its floating-point operations
over the rate of matrix products, and at least its memory traffic over the rate of memory. The operations are counted.
The traffic is modelled as its minimum: weights once a run, caches of keys and values once a step, input and output
once; intermediate results are taken to stay in caches. So no share of a ceiling is above 1 unless the machine was
slower while its ceilings were measured.

A disturbed cell keeps its values and gets no bound. In long-form decoding the padding of the decoder is not known:
there the padding of batches above one is only that of the encoder, and a note says so.

The time of a pass is split into four parts: `padding`, spent on padded audio and on rows whose text has ended; the rest
of each stage, bound by `compute` or by `memory`, whichever ceiling takes longer, if the stage reaches `BOUND_FROM` of
it; and `overhead`: stages that come near neither ceiling (operators too small to fill the machine, and their launches),
feature extraction, text, and the time between stages. The largest part is the bound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import LABEL, MESSAGE, NUMBER, Row, Source, column
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records.machine_peaks import MachinePeaks

LOSSES = ("compute", "memory", "overhead", "padding")
PASS, ENCODER, DECODER = "pass", "encoder", "decoder"
# A stage that reaches this share of a ceiling is bound by it. Real kernels reach some half of it: their matrices are
# not square, and between them are others. What stays below spends most of its time on something else.
BOUND_FROM = 1 / 3
FASTER = "faster than its ceilings: the machine was slower while they were measured; delete them and run again"
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_UNJUDGED = dict.fromkeys(("bound", *(f"{loss}_time_share" for loss in LOSSES)))
IDENTITY = ("model", "weights", "variant", "device", "duration_s", "batch_size", "machine_id")

_NOT_KNOWN = "work or traffic is unknown; `note` says why"
_NO_CEILING = f"there is no ceiling, or the stage was faster than it; or {_NOT_KNOWN}"
_NO_VERDICT = f"the cell was disturbed; or {_NO_CEILING}"
_SPENT = {
    "compute": "is spent in stages that reach a third of the ceiling of matrix products",
    "memory": "is spent in stages that reach a third of the ceiling of memory",
    "overhead": "is spent in stages that reach no ceiling, and between stages",
    "padding": "is spent on padded audio, and on rows that only wait for longer ones",
}


def _of_stage(name: str, unit: str, meaning: str, source: Source, null_when: str = _NOT_KNOWN) -> pa.Field:
    return column(name, NUMBER, meaning, source, unit=unit, null_when=null_when)


def _share_of_time(loss: str) -> pa.Field:
    return _of_stage(
        f"{loss}_time_share", "share", f"The share of the seconds that {_SPENT[loss]}.", Source.COMPUTED, _NO_VERDICT
    )


ROOFLINE = pa.schema(
    [
        *map(shared, IDENTITY),
        column(
            "dtype",
            MESSAGE,
            "The number format that the variant asks for.",
            Source.STUDY,
            null_when="the runtime does not report it",
        ),
        column("stage", LABEL, "`encoder`, `decoder` (output layer included), or `pass`, the whole.", Source.RECORDED),
        column("seconds", NUMBER, "Time of the stage in a pass.", Source.MEASURED, unit="s"),
        _of_stage("gflop", "GFLOP", "Operations of the stage in a pass.", Source.COUNTED),
        _of_stage(
            "min_traffic_bytes",
            "bytes",
            "Minimum memory traffic: weights once a run, caches once a step, input and output once.",
            Source.MODELLED,
        ),
        _of_stage("flop_per_byte", "FLOP/byte", "Operations over `min_traffic_bytes`.", Source.COMPUTED),
        _of_stage("gflop_per_s", "GFLOP/s", "Operations over the seconds.", Source.COMPUTED),
        _of_stage("min_traffic_bytes_per_s", "bytes/s", "`min_traffic_bytes` over the seconds.", Source.COMPUTED),
        _of_stage(
            "ceiling_gflop_per_s",
            "GFLOP/s",
            "The highest rate of matrix products that the machine reached.",
            Source.MEASURED,
            _NO_CEILING,
        ),
        _of_stage(
            "ceiling_bytes_per_s",
            "bytes/s",
            "The highest rate of memory that the machine reached with such a working set.",
            Source.MEASURED,
            f"it is of the whole pass; or {_NO_CEILING}",
        ),
        _of_stage("compute_share", "share", "The rate of operations, of its ceiling.", Source.COMPUTED, _NO_CEILING),
        _of_stage(
            "memory_share",
            "share",
            "The rate of the least traffic, of its ceiling.",
            Source.COMPUTED,
            f"it is of the whole pass; or {_NO_CEILING}",
        ),
        *map(_share_of_time, LOSSES),
        column(
            "bound",
            LABEL,
            "The largest part of the time: `compute`, `memory`, `overhead` or `padding`.",
            Source.COMPUTED,
            null_when=_NO_VERDICT,
        ),
        column(
            "note",
            MESSAGE,
            "Reason for unknown values, or a remark on them.",
            Source.RECORDED,
            null_when="nothing",
        ),
    ]
)


@dataclass(frozen=True)
class Stage:
    """A stage of a pass: seconds that it took, its work, and how much of that was padding.

    Of the traffic less is padding than of the operations: weights are read once, whatever is in the batch.
    """

    name: str
    seconds: float
    flop: float | None
    min_traffic_bytes: float | None
    working_set_bytes: float
    padding_of_flop: float
    padding_of_bytes: float
    note: str | None = None

    def row(self, dtype: str, ceilings: MachinePeaks | None) -> dict[str, Any]:
        """Return the columns of the table that are this stage's own."""
        found: dict[str, Any] = {
            "dtype": dtype,
            "stage": self.name,
            "seconds": self.seconds,
            "gflop": None if self.flop is None else self.flop / 1e9,
            "min_traffic_bytes": self.min_traffic_bytes or None,
        }
        if self.flop is None or not self.min_traffic_bytes or not self.seconds:
            return found
        found |= {
            "flop_per_byte": self.flop / self.min_traffic_bytes,
            "gflop_per_s": self.flop / self.seconds / 1e9,
            "min_traffic_bytes_per_s": self.min_traffic_bytes / self.seconds,
        }
        flop_per_s = ceilings.flop_per_s(dtype) if ceilings else None
        bytes_per_s = ceilings.bytes_per_s(self.working_set_bytes) if ceilings else None
        if flop_per_s is None or bytes_per_s is None:
            return found | {"note": "no ceilings were measured on its machine"}
        found |= {"ceiling_gflop_per_s": flop_per_s / 1e9, "ceiling_bytes_per_s": bytes_per_s}
        compute_s, memory_s = self.flop / flop_per_s, self.min_traffic_bytes / bytes_per_s
        if max(compute_s, memory_s) > self.seconds:
            return found | {"note": FASTER}
        bound = "compute" if compute_s >= memory_s else "memory"
        padding_share = self.padding_of_flop if bound == "compute" else self.padding_of_bytes
        if max(compute_s, memory_s) < BOUND_FROM * self.seconds:
            bound = "overhead"
        found |= {"compute_share": compute_s / self.seconds, "memory_share": memory_s / self.seconds}
        found |= {f"{loss}_time_share": 0.0 for loss in LOSSES}
        return _judged(
            found | {f"{bound}_time_share": 1 - padding_share, "padding_time_share": padding_share, "note": self.note}
        )


def rows(
    cells: Sequence[Row], flops: Sequence[Row], ceilings: Sequence[Row], dtypes: Mapping[str, str | None]
) -> Iterator[Row]:
    """Yield the rows of every cell that was measured: its stages, then the pass. `dtypes` are those of the variants."""
    counted = {(row["model"], row["duration_s"], row["batch_size"]): row for row in flops if row["is_studied"]}
    for cell in cells:
        if cell["status"] not in MEASURED_STATUS or cell["latency_s_median"] is None:
            continue
        identity = {name: cell[name] for name in IDENTITY}
        of_machine = MachinePeaks.of(ceilings, cell["machine_id"], cell["device"], cell["threads"])
        dtype = dtypes.get(cell["variant"])
        own_flops = counted.get((cell["model"], cell["duration_s"], cell["batch_size"]))
        stages = []
        if dtype and own_flops:
            stages = [stage.row(dtype, of_machine) for stage in stages_of(cell, own_flops, BYTES[dtype])]
        for row in (*stages, _whole(cell, stages, dtype)):
            yield identity | (
                row | _UNJUDGED | {"note": f"disturbed: {cell['disturbance']}"} if cell["disturbed"] else row
            )


def stages_of(cell: Row, flops: Row, bytes_each: int) -> list[Stage]:
    """Return the stages of a pass whose work is known; without a decoder, the output layer belongs to the encoder.

    None of them where the runtime does not mark the stages, or does not say how many windows it ran.
    """
    if not cell["encoder_s_median"] or None in (cell["decoder_s_median"], cell["n_windows_mean"]):
        return []
    has_decoder = cell["has_decoder"] is not False
    n_windows, batch_size = cell["n_windows_mean"], cell["batch_size"]
    encoder_bytes = flops["encoder_parameters"] and bytes_each * (
        # A batch takes as many runs as its segment with the most windows: at least their mean.
        flops["encoder_parameters"] * n_windows + flops["encoder_elements_per_window"] * n_windows * batch_size
    )
    encoder = Stage(
        ENCODER,
        cell["encoder_s_median"] + (0.0 if has_decoder else cell["decoder_s_median"]),
        _flop(cell["encoder_gflop"]),
        encoder_bytes,
        bytes_each * (flops["encoder_parameters"] or 0),
        # Its operations outweigh its traffic by far: one share will do for both.
        cell["encoder_padding_share"] or 0.0,
        cell["encoder_padding_share"] or 0.0,
    )
    return [encoder, _decoder(cell, flops, bytes_each)] if has_decoder else [encoder]


def _decoder(cell: Row, flops: Row, bytes_each: int) -> Stage:
    """Return the decoder of a pass; a run of it reads its weights, and each row its caches of keys and values."""
    seconds, flop = cell["decoder_s_median"], _flop(cell["decoder_gflop"])
    runs, rows, positions = (cell[f"n_decoder_{name}_mean"] for name in ("runs", "rows", "positions"))
    known = ("decoder_parameters", "cross_positions", "kv_elements_per_position")
    if not runs or None in (rows, positions, *(flops[name] for name in known)):
        return Stage(DECODER, seconds, flop, None, 0.0, 0.0, 0.0)
    weights = runs * flops["decoder_parameters"]
    caches = (positions + rows * flops["cross_positions"]) * flops["kv_elements_per_position"]
    waiting = 0.0 if cell["batch_size"] == 1 else cell["decoder_padding_share"]
    unknown = "what its rows wait for is not known in long form, nor where a window is heard again for its language"
    note = unknown if waiting is None else None
    waiting = waiting or 0.0
    traffic = weights + caches
    read_by_run = bytes_each * traffic / runs
    return Stage(DECODER, seconds, flop, bytes_each * traffic, read_by_run, waiting, waiting * caches / traffic, note)


def _flop(gflop: float | None) -> float | None:
    return None if gflop is None else 1e9 * gflop


def _whole(cell: Row, stages: Sequence[Row], dtype: str | None) -> dict[str, Any]:
    """Return the row of the pass: the work of its stages; what was spent beside them is overhead."""
    seconds = cell["latency_s_median"]
    found: dict[str, Any] = {"dtype": dtype, "stage": PASS, "seconds": seconds}
    if not stages:
        return found | {"note": "its runtime does not tell the stages of a pass, or its number format"}
    if any(stage["gflop"] is None or stage["min_traffic_bytes"] is None for stage in stages):
        return found | {"note": cell["gflop_note"]}
    flop, min_traffic_bytes = (
        1e9 * sum(stage["gflop"] for stage in stages),
        sum(stage["min_traffic_bytes"] for stage in stages),
    )
    found |= {
        "gflop": flop / 1e9,
        "min_traffic_bytes": min_traffic_bytes,
        "flop_per_byte": flop / min_traffic_bytes,
        "gflop_per_s": flop / seconds / 1e9,
        "min_traffic_bytes_per_s": min_traffic_bytes / seconds,
    }
    note = next((stage["note"] for stage in stages if stage.get("note")), None)
    if not all(stage.get("bound") for stage in stages):
        return found | {"note": note}
    # Medians of stages need not add up to that of the pass.
    whole_s = max(seconds, sum(stage["seconds"] for stage in stages))
    for loss in LOSSES:
        spent_s = sum(stage[f"{loss}_time_share"] * stage["seconds"] for stage in stages)
        found[f"{loss}_time_share"] = spent_s / whole_s
    found["overhead_time_share"] += 1 - sum(found[f"{loss}_time_share"] for loss in LOSSES)
    ceiling = stages[0]["ceiling_gflop_per_s"]
    found |= {"ceiling_gflop_per_s": ceiling, "compute_share": flop / 1e9 / seconds / ceiling}
    return _judged(found | {"note": note})


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"bound": max(LOSSES, key=lambda loss: row[f"{loss}_time_share"])}
