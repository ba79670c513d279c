"""The tables `loads` and `capacities`: what a machine was seen to carry, and what a model of it says beside.

Every model and variant on a device has a row in `capacities`. Measured and modelled stand in columns of their own.
"""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from asrmeter.analysis.capacity_columns import CAPACITIES, KEY, LOADS, MEASURED, MODELLED, OF_MODELLED
from asrmeter.analysis.capacity_model import Modelled, Target
from asrmeter.analysis.costs import machine_price
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.results import is_measured
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records import load_rows
from asrmeter.records.load_rows import PERCENTILES, LoadHeader
from asrmeter.study import grid
from asrmeter.study.fingerprints import settings_of_load
from asrmeter.study.model import Study, Tariff

# Of load tests: the interval of what they find holds 95 of 100.
_OF_LOAD_TESTS = {"low": 0.975, "high": 0.025}
# Everybody speaks all the time: 100 seconds of audio a second.
SPEAKERS = 100
# The points of the modelled curve, as parts of the modelled capacity.
_OF_CURVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.03)


@dataclass(frozen=True)
class LoadTest:
    """The record of a load test: its header and its rows; or why it cannot be used."""

    header: LoadHeader | None
    rows: Sequence[Row]
    fault: str | None = None


def tables(
    study: Study, cells: Sequence[Row], passes: Iterable[Row], tests: Mapping[str, LoadTest]
) -> tuple[list[Row], list[Row]]:
    """Return the rows of `loads` and of `capacities`; none for a study without `load`.

    `cells` and `passes` are the rows of those tables, `tests` the records of load tests by model, variant and device.
    """
    loads: list[Row] = []
    capacities: list[Row] = []
    if study.load is None:
        return loads, capacities
    target = Target.of(settings_of_load(study.as_json()))
    comparable, elsewhere = split_by_hardware(list(cells))
    latencies_s = _latencies_s(passes)
    for asked in grid.of_load(study):
        way = grid.way_id(asked)
        own = [
            row
            for row in (*comparable, *elsewhere)
            if f"{row['model']}/{row['variant']}/{row['device']}" == way and row["duration_s"] == asked.duration_s
        ]
        found = _Way(asked, own, target, latencies_s, tests.get(way), set(map(_cell_key, comparable)))
        loads += found.loads()
        capacities.append(found.capacity(study.report.tariff))
    return loads, capacities


def _latencies_s(passes: Iterable[Row]) -> dict[tuple[object, ...], list[float]]:
    found: dict[tuple[object, ...], list[float]] = {}
    for one in passes:
        if one["phase"] == "latency" and one["status"] in MEASURED_STATUS:
            found.setdefault(_cell_key(one), []).append(one["latency_s"])
    return found


def _cell_key(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in (*KEY, "duration_s", "batch_size"))


