"""All figures, an entry each; the words of a figure are in the catalogue. Standard library only: Snakemake reads it."""

import importlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from asrmeter.report.terms import WORDS, section_of, with_terms


class FigureEntry(NamedTuple):
    """The functions of a figure, as `module:function`.

    `draw` makes a matplotlib figure of a `FigureContext`, `takeaway` a sentence of a `TakeawayContext`. Figures of the
    section `figures` stand there in this order; the template names those of other sections.
    """

    draw: str
    takeaway: str
    section: str = "figures"


# In the report's order. A new figure is an entry here, and its title and caption in the catalogue: `figure` and
# `figure_caption`.
FIGURES: Mapping[str, FigureEntry] = {
    "alternatives": FigureEntry(
        draw="asrmeter.report.figures.alternatives:alternatives_figure",
        takeaway="asrmeter.report.html.first_screen:alternatives_takeaway",
        section="answer",
    ),
    "optimisations": FigureEntry(
        draw="asrmeter.report.figures.optimisations:optimisations_figure",
        takeaway="asrmeter.report.html.optimisations:optimisations_takeaway",
        section="optimisations",
    ),
    "capacity": FigureEntry(
        draw="asrmeter.report.figures.capacity:capacity_figure",
        takeaway="asrmeter.report.html.capacity:capacity_takeaway",
        section="capacity",
    ),
    "pareto": FigureEntry(
        draw="asrmeter.report.figures.pareto:pareto_figure",
        takeaway="asrmeter.report.html.takeaways:pareto_takeaway",
    ),
    "latency": FigureEntry(
        draw="asrmeter.report.figures.cells:latency_figure",
        takeaway="asrmeter.report.html.takeaways:latency_takeaway",
    ),
    "latency_batch": FigureEntry(
        draw="asrmeter.report.figures.cells:latency_batch_figure",
        takeaway="asrmeter.report.html.takeaways:latency_batch_takeaway",
    ),
    "throughput": FigureEntry(
        draw="asrmeter.report.figures.cells:throughput_figure",
        takeaway="asrmeter.report.html.takeaways:throughput_takeaway",
    ),
    "rtfx": FigureEntry(
        draw="asrmeter.report.figures.cells:rtfx_figure",
        takeaway="asrmeter.report.html.takeaways:rtfx_takeaway",
    ),
    "energy": FigureEntry(
        draw="asrmeter.report.figures.cells:energy_figure",
        takeaway="asrmeter.report.html.takeaways:energy_takeaway",
    ),
    "memory": FigureEntry(
        draw="asrmeter.report.figures.cells:memory_figure",
        takeaway="asrmeter.report.html.takeaways:memory_takeaway",
    ),
    "gpu_over_cpu": FigureEntry(
        draw="asrmeter.report.figures.cells:gpu_over_cpu_figure",
        takeaway="asrmeter.report.html.takeaways:gpu_over_cpu_takeaway",
    ),
    "wer": FigureEntry(
        draw="asrmeter.report.figures.cells:wer_figure",
        takeaway="asrmeter.report.html.takeaways:wer_takeaway",
    ),
    "silence": FigureEntry(
        draw="asrmeter.report.figures.silence:silence_figure",
        takeaway="asrmeter.report.html.silence:silence_takeaway",
        section="silence",
    ),
    "layouts": FigureEntry(
        draw="asrmeter.report.figures.layouts:layouts_figure",
        takeaway="asrmeter.report.html.layouts:layouts_takeaway",
        section="layouts",
    ),
    "roofline": FigureEntry(
        draw="asrmeter.report.figures.bottlenecks:roofline_figure",
        takeaway="asrmeter.report.html.bottlenecks:roofline_takeaway",
        section="bottlenecks",
    ),
    "stages": FigureEntry(
        draw="asrmeter.report.figures.bottlenecks:stages_figure",
        takeaway="asrmeter.report.html.bottlenecks:stages_takeaway",
        section="bottlenecks",
    ),
    "operators": FigureEntry(
        draw="asrmeter.report.figures.bottlenecks:operators_figure",
        takeaway="asrmeter.report.html.operators:operators_takeaway",
        section="bottlenecks",
    ),
}

_LABELS = {"figure": "figure", "caption": "figure_caption"}


def load(reference: str) -> Any:
    """Return the function that a `module:function` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def labels(name: str, catalogue: Path) -> dict[str, str]:
    """Return the text for Snakemake's own report about a figure: title and caption in plain text."""
    words = tomllib.loads(catalogue.read_text(encoding="utf-8"))
    # Before the measurement it is unknown what will be counted.
    terms = words[section_of(WORDS)]
    texts = {key: with_terms(words[section][name], terms) for key, section in _LABELS.items()}
    return {key: re.sub("<[^>]+>", "", text) for key, text in texts.items()}
