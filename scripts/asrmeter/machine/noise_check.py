"""Check how quiet the machine is: repeat the same work, compare the times, and look for causes."""

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asrmeter.common import stats
from asrmeter.common.printable import printable
from asrmeter.machine import cuda, interference, probes
from asrmeter.machine.facts import available_cpus

# An interval of a median needs at least six passes, and each of two halves needs one.
WARMUP_S, MIN_PASSES = 1.0, 12
# With a larger noise floor, models that differ by a tenth cannot be distinguished.
UNFIT_FLOOR = 0.1
# Half of a core is taken by others: with two threads, passes take up to twice as long.
UNFIT_WAITING_THREADS = 0.5
# Number of busy processes that are named, and the least share of a core that they must have used.
N_NAMED, NAMED_CPU_CORES = 3, 0.01

REMEDIES = {
    "cores": "end or pause them, or measure later",
    "steal": "other virtual machines share this host: take a dedicated one, or measure at another time",
    "clock": "fix the clock: governor `performance`, turbo off",
    "wall_clock": "set the time before measuring, and from then on only slowly (chrony, or ntpd without steps)",
    "heat": "cool the machine: free its vents, let it rest, or lower its power limit",
    "gpu_slowdown": "run `nvidia-smi -q -d PERFORMANCE` for details; cool the card, check its power cables",
    "gpu_shared": "end them; `nvidia-smi` lists them",
}


@dataclass(frozen=True)
class TimingSpread:
    """The spread of the times of the same work. All fields except the first two are relative to the median."""

    n_passes: int
    median_s: float
    interquartile_range: float
    largest_excess: float
    halves_difference: float
    drift: float
    noise_floor: float


@dataclass(frozen=True)
class Problem:
    """A problem and its remedy. A `severity` of 0 is a hint, 1 makes the machine noisy, 2 unfit."""

    what: str
    remedy: str
    severity: int


@dataclass(frozen=True)
class MachineState:
    """The state of the machine during the check; `activity` is the report of an `interference.Watch`."""

    activity: dict[str, Any]
    busiest: list[str]
    n_cpus: int
    governor: str | None
    swap_bytes: int
    swapped_pages: int
    gpus: list[dict[str, Any]]


def spread_of(passes_s: Sequence[float]) -> TimingSpread:
    """Return the spread of the times of the same work.

    The noise floor is the possible difference between two measurements of the same work. It is the largest of three
    values: the 95 % half-width of the difference between the medians of two interleaved halves (A/A), that difference
    itself, and the drift from the first third to the last.
    """
    median_s = statistics.median(passes_s)
    quartiles = statistics.quantiles(passes_s, n=4)
    halves = [passes_s[0::2], passes_s[1::2]]
    third = len(passes_s) // 3
    difference = _relative_difference(*halves)
    drift = _relative_difference(passes_s[:third], passes_s[-third:])
    half_width = math.hypot(*(_half_width(half) for half in halves))
    return TimingSpread(
        n_passes=len(passes_s),
        median_s=median_s,
        interquartile_range=(quartiles[2] - quartiles[0]) / median_s,
        largest_excess=max(passes_s) / median_s - 1,
        halves_difference=difference,
        drift=drift,
        noise_floor=max(half_width, abs(difference), abs(drift)),
    )


def _relative_difference(first: Sequence[float], second: Sequence[float]) -> float:
    return statistics.median(second) / statistics.median(first) - 1


def _half_width(passes_s: Sequence[float]) -> float:
    low, high = stats.median_interval(passes_s) or (0.0, math.inf)
    return (high - low) / 2 / statistics.median(passes_s)


