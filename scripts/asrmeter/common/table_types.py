"""What tables are made of: the type of a row, the types of columns, and what a column says of itself.

The entry of a column in the dictionary stands beside its name and type, as the metadata of its field. From there it
gets into the Parquet files, `docs/columns.md` and the report's tooltips.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import pyarrow as pa

# A row by column name; a value that was not measured is None.
Row = Mapping[str, Any]
INTEGER, NUMBER, FLAG = pa.int64(), pa.float64(), pa.bool_()
# The metadata of a field.
_UNIT, _MEANING, _NULL_WHEN, _SOURCE, _HOLDS = b"unit", b"meaning", b"null_when", b"source", b"holds"


class Source(StrEnum):
    """Where the values of a column come from."""

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
    Source.STUDY: "the study asks for it, or its corpus or model has it",
    Source.MACHINE: "machine and software say it of themselves",
    Source.RECORDED: "the run wrote down how it went",
    Source.MEASURED: "read from a clock, a counter or the system while the cell was measured",
    Source.MEASURED_OR_MODELLED: "a counter where there is one, else a model; `energy_method_*` says which",
    Source.MODELLED: "worked out from a model, not measured",
    Source.COUNTED: "counted exactly",
    Source.SCORED: "what was transcribed, held against what was said",
    Source.COMPUTED: "worked out from other columns, or from all passes and laps",
    Source.PUBLISHED: "printed by the study of 2025",
}


class Holds(StrEnum):
    """What the texts of a column hold: whether a report may have to withhold them."""

    LABEL = "label"
    MESSAGE = "message"
    HOST = "host"
    SPEECH = "speech"


# Each of them in words, for the dictionary.
HELD: dict[Holds, str] = {
    Holds.LABEL: "a name of the study, a word of a fixed list, a version, a hash, a time",
    Holds.MESSAGE: "what a program says, which may name files, folders and machines",
    Holds.HOST: "which machine, GPU or job it was",
    Holds.SPEECH: "what somebody said",
}


@dataclass(frozen=True)
class Text:
    """The type of a column of texts, or of lists of texts."""

    holds: Holds
    in_lists: bool = False

    @property
    def arrow(self) -> pa.DataType:
        """The type as Arrow has it."""
        return pa.list_(pa.string()) if self.in_lists else pa.string()


# A column of texts is one of these: none can be added without saying what it holds.
LABEL, MESSAGE, HOST, SPEECH = map(Text, Holds)
LABELS, SPEECHES = Text(Holds.LABEL, in_lists=True), Text(Holds.SPEECH, in_lists=True)
Kind: TypeAlias = pa.DataType | Text


@dataclass(frozen=True)
class Description:
    """What a column says of itself: the unit of its values, their meaning, when they are missing, where they are from.

    `unit` is "" for texts and flags, `null_when` is "" where every row has a value, `holds` is None for numbers and
    flags.
    """

    meaning: str
    source: Source
    unit: str = ""
    null_when: str = ""
    holds: Holds | None = None


def column(name: str, kind: Kind, meaning: str, source: Source, *, unit: str = "", null_when: str = "") -> pa.Field:
    """Return a column with its description.

    Raises:
        ValueError: it has texts, and does not say what they hold.
    """
    told = {_UNIT: unit, _MEANING: meaning, _NULL_WHEN: null_when, _SOURCE: source.value}
    if isinstance(kind, Text):
        return pa.field(name, kind.arrow, metadata=told | {_HOLDS: kind.holds.value})
    if pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_string(kind.value_type)):
        raise ValueError(f"{name}: say what its texts hold: LABEL, MESSAGE, ...")
    return pa.field(name, kind, metadata=told)


def description(field: pa.Field) -> Description:
    """Return what a column says of itself.

    Raises:
        KeyError: it says nothing.
    """
    told = {key: value.decode() for key, value in (field.metadata or {}).items()}
    holds = Holds(told[_HOLDS]) if _HOLDS in told else None
    return Description(told[_MEANING], Source(told[_SOURCE]), told[_UNIT], told[_NULL_WHEN], holds)
