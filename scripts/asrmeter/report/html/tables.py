"""The report's tables: for each value what is shown, what it is sorted by, and why it is missing."""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.comparison.rules import Metric, ModelSummary, Pair
from asrmeter.analysis.comparison.runs import ByMetric
from asrmeter.analysis.ranking import Ranking, StudyRankings, highest_rtfx, lowest_energy, lowest_latency
from asrmeter.analysis.results import BASELINE, Candidate, CellResult, disturbance_of, energy_method, results_of
from asrmeter.analysis.scenarios import word_accuracy_kept
from asrmeter.analysis.star_rating import MEASURES, MOST, stars
from asrmeter.analysis.table_rows import cell_name
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MODELLED_METHODS
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    LARGE,
    NARROW_SPACE,
    NULL,
    anchor,
    cell_link,
    effect_texts,
    energy_basis,
    interval,
    number,
    percent,
    result_fields,
    scaled,
    short_basis,
    truncate_list,
    whole,
)
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    full_precision,
    interval_column,
    lines_of,
    name_columns,
    number_entry,
    quantity,
    table_from,
    table_of,
    text_column,
    text_entry,
    with_note,
)

# As many as anyone reads; selection.json has all.
MOST_SKIPPED = 100
STAGES = ("features_s_median", "encoder_s_median", "decoder_s_median", "text_s_median")


def skipped_table(selection: Mapping[str, Any], words: Words) -> Table:
    """Return the audio that was not fit for use, the first hundred, each with its reason."""
    lines = [[text_entry(entry["name"]), text_entry(entry["reason"])] for entry in selection["skipped"][:MOST_SKIPPED]]
    return table_from("skipped", words["failures"]["skipped_caption"], ["audio", "reason"], lines, words)


def overview_table(judged: Sequence[Row], words: Words) -> Table | None:
    """Return the figures of all cells that matter most, where there are too many cells for all of their figures."""
    if len(judged) <= LARGE:
        return None
    columns = _overview_columns(words)
    table = _cells_table("overview", columns, (), words)
    return replace(table, lines=lines_of(judged, columns), compact=True)


def cells_tables(cells: Sequence[Row], linked: AbstractSet[str], words: Words) -> list[Table]:
    """Return all numbers of all cells: speed, to whose rows the links lead, resources, and accuracy.

    Of very many cells only those whose anchors are `linked` to.
    """
    own_scoring = any(row["wer_corpus"] is not None for row in cells)
    shown = cells if len(cells) <= LARGE else [row for row in cells if anchor(cell_name(row)) in linked]
    note = words["table"]["linked"].format(n=len(shown), total=whole(len(cells))) if shown is not cells else ""
    return [
        replace(_cells_table(name, columns, (), words), lines=lines_of(shown, columns, name == "speed"), shown=note)
        for name, columns in (
            ("speed", _speed_columns(words)),
            ("resources", _resource_columns(words)),
            ("accuracy", _accuracy_columns(words, own_scoring)),
        )
    ]


def failures_table(rows: Sequence[Row], elsewhere: Sequence[Row], words: Words) -> Table:
    """Return cells with their status and reason, and those that count in no comparison: measured on other hardware."""
    say = words["failures"]["elsewhere"]
    told = [(row, row["reason"] or NULL) for row in rows]
    told += [(row, say.format(hardware=row["device_name"] or row["machine_id"])) for row in elsewhere]
    lines = [map(text_entry, (cell_link(cell_name(row)), row["status"], reason)) for row, reason in told]
    return table_from("failures", words["failures"]["caption"], ["cell", "status", "reason"], lines, words)


def disturbed_table(cells: Sequence[Row], words: Words) -> Table:
    """Return the disturbed cells with what disturbed them, and what was seen of the machine meanwhile."""
    missing = words["why_null"]["not_measured"]
    columns = [
        text_column("cell", lambda row: cell_link(cell_name(row))),
        text_column("disturbance", disturbance_of),
        *(
            quantity(key, lambda row: missing, scale, digits)
            for key, scale, digits in (
                ("n_attempts", 1.0, whole),
                ("other_processes_cpu_cores", 1.0, number),
                ("steal_share", 100.0, number),
                ("cpu_mhz_min", 1.0, whole),
                ("temperature_c_max", 1.0, whole),
                ("n_throttle_events", 1.0, whole),
                ("n_foreign_gpu_processes", 1.0, whole),
            )
        ),
    ]
    return table_of("disturbed", words["failures"]["disturbed_caption"], columns, filter(disturbance_of, cells), words)


