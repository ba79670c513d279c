"""What the machine can do at best, as a table and as the ceilings of a roofline. `peak_rates` measures it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

Row = Mapping[str, Any]

_TEXT, _INTEGER, _NUMBER = pa.string(), pa.int64(), pa.float64()
# A row a rate; what does not apply or was not measured is null. A device that failed has one row that says why.
CEILINGS = pa.schema(
    [
        ("machine_id", _TEXT),
        ("device", _TEXT),
        ("device_name", _TEXT),
        ("threads", _INTEGER),
        # matmul, or what was done to memory: read, copy (see `peak_rates.memory_figures`)
        ("kind", _TEXT),
        ("dtype", _TEXT),
        # side of the weights, which several times as many rows are multiplied by
        ("matrix_size", _INTEGER),
        # all bytes that are touched: of a copy, source and target
        ("working_set_bytes", _INTEGER),
        # 2 FLOP a multiply-add
        ("flop_per_s", _NUMBER),
        # read + written
        ("bytes_per_s", _NUMBER),
        ("n_runs", _INTEGER),
        ("float32_matmul_precision", _TEXT),
        ("status", _TEXT),
        # of a rate that is `ok`: what disturbed the machine meanwhile
        ("reason", _TEXT),
        ("measured_at", _TEXT),
        ("torch_version", _TEXT),
    ]
)


@dataclass(frozen=True)
class Ceilings:
    """The highest rates of a device; each is one that it really reached, and nothing is clipped to it.

    So a share above 1 is possible in one way only: the machine was slower while its ceilings were measured. Several
    measurements of the machine may be given together, and the highest counts.

    Attributes:
        compute: (dtype, FLOP/s).
        memory: (working set in bytes, bytes/s), reading or copying: in inference little is written.
    """

    compute: tuple[tuple[str, float], ...]
    memory: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, rows: Iterable[Row], machine_id: str, device: str, threads: int) -> Self | None:
        """Return the ceilings of a device by the rows of the table, or None if nothing was measured there.

        `threads` are those of the CPU: on another device they lift no ceiling.
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

        A set that grows only leaves caches. So of the sizes that were measured, the next smaller one (or the same) is
        at least as fast, the next larger one need not be: where a cache ends between the two, this set may still fit.
        And what any larger set reached, this one reaches too, which mends a figure that a neighbour spoiled. The
        largest one measured stands for all above. Below the smallest one starting an operator takes longer than the
        memory does, and the highest rate of all is the ceiling.
        """
        least = max((size for size, _ in self.memory if size <= working_set_bytes), default=0)
        return max((rate for size, rate in self.memory if size >= least), default=None)
