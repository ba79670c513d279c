"""The section on optimisations: sentences for the decision, and the tables behind them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.analysis.optimisation_verdicts import Verdict
from asrmeter.common.constants import BASELINE
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import FEW, join, number, percent, truncate_list
from asrmeter.report.html.optimisation_tables import left_table, measured_table, stages_table
from asrmeter.report.html.table_model import Table, has_numbers
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext
from asrmeter.report.html.variants import spelled_out
from asrmeter.report.optimisation_rows import by_model_and_device, have_several_devices, measured, name_of


@dataclass(frozen=True)
class OptimisationsSection:
    """The content of the section besides its figure; `absent` names untested proposals, "" if all are tested."""

    headlines: tuple[Markup, ...]
    sentences: tuple[Markup, ...]
    tables: tuple[tuple[str, Table], ...]
    absent: Markup
    rule: Markup


def optimisations_section(rows: Sequence[Row], gate: float | None, words: Words) -> OptimisationsSection | None:
    """Return the section of a study's rows of the table; None without any, as of a study that has fp32 alone."""
    if not rows:
        return None
    say, known = words["optimisations"], measured(rows)
    absent = [row for row in rows if row["equal_settings"] is None]
    left = [row for row in rows if row not in known and row not in absent]
    tables = [("", measured_table(known, words)), (say["stages"], stages_table(known, words))]
    of_gate = Markup() if gate is None else say["gate"].format(gate=percent(gate))
    return OptimisationsSection(
        headlines=tuple(_headlines(known, words)),
        sentences=tuple(_sentences(known, words)),
        tables=(
            *((title, table) for title, table in tables if has_numbers(table)),
            *([(say["left"], left_table(left, words))] if left else []),
        ),
        absent=say["absent"].format(names=join(dict.fromkeys(name_of(row, words) for row in absent)))
        if absent
        else Markup(),
        rule=say["rule"].format(baseline=BASELINE, gate=of_gate),
    )


def optimisations_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Count the proposals by verdict; None if none was measured."""
    verdicts = Counter(row["verdict"] for row in measured(of.optimisations))
    if not verdicts:
        return None
    say = of.words["optimisations"]
    counts = [
        say["count"].format(verdict=of.words["optimisation_verdict"][verdict], n=verdicts[verdict])
        for verdict in Verdict
        if verdict in verdicts
    ]
    return say["counts"].format(counts=join(counts)), []


def _headlines(rows: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Yield the best optimisation of each model, as far as there is room."""
    ways = by_model_and_device(rows)
    for own in list(ways.values())[:FEW]:
        yield _headline(own, _where(own[0], rows, words), words)
    if len(ways) > FEW:
        yield words["optimisations"]["more_models"].format(n=len(ways) - FEW)


def _headline(rows: Sequence[Row], where: Markup, words: Words) -> Markup:
    """Return what makes a model faster most; a variant with other settings is named apart, and only if it is faster."""
    say = words["optimisations"]
    helping = [
        row
        for row in rows
        if row["verdict"] == Verdict.HELPS and row["kind"] == "variant" and row["baseline"] == BASELINE
    ]
    equal = _fastest([row for row in helping if row["equal_settings"] is not False])
    unequal = _fastest([row for row in helping if row["equal_settings"] is False])
    said = []
    if equal:
        said.append(say["helps"].format(**_fields(equal, where, words)))
    elif not unequal:
        said.append(say["none"].format(model=rows[0]["model"], baseline=BASELINE, where=where))
    if unequal and not (equal and equal["speed_ratio"] >= unequal["speed_ratio"]):
        said.append(
            say["unequal"].format(
                **_fields(unequal, where, words), differences=spelled_out(unequal["differences"], words)
            )
        )
    return Markup(" ").join(said)


def _fastest(rows: Sequence[Row]) -> Row | None:
    return max(rows, key=lambda row: row["speed_ratio"], default=None)


def _fields(row: Row, where: Markup, words: Words) -> Mapping[str, str]:
    return {
        **{name: row[name] for name in ("variant", "baseline", "model")},
        "ratio": number(row["speed_ratio"]),
        "interval": _interval(row, words),
        "where": where,
        "accuracy": _accuracy(row, words),
    }


def _interval(row: Row, words: Words) -> Markup:
    say, ends = words["optimisations"], [row["speed_ratio_low"], row["speed_ratio_high"]]
    return say["no_interval"] if None in ends else say["interval"].format(low=number(ends[0]), high=number(ends[1]))


def _accuracy(row: Row, words: Words) -> Markup:
    """Return the change of the transcripts."""
    say = words["optimisations"]
    if row["share_identical"] == 1:
        return say["same_words"]
    change, low, high = (row[f"wer_change{end}"] for end in ("", "_low", "_high"))
    if change is None:
        return say["wer_unknown"]
    if low is None or high is None or low <= 0 <= high:
        return say["wer_same"]
    return say["wer_more" if change > 0 else "wer_less"].format(points=number(100 * abs(change)))


def _sentences(rows: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Yield the gain of larger batches, and of the optimisations that the baseline already includes."""
    say = words["optimisations"]
    helping = [row for row in rows if row["verdict"] == Verdict.HELPS]
    batches = [row for row in helping if row["kind"] == "batch"]
    for row in batches[:FEW]:
        yield say["batches"].format(**_fields(row, _where(row, rows, words), words))
    # Some proposals are measured by the same variant.
    without = {
        (row["variant"], row["model"], row["device"]): row for row in helping if row["kind"] == "without"
    }.values()
    items = [
        say["had_item"].format(
            name=name_of(row, words), ratio=number(row["speed_ratio"]), model=row["model"],
            where=_where(row, rows, words),
        )
        for row in without
    ]  # fmt: skip
    if items:
        yield say["had_already"].format(baseline=BASELINE, items=truncate_list(items, words))


def _where(row: Row, rows: Sequence[Row], words: Words) -> Markup:
    """Return the device, if there are several."""
    return words["optimisations"]["where"].format(device=row["device"]) if have_several_devices(rows) else Markup()