def repeatability_table(pairs: Iterable[Row], words: Words) -> Table:
    """Return the cells that were measured twice, with both latencies and how far these lie apart."""
    say = words["provenance"]

    def line(row: Row) -> list[Entry]:
        first, again = (
            Estimate(*(row[f"latency_s_{part}{suffix}"] for part in ("median", "ci_low", "ci_high")))
            if row[f"latency_s_median{suffix}"] is not None
            else None
            for suffix in ("", "_again")
        )
        why = row["note"] or words["why_null"]["not_measured"]
        overlap = {True: say["yes"], False: say["no"]}.get(row["overlap"], NULL)
        difference = scaled(row["relative_difference"], 100)
        return [
            text_entry(cell_link(cell_name(row))),
            _estimate_entry(first, why),
            _estimate_entry(again, why),
            number_entry(difference, why),
            text_entry(overlap),
            text_entry(row["note"] or ""),
        ]

    keys = ["cell", "latency_s_median", "latency_again", "relative_difference", "overlap", "note"]
    numeric = "latency_s_median latency_again relative_difference"
    return table_from(
        "repeatability", say["repeatability_caption"], keys, map(line, pairs), words, numeric, "repeatability"
    )


def compared_models_table(part: ByMetric, words: Words) -> Table:
    """Return how many cells of each model got which verdict, against another run, and what became of it as a whole."""
    metric, say = part.metric, words["comparison"]

    def line(model: ModelSummary) -> list[Entry]:
        counts = [model.counts.get(verdict, 0) for verdict in metric.verdicts]
        unchanged = say["unchanged" if model.judged else "not_judged"]
        return [
            *map(text_entry, model.candidate),
            *(Entry(str(count), str(count)) for count in counts),
            _effect_entry(model.effect, metric, say["no_effect"]),
            text_entry(words["verdict"][model.change] if model.change else unchanged),
        ]

    effect = {"ratio": "ratio_median", "difference": "difference_pooled"}[metric.effect]
    keys = ["model", "variant", *metric.verdicts, effect, "as_a_whole"]
    numeric = " ".join([*metric.verdicts, effect])
    caption = say["models_caption"].format(metric=words["compared"][metric.name])
    return table_from(f"compared-models-{metric.name}", caption, keys, map(line, part.models), words, numeric)


def compared_cells_table(part: ByMetric, words: Words) -> Table:
    """Return cells of this run beside the same ones of another, those that differ first."""
    metric = part.metric
    floors = ["floor"] if metric.effect == "ratio" else []

    def line(pair: Pair) -> list[Entry]:
        floor = pair.effect.floor if pair.effect else None
        return [
            text_entry(cell_link(pair.cell.id)),
            _estimate_entry(pair.first, pair.reason, metric.scale),
            _estimate_entry(pair.second, pair.reason, metric.scale),
            _effect_entry(pair.effect, metric, pair.reason),
            *(Entry(percent(floor), repr(floor) if floor is not None else "", pair.reason) for _ in floors),
            text_entry(words["verdict"][pair.verdict]),
            text_entry(pair.reason),
        ]

    keys = ["cell", "other_run", "this_run", metric.effect, *floors, "verdict", "reason"]
    numeric = " ".join(["other_run", "this_run", metric.effect, *floors])
    caption = words["compared_caption"][metric.name]
    return table_from(f"compared-{metric.name}", caption, keys, map(line, part.shown), words, numeric)


def weights_table(cells: Sequence[Row], words: Words) -> Table:
    """Return the weights that were run, with their hashes."""
    known = sorted({(row["model"], row["weights"], row["weights_sha256"] or NULL) for row in cells})
    lines = [[text_entry(part) for part in parts] for parts in known]
    return table_from("weights", words["provenance"]["caption"], ["model", "weights", "weights_sha256"], lines, words)


