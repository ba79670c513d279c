"""Load tests that never were: cells with passes, rates that were tried, and the tables that become of both."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from asrmeter.analysis.capacity_tables import LoadTest, tables
from asrmeter.records.events import Event, Probe, Searched, Window
from asrmeter.records.load_rows import LoadHeader, rows_of
from asrmeter.study import validation
from asrmeter.study.model import Study
from helpers.tables import Cell, cell

LOAD: dict[str, Any] = {"target_latency_s": 1.0, "max_batch": 4, "models": ["whisper-tiny.en"], "variants": ["fp32"]}
# Seconds of a pass by batch size.
PASS_S = {1: 0.1, 2: 0.15, 4: 0.25}
WAY = ("whisper-tiny.en", "fp32", "cpu")


def load_study(**changes: Any) -> Study:
    """Return a study of one class and two variants, the first of which is load-tested."""
    asked: dict[str, Any] = {
        "name": "load",
        "models": {"whisper-tiny.en": {}},
        "variants": {"fp32": {}, "ct2-int8": {"runtime": "ctranslate2", "format": "int8"}},
        "devices": ["cpu"],
        "durations_s": [5],
        "batch_sizes": [*PASS_S],
        "load": LOAD,
    }
    return validation.from_json(asked | changes, "load.yaml")


def load_cells(study: Study, factor: float = 1.0) -> list[Cell]:
    """Return the cells of a study, of which all are measured."""
    return [
        cell(
            model=model,
            variant=variant,
            device="cpu",
            duration_s=5,
            batch_size=size,
            status="ok",
            audio_s_mean=4.0,
            latency_s_median=factor * seconds,
            latency_s_ci_low=0.9 * factor * seconds,
            latency_s_ci_high=1.1 * factor * seconds,
        )
        for model in study.models
        for variant in study.variants
        for size, seconds in PASS_S.items()
    ]


def passes_of(cells: Sequence[Cell]) -> list[Cell]:
    """Return the passes of cells, which scatter by a hundredth."""
    names = ("model", "variant", "device", "duration_s", "batch_size", "status")
    return [
        {name: row[name] for name in names} | {"phase": phase, "latency_s": (1 + off / 100) * row["latency_s_median"]}
        for row in cells
        for off in (-1, 0, 1)
        for phase in ("warmup", "latency")
    ]


def probe(number: int, rate_per_s: float, valid: bool = True, n: int = 400, **changes: Any) -> Probe:
    """Return a rate that was tried, with latencies that grow with it."""
    latencies_s = [round(float(one), 6) for one in np.linspace(0.1, 0.02 * rate_per_s, n)]
    window = Window(n_passes=1, seconds=60.0, cpu_j=900.0, gpu_j=None, ram_j=12.0)
    told = {
        "number": number,
        "target_per_s": rate_per_s,
        "offered_per_s": 0.99 * rate_per_s,
        "completed_per_s": 0.98 * rate_per_s,
        "n_requests": n,
        "is_valid": valid,
        "gave_up": False,
        "took_s": 60.0,
        "busy_s": 45.0,
        "generator_cpu_s": 0.3,
        "latencies_s": latencies_s,
        "batch_sizes": [1, 2, 4],
        "summary": "Result is : VALID",
        "window": window,
        "method_cpu": "cpu_load_model",
        **changes,
    }
    return Probe(**told)


def load_header(**changes: Any) -> LoadHeader:
    """Return the header of a load test that went well."""
    told = {
        **dict(zip(("model", "variant", "device"), WAY, strict=True)),
        "duration_s": 5,
        "batch_size": 4,
        "load_version": 1,
        "load": {},
        "status": "ok",
        "low_per_s": 14.0,
        "high_per_s": 14.6,
        **changes,
    }
    return LoadHeader(**told)


def load_test(events: Sequence[Event], header: LoadHeader | None = None) -> LoadTest:
    """Return the record of a load test as if it had been read."""
    header = header or load_header()
    common = vars(header) | {"max_batch": 4, "max_wait_s": 0.05, "target_latency_s": 1.0, "percentile": 0.95}
    return LoadTest(header, rows_of(common, events))


EVENTS: tuple[Event, ...] = (
    probe(1, 14.0),
    probe(2, 14.6, valid=False),
    probe(3, 40.0, valid=False, gave_up=True, n=300),
    probe(4, 7.0, n=50),
    Searched(low_per_s=14.0, high_per_s=14.6, is_narrow=True),
)


def example_capacities(study: Study) -> tuple[list[Cell], list[Cell]]:
    """Return the rows of `loads` and `capacities` of a study whose first variant was load-tested."""
    cells = load_cells(study)
    loads, capacities = tables(study, cells, passes_of(cells), {"/".join(WAY): load_test(EVENTS)})
    return [dict(row) for row in loads], [dict(row) for row in capacities]


@functools.cache
def known_capacities() -> tuple[list[Cell], list[Cell]]:
    """Return the rows of `loads` and `capacities` of a study with prices, worked out once."""
    tariff = {"currency": "EUR", "price_per_device_hour": {"cpu": 1.5}}
    return example_capacities(load_study(report={"tariff": tariff}))
