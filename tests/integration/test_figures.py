"""Figures of constructed tables."""

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_hex, to_rgb

import make_figures
from asrmeter.analysis.bottlenecks import Bottlenecks, over_cpu
from asrmeter.analysis.ranking import rank_all
from asrmeter.analysis.results import results_of
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.report.catalogue import load_texts, load_words
from asrmeter.report.figure_registry import FIGURES, load
from asrmeter.report.figures import cells as of_cells
from asrmeter.report.figures import render
from asrmeter.report.figures.context import MOST_CANDIDATES, FigureContext
from asrmeter.report.figures.grid import RING_SIZE
from asrmeter.report.figures.pareto import steps
from asrmeter.report.figures.style import COLOURS, LINES, MARKERS, MARKS, OTHER, line_of, mark_of, marker_of
from asrmeter.report.figures.svg import attributes_of
from asrmeter.report.html.takeaways import TakeawayContext
from asrmeter.report.theme import ACCENT, INK
from asrmeter.workflow import import_closure
from helpers.bottlenecks import example_bottlenecks, scaling_row, stage_rows, write_bottlenecks
from helpers.capacity import known_capacities
from helpers.layouts import example_layouts
from helpers.optimisations import example_optimisations
from helpers.silence import example_silence
from helpers.tables import cell, example_cells, example_study, failed, write_tables

TEMPLATES = Path(__file__).parents[2] / "report"
TEXTS = load_texts(TEMPLATES, "en")


def context(cells, tables=None, texts=TEXTS):
    loads, capacities = known_capacities()
    further = {"optimisations": example_optimisations(), "silence": example_silence(), "layouts": example_layouts()}
    further |= {"loads": loads, "capacities": capacities}
    return FigureContext.of(example_study(), cells, [], tables or Bottlenecks(), texts, **(further if cells else {}))


def figure_svg(name, cells, tables=None):
    return render.figure_svg(name, context(cells, tables))


def latency_figure(cells):
    return of_cells.latency_figure(context(cells))


def energy_figure(cells):
    return of_cells.energy_figure(context(cells))


def throughput_figure(cells, tables=None):
    return of_cells.throughput_figure(context(cells, tables))


def wer_figure(cells):
    return of_cells.wer_figure(context(cells))


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
    labels = ("Audio per segment", "Batch size", "Share (%)", "GFLOP per s", "WER (%)", "times as fast")
    labels += ("Clips with text (%)", "segments per second", "Offered load (requests/s)")
    assert any(label in svg for label in labels)
    assert "<dc:date>" not in svg
    ElementTree.fromstring(svg)


@pytest.mark.parametrize("name", FIGURES)
def test_svg_has_no_styles_and_refers_only_to_what_is_there(name):
    cells = example_cells(("cpu", "cuda"))
    svg = figure_svg(name, cells, example_bottlenecks(cells))
    elements = list(ElementTree.fromstring(svg).iter())
    assert not any("style" in element.attrib or element.tag.endswith("style") for element in elements)
    ids = [element.get("id") for element in elements if element.get("id")]
    assert len(ids) == len(set(ids))
    values = " ".join(value for element in elements for value in element.attrib.values())
    assert set(re.findall(r"url\(#(.+?)\)", values)) | set(re.findall(r'href="#(.+?)"', svg)) == set(ids) - {"figure_1"}
    assert INK in svg and any(colour.lower() in svg.lower() for colour in (ACCENT, *COLOURS))


def test_styles_become_attributes() -> None:
    assert attributes_of("fill: none; stroke: #767676; stroke-width: 0.8") == {
        "fill": "none",
        "stroke": "#767676",
        "stroke-width": "0.8",
    }
    assert attributes_of("font: italic 700 10px 'DejaVu Sans', sans-serif; text-anchor: middle") == {
        "font-style": "italic",
        "font-weight": "700",
        "font-size": "10px",
        "font-family": "'DejaVu Sans', sans-serif",
        "text-anchor": "middle",
    }


