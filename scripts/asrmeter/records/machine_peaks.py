"""Peak rates of a machine: their table, and the ceilings of a roofline.

`asrmeter.measure.tasks.peaks` measures the rates.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import INTEGER, LABEL, MESSAGE, NUMBER, Row, Source, Text, column

_NO_RATE = "the device failed; `reason` says why"


def _text(name: str, meaning: str, null_when: str, kind: Text = LABEL) -> pa.Field:
    return column(name, kind, meaning, Source.RECORDED, null_when=null_when)


def _number(name: str, kind: pa.DataType, unit: str, meaning: str, source: Source, null_when: str) -> pa.Field:
    return column(name, kind, meaning, source, unit=unit, null_when=null_when)


# One row for each rate; a value that does not apply or was not measured is null. A device that failed has one row that
# says why.
PEAK_RATES = pa.schema(
    [
        shared("machine_id"),
        shared("device"),
        shared("device_name"),
        shared("threads"),
        _text("kind", "`matmul`, or an access to memory: `read`, `copy`.", _NO_RATE),
        _text("dtype", "The number format of the matrices.", "it is a rate of memory"),
        _number(
            "matrix_size",
            INTEGER,
            "rows",
            "Side of the square weight matrix; the other matrix has several times as many rows.",
            Source.RECORDED,
            "it is a rate of memory",
        ),
        _number(
            "working_set_bytes",
            INTEGER,
            "bytes",
            "All bytes accessed; for a copy, source and target.",
            Source.RECORDED,
            "it is a rate of matrix products",
        ),
        _number(
            "flop_per_s",
            NUMBER,
            "FLOP/s",
            "Best rate of matrix products in many runs; 1 MAC = 2 FLOP.",
            Source.MEASURED,
            "it is a rate of memory, or was not measured",
        ),
        _number(
            "bytes_per_s",
            NUMBER,
            "bytes/s",
            "Best rate of memory in many runs, bytes read and written.",
            Source.MEASURED,
            "it is a rate of matrix products, or was not measured",
        ),
        _number("n_runs", INTEGER, "runs", "The runs that it is the best of.", Source.COUNTED, _NO_RATE),
        _text("float32_matmul_precision", "torch's setting of that name: `highest` is float32 throughout.", _NO_RATE),
        shared("status"),
        _text(
            "reason",
            "Reason why there is no rate; if the status is `ok`, the disturbance of the machine meanwhile.",
            "nothing",
            MESSAGE,
        ),
        shared("measured_at"),
        shared("torch_version"),
    ]
)


@dataclass(frozen=True)
class MachinePeaks:
    """The highest rates of a device. It really reached each of them, and nothing is clipped to them.

    So a share of a peak is above 1 only if the machine was slower while its peaks were measured. Several measurements
    of the machine can be given together, and the highest rate counts.

    Attributes:
        compute: (dtype, FLOP/s).
        memory: (working set in bytes, bytes/s), reading or copying: in inference little is written.
    """

    compute: tuple[tuple[str, float], ...]
    memory: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, rows: Iterable[Row], machine_id: str, device: str, threads: int) -> Self | None:
        """Return the peaks of a device by the rows of the table, or None if nothing was measured on it.

        `threads` are those of the CPU: they do not matter for the peaks of another device.
        """
        own = [
            row
            for row in rows
            if (row["machine_id"], row["device"]) == (machine_id, device)
            and (row["threads"] == threads or device != "cpu")
        ]
        compute = tuple((row["dtype"], row["flop_per_s"]) for row in own if row["flop_per_s"] is not None)
        memory = tuple((row["working_set_bytes"], row["bytes_per_s"]) for row in own if row["bytes_per_s"] is not None)
        return cls(compute, memory) if compute or memory else None

    def flop_per_s(self, dtype: str) -> float | None:
        """Return the highest rate of matrix products (FLOP/s)."""
        return max((rate for of_dtype, rate in self.compute if of_dtype == dtype), default=None)

    def bytes_per_s(self, working_set_bytes: float) -> float | None:
        """Return the highest rate (bytes/s) at which a working set of this size can move, again and again.

        A set that grows only leaves caches. So the next smaller size that was measured (or the same) is at least as
        fast. The next larger one may be slower: if a cache ends between the two, this set still fits. Whatever any
        larger set reached, this set reaches too, which corrects a rate that a neighbour spoiled. Sets above the largest
        measured size have its rate. Below the smallest, starting an operator takes longer than the memory does, and the
        highest rate of all is the peak.
        """
        least = max((size for size, _ in self.memory if size <= working_set_bytes), default=0)
        return max((rate for size, rate in self.memory if size >= least), default=None)