def duration_table(found: StudyRankings, words: Words) -> Table:
    """Return the best settings for each duration class."""
    pool = words["answer"]["pool_accurate" if found.accuracies else "pool_speed"]
    lines = [
        [
            Entry(str(best.duration_s), str(best.duration_s)),
            _first(best.throughput, words),
            Entry(number(best.throughput.first.rtfx.value), repr(best.throughput.first.rtfx.value)),
            _first(best.latency, words),
            Entry(number(best.latency.first.latency.value), repr(best.latency.first.latency.value)),
        ]
        for best in found.by_duration
    ]
    keys = ["duration_s", "throughput_setting", "best_rtfx", "latency_setting", "lowest_latency"]
    caption = words["answer"]["by_duration_caption"].format(pool=pool)
    return table_from("by-duration", caption, keys, lines, words, "duration_s best_rtfx lowest_latency")


def models_table(cells: Sequence[Row], found: StudyRankings, words: Words) -> Table:
    """Return each model and variant at its best, the most accurate first."""
    candidates = sorted({(row["model"], row["variant"]) for row in cells})
    ranked = sorted(candidates, key=lambda one: (_rank(one, found), one))
    keys = [
        "model", "variant", "weights", "pooled_wer", "best_rtfx", "lowest_latency", "largest_stage", "peak_memory",
        "least_energy",
    ]  # fmt: skip
    numeric = "pooled_wer best_rtfx lowest_latency peak_memory least_energy word_accuracy_kept"
    lines = [_model_line(candidate, cells, found, words) for candidate in ranked]
    if {variant for _, variant in candidates} != {BASELINE}:
        keys.insert(4, "word_accuracy_kept")
        scored = {result.candidate: result for result in found.accuracies}
        for candidate, line in zip(ranked, lines, strict=True):
            result = scored.get(candidate)
            kept = word_accuracy_kept(result, found.accuracies) if result else None
            line.insert(4, number_entry(kept, words["why_null"]["no_reference"], 100))
    return table_from("models", words["models"]["caption"], keys, lines, words, numeric)


def stars_table(measured: Sequence[CellResult], found: StudyRankings, words: Words) -> Table:
    """Return the stars of each model and variant in the class by which models are compared."""
    results = [result for result in measured if result.duration_s == found.duration_s]

    def entry(n: int | None) -> Entry:
        if n is None:
            return Entry(NULL, "", words["why_null"]["not_measured"])
        shown = Markup('<span role="img" aria-label="{}">{}</span>')
        return Entry(shown.format(words["stars"]["label"].format(n=n), "★" * n + "☆" * (MOST - n)), str(n))

    lines = [
        [*map(text_entry, candidate), *(entry(given[measure]) for measure in MEASURES)]
        for candidate, given in stars(results).items()
    ]
    keys = ["model", "variant", "stars_accuracy", "stars_speed", "stars_energy", "stars_memory"]
    caption = words["stars"]["caption"].format(duration=NULL if found.duration_s is None else found.duration_s)
    return table_from("stars", caption, keys, lines, words)


def _cells_table(name: str, columns: list[Column], cells: Sequence[Row], words: Words) -> Table:
    return table_of(name, words["cells"][f"{name}_caption"], columns, cells, words)


def _status_column(words: Words) -> Column:
    def status(row: Row) -> Entry:
        text = words["cells"]["disturbed"].format(status=row["status"]) if row["disturbed"] else row["status"]
        return Entry(text, row["status"], disturbance_of(row))

    return Column("status", status, numeric=False)


def _overview_columns(words: Words) -> list[Column]:
    """Return columns of text before those of numbers: the style sheet goes by their places."""

    def why(row: Row) -> str:
        return ""

    def bound(row: Row) -> str:
        return words["bound"][row["bound"]] if row["bound"] else ""

    def basis(row: Row) -> str:
        modelled = energy_method(row) in MODELLED_METHODS
        known = row["energy_j_per_sample"] is not None
        return words["basis"]["modelled_short" if modelled else "measured_short"] if known else ""

    model, variant, device, duration_s, batch_size = name_columns()
    return [
        model,
        variant,
        device,
        _status_column(words),
        text_column("bound", bound),
        text_column("energy_is", basis),
        duration_s,
        batch_size,
        quantity("latency_s_median", why),
        interval_column("latency_interval", "latency_s_ci_low", "latency_s_ci_high", why),
        quantity("latency_s_p95", why),
        quantity("rtfx", why),
        quantity("energy_j_per_sample", why),
        quantity("peak_rss_bytes", why, scale=1e-9),
        quantity("peak_device_bytes", why, scale=1e-9),
        quantity("wer", why, scale=100),
        interval_column("wer_interval", "wer_ci_low", "wer_ci_high", why, scale=100),
    ]