def luminance(colour):
    """Return the relative luminance of WCAG 2."""
    parts = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(colour)]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def test_text_reads_on_both_pages_and_models_differ_in_grey() -> None:
    assert 1.05 / (luminance(INK) + 0.05) >= 4.5 and (luminance(INK) + 0.05) / 0.05 >= 4.5
    assert len(MARKERS) >= MOST_CANDIDATES
    assert len(set(MARKERS)) == len(MARKERS)
    assert len({(line_of(i), mark_of(i)) for i in range(len(LINES))}) == len(LINES) == len(MARKS)
    # Some colours are the same in grey; markers never are.
    assert len({marker_of(i) for i in range(MOST_CANDIDATES)}) == MOST_CANDIDATES


def test_variants_of_a_model_differ_where_no_line_is_drawn():
    cells = [cell(variant=variant) for variant in ("fp32", "bf16")]
    tables = Bottlenecks(roofline=[row for one in cells for row in stage_rows(one)])
    for name in ("roofline", "pareto", "wer"):
        figure = render.draw(name, context(cells, tables))
        assert "+ inside: bf16" in labels(figure)
        assert [line.get_marker() for line in figure.axes[0].get_lines()].count("+") == (2 if name == "roofline" else 1)


def marks(axes, marker):
    """Return the points that have a marker of that kind and size of a ring."""
    return [
        (float(x), float(y)) for line in axes.get_lines() if line.get_marker() == marker for x, y in line.get_xydata()
    ]


def test_a_ring_marks_where_larger_batches_bring_no_more():
    cells = [cell(batch_size=size) for size in (1, 2, 4)]
    for draw in (of_cells.throughput_figure, of_cells.rtfx_figure):
        figure = draw(context(cells, Bottlenecks(scaling=[scaling_row(cells[0], 2)])))
        rings = [line for line in figure.axes[0].get_lines() if line.get_markersize() == RING_SIZE]
        assert [list(line.get_xdata()) for line in rings] == [[2]]
        assert "ring: larger batches add no throughput" in labels(figure)
        figure = draw(context(cells, Bottlenecks(scaling=[scaling_row(cells[0])])))
        assert "ring: larger batches add no throughput" not in labels(figure)


def test_models_that_have_a_wer_stand_around_their_class():
    figure = wer_figure([cell("a"), cell("b"), cell("c", weights="random", wer=None)])
    places = [float(line.get_xdata()[0]) for line in figure.axes[0].get_lines() if line.get_marker() != "None"]
    assert len(places) == 2 and places[0] * places[1] == pytest.approx(30**2)


def test_throughput_is_in_segments_and_rtfx_in_seconds():
    (one,) = cells = [cell(batch_size=4)]
    assert marks(of_cells.throughput_figure(context(cells)).axes[0], "o") == [(4, one["samples_per_s"])]
    assert marks(of_cells.rtfx_figure(context(cells)).axes[0], "o") == [(4, one["rtfx"])]
    assert marks(of_cells.latency_batch_figure(context(cells)).axes[0], "o") == [(4, one["latency_s_median"])]


def test_net_energy_is_a_dash_below_and_its_absence_has_a_reason():
    figure = energy_figure([cell(device="cuda", energy_j_per_sample=9.0, energy_net_j_per_sample=6.0), cell()])
    assert marks(figure.axes[1], "_") == [(30, 6.0)] and marks(figure.axes[0], "_") == []
    assert "dash below: net of idle power" in labels(figure)
    assert "Gross energy only" not in figure.get_supxlabel()
    assert "Gross energy only" in energy_figure([cell()]).get_supxlabel()


def test_memory_is_that_of_the_device_in_gb():
    figure = of_cells.memory_figure(context([cell(peak_rss_bytes=2e9), cell(device="cuda", peak_device_bytes=3e9)]))
    assert [marks(axes, "o") for axes in figure.axes] == [[(30, 2.0)], [(30, 3.0)]]
    assert ["process" in title for title in titles(figure)] == [True, False]
    nothing = of_cells.memory_figure(context([cell(peak_rss_bytes=None)]))
    assert "Memory was not measured" in message(nothing)


