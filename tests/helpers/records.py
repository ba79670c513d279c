"""Records, made up."""

from collections.abc import Sequence
from typing import Any

from asrmeter.analysis.lap_estimates import estimates
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.analysis.measured_sitting import MeasuredSitting
from asrmeter.records.disturbance import best_controls
from asrmeter.records.header import RecordHeader

Record = tuple[RecordHeader, Sequence[dict[str, Any]]]

FP32 = {"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}


def header(**changes: Any) -> RecordHeader:
    """Return the header of a cell that went well; `changes` replace its values, as JSON has them."""
    told: dict[str, Any] = {"model": "m", "family": "whisper", "weights": "pretrained", "variant": "fp32"}
    told |= {"options": FP32, "device": "cpu", "duration_s": 5, "batch_size": 2, "threads": 2, "seed": 42}
    told |= {
        "protocol": 2,
        "lap": 1,
        "n_laps": 1,
        "status": "ok",
        "reason": None,
        "machine_id": "m",
        "cpu_name": "CPU",
        "n_cpus": 2,
    }
    return RecordHeader.from_json(told | {"events": {}} | changes)


def control(matmul: float = 1e11, copy: float = 1e10, after: float = 1.0, **changes: Any) -> dict[str, Any]:
    """Return the event of a control kernel with those rates, and after the passes so many times as fast."""
    before = {"matmul_flop_per_s": matmul, "copy_bytes_per_s": copy}
    told = {"library": "torch", "device": "cpu", "n_threads": 2, "before": before, "seconds": 0.2}
    return told | {"after": {name: rate * after for name, rate in before.items()}} | changes


def measured(*records: Record, **told: Any) -> MeasuredCell:
    """Return the cell that records are of, each of another lap; `told` is what else a cell is made of."""
    best = best_controls(one for one, _ in records)
    sittings = [MeasuredSitting(*record, best) for record in records]
    return MeasuredCell(sittings, estimates(sittings).get(sittings[0].cell), **told)
