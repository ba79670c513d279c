"""The figures of one setting on the first screen: each with its interval, or why there is none, and its limit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from asrmeter.analysis.limits import Check
from asrmeter.analysis.results import CellResult
from asrmeter.analysis.scenarios import Recommendation
from asrmeter.analysis.table_rows import cell_name
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NULL, interval, number
from asrmeter.report.html.amounts import amount, limit_amount, span

_PEAK = {"cpu": "peak_rss_bytes", "cuda": "peak_device_bytes"}


@dataclass(frozen=True)
class Tile:
    """A figure: its name, its value with a unit, and below it its interval or why there is none, and its limit."""

    name: Markup
    value: Markup
    notes: tuple[Markup, ...]


def tiles_of(
    recommendation: Recommendation, result: CellResult, checks: Sequence[Check], row: Row, words: Words
) -> Iterator[Tile]:
    """Yield the figures of a result whose row is `row`; `checks` compare it with the limits."""
    say = words["first"]
    limits = {check.key: check for check in checks}

    def tile(key: str, name: str, value: Estimate | None, why: str, no_interval: str) -> Tile:
        limit = [_limit(limits[key], words)] if key in limits else []
        if value is None:
            return _tile(say[name], Markup(NULL), why, *limit)
        ends = span(key, value, words)
        return _tile(say[name], amount(key, value.value, words), no_interval if ends == NULL else ends, *limit)

    scatter = say["disturbed" if result.disturbance else "no_interval"]
    yield tile("max_wer", "wer", result.wer, result.wer_note or say["not_measured"], say["no_interval"])
    request = tile("max_latency_s_median", "request", result.latency, "", scatter)
    name = say["request" if result.batch_size == 1 else "batch"].format(batch=result.batch_size)
    yield replace(request, name=name)
    if "max_latency_s_p95" in limits:
        yield tile("max_latency_s_p95", "p95", result.latency_p95, words["why_null"]["p95"], say["no_interval"])
    else:
        yield tile("min_rtfx", "rtfx", result.rtfx, "", scatter)
    yield _energy(result, words)
    yield _memory(result, row, [_limit(limits["max_memory_gb"], words)] if "max_memory_gb" in limits else [], words)
    yield _tile(
        say["meet"],
        say["of"].format(n=recommendation.n_meeting, total=recommendation.n_considered),
        say["meet_unknown" if recommendation.n_unknown else "meet_known"].format(n=recommendation.n_unknown),
    )


def row_of(result: CellResult, cells: Sequence[Row]) -> Row:
    """Return the row of a result among those of all cells."""
    return next(row for row in cells if cell_name(row) == result.cell)


def _tile(name: Markup, value: Markup, *notes: str) -> Tile:
    # A reason comes from a table: it is escaped here, and words stay as they are.
    return Tile(name, value, tuple(escape(note) for note in notes if note))


def _limit(check: Check, words: Words) -> Markup:
    limit = Markup("{}\u00a0{}").format("≤" if check.at_most else "≥", limit_amount(check.key, check.limit, words))
    return words["tile_limit"][check.outcome].format(limit=limit)


def _energy(result: CellResult, words: Words) -> Tile:
    """Return the energy of an hour of audio, with how it is known."""
    say = words["first"]
    if result.energy is None:
        return _tile(say["energy_unknown"], Markup(NULL), say["energy_of"], say["not_measured"])
    ends = span("energy", result.energy, words)
    return _tile(
        say["energy_modelled" if result.energy_is_modelled else "energy_measured"],
        amount("energy", result.energy.value, words),
        say["energy_of"],
        say["no_interval"] if ends == NULL else ends,
    )


def _memory(result: CellResult, row: Row, limit: Sequence[Markup], words: Words) -> Tile:
    """Return the peak of all laps, with the least of them; a peak of one lap has no other to compare with."""
    say, unit = words["first"], words["amount"]["max_memory_gb"]
    least = row[f"{_PEAK[result.device]}_min"]
    if result.memory_bytes is None:
        return _tile(say["memory"], Markup(NULL), say["not_measured"], *limit)
    ends = None if least is None else unit.format(value=interval(least, result.memory_bytes, 1e-9))
    note = say["one_lap"] if ends is None else say["of_laps"].format(interval=ends)
    return _tile(say["memory"], unit.format(value=number(result.memory_bytes / 1e9)), note, *limit)
