"""The section on layouts: what the machine does with one model in several processes, in sentences and a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import FEW, display_name, format_count, number
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    estimate_entry,
    quantity,
    table_of,
    text_column,
)
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext
from asrmeter.report.layout_rows import best_of, by_way, is_measured, layout_name


@dataclass(frozen=True)
class LayoutsSection:
    """The content of the section besides its figure."""

    sentences: tuple[Markup, ...]
    table: Table
    rule: Markup


def layouts_section(rows: Sequence[Row], words: Words) -> LayoutsSection | None:
    """Return the section of the rows of the table; None without any."""
    if not rows:
        return None
    first = rows[0]
    rule = words["layouts"]["rule"].format(duration=first["duration_s"], batch=first["batch_size"])
    return LayoutsSection(tuple(_sentences(rows, words)), _table(rows, words), rule)


def layouts_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Compare the best other layout with the first, for each model; None without layouts."""
    if not any(map(is_measured, of.layouts)):
        return None
    return Markup(" ").join(_sentences(of.layouts, of.words)) or of.words["layouts"]["nothing"], []


def _sentences(rows: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Compare the best other layout with the first, for each model, variant and device."""
    say = words["layouts"]
    pairs = [(way, pair) for way, own in by_way(rows).items() if (pair := best_of(own))]
    several = len({device for (_, _, device), _ in pairs}) > 1
    for (model, variant, device), (first, other) in pairs[:FEW]:
        name = display_name((model, variant))
        low, high = other["ratio_to_first_low"], other["ratio_to_first_high"]
        if low is None or high is None:
            certain, between = say["one_lap"], Markup()
        else:
            certain = say["apart"] if low > 1 or high < 1 else say["alike"]
            between = say["between"].format(low=number(low), high=number(high))
        yield say["ratio"].format(
            name=say["on"].format(name=name, device=device) if several else name,
            other=layout_name(other),
            first=layout_name(first),
            ratio=number(other["ratio_to_first"]),
            between=between,
            certain=certain,
        )
    if len(pairs) > FEW:
        yield say["more"].format(n=len(pairs) - FEW)


def _table(rows: Sequence[Row], words: Words) -> Table:
    missing = words["why_null"]

    def estimate(key: str, why: str) -> Column[Row]:
        def entry(row: Row) -> Entry:
            if row[key] is None:
                return Entry("–", "", row["reason"] or why)
            return estimate_entry(Estimate(row[key], row[f"{key}_low"], row[f"{key}_high"]), why)

        return Column(key, entry, about=(key,))

    def value(key: str, why: str, scale: float = 1.0) -> Column[Row]:
        return quantity(key, lambda row: row["reason"] or why, scale)

    columns = [
        text_column("model", lambda row: row["model"], "model"),
        text_column("variant", lambda row: row["variant"], "variant"),
        text_column("device", lambda row: row["device"], "device"),
        text_column("layout", layout_name, "processes", "threads"),
        estimate("samples_per_s", missing["not_measured"]),
        estimate("ratio_to_first", missing["not_measured"]),
        value("rtfx", missing["not_measured"]),
        value("latency_s_median", missing["not_measured"]),
        value("latency_s_p95", missing["few_passes"]),
        value("pss_bytes", missing["not_known"], 1e-9),
        *(
            [value("peak_device_bytes", missing["no_gpu"], 1e-9)]
            if any(row["peak_device_bytes"] is not None for row in rows)
            else []
        ),
        quantity("n_passes", lambda row: "", digits=format_count),
        text_column(
            "status", lambda row: words["layouts"]["disturbed"] if row["disturbed"] else row["status"], "status"
        ),
    ]
    return table_of("layouts", words["layouts"]["caption"], columns, rows, words, "layouts")