def _speed_columns(words: Words) -> list[Column]:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return row["reason"] or missing["not_measured"]

    def why_p95(row: Row) -> str:
        return missing["p95"]

    return [
        *name_columns(),
        _status_column(words),
        quantity("latency_s_median", why),
        interval_column("latency_interval", "latency_s_ci_low", "latency_s_ci_high", why),
        quantity("latency_s_p95", why_p95),
        quantity("rtfx", why),
        quantity("samples_per_s", why),
        quantity("tokens_per_s", why),
        *(quantity(stage, why) for stage in STAGES),
        quantity("stage_coverage", why, scale=100),
        quantity("encoder_padding_share", why, scale=100),
        quantity("n_windows_mean", why),
        quantity("n_tokens_mean", why),
        *(quantity(key, why, digits=whole) for key in ("n_passes", "n_batches", "n_warmup_passes")),
        quantity("threads", why, digits=whole),
        quantity("startup_cpu_s", why),
        quantity("fork_server_import_cpu_s", lambda row: missing["no_fork_server"]),
        text_column("reason", lambda row: "; ".join(filter(None, (row["reason"], disturbance_of(row))))),
    ]


def _resource_columns(words: Words) -> list[Column]:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return row["reason"] or missing["not_measured"]

    def why_energy(row: Row) -> str:
        return row["energy_note"] or missing["method"].format(method=energy_method(row))

    def why_gpu(row: Row) -> str:
        return missing["no_gpu"] if row["device"] == "cpu" else why_energy(row)

    def basis(row: Row) -> str:
        return energy_basis(energy_method(row), words)

    return [
        *name_columns(),
        quantity("energy_j_per_sample", why_energy),
        text_column("energy_basis", basis),
        quantity("energy_net_j_per_sample", why_energy),
        quantity("energy_cpu_j_per_sample", why_energy),
        quantity("energy_gpu_j_per_sample", why_gpu),
        quantity("energy_ram_j_per_sample", why_energy),
        quantity("idle_power_w", why_energy),
        quantity("n_energy_windows", why_energy, digits=whole),
        quantity("energy_range_rel", lambda row: missing["one_window"], scale=100),
        quantity("energy_counter_difference", lambda row: row["counter_note"] or missing["not_measured"], scale=100),
        quantity("peak_rss_bytes", why, scale=1e-9),
        quantity("model_rss_bytes", why, scale=1e-9),
        quantity("peak_device_bytes", why_gpu, scale=1e-9),
        quantity("model_device_bytes", why_gpu, scale=1e-9),
        quantity("gflop_per_sample", lambda row: row["gflop_note"]),
        quantity("achieved_gflops", lambda row: row["gflop_note"]),
    ]


def _accuracy_columns(words: Words, own_scoring: bool) -> list[Column]:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return missing["random" if row["weights"] == "random" else "not_scored"]

    return [
        *name_columns(),
        text_column("weights", lambda row: row["weights"]),
        quantity("wer", why, scale=100),
        interval_column("wer_interval", "wer_ci_low", "wer_ci_high", why, scale=100),
        quantity("wer_plain", why, scale=100),
        *([quantity("wer_corpus", why, scale=100)] if own_scoring else []),
        quantity("cer", why, scale=100),
        interval_column("cer_interval", "cer_ci_low", "cer_ci_high", why, scale=100),
        *(quantity(f"n_{kind}", why, digits=whole) for kind in ("substitutions", "deletions", "insertions")),
        *(quantity(f"n_{kind}", why, digits=whole) for kind in ("empty", "hallucinated")),
        quantity("n_nondeterministic", lambda row: missing["not_repeated"], digits=whole),
        quantity("wer_words", why, digits=whole),
        quantity("n_segments", why, digits=whole),
    ]


