"""Figures of what holds cells back, from constructed tables."""

from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from test_figures import TEXTS, context, figure_svg, labels, message, titles

from asrmeter.analysis.bottlenecks import GROUPS, Bottlenecks
from asrmeter.report.figures import bottlenecks
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.stacked import BAR_COLOURS, HATCHES
from asrmeter.report.figures.style import COLOURS, MARKERS
from helpers.bottlenecks import ceiling_rows, example_bottlenecks, failed_profile, profile_rows, stage_rows
from helpers.tables import cell, example_cells, failed

NAMES = ("roofline", "stages", "operators")


def roofline_figure(cells, tables):
    return bottlenecks.roofline_figure(context(cells, tables))


def operators_figure(cells, tables):
    return bottlenecks.operators_figure(context(cells, tables))


def stages_figure(cells, tables):
    return bottlenecks.stages_figure(context(cells, tables))


def bars(axes):
    """Return (place, left, width, colour, hatch) of each part of the bars."""
    return [
        (
            round(p.get_y() + p.get_height() / 2),
            p.get_x(),
            p.get_width(),
            to_hex(p.get_facecolor()).upper(),
            p.get_hatch(),
        )
        for p in axes.patches
        if isinstance(p, Rectangle)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_empty_tables_give_a_sentence(name: str) -> None:
    svg = figure_svg(name, [], Bottlenecks())
    ElementTree.fromstring(svg)
    assert "the table has no" in svg


def test_what_is_missing_gives_its_reason() -> None:
    one = cell()
    rows = [row | {"flop_per_byte": None} for row in stage_rows(one, None, "the formula disagrees")]
    assert "the formula disagrees" in message(roofline_figure([one], Bottlenecks(roofline=rows)))
    tables = Bottlenecks(operators=[failed_profile(one, "longer than 600 s")])
    assert "longer than 600 s" in message(operators_figure([one], tables))
    assert "out of memory" in message(stages_figure([failed(one, "oom", "out of memory")], Bottlenecks()))


def test_the_roofline_has_a_panel_per_device_with_its_ceilings() -> None:
    cells = example_cells(("cpu", "cuda"))
    figure = roofline_figure(cells, example_bottlenecks(cells))
    assert titles(figure) == ["cpu", "cuda"]
    for axes, peak, slow in zip(figure.axes, ("280", "48,000"), ("14", "2,100"), strict=True):
        shown = [one.get_text() for one in axes.texts]
        assert f"float32: {peak} GFLOP/s" in shown and f"{slow} GB/s, 1.07 GB" in shown
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_memory_ceiling_has_its_slope_and_ends_at_the_peak() -> None:
    one = cell()
    (axes,) = roofline_figure([one], Bottlenecks(roofline=stage_rows(one), ceilings=ceiling_rows())).axes
    lines = [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) == 2]
    slopes = sorted(round(y / x, 3) for (_, _), (x, y) in lines if y < 281 and x < 50)
    assert slopes == [14.0, 60.0]
    assert all(y <= 280.001 for line in lines for _, y in line)


def test_stages_differ_by_fill_models_keep_colour_and_marker() -> None:
    cells = [cell("a"), cell("whisper-base")]
    rows = [row for one in cells for row in stage_rows(one)]
    figure = roofline_figure(cells, Bottlenecks(roofline=rows))
    points = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert [(p.get_color(), p.get_marker(), p.get_markerfacecolor()) for p in points] == [
        (COLOURS[0], MARKERS[0], COLOURS[0]),
        (COLOURS[0], MARKERS[0], "none"),
        (COLOURS[1], MARKERS[1], COLOURS[1]),
        (COLOURS[1], MARKERS[1], "none"),
    ]
    assert {"filled: encoder", "open: decoder", "a", "whisper-base"} <= set(labels(figure))
    assert figure.axes[0].texts[0].get_text() == "no ceilings were measured here"


def test_two_machines_have_a_panel_each() -> None:
    cells = [cell(), cell(batch_size=2, machine_id="other")]
    rows = [row for one in cells for row in stage_rows(one)]
    both = FigureContext(cells, Bottlenecks(roofline=rows), TEXTS)
    assert titles(bottlenecks.roofline_figure(both)) == [
        "cpu · machine a1b2c3",
        "cpu · machine other",
    ]


def test_operators_show_cpu_time_on_cpu_device_time_on_cuda() -> None:
    cells = [cell(), cell(device="cuda")]
    figure = operators_figure(cells, Bottlenecks(operators=[row for one in cells for row in profile_rows(one)]))
    assert titles(figure) == ["cpu · CPU time, share of the pass", "cuda · device time, share of its busy time"]
    on_cpu, on_cuda = (bars(axes) for axes in figure.axes)
    assert on_cpu[0][1:3] == pytest.approx((0, 44)) and on_cuda[0][1:3] == pytest.approx((0, 50))
    assert sum(part[2] for part in on_cuda) == pytest.approx(100)
    # The matrix products' share is written into the bar.
    assert "44" in [one.get_text() for one in figure.axes[0].texts]


def test_parts_differ_without_colour_too() -> None:
    assert len(set(HATCHES)) == len(set(BAR_COLOURS)) == len(GROUPS)
    figure = operators_figure([cell()], Bottlenecks(operators=profile_rows(cell())))
    found = {(colour, hatch) for *_, colour, hatch in bars(figure.axes[0])}
    assert len({hatch for _, hatch in found}) == len({colour for colour, _ in found}) == len(found)


def test_stages_are_shares_of_their_sum_at_the_smallest_batch() -> None:
    cells = [cell(batch_size=2), cell(), cell("wav2vec2-base-960h", duration_s=5)]
    figure = stages_figure(cells, Bottlenecks())
    assert titles(figure) == ["cpu · batch 1, share of the pass"]
    assert [one.get_text() for one in figure.axes[0].get_yticklabels()] == [
        "wav2vec2-base-960h · 5 s",
        "whisper-base · 30 s",
    ]
    parts = bars(figure.axes[0])
    assert [round(width) for place, _, width, *_ in parts if place == 1] == [3, 36, 60, 1]
    assert [round(width) for place, _, width, *_ in parts if place == 0] == [8, 90, 2]
    assert labels(figure) == ["features", "encoder", "decoder", "text"]


def test_order_of_rows_does_not_matter() -> None:
    cells = example_cells(("cpu", "cuda"))
    tables = example_bottlenecks(cells)
    turned = Bottlenecks(**{name: list(reversed(getattr(tables, name))) for name in tables.__dataclass_fields__})
    for name in ("stages", "operators"):
        assert figure_svg(name, cells, tables) == figure_svg(name, cells[::-1], turned)


def test_names_stay_text() -> None:
    nasty = cell("<script>$a$</script>")
    tables = Bottlenecks(roofline=stage_rows(nasty), operators=profile_rows(nasty), ceilings=ceiling_rows())
    for name in NAMES:
        svg = figure_svg(name, [nasty], tables)
        assert "<script" not in svg and "&lt;script&gt;$a$" in svg
        ElementTree.fromstring(svg)