def test_gpu_over_cpu_has_the_interval_of_its_ratio():
    times = {"latency_s_median": 2.0, "latency_s_ci_low": 1.8, "latency_s_ci_high": 2.2}
    fast = {"latency_s_median": 0.5, "latency_s_ci_low": 0.4, "latency_s_ci_high": 0.55}
    cells = [cell(**times), cell(device="cuda", **fast), cell(batch_size=2, **times)]
    figure = of_cells.gpu_over_cpu_figure(context(cells))
    assert titles(figure) == ["cuda / cpu · batch 1"]
    assert marks(figure.axes[0], "o") == [(30, 4.0)]
    (pair,) = over_cpu(cells)
    down = math.hypot(math.log(2.0 / 1.8), math.log(0.55 / 0.5))
    up = math.hypot(math.log(2.2 / 2.0), math.log(0.5 / 0.4))
    assert (pair["over_cpu_low"], pair["over_cpu_high"]) == pytest.approx((4 * math.exp(-down), 4 * math.exp(up)))
    assert any(list(line.get_ydata()) == [1.0, 1.0] for line in figure.axes[0].get_lines())


def test_without_both_devices_gpu_over_cpu_says_why():
    def said(cells):
        return message(of_cells.gpu_over_cpu_figure(context(cells)))

    assert "only cpu was measured" in said([cell()])
    assert "no such kernel" in said([cell(), failed(cell(device="cuda"), "unsupported", "no such kernel")])
    assert "no cells" in said([])


def test_the_front_has_full_colour_and_steps_others_fade():
    kept = {"wer_ci_low": 0.05, "wer_ci_high": 0.06}
    cells = [
        cell("a", wer=0.055, **kept),
        cell("b", batch_size=2, wer=0.3, wer_ci_low=0.25, wer_ci_high=0.35),
        cell("c", device="cuda", wer=0.055, energy_j_per_sample=None, **kept),
        cell("wav2vec2-base-960h"),
    ]
    figure = render.draw("pareto", context(cells))
    assert titles(figure) == ["cpu · 30 s of audio", "cuda · 30 s of audio"]
    # The GPU is faster and as accurate, so that all on the CPU is left behind.
    alphas = [{line.get_alpha() for line in axes.get_lines() if line.get_marker() != "None"} for axes in figure.axes]
    assert alphas == [{0.5}, {1.0}]
    assert "faded: dominated by another setting" in labels(figure)
    # One member has no line.
    assert "Pareto front" not in labels(figure)
    traded = [cell("quick", wer=0.3, latency_s_median=1.0), cell("good", wer=0.05, latency_s_median=2.0)]
    assert "Pareto front" in labels(render.draw("pareto", context(traded)))
    assert "wav2vec2-base-960h (random)" not in labels(figure)
    assert "measured with measured" in " ".join(figure.get_supxlabel().split())
    assert any("Wh per hour of audio (modelled)" in label for label in labels(figure))
    unknown = render.draw("pareto", context([cell(energy_j_per_sample=None)]))
    assert "WER and latency" in unknown.get_supxlabel()
    assert "no front" in message(render.draw("pareto", context([cell("wav2vec2-base-960h")])))


def test_the_steps_of_the_front_go_down():
    results = results_of([cell("a", wer=0.1, latency_s_median=1.0), cell("b", wer=0.12, latency_s_median=2.0)])
    assert steps(results) == [(1.0, 0.1)]


def test_words_of_another_language_are_in_all_figures():
    # At either end, as a long one has two lines.
    texts = {section: {key: f"«xx» {text} «xx»" for key, text in entries.items()} for section, entries in TEXTS.items()}
    cells = example_cells(("cpu", "cuda"))
    drawn = context(cells, example_bottlenecks(cells), texts)
    for name in FIGURES:
        svg = render.figure_svg(name, drawn)
        said = [text for text in re.findall(r"<text[^>]*>(.*?)</text>", svg) if re.search("[a-z]{4}", text)]
        plain = [text for text in said if "«xx»" not in text and not re.search("whisper|wav2vec|^cuda$", text)]
        assert plain == [], name