def _first(ranking: Ranking, words: Words) -> Entry:
    """Return the first of a ranking with a link to its cell, and those that are as good below it."""
    link = _linked(ranking.first, words)
    if not ranking.ties:
        return text_entry(link)
    ties = truncate_list([_linked(result, words) for result in ranking.ties], words)
    return text_entry(with_note(link, words["answer"]["as_good"].format(settings=ties)))


def _linked(result: CellResult, words: Words) -> Markup:
    """Return a setting in words, with a link to its cell."""
    text = words["answer"]["setting"].format(**result_fields(result))
    return Markup('<a href="#{}">{}</a>').format(anchor(result.cell), text)


def _rank(candidate: Candidate, found: StudyRankings) -> float:
    wer = found.accuracy_of(candidate)
    return wer.value if wer else math.inf


def _model_line(candidate: Candidate, cells: Sequence[Row], found: StudyRankings, words: Words) -> list[Entry]:
    rows = [row for row in cells if (row["model"], row["variant"]) == candidate]
    results = results_of(rows)
    missing = words["why_null"]
    why_wer = missing["random" if rows[0]["weights"] == "random" else "not_pooled"]
    why = next((row["reason"] for row in rows if row["reason"]), missing["not_measured"])
    fastest, quickest, frugal = (
        ranking.first if ranking else None
        for ranking in (highest_rtfx(results), lowest_latency(results), lowest_energy(results))
    )
    why_energy = next((row["energy_note"] for row in rows if row["energy_note"]), why)
    memory = max((row["peak_rss_bytes"] for row in rows if row["peak_rss_bytes"] is not None), default=None)
    return [
        text_entry(candidate[0]),
        text_entry(candidate[1]),
        text_entry(rows[0]["weights"]),
        _estimate_entry(found.accuracy_of(candidate), why_wer, scale=100),
        _best_entry(fastest, fastest.rtfx.value if fastest else None, why, words["models"]["place"]),
        _best_entry(quickest, quickest.latency.value if quickest else None, why, words["models"]["place"]),
        text_entry(_largest_stage(fastest, rows, words)),
        number_entry(memory, why, 1e-9),
        _best_entry(
            frugal,
            frugal.energy.value if frugal and frugal.energy else None,
            why_energy,
            words["models"]["place_energy"],
            basis=short_basis(frugal, words) if frugal else "",
        ),
    ]


def _estimate_entry(estimate: Estimate | None, why: str, scale: float = 1.0) -> Entry:
    """Return a value with its interval below."""
    if estimate is None:
        return Entry(NULL, "", why)
    below = interval(estimate.low, estimate.high, scale)
    known = [end for end in (estimate.value, estimate.low, estimate.high) if end is not None]
    return Entry(with_note(number(estimate.value * scale), below), full_precision(known, scale))


def _effect_entry(effect: Estimate | None, metric: Metric, why: str) -> Entry:
    """Return what became of a value, with its interval below where it has one."""
    if effect is None:
        return Entry(NULL, "", why)
    value, between = effect_texts(effect, metric)
    return Entry(value if between == NULL else with_note(value, between), repr(effect.value))


def _best_entry(result: CellResult | None, value: float | None, why: str, place: Markup, **more: str) -> Entry:
    """Return a number that links to the cell where it was reached, with its place below."""
    if result is None or value is None:
        return Entry(NULL, "", why)
    link = Markup('<a href="#{}">{}</a>').format(anchor(result.cell), number(value))
    return Entry(with_note(link, place.format(**result_fields(result), **more)), repr(value))


def _largest_stage(result: CellResult | None, rows: Sequence[Row], words: Words) -> str:
    """Return the stage that takes most of a pass at a model's fastest setting."""
    row = next((row for row in rows if result and cell_name(row) == result.cell), None)
    seconds = {stage: row[stage] for stage in STAGES if row and row[stage] is not None}
    if not seconds or not sum(seconds.values()):
        return NULL
    largest = max(seconds, key=lambda stage: seconds[stage])
    share = f"{100 * seconds[largest] / sum(seconds.values()):.0f}{NARROW_SPACE}%"
    return words["stage"]["share"].format(stage=words["stage"][largest], share=share)
