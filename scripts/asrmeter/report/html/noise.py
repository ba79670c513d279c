"""Noise behind the answer: scatter of laps, speed of the machine, and excluded sittings."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from asrmeter.analysis.hardware import noise_floors
from asrmeter.analysis.table_rows import cell_name
from asrmeter.analysis.variance_components import SINGLE_CELL
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records.disturbance import RATES
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NULL, cell_link, format_count, join, join_and, number, percent, truncate_list
from asrmeter.report.html.table_model import Table, quantity, table_of, text_column


def noise_caveats(cells: Sequence[Row], sittings: Sequence[Row], target: float, words: Words) -> list[Markup]:
    """Return the remarks on noise: for each device, the machine, and disturbed sittings."""
    found: list[Markup] = []
    for device, floor in noise_floors(cells).items():
        measured = [row for row in cells if row["device"] == device and row["status"] in MEASURED_STATUS]
        if measured:
            found.append(Markup(" ").join(_scatter(floor, measured, words)))
            found += [Markup(" ").join(told)] if (told := [*_unconverged(floor, measured, target, words)]) else []
            found += _machine_speed(device, sittings, words)
    told = [*_disturbed(cells, sittings, words)]
    return [*found, Markup(" ").join(told)] if told else found


def sittings_table(sittings: Sequence[Row], words: Words) -> Table:
    """Return the disturbed or excluded sittings with the reason and the readings of the machine."""
    say, missing = words["failures"], words["why_null"]["not_measured"]
    counts = {True: words["provenance"]["yes"], False: words["provenance"]["no"]}

    def reason(row: Row) -> str:
        if row["disturbed"]:
            return row["disturbance"] or row["reason"] or NULL
        return say["other_hardware"].format(hardware=row["device_name"] or row["machine_id"] or NULL)

    columns = [
        text_column("cell", lambda row: cell_link(cell_name(row))),
        quantity("lap", lambda row: missing, digits=format_count),
        quantity("n_tries", lambda row: missing, digits=format_count),
        text_column("why_left_out", reason),
        text_column("counts", lambda row: counts.get(row["counts"], NULL)),
        *(
            quantity(key, lambda row: missing, scale, digits)
            for key, scale, digits in (
                ("latency_s", 1.0, number),
                ("machine_speed", 100.0, number),
                ("other_processes_cpu_cores", 1.0, number),
                ("steal_share", 100.0, number),
                ("cpu_mhz_min", 1.0, format_count),
                ("temperature_c_max", 1.0, format_count),
                ("n_throttle_events", 1.0, format_count),
                ("n_foreign_gpu_processes", 1.0, format_count),
            )
        ),
    ]
    shown = [row for row in sittings if row["disturbed"] or _is_left_out(row)]
    return table_of("sittings", say["sittings_caption"], columns, shown, words, source="sittings")


def noise_facts(cells: Sequence[Row], sittings: Sequence[Row], words: Words) -> list[tuple[Markup, str]]:
    """Return what is recorded of the noise on a machine: laps, disturbed sittings, scatter, and the control kernel."""
    say = words["setting"]
    n_disturbed = sum(bool(row["disturbed"]) for row in sittings)
    laps = sorted({row["lap"] for row in sittings})
    facts = [(say["laps"], join(map(str, laps)) or NULL), (say["disturbed"], f"{n_disturbed} / {len(sittings)}")]
    for device, floor in noise_floors(cells).items():
        facts.append((say["scatter"].format(device=device), _components(floor, words)))
        own = [row for row in sittings if row["device"] == device and row["control_s"] is not None]
        if own:
            facts.append((say["control"].format(device=device), _control(floor, own, words)))
    return facts


def _components(floor: Row, words: Words) -> Markup:
    """Return by how much the latencies of a device scatter at each level, with degrees of freedom."""
    if floor["noise_floor"] is None:
        reason = floor["interval_note"] or words["why_null"]["not_measured"]
        return words["provenance"]["no_scatter"].format(reason=reason)
    df = {"passes": "pass_scatter_df", "laps": "noise_floor_df", "common": "common_scatter_df"}
    return join(
        words["scatter"]["df"].format(part=part, df=format_count(floor[df[level]]))
        for level, part in _levels(floor, words).items()
    )


def _levels(floor: Row, words: Words) -> dict[str, Markup]:
    """Return by how much latencies scatter at each level at which that is known."""
    columns = {"passes": "pass_scatter", "laps": "noise_floor", "common": "common_scatter"}
    known = {level: floor[column] for level, column in columns.items() if floor[column] is not None}
    return {level: words["scatter"][level].format(sd=percent(sd)) for level, sd in known.items()}


def _control(floor: Row, sittings: Sequence[Row], words: Words) -> Markup:
    """Return how fast the control kernel was at its best, what it cost, and whether it explains drift."""
    say, slope = words["provenance"], floor["control_slope"]
    best = {
        rate: max(row[f"control_{rate}_{when}"] or 0.0 for row in sittings for when in ("before", "after"))
        for rate in RATES
    }
    rates = {name: number(best[rate] / 1e9) for name, rate in zip(("matmul", "copy"), RATES, strict=True)}
    drift = say["no_drift_explained"] if slope is None else say["drift_explained"].format(slope=number(slope))
    return say["control"].format(**rates, seconds=number(sum(row["control_s"] for row in sittings)), drift=drift)


def _scatter(floor: Row, measured: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Yield the noise floor of a device, or why it has none."""
    say, device = words["noise"], floor["device"]
    if floor["noise_floor"] is None:
        reason = floor["interval_note"] or words["why_null"]["not_measured"]
        yield say["unknown"].format(device=device, reason=reason)
        return
    key = "floor" if floor["noise_floor"] else "no_floor"
    yield say[key].format(device=device, floor=percent(floor["noise_floor"]))
    if any(row["interval_note"] == SINGLE_CELL for row in measured):
        yield say["single"].format(device=device)


