"""Possible values of a quantity, by its name: names end in their unit. Standard library only.

Measured values lie far within these limits, and arithmetic with them cannot overflow. A value beyond them comes from a
foreign or edited file.
"""

import datetime
import functools
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# No quantity of any unit is larger.
_MOST = 1e30
_ANY = (-_MOST, _MOST)
# The first pattern that matches the full name applies. A name without a match is not negative.
_LIMITS: tuple[tuple[str, tuple[float, float]], ...] = (
    # Differences and ends of intervals.
    (
        r"clock_jump_s|n_throttle_events|overhead|energy_net_.*|model_error|.*_difference|wer_change.*|.*_ci_(low|high).*|published_.*",
        _ANY,
    ),
    # Two clocks, or two measurements, need not agree.
    (r"stage_coverage|(device_idle|compute|memory)_share", (-10, 10)),
    (r"covered|profile_coverage|.*_share", (-0.05, 1.05)),
    (r"started_at_s", (0, datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC).timestamp())),
    (r"(latency|pass|plain_pass)_s(_.*)?|seconds", (1e-9, 1e7)),
    (r"audio_s(_.*)?", (1e-6, 1e7)),
    (r"duration_s|batch_size|threads", (1, 2**31 - 1)),
    (r"n_.*", (0, 1e12)),
    (r".*_bytes", (0, 2**53)),
    (r"flop_per_s|bytes_per_s", (1, _MOST)),
)


def fault_of(columns: Mapping[str, Sequence[Any]], names: Iterable[str]) -> str | None:
    """Return the first column of numbers, or of lists of numbers, with an impossible value; None if there is none.

    `names` are the names of the columns.
    """
    for name in names:
        if (wrong := impossible(name, columns[name])) is not None:
            return f"{name} is {wrong}, which is impossible"
    return None


@functools.cache
def limits(name: str) -> tuple[float, float]:
    """Return the smallest and the largest value that a quantity of this name can have."""
    return next((ends for pattern, ends in _LIMITS if re.fullmatch(pattern, name)), (0, _MOST))


def impossible(name: str, values: Sequence[Any]) -> float | None:
    """Return the first impossible value of a quantity of this name, None if all are possible.

    Values may be lists of values, or missing.
    """
    known = [value for value in values if value is not None] if None in values else values
    if known and isinstance(known[0], list):
        return impossible(name, [*itertools.chain.from_iterable(known)])
    low, high = limits(name)
    # NaN fails every comparison, but it stays in a sum.
    if not known or (low <= min(known) and max(known) <= high and math.isfinite(sum(known))):
        return None
    return next(value for value in known if not low <= value <= high)


def is_time(text: str) -> bool:
    """Return whether a text is a time with its zone, in ISO 8601."""
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
