"""Rows of the tables as figures and report read them, and the settings that they tell of.

A table is a list of rows, a row maps a column's name to its value, and a value that was not measured is None.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.stats import Estimate
from asrmeter.common.vocabulary import MEASURED_METHODS, MEASURED_STATUS, MODELLED_METHODS
from asrmeter.study.grid import Cell

Row = Mapping[str, Any]
Candidate = tuple[str, str]
# The kind of machine, the device's name, and the threads that the CPU was measured with.
Hardware = tuple[str | None, str | None, int | None]
# The variant that others are held against.
BASELINE = "fp32"
# What figures and report read of the tables.
CELL_COLUMNS = (
    "model", "weights", "family", "variant", "device", "device_name", "duration_s", "batch_size", "threads", "status",
    "reason", "n_passes", "latency_s_median", "latency_s_ci_low", "latency_s_ci_high", "latency_s_p95",
    "features_s_median", "encoder_s_median", "decoder_s_median", "text_s_median", "samples_per_s", "rtfx",
    "energy_j_per_sample", "energy_cpu_j_per_sample", "energy_gpu_j_per_sample", "energy_ram_j_per_sample",
    "energy_net_j_per_sample", "energy_method_cpu", "energy_method_gpu", "energy_note", "energy_range_rel",
    "n_energy_windows", "energy_counter_difference", "counter_note", "idle_power_w", "peak_rss_bytes",
    "model_rss_bytes", "peak_device_bytes", "model_device_bytes", "n_windows_mean", "n_tokens_mean",
    "encoder_padding_share",
    "wer", "wer_ci_low", "wer_ci_high", "wer_plain", "wer_corpus", "wer_words", "cer", "cer_ci_low", "cer_ci_high",
    "n_substitutions", "n_deletions", "n_insertions", "n_empty", "n_hallucinated", "n_nondeterministic", "n_segments",
    "audio_s_mean", "tokens_per_s", "gflop_per_sample", "achieved_gflops", "gflop_note", "fork_server_import_cpu_s",
    "startup_cpu_s",
    "n_batches", "n_warmup_passes", "stage_coverage", "disturbed", "disturbance", "n_attempts",
    "other_processes_cpu_cores",
    "steal_share", "cpu_mhz_min", "temperature_c_max", "n_throttle_events", "n_foreign_gpu_processes",
    "protocol", "noise_floor", "noise_floor_note", "machine_id", "cpu_name", "n_cpus", "memory_bytes", "os",
    "gpu_name", "driver_version", "python_version", "torch_version", "transformers_version", "normaliser",
    "normaliser_plain", "normaliser_corpus", "decoding", "corpus_sha256", "weights_sha256", "commit", "started_at",
    "measured_at",
)  # fmt: skip
NOISE_COLUMNS = (
    "model", "variant", "device", "duration_s", "batch_size", "latency_s_median", "latency_s_ci_low",
    "latency_s_ci_high", "latency_s_median_again", "latency_s_ci_low_again", "latency_s_ci_high_again",
    "relative_difference", "overlap", "note",
)  # fmt: skip
TRANSCRIPT_COLUMNS = (
    "model", "variant", "device", "duration_s", "batch_size", "segment_id", "reference", "hypothesis",
    "reference_normalised", "hypothesis_normalised", "n_words", "n_substitutions", "n_deletions", "n_insertions",
)  # fmt: skip

# Without these a row of a cell, and one of a segment, says nothing.
_OF_CELL = ("model", "variant", "device", "duration_s", "batch_size")
_OF_SEGMENT = ("segment_id", "n_words")


@dataclass(frozen=True)
class Setting:
    """One measured cell: a model and variant on a device, for a duration class, at a batch size.

    `latency` is in seconds a pass, `rtfx` in seconds of audio per second, `energy` in watt-hours per hour of audio
    (the same number as joules per second of audio); `energy_method` says where the last one came from. `wer` is a share
    of words, None where weights are random or nothing was scored, over `n_words` words of `n_segments` segments;
    `memory_bytes` is the peak of the device's own memory, `latency_p95` in seconds, None where the passes were too few
    for it. `hardware` is what it was measured on. `errors` are there where the transcripts were at hand. `disturbance`
    says what disturbed the measurement, "" if nothing did.
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
    n_segments: int
    n_words: int
    hardware: "Hardware"
    # By segment: its name, the words that are wrong and all of its words.
    errors: tuple[tuple[str, int, int], ...] = field(default=(), compare=False, repr=False)

    @property
    def candidate(self) -> Candidate:
        """The model and its variant: what is chosen between."""
        return self.model, self.variant

    @property
    def audio_s(self) -> float:
        """The mean length of the segments that were timed, in seconds: that of a class is only nominal."""
        return self.rtfx.value * self.latency.value / self.batch_size

    @property
    def energy_is_modelled(self) -> bool:
        """Whether the energy comes from a model of the device instead of a counter."""
        return self.energy_method in MODELLED_METHODS


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read columns of a Parquet table; null and what is no finite number become None.

    Raises:
        AsrmeterError: there is no such file, it is no Parquet file, it lacks one of `columns`, or a row lacks its name.
    """
    import pyarrow

    from asrmeter.common import parquet

    needed = {name for names in (_OF_CELL, _OF_SEGMENT) if set(names) <= set(columns) for name in names}
    values: list[list[Any]] = []
    try:
        file = parquet.opened(path)
        if lacking := [column for column in columns if column not in file.schema_arrow.names]:
            raise AsrmeterError(f"{path}: lacks {', '.join(lacking)}; make the tables again")
        # Column by column and no more of them than are needed: some tables are long.
        for name in columns:
            values.append([_without_nan(value) for value in file.read([name])[name].to_pylist()])
            if name in needed and None in values[-1]:
                raise AsrmeterError(f"{path}: {name} is missing in a row; delete it and run again")
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        why = one_line(error)
        raise AsrmeterError(f"{path}: cannot be read as a table; make it with scripts/collect.py ({why})") from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def cell_of(row: Row) -> Cell:
    """Return the cell that a row of any table belongs to."""
    return Cell(*(row[name] for name in ("model", "variant", "device", "duration_s", "batch_size")))


def cell_name(row: Row) -> str:
    """Return the name of a row's cell, such as `whisper-base/fp32/cpu/30s-b4`."""
    return cell_of(row).id


