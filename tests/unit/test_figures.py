"""Figures of constructed tables."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from bottlenecks_for_tests import example_bottlenecks, write_bottlenecks
from tables_for_tests import cell, example_cells, failed, write_tables

import plot
from asrmeter.figures.cells import (
    FIGURES,
    energy_figure,
    figure_svg,
    latency_figure,
    throughput_figure,
    wer_figure,
)
from asrmeter.figures.style import COLOURS
from asrmeter.report.inputs import Bottlenecks


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def titles(figure):
    return [
        axes.get_title(loc=where) for axes in figure.axes for where in ("left", "center") if axes.get_title(loc=where)
    ]


def colour_of(figure, model):
    (handle,) = [
        line
        for line, label in zip(figure.legends[0].get_lines(), labels(figure), strict=True)
        if label.startswith(model)
    ]
    return handle.get_color()


def message(figure):
    assert not figure.axes
    return " ".join(figure.texts[0].get_text().split())


@pytest.mark.parametrize("name", FIGURES)
def test_svg_is_deterministic_xml_with_real_text(name):
    cells = example_cells(("cpu", "cuda"))
    tables = example_bottlenecks(cells)
    svg = figure_svg(name, cells, tables)
    assert svg == figure_svg(name, cells, tables)
    assert any(label in svg for label in ("Audio per segment", "Batch size", "Share (%)", "GFLOP per s"))
    assert "<dc:date>" not in svg
    ElementTree.fromstring(svg)


def test_a_model_has_one_colour_in_all_figures():
    cells = example_cells()
    tables = example_bottlenecks(cells)
    figures = [draw(cells, tables) for name, draw in FIGURES.items() if name not in ("stages", "operators")]
    assert {colour_of(figure, "whisper-base") for figure in figures} == {COLOURS[1]}
    assert {colour_of(figure, "whisper-tiny.en") for figure in figures} == {COLOURS[2]}


def test_a_panel_per_device_and_batch():
    figure = latency_figure(example_cells(("cpu", "cuda")))
    assert titles(figure) == [f"{device} · batch {batch}" for device in ("cpu", "cuda") for batch in (1, 2, 4)]


def test_unconverged_cells_have_an_open_marker_that_is_explained():
    cells = example_cells()
    assert "open: not converged" in labels(latency_figure(cells))
    faces = [line.get_markerfacecolor() for axes in latency_figure(cells).axes for line in axes.get_lines()]
    assert faces.count("none") == 1
    assert "open: not converged" not in labels(latency_figure([cell()]))


def test_disturbed_cells_are_crossed_out_and_that_is_explained():
    cells = [cell(), cell(duration_s=5, disturbed=True, disturbance="steal")]
    figure = latency_figure(cells)
    crosses = [line.get_xdata()[0] for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert crosses == [5]
    assert "crossed out: disturbed" in labels(figure)
    assert "crossed out: disturbed" not in labels(latency_figure([cell()]))
    assert "crossed out: disturbed" not in labels(wer_figure(cells))


def test_failed_cells_are_absent():
    figure = latency_figure([cell(duration_s=5), failed(cell(duration_s=30), "oom", "too large")])
    assert [line.get_xdata()[0] for line in figure.axes[0].get_lines() if line.get_marker() == "s"] == []
    assert {value for line in figure.axes[0].get_lines() for value in line.get_xdata()} == {5}


def test_modelled_energy_is_named_in_title_and_axis():
    figure = energy_figure(example_cells())
    assert all("modelled" in title for title in titles(figure))
    assert "modelled" in figure.get_supylabel()
    both = energy_figure(example_cells(("cpu", "cuda")))
    assert any("cuda" in title and "measured" in title for title in titles(both))
    assert "part modelled" in both.get_supylabel()


def test_nothing_to_draw_gives_the_reason():
    assert "no counter here" in message(energy_figure([cell(energy_j_per_sample=None, energy_note="no counter here")]))
    assert "random weights" in message(wer_figure([cell("wav2vec2-base-960h")]))
    assert "out of memory" in message(latency_figure([failed(cell(), "oom", "out of memory")]))
    assert "no cells" in message(throughput_figure([]))


def test_a_device_on_which_all_failed_says_so():
    figure = latency_figure([cell(), failed(cell(device="cuda"), "unsupported", "no such kernel")])
    assert figure.axes[1].texts[0].get_text() == "no such kernel"


def test_wide_ranges_are_logarithmic_and_narrow_ones_start_at_zero():
    wide = latency_figure([cell(latency_s_median=0.1), cell(duration_s=5, latency_s_median=2.0)])
    narrow = latency_figure([cell(latency_s_median=0.1), cell(duration_s=5, latency_s_median=0.2)])
    assert wide.axes[0].get_yscale() == "log"
    assert (narrow.axes[0].get_yscale(), narrow.axes[0].get_ylim()[0]) == ("linear", 0)


def test_the_baseline_has_solid_lines_whatever_the_names_of_the_others():
    figure = latency_figure([cell(), cell(variant="bf16"), cell(duration_s=5)])
    lines = dict(zip(labels(figure), figure.legends[0].get_lines(), strict=True))
    assert lines["fp32"].get_linestyle() == "-"
    assert lines["bf16"].get_linestyle() == "--"


def test_names_and_reasons_stay_text():
    svg = figure_svg("latency", [cell("<script>$a$</script>")], Bottlenecks())
    assert "<script" not in svg
    assert "&lt;script&gt;$a$" in svg
    ElementTree.fromstring(
        figure_svg("latency", [failed(cell(), "error", "bad \x1b[31m<b>bytes</b>\x00")], Bottlenecks())
    )


def test_command_line_makes_every_figure(tmp_path: Path):
    cells, *_ = write_tables(tmp_path, example_cells(), [])
    paths = write_bottlenecks(tmp_path, example_bottlenecks(example_cells()))
    options = {"cells": cells, "output-folder": tmp_path / "figures"} | {name: paths[name] for name in plot.TABLES}
    plot.main([part for key, value in options.items() for part in (f"--{key}", str(value))])
    made = sorted(path.stem for path in (tmp_path / "figures").iterdir())
    assert made == ["energy", "latency", "operators", "roofline", "stages", "throughput", "wer"]
