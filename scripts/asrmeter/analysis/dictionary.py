"""The dictionary of columns: what the columns of every table of a results folder say of themselves."""

from collections.abc import Iterator

import pyarrow as pa

from asrmeter.analysis import bottlenecks
from asrmeter.analysis.capacity_columns import CAPACITIES, LOADS
from asrmeter.analysis.columns import CELLS, PASSES, TRANSCRIPTS
from asrmeter.analysis.languages_table import LANGUAGES
from asrmeter.analysis.layouts import LAYOUTS
from asrmeter.analysis.optimisation_columns import OPTIMISATIONS
from asrmeter.analysis.silence import SILENCE, SILENCE_MODELS
from asrmeter.analysis.sitting_columns import SITTINGS
from asrmeter.analysis.start_table import START
from asrmeter.common.table_types import HELD, SOURCES, Description, Holds, description

# Each table: what a row is, and its columns.
TABLES: dict[str, tuple[str, pa.Schema]] = {
    "cells": ("a cell: a model and variant on a device, for a duration class, at a batch size", CELLS),
    "sittings": ("a cell in one lap", SITTINGS),
    "passes": ("a pass over one batch; a lap without a pass has one row", PASSES),
    "transcripts": ("a segment, by one cell", TRANSCRIPTS),
    "languages": ("a language in a cell that was scored", LANGUAGES),
    "optimisations": ("a proposal, or a further variant, of a model on a device", OPTIMISATIONS),
    "start": ("a model and variant on a device", START),
    "silence": (
        "a clip without speech, heard by a model and variant; a record that cannot be read has one row",
        SILENCE,
    ),
    "silence_models": ("a model and variant on a device, with all clips without speech", SILENCE_MODELS),
    "loads": ("a rate of requests, tried or modelled, of a model and variant on a device", LOADS),
    "capacities": ("a model and variant on a device; without `load` in the study there is none", CAPACITIES),
    "layouts": ("a layout, so many processes of so many threads, of a model and variant on a device", LAYOUTS),
    "flops": ("a model, duration class and batch size", bottlenecks.SCHEMAS["flops"]),
    "operators": (
        "an operator of a stage in a profiled pass; a cell that has no profile has one row",
        bottlenecks.SCHEMAS["operators"],
    ),
    "ceilings": ("a peak rate of a device; a device that failed has one row", bottlenecks.SCHEMAS["ceilings"]),
    "roofline": ("a stage of a cell, or its whole pass", bottlenecks.SCHEMAS["roofline"]),
    "scaling": ("a model and variant on a device, for a duration class", bottlenecks.SCHEMAS["scaling"]),
    "edlm2025": ("a figure that was published in 2025", bottlenecks.SCHEMAS["edlm2025"]),
}

_INTRO = """# Columns of the tables

After reading this page you can tell what a column of any table means, in which unit it is, where its values come from,
and why a field is empty.

Every run leaves its tables in `<results>/tables/`, each as Parquet and as CSV. This page has a section for each table.
It is made of the code (`make columns`). The Parquet files hold the same, as the metadata of each field:

```python
import pyarrow.parquet as pq

for field in pq.read_schema("results/tables/cells.parquet"):
    print(field.name, {key.decode(): value.decode() for key, value in field.metadata.items()})
```

## How to read a column

The name of a column says what was measured, in which unit, and which statistic of it. `latency_s_p95` is a latency in
seconds, the 95th percentile: 95 in 100 requests took that long or less. `latency_s_p95_ci_low` and
`latency_s_p95_ci_high` are the ends of the 95 % interval of this figure.

| part of a name | means |
|---|---|
| `_s`, `_j`, `_w`, `_bytes`, `_gflop` | the unit: seconds, joules, watts, bytes, 10^9 operations |
| `n_` | a number of things |
| `_median`, `_mean`, `_min`, `_max` | the statistic |
| `_p50`, `_p90`, `_p95`, `_p99` | a percentile: the value that 50, 90, 95 or 99 in 100 requests do not exceed |
| `_ci_low`, `_ci_high` | the ends of the 95 % interval of the figure before it |
| `_next_low`, `_next_high` | the ends of the interval in which the same study would find the figure the next time |
| `_share` | a part of one |
| `_note` | why a figure is missing, or what is particular about it |
| `_plain` | texts are scored in lower case and without punctuation, and otherwise as they are |

A value that was not measured is null: an empty field in CSV, never zero and never a guess. The column "null when" gives
the reasons. In a row whose file cannot be read (`unreadable`) all columns are null but the cell's outcome and key.

The column "source" says how far a value is to be trusted:

| source | means |
|---|---|
"""


# What a report can withhold, and the key that has it withheld.
_WITHHELD = {
    Holds.SPEECH: "`report.transcripts`: worst or none",
    Holds.MESSAGE: "`report.paths`: false, and `report.transcripts`: worst or none; what they withhold is replaced",
    Holds.HOST: "`report.paths`: false; a number stands for each",
}
_PRIVATE = """
## What can be withheld

What the texts of a column hold decides whether a report, and the tables in the zip of `make share`, have them. All
other texts are labels: {label}.

| hold | columns | withheld by |
|---|---|---|
"""


def describe(table: str, name: str) -> Description | None:
    """Return what a column of a table says of itself; None if there is no such column."""
    _, schema = TABLES[table]
    return description(schema.field(name)) if name in schema.names else None


def as_markdown() -> str:
    """Return the dictionary as `docs/columns.md` has it."""
    sources = "\n".join(f"| {source.value} | {meaning} |" for source, meaning in SOURCES.items())
    sections = "".join(_section(name, *told) for name, told in TABLES.items())
    return f"{_INTRO}{sources}\n{sections}{_PRIVATE.format(label=HELD[Holds.LABEL])}{_private_lines()}\n"


def _private_lines() -> str:
    names: dict[Holds | None, dict[str, None]] = {}
    for _, schema in TABLES.values():
        for field in schema:
            names.setdefault(description(field).holds, {})[f"`{field.name}`"] = None
    return "\n".join(f"| {HELD[holds]} | {', '.join(names[holds])} | {key} |" for holds, key in _WITHHELD.items())


def _section(name: str, row: str, schema: pa.Schema) -> str:
    lines = "\n".join(map(_line, schema))
    heading = f"\n## {name}\n\nA row is {row}.\n\n"
    return f"{heading}| name | type | unit | meaning | null when | source |\n|---|---|---|---|---|---|\n{lines}\n"


def _line(field: pa.Field) -> str:
    told = description(field)
    return "| " + " | ".join(_escaped(_cells_of(field, told))) + " |"


def _cells_of(field: pa.Field, told: Description) -> tuple[str, ...]:
    return f"`{field.name}`", _type(field.type), told.unit, told.meaning, told.null_when or "never", told.source.value


def _escaped(texts: tuple[str, ...]) -> Iterator[str]:
    return (text.replace("|", "\\|") for text in texts)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}s"
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_integer(kind):
        return "integer"
    return "number" if pa.types.is_floating(kind) else "text"
