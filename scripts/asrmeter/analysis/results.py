"""The results of cells: rows of the table `cells` as values with their intervals, in the units that are compared."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from asrmeter.analysis.cell_parts.accuracy import NO_WORDS
from asrmeter.analysis.hardware import Hardware, hardware_of
from asrmeter.analysis.table_rows import cell_name
from asrmeter.common import constants
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_METHODS, MEASURED_STATUS, MODELLED_METHODS

Candidate = tuple[str, str]
BASELINE = constants.BASELINE


@dataclass(frozen=True)
class Effort:
    """What was spent on a cell in all laps: seconds of its jobs and of its timed passes, None where not known."""

    job_s: float | None
    timed_s: float | None


@dataclass(frozen=True)
class CellResult:
    """One measured cell: a model and variant on a device, for a duration class, at a batch size.

    `latency` is in seconds a pass, `rtfx` in seconds of audio per second, `energy` in watt-hours per hour of audio
    (the same number as joules per second of audio); `energy_method` says where the last one came from. `wer` is a share
    of words, None where weights are random or nothing was scored, as `wer_note` says, over `n_words` words of
    `n_segments` segments; `memory_bytes` is the peak of the device's own memory. `latency_p95` is over requests, in
    seconds, None where the requests were too few for it; then `latency_p95_at_least` is what it is not below, if that
    is known. `hardware` is what it was measured on. `errors` are there where the transcripts were at hand.
    `disturbance` says what disturbed the measurement in every lap, "" if nothing did: such a result wins and loses
    nothing. `effort` is what was spent on it. `equal_settings` says whether it decodes as the baseline does, and
    `differences` what differs by nature. `capacity` is how many requests a second its machine carries, None where that
    is not known, and `load_curve` the 95th percentile of the waiting time (s) at rates (1/s): see `under_load`.
    """

    cell: str
    model: str
    variant: str
    weights: str
    device: str
    duration_s: int
    batch_size: int
    converged: bool
    disturbance: str
    latency: Estimate
    rtfx: Estimate
    energy: Estimate | None
    energy_method: str
    wer: Estimate | None
    memory_bytes: int | None
    latency_p95: Estimate | None
    latency_p95_at_least: float | None
    n_segments: int
    n_words: int
    wer_note: str
    hardware: Hardware
    effort: Effort
    equal_settings: bool = True
    differences: tuple[str, ...] = ()
    capacity: Estimate | None = None
    load_curve: tuple[tuple[float, float], ...] = field(default=(), compare=False, repr=False)
    # By segment: its name, the words that are wrong and all of its words.
    errors: tuple[tuple[str, int, int], ...] = field(default=(), compare=False, repr=False)

    @property
    def candidate(self) -> Candidate:
        """The model and its variant: what is chosen between."""
        return self.model, self.variant

    @property
    def writes_words(self) -> bool:
        """Whether a WER could be had of it at all: not of random weights, nor of phonemes."""
        return self.weights != "random" and self.wer_note != NO_WORDS

    @property
    def audio_s(self) -> float:
        """The mean length of the segments that were timed, in seconds: that of a class is only nominal."""
        return self.rtfx.value * self.latency.value / self.batch_size

    @property
    def energy_is_modelled(self) -> bool:
        """Whether the energy comes from a model of the device instead of a counter."""
        return self.energy_method in MODELLED_METHODS


def energy_method(row: Row) -> str:
    """Return where the energy of the cell's own device came from; `none` where it was not measured."""
    return row["energy_method_cpu" if row["device"] == "cpu" else "energy_method_gpu"] or "none"


def memory_bytes(row: Row) -> int | None:
    """Return the peak of the memory of the cell's own device: the process' on the CPU, the GPU's on cuda."""
    peak = row["peak_device_bytes" if row["device"] == "cuda" else "peak_rss_bytes"]
    return None if peak is None else int(peak)


def latency_of(row: Row) -> Estimate:
    """Return the latency of a measured cell in seconds a pass, with its interval and its device's noise floor.

    Two cells of one device and the same laps are a block: the machine was as slow in a lap for both.
    """
    median, low, high = (row[f"latency_s_{part}"] for part in ("median", "ci_low", "ci_high"))
    block = f"{row['device']} {hardware_of(row)} laps {row['laps']}" if row["laps"] else None
    return Estimate(median, low, high, row["noise_floor"], row["latency_own_se"], row["latency_own_df"], block)