def test_a_model_has_one_colour_in_all_figures():
    cells = example_cells()
    tables = example_bottlenecks(cells)
    drawn = context(cells, tables)
    # In these a colour is something else: a variant, a percentile, a stage.
    others = ("alternatives", "optimisations", "capacity", "silence", "layouts", "stages", "operators", "gpu_over_cpu")
    figures = [render.draw(name, drawn) for name in FIGURES if name not in others]
    assert len(figures) == 9
    assert {colour_of(figure, "whisper-base") for figure in figures} == {COLOURS[1]}
    assert {colour_of(figure, "whisper-tiny.en") for figure in figures} == {COLOURS[2]}
    # Layouts have panels in the place of a legend.
    panels = [panel for panel in render.draw("layouts", drawn).axes if panel.patches]
    bars = {(panel.get_title().split(" ")[0], to_hex(bar.get_facecolor())) for panel in panels for bar in panel.patches}
    assert bars == {("whisper-base", COLOURS[1].lower()), ("whisper-tiny.en", COLOURS[2].lower())}
    assert drawn.colour("one that is left out") == OTHER


def test_a_panel_per_device_and_batch():
    figure = latency_figure(example_cells(("cpu", "cuda")))
    assert titles(figure) == [f"{device} · batch {batch}" for device in ("cpu", "cuda") for batch in (1, 2, 4)]


def test_unconverged_cells_have_an_open_marker_that_is_explained():
    cells = example_cells()
    assert "open: latency not within the target" in labels(latency_figure(cells))
    faces = [line.get_markerfacecolor() for axes in latency_figure(cells).axes for line in axes.get_lines()]
    # One is wider than the target, and the one that was disturbed in every lap has no interval.
    assert faces.count("none") == 2
    assert "open: latency not within the target" not in labels(latency_figure([cell()]))