def _unconverged(floor: Row, measured: Sequence[Row], target: float, words: Words) -> Iterator[Markup]:
    """Yield how many cells of a device miss the target; where most do, by what they scatter, and what would help."""
    say, device = words["noise"], floor["device"]
    n, total = sum(row["status"] == "unconverged" for row in measured), len(measured)
    if n:
        yield say["unconverged"].format(n=n, total=total, device=device, target=percent(target))
    if 2 * n <= total or floor["noise_floor"] is None:
        return
    yield say["components"].format(parts=join_and([*_levels(floor, words).values()], words))
    factor = floor["time_factor_for_target"]
    if factor is None:
        yield say["no_time_would_do"]
    elif factor > 1:
        yield say["more_time"].format(factor=number(factor))


def _machine_speed(device: str, sittings: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Yield how fast the machine was on a device; nothing where the control kernel did not run."""
    known = [row["machine_speed"] for row in sittings if row["device"] == device and row["machine_speed"] is not None]
    if known:
        shares = {"speed": percent(sum(known) / len(known)), "slowest": percent(min(known))}
        yield words["noise"]["machine_speed"].format(device=device, **shares)


def _disturbed(cells: Sequence[Row], sittings: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Yield how many sittings were measured again, how many are left out, and which cells never were undisturbed."""
    say, total = words["noise"], len(sittings)
    n_again = sum((row["n_tries"] or 1) > 1 for row in sittings)
    n_left_out = sum(map(_is_left_out, sittings))
    if n_again:
        yield say["again"].format(n=n_again, total=total)
    if n_left_out:
        yield say["left_out"].format(n=n_left_out, total=total)
    if always := [cell_link(cell_name(row)) for row in cells if row["disturbed"]]:
        yield say["always_disturbed"].format(cells=truncate_list(always, words))


def _is_left_out(sitting: Row) -> bool:
    """Whether a sitting has a latency that is in no estimate."""
    return sitting["latency_s"] is not None and not sitting["counts"]
