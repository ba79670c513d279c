"""The comparison with another run: large changes, changes by metric, speed of the machine, tables."""

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.comparison.large_changes import FACTOR, LargeChange
from asrmeter.analysis.comparison.rules import Metric, ModelSummary, Pair, Verdict
from asrmeter.analysis.comparison.runs import MOST_SHOWN, ByMetric, Comparison
from asrmeter.common.stats import Estimate
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    NULL,
    cell_link,
    display_name,
    effect_text,
    effect_texts,
    join,
    number,
    percent,
    shorten,
    truncate_list,
)
from asrmeter.report.html.table_model import Column, Entry, Table, estimate_entry, table_of, text_column, with_note

AS_EFFECT = {"ratio": "as_ratio", "difference": "as_difference"}


def comparison_section(comparison: Comparison, words: Words) -> dict[str, Any]:
    """Return the section on another run: large changes, sentences, metrics, cells of one run, settings that differ."""
    say = words["comparison"]
    of_run = {
        name: [cell.id for cell, place in comparison.missing if place == name]
        for name in dict.fromkeys(name for _, name in comparison.missing)
    }
    return {
        "large_changes": _large_changes(comparison, words),
        "sentences": _compared(comparison, words),
        "metrics": [
            {
                "title": words["compared"][part.metric.name],
                "sentences": _compared_by(part, words),
                "models": _models_table(part, words),
                "cells": _cells_table(part, words),
            }
            for part in comparison.by_metric
        ],
        "missing": [
            say["only_in"].format(name=name, n=len(cells), cells=truncate_list(cells, words, MOST_SHOWN))
            for name, cells in of_run.items()
        ],
        "differing": [
            (words["setting"][key], say["differing"].format(first=first, second=second))
            for key, first, second in comparison.differing
        ],
    }


def _large_changes(comparison: Comparison, words: Words) -> dict[str, Any] | None:
    """Return large changes as a sentence and a table with possible causes; None without any."""
    say, changes = words["large_change"], comparison.large_changes
    if not changes:
        return None

    def causes(large: LargeChange) -> Markup:
        told = (
            say["cause"].format(
                what=words["possible_cause"].get(one.name, one.name),
                first=shorten(one.first),
                second=shorten(one.second),
            )
            for one in large.causes
        )
        return Markup("; ").join(told) or say["no_cause"]

    def factor(large: LargeChange) -> Entry:
        return Entry(say["up" if large.ratio > 1 else "down"].format(factor=number(large.factor)), repr(large.ratio))

    columns: list[Column[tuple[Metric, Pair, LargeChange]]] = [
        text_column("cell", lambda one: cell_link(one[1].cell.id)),
        text_column("changed_metric", lambda one: say[one[0].name]),
        Column("other_run", lambda one: estimate_entry(one[1].first, "", one[0].scale)),
        Column("this_run", lambda one: estimate_entry(one[1].second, "", one[0].scale)),
        Column("changed_by", lambda one: factor(one[2])),
        text_column("possible_causes", lambda one: causes(one[2])),
    ]
    return {
        "sentence": say["sentence"].format(n=len(changes), factor=f"{FACTOR:g}"),
        "table": table_of("large-changes", say["caption"], columns, changes, words),
    }


def _compared(comparison: Comparison, words: Words) -> list[Markup]:
    """Return the result of a comparison with another run: changed models, failures, other machines."""
    say = words["comparison"]
    first, second = comparison.names
    if not comparison.n_cells:
        return [say["nothing"].format(first=first, second=second)]
    changes = [
        say["changes"].format(metric=words["compared"][part.metric.name], changes=_changes(part, words))
        for part in comparison.by_metric
    ]
    sentences = [
        say["both"].format(n=comparison.n_cells, first=first, second=second, changes=Markup("; ").join(changes))
    ]
    if comparison.n_not_again:
        sentences.append(say["not_again"].format(n=comparison.n_not_again))
    if comparison.other_machine:
        sentences.append(say["machines"])
    sentences += _speeds(comparison, words)
    if comparison.failed:
        cells = [cell_link(cell.id) for cell, _ in comparison.failed]
        sentences.append(say["failed"].format(n=len(cells), cells=truncate_list(cells, words)))
    return sentences


def _speeds(comparison: Comparison, words: Words) -> Iterator[Markup]:
    """Yield how fast the machine was in both runs, and whether the ratios of latencies are free of it."""
    say, (first, second) = words["comparison"], comparison.names
    for speeds in comparison.speeds:
        before, after = speeds.best_shares
        if before is not None and after is not None:
            shares = {"before": percent(before), "after": percent(after)}
            yield say["speeds"].format(device=speeds.device, first=first, second=second, **shares)
        if speeds.ratio is not None:
            key = "speed_explains" if speeds.explains else "speed_reported"
            yield say[key].format(device=speeds.device, first=first, ratio=percent(speeds.ratio))