def test_disturbed_cells_are_crossed_out_and_that_is_explained():
    cells = [cell(), cell(duration_s=5, disturbed=True, disturbance="steal")]
    figure = latency_figure(cells)
    crosses = [line.get_xdata()[0] for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert crosses == [5]
    assert "crossed out: disturbed in every lap" in labels(figure)
    assert "crossed out: disturbed in every lap" not in labels(latency_figure([cell()]))
    assert "crossed out: disturbed in every lap" not in labels(wer_figure(cells))


def test_failed_cells_are_absent():
    figure = latency_figure([cell(duration_s=5), failed(cell(duration_s=30), "oom", "too large")])
    assert [line.get_xdata()[0] for line in figure.axes[0].get_lines() if line.get_marker() == "s"] == []
    drawn = {value for line in figure.axes[0].get_lines() for value in line.get_xdata()}
    assert {value for value in drawn if value == value} == {5}


def test_modelled_energy_is_named_in_title_and_axis():
    figure = energy_figure(example_cells())
    assert all("modelled" in title for title in titles(figure))
    assert "modelled" in figure.get_supylabel()
    both = energy_figure(example_cells(("cpu", "cuda")))
    assert any("cuda" in title and "measured" in title for title in titles(both))
    assert "partly modelled" in both.get_supylabel()


def test_nothing_to_draw_gives_the_reason():
    assert "no counter here" in message(energy_figure([cell(energy_j_per_sample=None, energy_note="no counter here")]))
    assert "random weights" in message(wer_figure([cell("wav2vec2-base-960h")]))
    assert "out of memory" in message(latency_figure([failed(cell(), "oom", "out of memory")]))
    assert "no cells" in message(throughput_figure([]))


def test_a_device_on_which_all_failed_says_so():
    figure = latency_figure([cell(), failed(cell(device="cuda"), "unsupported", "no such kernel")])
    assert figure.axes[1].texts[0].get_text() == "no such kernel"


def test_wide_ranges_are_logarithmic_narrow_ones_start_at_zero():
    wide = latency_figure([cell(latency_s_median=0.1), cell(duration_s=5, latency_s_median=2.0)])
    narrow = latency_figure([cell(latency_s_median=0.1), cell(duration_s=5, latency_s_median=0.2)])
    assert wide.axes[0].get_yscale() == "log"
    assert (narrow.axes[0].get_yscale(), narrow.axes[0].get_ylim()[0]) == ("linear", 0)


def test_baseline_lines_are_solid_whatever_other_names():
    figure = latency_figure([cell(), cell(variant="bf16"), cell(duration_s=5)])
    lines = dict(zip(labels(figure), figure.legends[0].get_lines(), strict=True))
    assert lines["fp32"].get_linestyle() == "-"
    assert lines["bf16"].get_linestyle() == "--"


def test_names_and_reasons_stay_text():
    svg = figure_svg("latency", [cell("<script>$a$</script>")])
    assert "<script" not in svg
    assert "&lt;script&gt;$a$" in svg
    ElementTree.fromstring(figure_svg("latency", [failed(cell(), "error", "bad \x1b[31m<b>bytes</b>\x00")]))


def test_command_line_makes_every_figure(tmp_path: Path):
    cells, transcripts, _ = write_tables(tmp_path, example_cells(), [])
    study = tmp_path / "study.json"
    study.write_text(json.dumps(example_study().as_json()))
    paths = write_bottlenecks(tmp_path, example_bottlenecks(example_cells()))
    options = {
        "study": study,
        "cells": cells,
        "transcripts": transcripts,
        "output-folder": tmp_path / "figures",
        "template-folder": TEMPLATES,
    }
    further = ("optimisations", "silence", "loads", "capacities", "layouts")
    options |= {name: tmp_path / f"{name}.parquet" for name in further}
    options |= {name: paths[name] for name in make_figures.TABLES}
    make_figures.main([part for key, value in options.items() for part in (f"--{key}", str(value))])
    made = sorted(path.stem for path in (tmp_path / "figures").iterdir())
    assert made == sorted(FIGURES)


def test_scripts_are_made_of_the_functions_of_figures():
    scripts = Path(make_figures.__file__).parent
    modules = {
        scripts.joinpath(*reference.partition(":")[0].split(".")).with_suffix(".py")
        for entry in FIGURES.values()
        for reference in (entry.draw, entry.takeaway)
    }
    made_of = import_closure.closure(Path(make_figures.__file__), scripts)
    assert {str(module.relative_to(scripts)) for module in modules} <= set(made_of)


ONE_OF_A_KIND = [cell(), cell("wav2vec2-base-960h", batch_size=2)]
LACKING = [
    [],
    [cell()],
    [failed(row, "error", "broken") for row in ONE_OF_A_KIND],
    [row | {"disturbed": True, "disturbance": "others"} for row in ONE_OF_A_KIND],
    *(
        [row | {column: None} for row in ONE_OF_A_KIND]
        for column in ("energy_j_per_sample", "peak_rss_bytes", "wer", "encoder_s_median")
    ),
    [cell(), failed(cell(device="cuda"), "error", "no driver")],
    [cell(), cell(device="cuda") | {"disturbed": True}],
]


@pytest.mark.parametrize("has_tables", [False, True])
@pytest.mark.parametrize("cells", LACKING, ids=range(len(LACKING)))
def test_nothing_is_said_of_a_figure_that_draws_nothing(cells, has_tables):
    tables = example_bottlenecks(cells) if has_tables else Bottlenecks()
    of = TakeawayContext(cells, rank_all(results_of(cells), unmeasured_of(cells)), tables, load_words(TEMPLATES, "en"))
    # A drawing without axes is a sentence that says why there is none. It has no place in the report.
    empty = {name for name in FIGURES if not render.draw(name, context(cells, tables)).axes}
    assert {name for name in empty if load(FIGURES[name].takeaway)(of) is not None} == set()
