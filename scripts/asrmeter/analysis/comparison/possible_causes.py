"""What both runs recorded of a cell that may be why its figures differ: the likeliest first, never a proof."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from asrmeter.common.table_types import Row

# Less is not told of a number: of tokens a segment, seconds of audio, the speed of the machine.
LEAST_RATIO = 1.1
NONE = "–"


@dataclass(frozen=True)
class Cause:
    """A record that differs: its name, and its value in both runs as text."""

    name: str
    first: str
    second: str


def _disturbance(row: Row) -> str:
    if row["disturbance"]:
        return str(row["disturbance"])
    return "disturbed" if row["disturbed"] else NONE


def _machine_speed(row: Row) -> float | None:
    """Return the control kernel's speed; another machine has another one."""
    rate = row["control_matmul_flop_per_s"]
    return None if rate is None else rate / 1e9


def _weights(row: Row) -> str | None:
    return row["weights"] if row["weights_sha256"] is None else f"{row['weights']} {row['weights_sha256'][:12]}"


def _audio(row: Row) -> str | None:
    return row["corpus_sha256"] and row["corpus_sha256"][:12]


def _column(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


# Name of a record, and its value in a cell; numbers differ from `LEAST_RATIO` on, unless they are counts.
_RECORDS: tuple[tuple[str, Callable[[Row], Any]], ...] = (
    ("disturbance", _disturbance),
    *((name, _column(name)) for name in ("status", "protocol", "machine_id", "node", "device_name", "threads")),
    *((name, _column(name)) for name in ("n_cpus", "memory_bytes", "governor", "gpu_uuid", "driver_version")),
    ("control_gflop_per_s", _machine_speed),
    ("corpus_sha256", _audio),
    *((name, _column(name)) for name in ("audio_s_mean", "n_segments", "n_tokens_mean")),
    *((name, _column(name)) for name in ("runtime", "dtype", "attention", "decoding")),
    ("weights", _weights),
    *((name, _column(name)) for name in ("normaliser", "energy_method_cpu", "energy_method_gpu")),
    *((name, _column(name)) for name in ("os", "python_version", "torch_version", "transformers_version", "library")),
)
_COUNTS = ("protocol", "threads", "n_cpus", "n_segments")

NAMES = frozenset({*(name for name, _ in _RECORDS), "commit"})


def possible_causes(first: Row, second: Row) -> tuple[Cause, ...]:
    """Return what was recorded of a cell in both runs and differs. The code, which nearly always does, comes last."""
    found = [
        Cause(name, _text(before), _text(after))
        for name, value in _RECORDS
        if _differ(name, before := value(first), after := value(second))
    ]
    told = {cause.name.removesuffix("_version") for cause in found}
    libraries = (cause for cause in _libraries(first, second) if cause.name not in told)
    commit = first["commit"], second["commit"]
    last = [Cause("commit", _text(commit[0]), _text(commit[1]))] if _differ("commit", *commit) else []
    return (*found, *libraries, *last)


def _differ(name: str, before: Any, after: Any) -> bool:
    # What one run did not record says nothing.
    if before is None or after is None or before == after:
        return False
    if isinstance(before, str) or isinstance(after, str) or name in _COUNTS:
        return True
    return min(before, after) <= 0 or abs(math.log(after / before)) >= math.log(LEAST_RATIO)


def _libraries(first: Row, second: Row) -> Iterator[Cause]:
    """Yield the packages that compute whose versions differ."""
    before, after = (_versions(row) for row in (first, second))
    for package in sorted(before.keys() | after.keys()) if before and after else ():
        if before.get(package) != after.get(package):
            yield Cause(package, _text(before.get(package)), _text(after.get(package)))


def _versions(row: Row) -> dict[str, Any]:
    try:
        told = json.loads(row["library_versions"] or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return NONE if value is None else str(value)
