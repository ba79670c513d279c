"""From start to first text: what a model costs before it answers."""

from collections.abc import Callable, Sequence

from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import format_count
from asrmeter.report.html.table_model import Column, Table, quantity, table_of, text_column


def start_table(rows: Sequence[Row], words: Words) -> Table | None:
    """Return the table of a study's rows; None where no record says what loading took."""
    if all(row["load_s"] is None for row in rows):
        return None
    missing, say = words["why_null"], words["optimisations"]

    def plain(key: str) -> Column[Row]:
        return text_column(key, lambda row: row[key], key)

    def value(key: str, why: str, scale: float = 1.0) -> Column[Row]:
        return quantity(key, _unless_failed(why), scale)

    def of_some(key: str, why: str, scale: float = 1.0) -> list[Column[Row]]:
        return [value(key, why, scale)] if any(row[key] is not None for row in rows) else []

    def count(key: str) -> Column[Row]:
        return quantity(key, _unless_failed(missing["not_measured"]), digits=format_count)

    columns = [
        *map(plain, ("model", "variant", "device")),
        value("first_text_s", missing["not_known"]),
        value("imports_cpu_s", missing["imports_in_loading"]),
        value("load_s", missing["not_known"]),
        value("first_pass_s", missing["not_known"]),
        *of_some("compile_s", missing["not_compiled"]),
        *of_some("compile_cached_s", missing["not_compiled"]),
        *of_some("conversion_s", missing["not_converted"]),
        value("model_bytes", missing["not_known"], 1e-6),
        value("peak_rss_bytes", missing["not_known"], 1e-9),
        *of_some("peak_device_bytes", missing["no_gpu"], 1e-9),
        *map(count, ("duration_s", "batch_size")),
    ]
    return table_of("start", say["start_caption"], columns, rows, words, "start")


def _unless_failed(why: str) -> Callable[[Row], str]:
    """Return a function for why a value is missing: the row's own reason, where nothing was measured."""
    return lambda row: row["reason"] or why