def hardware_of(row: Row) -> Hardware:
    """Return what a cell was measured on; nodes of a cluster that are alike are the same."""
    return row["machine_id"], row["device_name"], row["threads"] if row["device"] == "cpu" else None


def on_one_machine(cells: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Split cells into those that may be held against each other, and those that may not.

    Of each device only those count that were measured on the hardware that most were: a model is not slower for having
    met a slower node. Cells that were not measured say nothing of a machine, and stay.
    """
    timed = [row for row in cells if row["status"] in MEASURED_STATUS]
    counts = Counter((row["device"], hardware_of(row)) for row in timed)
    chosen: dict[str, Hardware] = {}
    for (device, hardware), _ in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))):
        chosen.setdefault(device, hardware)
    elsewhere = [row for row in timed if hardware_of(row) != chosen[row["device"]]]
    names = {cell_of(row) for row in elsewhere}
    return [row for row in cells if cell_of(row) not in names], elsewhere


def energy_method(row: Row) -> str:
    """Return where the energy of the cell's own device came from; `none` where it was not measured."""
    return row["energy_method_cpu" if row["device"] == "cpu" else "energy_method_gpu"] or "none"


def memory_bytes(row: Row) -> int | None:
    """Return the peak of the memory of the cell's own device: the process' on the CPU, the GPU's on cuda."""
    peak = row["peak_device_bytes" if row["device"] == "cuda" else "peak_rss_bytes"]
    return None if peak is None else int(peak)


def latency_of(row: Row) -> Estimate:
    """Return the latency of a measured cell in seconds a pass, with its interval and its device's noise floor."""
    median, low, high = (row[f"latency_s_{part}"] for part in ("median", "ci_low", "ci_high"))
    return Estimate(median, low, high, row["noise_floor"])


def energy_of(row: Row) -> Estimate | None:
    """Return the energy in Wh per hour of audio; None where there is none, or a meter that did not count.

    Several windows of a counter say how far they scatter, which is a floor. One window, and what is modelled, has no
    interval: by such energies nothing is told apart.
    """
    if not row["energy_j_per_sample"] or not row["audio_s_mean"]:
        return None
    value = row["energy_j_per_sample"] / row["audio_s_mean"]
    floor = max((one for one in (row["noise_floor"], row["energy_range_rel"]) if one is not None), default=None)
    scattered = row["energy_range_rel"] is not None and energy_method(row) not in MODELLED_METHODS
    return Estimate(value, value, value, floor) if scattered else Estimate(value, floor=floor)


def disturbance_of(row: Row) -> str:
    """Return what disturbed the measurement of a cell, or ""."""
    return (row["disturbance"] or "disturbed") if row["disturbed"] else ""


def n_errors(transcript: Row) -> int:
    """Return the errors of one transcript: substitutions, deletions and insertions."""
    return int(transcript["n_substitutions"] + transcript["n_deletions"] + transcript["n_insertions"])


def settings_of(cells: Iterable[Row], transcripts: Iterable[Row] = ()) -> list[Setting]:
    """Return the cells that have a latency, in the order of their names; failed cells are left out.

    With `transcripts`, their settings know the errors of each segment.
    """
    errors: dict[str, list[tuple[str, int, int]]] = {}
    for row in transcripts:
        errors.setdefault(cell_name(row), []).append((row["segment_id"], n_errors(row), row["n_words"]))
    measured = [row for row in cells if row["status"] in MEASURED_STATUS and row["latency_s_median"] and row["rtfx"]]
    return sorted((_setting(row, tuple(sorted(errors.get(cell_name(row), ())))) for row in measured), key=_order)


def comparable_energy(settings: Iterable[Setting]) -> dict[Setting, Estimate]:
    """Return the energies in Wh per hour of audio: the measured ones if there are any, else the modelled ones."""
    known = {setting: setting.energy for setting in settings if setting.energy is not None}
    measured = {setting: energy for setting, energy in known.items() if setting.energy_method in MEASURED_METHODS}
    return measured or known


def noise_floors(cells: Iterable[Row]) -> dict[str, Row]:
    """Return for each device a row that tells its `noise_floor`, the largest if there are several, or why it has none.

    Devices are sorted by name.
    """
    of_device: dict[str, Row] = {}
    for row in sorted(cells, key=lambda row: (row["device"], -(row["noise_floor"] or 0.0))):
        of_device.setdefault(row["device"], row)
    return of_device


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _order(setting: Setting) -> tuple[str, str, str, int, int]:
    return setting.model, setting.variant, setting.device, setting.duration_s, setting.batch_size


def _setting(row: Row, errors: tuple[tuple[str, int, int], ...]) -> Setting:
    latency = latency_of(row)
    return Setting(
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
        rtfx=latency.under(row["rtfx"] * latency.value),
        energy=energy_of(row),
        energy_method=energy_method(row),
        wer=_wer(row),
        memory_bytes=memory_bytes(row),
        latency_p95=None if row["latency_s_p95"] is None else Estimate(row["latency_s_p95"]),
        n_segments=int(row["n_segments"] or 0),
        n_words=int(row["wer_words"] or 0),
        hardware=hardware_of(row),
        errors=errors if row["weights"] != "random" else (),
    )


def _wer(row: Row) -> Estimate | None:
    if row["wer"] is None or row["weights"] == "random":
        return None
    return Estimate(row["wer"], row["wer_ci_low"], row["wer_ci_high"])