def _changes(part: ByMetric, words: Words) -> Markup:
    """Return which models changed by a metric, or why none is named."""
    say = words["comparison"]
    if part.drifted and part.drift:
        return say["drifted"].format(verdict=words["verdict"][part.drift])
    changes = [
        say["change"].format(name=display_name(model.candidate), verdict=words["verdict"][model.change])
        for model in part.changed
        if model.change
    ]
    return join(changes) or say["none_changed" if part.judged else "none_judged"]


def _compared_by(part: ByMetric, words: Words) -> list[Markup]:
    """Return the result of a comparison by one metric, the counts first."""
    say, metric = words["comparison"], part.metric
    # Where runs are compared segment by segment, overlapping intervals of their own say nothing.
    share = part.overlap_share if metric.effect == "ratio" else None
    counts = join(say["count"].format(n=n, verdict=words["verdict"][verdict]) for verdict, n in part.counts.items())
    overlap = say["overlap"].format(share=percent(share)) if share is not None else ""
    sentences = [say["counts"].format(n=len(part.pairs), counts=counts, overlap=overlap)]
    if part.predicted_share is not None:
        sentences.append(say["predicted"].format(share=percent(part.predicted_share)))
    sentences += [
        say["changed"].format(
            name=display_name(model.candidate),
            verdict=words["verdict"][model.change],
            effect=say[AS_EFFECT[metric.effect]].format(effect=effect_text(model.effect, metric)),
        )
        for model in part.changed
        if model.change
    ]
    if part.drift:
        sentences.append(say["drift"].format(verdict=words["verdict"][part.drift]))
    if metric.name in words["compared_note"]:
        sentences.append(words["compared_note"][metric.name])
    if len(part.shown) < len(part.pairs):
        sentences.append(say["shown"].format(n=len(part.shown), total=len(part.pairs)))
    return sentences


def _models_table(part: ByMetric, words: Words) -> Table:
    """Return how many cells of each model have each verdict against another run, and whether the model changed."""
    metric, say = part.metric, words["comparison"]

    def count(verdict: Verdict) -> Column[ModelSummary]:
        def entry(model: ModelSummary) -> Entry:
            n = str(model.counts.get(verdict, 0))
            return Entry(n, n)

        return Column(verdict, entry)

    def change(model: ModelSummary) -> str:
        unchanged = say["unchanged" if model.judged else "not_judged"]
        return words["verdict"][model.change] if model.change else unchanged

    effect = {"ratio": "ratio_median", "difference": "difference_pooled"}[metric.effect]
    columns: list[Column[ModelSummary]] = [
        text_column("model", lambda model: model.candidate[0]),
        text_column("variant", lambda model: model.candidate[1]),
        *map(count, metric.verdicts),
        Column(effect, lambda model: _effect_entry(model.effect, metric, say["no_effect"])),
        text_column("as_a_whole", change),
    ]
    caption = say["models_caption"].format(metric=words["compared"][metric.name])
    return table_of(f"compared-models-{metric.name}", caption, columns, part.models, words)


def _cells_table(part: ByMetric, words: Words) -> Table:
    """Return cells of this run beside the same ones of another, those that differ first."""
    metric = part.metric

    def floor(pair: Pair) -> Entry:
        known = pair.effect.floor if pair.effect else None
        return Entry(percent(known), "" if known is None else repr(known), pair.reason)

    columns: list[Column[Pair]] = [
        text_column("cell", lambda pair: cell_link(pair.cell.id)),
        Column("other_run", lambda pair: estimate_entry(pair.first, pair.reason, metric.scale)),
        Column("this_run", lambda pair: estimate_entry(pair.second, pair.reason, metric.scale)),
        Column(metric.effect, lambda pair: _effect_entry(pair.effect, metric, pair.reason)),
        *([Column("floor", floor)] if metric.effect == "ratio" else []),
        text_column("verdict", lambda pair: words["verdict"][pair.verdict]),
        text_column("reason", lambda pair: pair.reason),
    ]
    return table_of(f"compared-{metric.name}", words["compared_caption"][metric.name], columns, part.shown, words)


def _effect_entry(effect: Estimate | None, metric: Metric, why: str) -> Entry:
    """Return the change of a value, with its interval below if it has one."""
    if effect is None:
        return Entry(NULL, "", why)
    value, between = effect_texts(effect, metric)
    return Entry(value if between == NULL else with_note(value, between), repr(effect.value))
