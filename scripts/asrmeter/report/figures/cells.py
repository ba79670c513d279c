"""Figures of the cells table along durations and batch sizes: see `grid` for how they are drawn."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from asrmeter.analysis.bottlenecks import over_cpu
from asrmeter.analysis.results import energy_method, memory_bytes
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS, MODELLED_METHODS
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.grid import PanelSpec, column, commonest_reason, grid_figure
from asrmeter.report.figures.style import message, names_in


def _reversed(name: str, end: str) -> Callable[[Row], float | None]:
    """Return a function that gives a rate's end of the interval: that of the latency turned over."""

    def value(row: Row) -> float | None:
        latency_s, end_s = row["latency_s_median"], row[f"latency_s_ci_{end}"]
        return row[name] * latency_s / end_s if row[name] is not None and latency_s is not None and end_s else None

    return value


def _energy_kinds(rows: Sequence[Row], context: FigureContext) -> str:
    """Return how the energies of a panel came about."""
    basis = context.words["basis"]
    kinds = {"modelled_short" if energy_method(row) in MODELLED_METHODS else "measured_short" for row in rows}
    return ", ".join(basis[kind] for kind in sorted(kinds))


def _why_no_energy(row: Row, context: FigureContext) -> str:
    return row["energy_note"] or context.words["why_null"]["method"].format(method=energy_method(row))


def _why_no_wer(row: Row, context: FigureContext) -> str:
    why = context.words["why_null"]
    return why["random"] if row["weights"] == "random" else row["reason"] or row.get("wer_note") or why["not_scored"]


def _memory_kind(rows: Sequence[Row], context: FigureContext) -> str:
    return context.text("device_memory" if rows[0]["device"] == "cuda" else "process_memory")


LATENCY = PanelSpec(
    value=column("latency_s_median"),
    label="latency",
    nothing="no_cell",
    along="duration_s",
    panels="batch_size",
    low=column("latency_s_ci_low"),
    high=column("latency_s_ci_high"),
    timed=True,
)
LATENCY_BATCH = replace(LATENCY, along="batch_size", panels="duration_s")
THROUGHPUT = replace(
    LATENCY_BATCH,
    value=column("samples_per_s"),
    label="segments_per_s",
    low=_reversed("samples_per_s", "high"),
    high=_reversed("samples_per_s", "low"),
)
RTFX = replace(
    THROUGHPUT,
    value=column("rtfx"),
    label="rtfx",
    low=_reversed("rtfx", "high"),
    high=_reversed("rtfx", "low"),
)
ENERGY = PanelSpec(
    value=column("energy_j_per_sample"),
    label="energy_mixed",
    nothing="no_energy",
    along="duration_s",
    panels="batch_size",
    why=_why_no_energy,
    title=_energy_kinds,
    secondary=column("energy_net_j_per_sample"),
    no_secondary="no_net",
)
MEMORY = PanelSpec(
    value=lambda row: None if (peak := memory_bytes(row)) is None else peak / 1e9,
    label="memory",
    nothing="no_memory",
    along="duration_s",
    panels="batch_size",
    title=_memory_kind,
)
OVER_CPU = replace(
    LATENCY,
    value=column("over_cpu"),
    label="over_cpu",
    low=column("over_cpu_low"),
    high=column("over_cpu_high"),
    reference_line=1.0,
)
WER = PanelSpec(
    value=column("wer", 100),
    label="wer",
    nothing="no_wer",
    along="duration_s",
    low=column("wer_ci_low", 100),
    high=column("wer_ci_high", 100),
    joined=False,
    why=_why_no_wer,
)


def latency_figure(context: FigureContext) -> Figure:
    """Draw the median latency of a pass in seconds against the duration of a segment, a panel per batch size."""
    return grid_figure(context, LATENCY)


def latency_batch_figure(context: FigureContext) -> Figure:
    """Draw the median latency of a pass in seconds against the batch size, a panel per duration class."""
    return grid_figure(context, LATENCY_BATCH)


def throughput_figure(context: FigureContext) -> Figure:
    """Draw segments per second against the batch size, and where larger batches bring no more."""
    return grid_figure(context, replace(THROUGHPUT, highlighted=_saturation(context)))


def rtfx_figure(context: FigureContext) -> Figure:
    """Draw RTFx, seconds of audio per second, against the batch size, and where larger batches bring no more."""
    return grid_figure(context, replace(RTFX, highlighted=_saturation(context)))


def energy_figure(context: FigureContext) -> Figure:
    """Draw the energy of the cell's own device in joules per segment, gross and net; modelled figures say so."""
    with_energy = [row for row in context.drawn if row["energy_j_per_sample"] is not None]
    kinds = frozenset(energy_method(row) in MODELLED_METHODS for row in with_energy)
    pure = {frozenset({True}): "energy_modelled", frozenset({False}): "energy_measured"}
    label = pure.get(kinds, "energy_mixed")
    return grid_figure(context, replace(ENERGY, label=label))


def memory_figure(context: FigureContext) -> Figure:
    """Draw the peak of the memory of the cell's own device in GB (1e9 bytes)."""
    return grid_figure(context, MEMORY)


def wer_figure(context: FigureContext) -> Figure:
    """Draw the WER in per cent by duration class, at the smallest batch size that was scored."""
    scored = {row["batch_size"] for row in context.drawn if row["status"] in MEASURED_STATUS and row["wer"] is not None}
    batch_size = min(scored, default=None)
    at_batch = [row for row in context.drawn if batch_size in (None, row["batch_size"])]
    return grid_figure(context, replace(WER, title=lambda *_: context.text("panel_batch", value=batch_size)), at_batch)


def gpu_over_cpu_figure(context: FigureContext) -> Figure:
    """Draw how many times as long a pass takes on the CPU as on the GPU, a panel per batch size."""
    if pairs := over_cpu(context.drawn):
        return grid_figure(context, OVER_CPU, pairs)
    failed = [row for row in context.drawn if row["status"] not in MEASURED_STATUS]
    devices = names_in(context.drawn, "device")
    alone = len(devices) == 1
    reason = context.text("one_device", device=devices[0]) if alone else commonest_reason(failed, OVER_CPU, context)
    return message(context.text("no_pair", reason=reason))


def _saturation(context: FigureContext) -> Callable[[Row], bool]:
    """Return a function that tells whether larger batches than a cell's bring no more."""
    key = ("model", "variant", "device", "duration_s")
    saturated = {
        (*(row[name] for name in key), row["saturation_batch"]) for row in context.tables.scaling if row["saturated"]
    }
    return lambda row: (*(row[name] for name in key), row["batch_size"]) in saturated
