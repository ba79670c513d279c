"""The main tables as Markdown and LaTeX: values with their intervals and units, and nothing that breaks the format."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import export_tables
from asrmeter.analysis.batch_scaling import SCALING
from asrmeter.common.errors import AsrmeterError
from asrmeter.report.text.export import as_latex, as_markdown
from asrmeter.report.text.main_tables import MainTable, main_tables
from helpers.bottlenecks import example_bottlenecks
from helpers.tables import cell, example_cells, example_transcripts, write_tables

RANGES = {"rtfx_ci_low": 9.5, "rtfx_ci_high": 10.5, "peak_rss_bytes_min": 2.1e9, "energy_j_per_sample_min": 37.0}
PRICES = {"cost_currency": "EUR", "cost_electricity_per_audio_hour": 0.00024, "cost_machine_per_audio_hour": 0.0101}


def table(name: str, *cells: dict[str, object]) -> MainTable:
    return next(one for one in main_tables(list(cells), []) if one.name == name)


def column(found: MainTable, heading: str) -> list[str]:
    place = found.headings.index(heading)
    return [line[place] for line in found.lines]


def test_values_have_intervals_and_units() -> None:
    found = table(
        "speed", cell(rtfx=10.0, latency_s_median=3.0, latency_s_ci_low=2.9, latency_s_ci_high=3.15, **RANGES)
    )
    assert column(found, "Latency (s)") == ["3.00 [2.90, 3.15]"]
    assert column(found, "RTFx (times real time)") == ["10.0 [9.50, 10.5]"]
    assert column(found, "Audio (s)") == ["30"]
    accuracy = table("accuracy", cell(wer=0.06, wer_ci_low=0.042, wer_ci_high=0.081))
    assert column(accuracy, "WER (%)") == ["6.00 [4.20, 8.10]"]


def test_a_range_over_laps_is_said_to_be_one() -> None:
    found = table("costs", cell(peak_rss_bytes=2.3e9, energy_j_per_sample=38.0, energy_j_per_sample_max=39.0, **RANGES))
    assert column(found, "Peak memory (GB)") == ["2.30 [2.10, 2.30]"]
    assert column(found, "Energy of a segment (J)") == ["38.0 [37.0, 39.0]"]
    assert "range over laps" in found.note and "not counted" in found.caption
    assert column(found, "Energy is") == ["modelled"]


def test_prices_are_in_the_currency_of_the_study() -> None:
    found = table("costs", cell(**PRICES), cell(batch_size=4))
    assert column(found, "Machine (EUR)") == ["0.0101", "–"]
    assert not [heading for heading in table("costs", cell()).headings if "Machine" in heading]


def test_what_is_not_known_is_a_dash_what_was_disturbed_says_so() -> None:
    failed = dict.fromkeys(cell()) | {name: cell()[name] for name in ("model", "variant", "device", "duration_s")}
    failed |= {"batch_size": 4, "status": "oom"}
    found = table("speed", cell(disturbed=True, latency_s_ci_low=None), failed)
    assert column(found, "Status") == ["ok, disturbed", "oom"]
    assert column(found, "RTFx (times real time)")[1] == "–"
    assert "[" not in column(found, "Latency (s)")[0]


MADE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@given(MADE)
def test_no_text_breaks_a_row(text: str) -> None:
    made = MainTable("t", "c", "n", ("Model", "Value"), (False, True), ((text, "1"),))
    row = as_markdown([made]).splitlines()[-1]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3
    latex = next(line for line in as_latex([made]).splitlines() if line.endswith(r"& 1 \\"))
    bare = re.sub(r"\\[&%$#_{}]", "", latex.removesuffix(r" \\"))
    assert bare.count("&") == 1 and not re.search(r"[%$#_~^]", bare)
    assert bare.count("{") == bare.count("}")


def test_a_leading_bracket_is_no_argument_of_the_line_before() -> None:
    made = MainTable("t", "c", "n", ("Model",), (False,), (("x",), ("[y]",)))
    assert "{}[y] \\\\" in as_latex([made])


def test_the_command_line_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = example_cells(("cpu", "cuda"))
    write_tables(tmp_path, cells, example_transcripts(cells))
    scaling = list(example_bottlenecks(cells).scaling)
    pq.write_table(pa.Table.from_pylist(scaling, schema=SCALING), tmp_path / "scaling.parquet")
    export_tables.main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.count("**") == 8 and "whisper-tiny.en" in printed
    export_tables.main([str(tmp_path), "--format", "latex", "--output", str(tmp_path / "main.tex")])
    written = (tmp_path / "main.tex").read_text(encoding="utf-8")
    assert written.count(r"\begin{tabular}") == written.count(r"\end{table}") == 4
    assert "\u202f" not in written and "–" not in written
    with pytest.raises(AsrmeterError, match="neither a results folder nor a tables folder"):
        export_tables.main([str(tmp_path / "nothing")])
