"""The dictionary: every column of every table says what it means, and says it wherever the table goes."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asrmeter.analysis import dictionary
from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.optimisation_verdicts import Verdict
from asrmeter.common import parquet
from asrmeter.common.table_types import HELD, LABEL, SOURCES, Holds, Source, column, description
from asrmeter.common.vocabulary import SILENCE_KINDS
from asrmeter.records import cell_record
from tools import columns

ALL = [(table, field) for table, (_, schema) in dictionary.TABLES.items() for field in schema]
# The unit that the end of a name promises.
UNITS = {
    r"(.*_)?cpu_s": {"CPU s"},
    r"(?!.*_(cpu|per)_s(_|$)).*_s(_(p\d\d|median|mean|(ci|next)_(low|high)))?": {"s"},
    r".*_bytes(_min)?": {"bytes"},
    r".*_share": {"share"},
    r".*flop_per_s": {"FLOP/s", "GFLOP/s"},
    r".*bytes_per_s": {"bytes/s"},
    r".*_gflop|gflop": {"GFLOP"},
    r".*_w": {"W"},
    r".*j_per_sample.*": {"J"},
    r"(wer|cer)(_ci_(low|high))?(_plain|_corpus)?": {"share"},
}


@pytest.mark.parametrize(("table", "field"), ALL, ids=[f"{table}.{field.name}" for table, field in ALL])
def test_every_column_says_what_it_means(table: str, field: pa.Field) -> None:
    told = description(field)
    assert re.fullmatch(r"[^\n]{8,}[.]", told.meaning), told.meaning
    assert not told.null_when.endswith(".")
    is_text = pa.types.is_string(getattr(field.type, "value_type", field.type)) or pa.types.is_boolean(field.type)
    nameless = ("protocol", "lap", "attempt", "repeat", "round", "batch")
    assert bool(told.unit) is not (is_text or field.name in nameless), told.unit
    for pattern, units in UNITS.items():
        if re.fullmatch(pattern, field.name) and not is_text:
            assert told.unit in units, (pattern, told.unit)


def test_a_column_that_several_tables_have_has_one_unit() -> None:
    of_name: dict[str, set[str]] = {}
    for _, field in ALL:
        of_name.setdefault(field.name, set()).add(description(field).unit)
    assert {name: units for name, units in of_name.items() if len(units) > 1} == {}


def test_what_backticks_name_is_there() -> None:
    """A name in a description is that of a column, of a key of the study, or a value that its column can have."""
    names = {field.name for _, field in ALL} | set(dictionary.TABLES)
    unknown = {
        (field.name, named)
        for _, field in ALL
        for text in (description(field).meaning, description(field).null_when)
        for named in re.findall(r"`([a-z0-9]+_[a-z0-9_]+)`", text)
        if named not in names
    }
    # Keys of the study's tariff.
    values = {"price_per_kwh", "price_per_device_hour", "co2_g_per_kwh"}
    values |= {"nvml_counter", "nvml_power", "cpu_load_model", "tdp_constant"}
    values |= {verdict.value for verdict in Verdict} | {*SILENCE_KINDS}
    assert {named for _, named in unknown} <= values


def test_each_source_is_explained() -> None:
    assert set(SOURCES) == set(Source)


def test_each_text_says_what_it_holds() -> None:
    """Whatever a new column of texts holds, it is known whether a report may have to withhold it."""
    holds = {field.name: description(field).holds for _, field in ALL}
    texts = {field.name for _, field in ALL if pa.types.is_string(getattr(field.type, "value_type", field.type))}
    assert {name for name, held in holds.items() if held is not None} == texts
    assert {name for name in texts if holds[name] is Holds.SPEECH} >= {"reference", "hypothesis_normalised", "texts"}
    assert set(HELD) == set(Holds)


@pytest.mark.parametrize("kind", [pa.string(), pa.list_(pa.string())])
def test_a_text_that_does_not_say_it_is_no_column(kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match="x: declare the content of its texts"):
        column("x", kind, "Anything.", Source.STUDY)


def test_the_document_is_that_of_the_code() -> None:
    assert columns.PATH.read_text(encoding="utf-8") == dictionary.as_markdown(), "run: make columns"


def test_a_bar_does_not_end_a_field_of_the_document() -> None:
    field = column("x", LABEL, "Either a|b.", Source.STUDY)
    assert r"a\|b" in dictionary._line(field)


def test_tables_carry_their_dictionary(tmp_path: Path) -> None:
    # What cannot be seen is escaped on the way, and lists become JSON in CSV: both make new columns.
    rows = [{"model": "a\u202e", "segment_ids": ["s"]}]
    parquet.write({"passes": pa.Table.from_pylist(rows, schema=dictionary.TABLES["passes"][1])}, tmp_path)
    written = pq.read_schema(tmp_path / "passes.parquet")
    assert description(written.field("model")) == description(CELLS.field("model"))
    assert description(written.field("segment_ids")) == dictionary.describe("passes", "segment_ids")
    assert pq.read_table(tmp_path / "passes.parquet")["model"].to_pylist() == ["a\\u202e"]


def test_records_do_not_carry_it() -> None:
    assert all(field.metadata is None for field in cell_record.SCHEMA)
    assert cell_record.SCHEMA.equals(dictionary.TABLES["passes"][1])


def test_no_meaning_hangs_on_the_line_before() -> None:
    said = {
        field.name
        for _, field in ALL
        if re.search(r"\b(that interval|The same\b(?! clock)|as there)", str(description(field)))
    }
    assert said == set()


def test_an_unknown_column_has_no_entry() -> None:
    assert dictionary.describe("cells", "no_such_column") is None