def energy_of(row: Row) -> Estimate | None:
    """Return the energy in Wh per hour of audio; None where there is none, or a meter that did not count.

    It is a power times the latency, and has the latency's interval; how far the windows of a counter scatter is a
    floor. One window, and what is modelled, has no interval: by such energies nothing is told apart.
    """
    if not row["energy_j_per_sample"] or not row["audio_s_mean"]:
        return None
    value = row["energy_j_per_sample"] / row["audio_s_mean"]
    floor = max((one for one in (row["noise_floor"], row["energy_range_rel"]) if one is not None), default=None)
    if row["energy_range_rel"] is None or energy_method(row) in MODELLED_METHODS or not row["latency_s_median"]:
        return Estimate(value, floor=floor)
    latency = latency_of(row)
    low, high = (None if end is None else value * end / latency.value for end in (latency.low, latency.high))
    return replace(latency, value=value, low=low, high=high, floor=floor)


def disturbance_of(row: Row) -> str:
    """Return what disturbed the measurement of a cell in every lap, or ""."""
    return (row["disturbance"] or "disturbed") if row["disturbed"] else ""


def n_errors(transcript: Row) -> int:
    """Return the errors of one transcript: substitutions, deletions and insertions."""
    return int(transcript["n_substitutions"] + transcript["n_deletions"] + transcript["n_insertions"])


def results_of(cells: Iterable[Row], transcripts: Iterable[Row] = ()) -> list[CellResult]:
    """Return the cells that have a latency, in the order of their names; the others are those of `unmeasured`.

    With `transcripts` the results have the errors of each segment.
    """
    errors: dict[str, list[tuple[str, int, int]]] = {}
    for row in transcripts:
        errors.setdefault(cell_name(row), []).append((row["segment_id"], n_errors(row), row["n_words"]))
    measured = filter(is_measured, cells)
    return sorted((_result(row, tuple(sorted(errors.get(cell_name(row), ())))) for row in measured), key=_order)


def is_measured(row: Row) -> bool:
    """Return whether a cell has a latency, disturbed or not."""
    return bool(row["status"] in MEASURED_STATUS and row["latency_s_median"] and row["rtfx"])


def are_apart(one: Estimate, other: Estimate) -> bool:
    """Return whether two WERs differ by their intervals: both are known, and do not overlap."""
    return None not in (one.low, one.high, other.low, other.high) and not one.overlaps(other)


def undisturbed(results: Iterable[CellResult]) -> list[CellResult]:
    """Return the results that can win or lose: those that were not disturbed in every lap."""
    return [result for result in results if not result.disturbance]


def comparable_energy(results: Iterable[CellResult]) -> dict[CellResult, Estimate]:
    """Return the energies in Wh per hour of audio: the measured ones if there are any, else the modelled ones."""
    known = {result: result.energy for result in results if result.energy is not None}
    measured = {result: energy for result, energy in known.items() if result.energy_method in MEASURED_METHODS}
    return measured or known


def _order(result: CellResult) -> tuple[str, str, str, int, int]:
    return result.model, result.variant, result.device, result.duration_s, result.batch_size


def _result(row: Row, errors: tuple[tuple[str, int, int], ...]) -> CellResult:
    latency = latency_of(row)
    return CellResult(
        cell=cell_name(row),
        model=row["model"],
        variant=row["variant"],
        weights=row["weights"],
        device=row["device"],
        duration_s=row["duration_s"],
        batch_size=row["batch_size"],
        converged=row["status"] == "ok",
        disturbance=disturbance_of(row),
        latency=latency,
        rtfx=row["rtfx"] * latency.value / latency,
        energy=energy_of(row),
        energy_method=energy_method(row),
        wer=_wer(row),
        memory_bytes=memory_bytes(row),
        latency_p95=_p95(row),
        latency_p95_at_least=row["latency_s_p95_ci_low"],
        n_segments=int(row["n_segments"] or 0),
        n_words=int(row["wer_words"] or 0),
        wer_note=row["wer_note"] or "",
        hardware=hardware_of(row),
        effort=effort_of(row),
        # Older tables do not say it.
        equal_settings=row.get("equal_settings") is not False,
        differences=tuple(row.get("differences") or ()),
        errors=errors if row["weights"] != "random" else (),
    )


def _wer(row: Row) -> Estimate | None:
    if row["wer"] is None or row["weights"] == "random":
        return None
    return Estimate(row["wer"], row["wer_ci_low"], row["wer_ci_high"])


def _p95(row: Row) -> Estimate | None:
    value, low, high = (row[f"latency_s_p95{end}"] for end in ("", "_ci_low", "_ci_high"))
    return None if value is None else Estimate(value, low, high)


def effort_of(row: Row) -> Effort:
    """Return what was spent on a cell."""
    return Effort(row["job_s"], row["timed_s"])