def problems(state: MachineState, threads: int) -> list[Problem]:
    """Return the problems of the machine, the worst first."""
    found = []
    if threads > state.n_cpus:
        remedy = f"set `threads` in the study to {state.n_cpus} or to auto, or give the container more cores"
        found.append(Problem(f"{threads} threads have to share {state.n_cpus} cores", remedy, 2))
    waiting = state.activity["mean"]["waiting_threads"]
    for cause, clause in interference.disturbances(state.activity, threads).items():
        unfit = cause == "cores" and (waiting or 0) > UNFIT_WAITING_THREADS
        who = f"; the busiest in sight: {', '.join(state.busiest)}" if cause == "cores" and state.busiest else ""
        found.append(Problem(clause + who, REMEDIES[cause], 2 if unfit else 1))
    if state.swapped_pages:
        remedy = "end what fills the memory; a model that is swapped out is measured together with the disk"
        found.append(Problem(f"{state.swapped_pages} pages went to swap or came back", remedy, 1))
    elif state.swap_bytes:
        remedy = "it may be paged in during a pass; with enough memory free: sudo swapoff -a && sudo swapon -a"
        found.append(Problem(f"{state.swap_bytes / 2**20:.0f} MiB are in swap", remedy, 0))
    if state.governor not in (None, "performance"):
        remedy = "sudo cpupower frequency-set -g performance"
        found.append(Problem(f"the clock follows the load (governor `{state.governor}`)", remedy, 0))
    if (n_cores := state.activity["n_cores"]) < threads <= state.n_cpus:
        remedy = f"try `threads: {n_cores}` in the study, one a core: often steadier, and not slower"
        found.append(Problem(f"{threads} threads run as hyper-threads on {n_cores} cores", remedy, 0))
    for gpu in state.gpus:
        for cause, clause in interference.gpu_disturbances(gpu).items():
            found.append(Problem(f"{gpu['name']}: {clause}", REMEDIES[cause], 1))
        if gpu["persistence_mode"] is False:
            remedy = "sudo nvidia-smi -pm 1, or the driver starts anew with each cell"
            found.append(Problem(f"{gpu['name']}: persistence mode is off", remedy, 0))
    return sorted(found, key=lambda problem: -problem.severity)


def verdict_of(spread: TimingSpread, found: Sequence[Problem], target: float) -> str:
    """Return `quiet`, `noisy` or `unfit`. Quiet means a noise floor within the study's target, and no problem."""
    severity = max((problem.severity for problem in found), default=0)
    if spread.noise_floor > UNFIT_FLOOR or severity > 1:
        return "unfit"
    return "noisy" if spread.noise_floor > target or severity else "quiet"


def report_lines(
    spread: TimingSpread, found: Sequence[Problem], state: MachineState, threads: int, target: float
) -> list[str]:
    """Return the lines of the report; the last one is the verdict."""
    direction = "slower" if spread.drift > 0 else "faster"
    floor = _percent(spread.noise_floor)
    lines = [
        f"{spread.n_passes} passes of the same work, {1000 * spread.median_s:.0f} ms each, threads: {threads}",
        f"  half of them lie within {_percent(spread.interquartile_range)} (interquartile range), "
        f"the slowest took {_percent(spread.largest_excess)} more than the median",
        f"  A/A: two interleaved halves differ by {_percent(abs(spread.halves_difference))}; "
        f"the last third was {_percent(abs(spread.drift))} {direction} than the first",
        f"  differences under {floor} cannot be seen on this machine now",
    ]
    for gpu in state.gpus:
        lines.append(f"  {gpu['name']}: {gpu['gpu_mhz'] or '?'} MHz, {gpu['gpu_temperature_c'] or '?'} °C")
    for problem in found:
        lines += [f"  {'wrong' if problem.severity else 'hint'}: {problem.what}", f"      -> {problem.remedy}"]
    verdict = verdict_of(spread, found, target)
    if verdict != "quiet" and not any(problem.severity for problem in found):
        lines.append(
            "  no visible cause; it may be heat, or other virtual machines on the host, which are invisible here"
        )
    last_lines = {
        "quiet": "QUIET: ready for measurements",
        "noisy": f"NOISY: equal measurements will differ by {floor} or more (target {_percent(target)})"
        if spread.noise_floor > target
        else "NOISY: the times are steady now, but the problems above will mark cells as disturbed",
        "unfit": "NOT FIT for measurements now",
    }
    return [*lines, last_lines[verdict]]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"


