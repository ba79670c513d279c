"""Constructed rows of the table of layouts."""

from typing import Any

from asrmeter.analysis.layouts import LAYOUTS
from helpers.tables import Cell


def layout(processes: int, threads: int, rate: float | None = 4.0, ratio: float | None = 1.0, **changes: Any) -> Cell:
    """Return a row of the table; the interval of the rate is 5 % to either side, that of the ratio 0.1."""
    row = dict.fromkeys(LAYOUTS.names) | {"model": "whisper-base", "variant": "fp32", "device": "cpu"}
    row |= {"duration_s": 30, "batch_size": 1, "processes": processes, "threads": threads, "weights": "pretrained"}
    row |= {"n_laps": 3, "n_passes": 90, "status": "ok", "disturbed": False, "samples_per_s": rate}
    row |= {"ratio_to_first": ratio, "pss_bytes": 600_000_000 * processes}
    if rate is not None:
        row |= {"samples_per_s_low": rate * 0.95, "samples_per_s_high": rate * 1.05, "rtfx": rate * 28}
        row |= {"latency_s_median": processes / rate}
    if ratio not in (None, 1.0):
        row |= {"ratio_to_first_low": ratio - 0.1, "ratio_to_first_high": ratio + 0.1}
    return row | changes


def example_layouts(models: tuple[str, ...] = ("whisper-tiny.en", "whisper-base")) -> list[Cell]:
    """Return rows of every kind: better, worse, no different, without an interval, disturbed, failed."""
    rows = []
    for model in models:
        rows += [layout(1, 4, model=model), layout(2, 2, 6.4, 1.6, model=model), layout(4, 1, 3.0, 0.75, model=model)]
        of_variant = {"model": model, "variant": "int8"}
        bare = {"ratio_to_first_low": None, "ratio_to_first_high": None, "disturbed": True, "disturbance": "others"}
        rows += [layout(1, 4, **of_variant), layout(2, 2, 4.2, 1.05, **of_variant | bare)]
        failed = {"status": "oom", "reason": "process 2 of 4: 8", "disturbed": None, "n_passes": 0, "pss_bytes": None}
        rows.append(layout(4, 1, None, None, **of_variant | failed))
    return rows
