"""Types of tables: rows, columns, and the description of a column.

The description of a column is the metadata of its field, beside its name and type. From there it goes into the Parquet
files, `docs/columns.md` and the report's tooltips.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import pyarrow as pa

# A row by column name. A missing value is None.
Row = Mapping[str, Any]
INTEGER, NUMBER, FLAG = pa.int64(), pa.float64(), pa.bool_()
# The metadata of a field.
_UNIT, _MEANING, _NULL_WHEN, _SOURCE, _HOLDS = b"unit", b"meaning", b"null_when", b"source", b"holds"


class Source(StrEnum):
    """The source of a column's values."""

    STUDY = "study"
    MACHINE = "machine"
    RECORDED = "recorded"
    MEASURED = "measured"
    MEASURED_OR_MODELLED = "measured or modelled"
    MODELLED = "modelled"
    COUNTED = "counted"
    SCORED = "scored"
    COMPUTED = "computed"
    PUBLISHED = "published"


# Each source in words, for the dictionary.
SOURCES: dict[Source, str] = {
    Source.STUDY: "from the study, its corpus or its model",
    Source.MACHINE: "reported by the machine or its software",
    Source.RECORDED: "recorded by the run about itself",
    Source.MEASURED: "read from a clock, a counter or the system during the measurement",
    Source.MEASURED_OR_MODELLED: "from a counter if there is one, else from a model; `energy_method_*` says which",
    Source.MODELLED: "computed with a model, not measured",
    Source.COUNTED: "counted exactly",
    Source.SCORED: "from a comparison of transcript and reference",
    Source.COMPUTED: "computed from other columns, or from all passes and laps",
    Source.PUBLISHED: "published by the 2025 study",
}


class Holds(StrEnum):
    """The content of a column's texts. It decides whether a report may have to withhold them."""

    LABEL = "label"
    MESSAGE = "message"
    HOST = "host"
    SPEECH = "speech"


# Each kind in words, for the dictionary.
HELD: dict[Holds, str] = {
    Holds.LABEL: "a name of the study, a word of a fixed list, a version, a hash, a time",
    Holds.MESSAGE: "a message of a program, which may name files, folders and machines",
    Holds.HOST: "a name of a machine, GPU or job",
    Holds.SPEECH: "spoken or transcribed text",
}


@dataclass(frozen=True)
class Text:
    """The type of a column of texts, or of lists of texts."""

    holds: Holds
    in_lists: bool = False

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type."""
        return pa.list_(pa.string()) if self.in_lists else pa.string()


# A column of texts must be one of these, so that its content is always declared.
LABEL, MESSAGE, HOST, SPEECH = map(Text, Holds)
LABELS, SPEECHES = Text(Holds.LABEL, in_lists=True), Text(Holds.SPEECH, in_lists=True)
Kind: TypeAlias = pa.DataType | Text


@dataclass(frozen=True)
class Description:
    """The description of a column: unit, meaning, cause of missing values, and source.

    `unit` is "" for texts and flags, `null_when` is "" if every row has a value, `holds` is None for numbers and flags.
    """

    meaning: str
    source: Source
    unit: str = ""
    null_when: str = ""
    holds: Holds | None = None


def column(name: str, kind: Kind, meaning: str, source: Source, *, unit: str = "", null_when: str = "") -> pa.Field:
    """Return a column with its description.

    Raises:
        ValueError: a column of texts does not declare their content.
    """
    told = {_UNIT: unit, _MEANING: meaning, _NULL_WHEN: null_when, _SOURCE: source.value}
    if isinstance(kind, Text):
        return pa.field(name, kind.arrow, metadata=told | {_HOLDS: kind.holds.value})
    if pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_string(kind.value_type)):
        raise ValueError(f"{name}: declare the content of its texts: LABEL, MESSAGE, ...")
    return pa.field(name, kind, metadata=told)


def description(field: pa.Field) -> Description:
    """Return the description of a column.

    Raises:
        KeyError: the column has no description.
    """
    told = {key: value.decode() for key, value in (field.metadata or {}).items()}
    holds = Holds(told[_HOLDS]) if _HOLDS in told else None
    return Description(told[_MEANING], Source(told[_SOURCE]), told[_UNIT], told[_NULL_WHEN], holds)