def fixed_work(threads: int) -> Callable[[], None]:
    """Return a function with the work of a speech model, 50 to 150 ms on a usual machine, after a warm-up.

    For each thread: the first matrix products over 30 s of speech in an encoder of whisper-tiny's size, and two steps
    of its decoder, each with many small products and the large one that scores every word of the vocabulary.
    """
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    speech, token = torch.randn(1500, 384), torch.randn(1, 384)
    up, down, across = torch.randn(384, 1536), torch.randn(1536, 384), torch.randn(384, 384) / 20
    words = torch.randn(384, 51865)

    @torch.inference_mode()
    def work() -> None:
        for _ in range(threads):
            torch.nn.functional.gelu(speech @ up) @ down
            for _ in range(2):
                state = token
                for _ in range(24):
                    state = state @ across
                state @ words

    begin = time.perf_counter()
    while time.perf_counter() - begin < WARMUP_S:
        work()
    return work


def check(threads: int, seconds: float) -> tuple[TimingSpread, MachineState]:
    """Repeat the fixed work for some seconds; return the spread of its times and the state of the machine."""
    work = fixed_work(threads)
    used_s_before, swapped_before = _cpu_s_of_others(), _swapped_pages()
    watch = interference.Watch("cpu")
    begin = time.perf_counter()
    passes_s: list[float] = []
    while len(passes_s) < MIN_PASSES or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        work()
        passes_s.append(time.perf_counter() - start)
        watch.sample()
    activity = watch.report()
    return spread_of(passes_s), MachineState(
        activity=activity,
        busiest=_busiest(used_s_before, _cpu_s_of_others(), activity["seconds"]),
        n_cpus=available_cpus(),
        governor=probes.governor(),
        swap_bytes=1024 * (_count("/proc/meminfo", "SwapTotal:") - _count("/proc/meminfo", "SwapFree:")),
        swapped_pages=_swapped_pages() - swapped_before,
        gpus=[] if cuda.missing() else _gpus(),
    )


Process = tuple[int, int, str]


def _cpu_s_of_others() -> dict[Process, float]:
    """Return the CPU seconds of every other visible process, by its number, start and name."""
    used_s: dict[Process, float] = {}
    for entry in os.listdir("/proc"):
        stat = probes.read(f"/proc/{entry}/stat") if entry.isdigit() and int(entry) != os.getpid() else None
        if stat:
            # The name is in parentheses, and may contain some itself.
            name, fields = stat.partition("(")[2].rpartition(")")[0], stat.rpartition(")")[2].split()
            used_s[int(entry), int(fields[19]), name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used_s


def _busiest(before: dict[Process, float], after: dict[Process, float], seconds: float) -> list[str]:
    """Return the processes with the most CPU time and the cores they used, without processes that ended meanwhile."""
    cores = {process: (used_s - before.get(process, 0.0)) / seconds for process, used_s in after.items()}
    named = sorted((process for process in cores if cores[process] >= NAMED_CPU_CORES), key=lambda p: -cores[p])
    return [f"{printable(name)} (pid {pid}) {cores[pid, started, name]:.2f}" for pid, started, name in named[:N_NAMED]]


def _swapped_pages() -> int:
    """Return the number of pages swapped out or in since boot."""
    return _count("/proc/vmstat", "pswpin") + _count("/proc/vmstat", "pswpout")


def _count(path: str, name: str) -> int:
    """Return the number beside a name; 0 if the file has none, because there is no swap then."""
    return sum(int(line.split()[1]) for line in (probes.read(path) or "").splitlines() if line.split()[0] == name)


def _gpus() -> list[dict[str, Any]]:
    """Return name, persistence mode and activity of every NVIDIA GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
        cards = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    return [
        {"name": pynvml.nvmlDeviceGetName(card), "persistence_mode": _persistence_mode(card)}
        | interference.gpu_activity(card, own_context=False)
        for card in cards
    ]


def _persistence_mode(card: Any) -> bool | None:
    import pynvml

    try:
        return bool(pynvml.nvmlDeviceGetPersistenceMode(card))
    except pynvml.NVMLError:
        return None