class _Way:
    """A model and variant on a device: its cells of the class, its load test, and its model."""

    def __init__(
        self,
        asked: grid.Cell,
        cells: Sequence[Row],
        target: Target,
        latencies_s: Mapping[tuple[object, ...], list[float]],
        test: LoadTest | None,
        comparable: Collection[tuple[object, ...]],
    ) -> None:
        self._asked, self._cells, self._target, self._test = asked, cells, target, test
        usable = [row for row in cells if is_measured(row) and row["batch_size"] <= target.max_batch]
        self._by_size = {
            row["batch_size"]: row for row in usable if _cell_key(row) in latencies_s and _cell_key(row) in comparable
        }
        passes_s = {size: latencies_s[_cell_key(row)] for size, row in self._by_size.items()}
        self._model = Modelled(passes_s, target) if passes_s else None

    @property
    def _key(self) -> Row:
        return {name: getattr(self._asked, name) for name in (*KEY, "duration_s")}

    def loads(self) -> list[Row]:
        """Return the rates that were tried, and the points of the modelled curve."""
        tried = self._test.rows if self._test else []
        rows = [self._tried(row) for row in tried]
        if self._model is None or not self._model.capacity_per_s:
            return rows
        common = {
            **self._key,
            "source": MODELLED,
            "max_batch": self._model.max_batch,
            "max_wait_s": self._target.max_wait_s,
            "target_latency_s": self._target.target_latency_s,
            "percentile": self._target.percentile,
            "status": "ok",
        }
        for part in _OF_CURVE:
            rate = part * self._model.capacity_per_s
            told = {"offered_per_s": rate, **self._latencies(rate)}
            rows.append({**dict.fromkeys(LOADS.names), **common, **told})
        return rows

    def _tried(self, row: Row) -> Row:
        own = {name: row[name] for name in load_rows.LOADS.names} | {"source": MEASURED}
        rate = row["offered_per_s"]
        return {**dict.fromkeys(LOADS.names), **own, **(self._latencies(rate) if rate and self._model else {})}

    def _latencies(self, rate_per_s: float) -> Row:
        assert self._model is not None
        found = self._model.percentiles_s(rate_per_s, PERCENTILES)
        return dict(zip(OF_MODELLED.values(), found, strict=True))

    def capacity(self, tariff: Tariff) -> Row:
        """Return the row of `capacities`."""
        row = {
            **dict.fromkeys(CAPACITIES.names),
            **self._key,
            **{name: getattr(self._target, name) for name in ("max_batch", "target_latency_s", "percentile")},
            "weights": self._cells[0]["weights"],
            "source": MODELLED,
            "cost_currency": tariff.currency,
            **self._measured(),
            **self._modelled(machine_price(self._asked.device, tariff)),
        }
        measured, modelled = row["capacity_per_s"], row["capacity_per_s_modelled"]
        error = ratio(row["load_test_per_s_modelled"], measured)
        capacity = modelled if measured is None else measured
        audio_s = row["audio_s_mean"]
        return {
            **row,
            "model_error": None if error is None else error - 1,
            "speakers": None if None in (capacity, audio_s) else capacity * audio_s,
        }

    def _measured(self) -> Row:
        if self._test is None:
            return {"status": None, "reason": "it was not load-tested"}
        if self._test.header is None:
            return {"status": "unreadable", "reason": self._test.fault}
        told = self._test.header
        went = {"status": told.status, "reason": told.reason}
        if told.low_per_s is None:
            return went
        low, high = (self._came(rate) for rate in (told.low_per_s, told.high_per_s))
        assert low is not None
        ends = {"low": low, "high": high}
        # By a verdict on few requests another test of the same length finds something else.
        middle = self._model.load_test_per_s if self._model else 0.0
        if self._model and middle and high is not None:
            found = {end: low * self._model.valid_per_s(share) / middle for end, share in _OF_LOAD_TESTS.items()}
            ends = {"low": min(low, found["low"]), "high": max(high, found["high"])}
        return {
            **went,
            "source": MEASURED,
            "capacity_per_s": low,
            **{f"capacity_per_s_{end}": rate for end, rate in ends.items()},
        }

    def _came(self, target_per_s: float | None) -> float | None:
        """Return the rate (1/s) at which requests came where LoadGen was asked for another: it draws their times."""
        if target_per_s is None:
            return None
        assert self._test is not None
        return statistics.fmean(row["offered_per_s"] for row in self._test.rows if row["target_per_s"] == target_per_s)

    def _modelled(self, price: float | None) -> Row:
        if self._model is None:
            return {"reason_modelled": next((row["reason"] for row in self._cells if row["reason"]), "not measured")}
        audio_s = next(iter(self._by_size.values()))["audio_s_mean"]
        capped = self._model.max_batch < self._target.max_batch
        row: dict[str, object] = {
            "load_test_per_s_modelled": self._model.load_test_per_s,
            "audio_s_mean": audio_s,
            "max_batch_modelled": self._model.max_batch,
            "reason_modelled": f"larger batches than {self._model.max_batch} were not measured" if capped else None,
        }
        ends = {"": self._model, "_low": self._at("latency_s_ci_high"), "_high": self._at("latency_s_ci_low")}
        # Machines that carry less are more.
        for end, machines in (("", ""), ("_low", "_high"), ("_high", "_low")):
            if (model := ends[end]) is None:
                continue
            row[f"capacity_per_s_modelled{end}"] = model.capacity_per_s
            n = model.machines_for(SPEAKERS / audio_s) if audio_s else None
            row[f"machines_for_100{machines}"] = n
            if price is not None and n is not None:
                row[f"cost_per_audio_hour{machines}"] = n * price / SPEAKERS
        return row

    def _at(self, end: str) -> Modelled | None:
        """Return the model where every cell has the latency of one end of its interval; None where one has none."""
        assert self._model is not None
        if any(row[end] is None for row in self._by_size.values()):
            return None
        factors = {size: row[end] / row["latency_s_median"] for size, row in self._by_size.items()}
        return self._model.scaled(factors)
