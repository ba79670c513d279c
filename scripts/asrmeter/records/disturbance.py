"""Whether something disturbed a sitting, and how fast the machine was then. Standard library only.

Two things tell: what was watched during the timed passes, and the control kernel before and after them. The kernel is
the same work in every sitting, so it also finds what nothing inside the machine shows, such as neighbours on its host.
"""

import statistics
from collections.abc import Iterable, Mapping
from typing import cast

from asrmeter.records.events import Control, Latency
from asrmeter.records.header import RecordHeader

# A control kernel that is slower than the machine's best by more than this share means a disturbed sitting. On a shared
# machine of two cores it ran at 50 to 90 % of the best of 100 readings with nobody beside it, since that is one of a
# lucky moment, and at 5 to 30 % beside a process that held a core.
SLOW_CONTROL = 0.6
RATES = ("matmul_flop_per_s", "copy_bytes_per_s")

# The machine, and what of it the kernel ran on: library, device and threads. Only rates of one key can be compared.
ControlKey = tuple[str | None, str, str, int]
Rates = Mapping[str, float]


def control_key(header: RecordHeader) -> ControlKey | None:
    """Return the key by which a sitting's control rates are comparable; None if it has none."""
    control = header.last(Control)
    return None if control is None else (header.machine_id, control.library, control.device, control.n_threads)


def control_rates(header: RecordHeader) -> Rates | None:
    """Return a sitting's control rates, the mean of those before and after the passes; None if it has none."""
    told = _told(header)
    return {name: statistics.fmean(rates[name] for rates in told) for name in RATES} if told else None


def best_controls(headers: Iterable[RecordHeader]) -> dict[ControlKey, Rates]:
    """Return the best control rates of each machine, library, device and number of threads, before or after passes."""
    best: dict[ControlKey, dict[str, float]] = {}
    for header in headers:
        if key := control_key(header):
            for rates in _told(header):
                known = best.setdefault(key, dict.fromkeys(RATES, 0.0))
                known |= {name: max(known[name], rates[name]) for name in RATES}
    return dict(best)


def _told(header: RecordHeader) -> list[Rates]:
    control = header.last(Control)
    told = (control.before, control.after) if control else ()
    return [cast(Rates, rates) for rates in told if rates]


def machine_speed(header: RecordHeader, best: Mapping[ControlKey, Rates]) -> float | None:
    """Return a sitting's control rates as a share of the best ones of its key; None without any."""
    key, rates = control_key(header), control_rates(header)
    known = best.get(key) if key else None
    if rates is None or known is None or not all(known.values()):
        return None
    return statistics.fmean(rates[name] / known[name] for name in RATES)


def why(header: RecordHeader, best: Mapping[ControlKey, Rates]) -> str | None:
    """Return the disturbance of a sitting, judged by `best_controls`; None if there was none, or no pass was timed."""
    latency = header.last(Latency)
    if latency is None:
        return None
    speed = machine_speed(header, best)
    slow = None
    if speed is not None and speed < 1 - SLOW_CONTROL:
        slow = f"the machine ran at {100 * speed:.0f} % of its best (control kernel)"
    return "; ".join(reason for reason in (latency.disturbance, slow) if reason) or None
