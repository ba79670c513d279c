"""The report's tables: for each value what is shown, what it is sorted by, and why it is missing."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.limits import word_accuracy_kept
from asrmeter.analysis.ranking import ByDuration, Ranking, StudyRankings, highest_rtfx, lowest_energy, lowest_latency
from asrmeter.analysis.results import BASELINE, Candidate, CellResult, disturbance_of, energy_method, results_of
from asrmeter.analysis.star_rating import MOST, stars
from asrmeter.analysis.table_rows import CELL_KEY, cell_name
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MODELLED_METHODS
from asrmeter.report.catalogue import Words, error_unit_of
from asrmeter.report.formatting import (
    LARGE,
    NARROW_SPACE,
    NULL,
    anchor,
    cell_link,
    energy_basis,
    format_count,
    join,
    number,
    result_fields,
    short_basis,
    truncate_list,
)
from asrmeter.report.html.costs import cost_columns, currency_of
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    estimate_entry,
    interval_column,
    lines_of,
    name_columns,
    number_entry,
    quantity,
    table_of,
    text_column,
    with_note,
)
from asrmeter.report.terms import CHARACTERS

Stars = tuple[Candidate, Mapping[str, int | None]]
# As many as anyone reads; selection.json has all.
MOST_SKIPPED = 100
# The columns without which a table of cells says nothing.
_TOLD_BY = {
    "costs": ("energy_wh_per_audio_hour", "cost_machine_per_audio_hour"),
    "resources": ("energy_j_per_sample", "peak_rss_bytes", "peak_device_bytes", "gflop_per_sample"),
    "accuracy": ("wer",),
}
STAGES = ("features_s_median", "encoder_s_median", "decoder_s_median", "text_s_median")


def skipped_table(selection: Mapping[str, Any], words: Words) -> Table:
    """Return the audio that was not fit for use, the first hundred, each with its reason."""
    return _audio_table(
        "skipped", selection["skipped"], ("reason", "reason"), words["failures"]["skipped_caption"], words
    )


def mended_table(selection: Mapping[str, Any], words: Words) -> Table:
    """Return the audio in which something was put right, the first hundred, each with what that was."""
    return _audio_table("mended", selection["mended"], ("mended", "how"), words["failures"]["mended_caption"], words)


def _audio_table(name: str, entries: Sequence[Row], said: tuple[str, str], caption: str, words: Words) -> Table:
    """Return a table of audio by name, and what is said of it: the heading and the key."""
    heading, key = said
    columns: list[Column[Row]] = [
        text_column("audio", lambda entry: entry["name"]),
        text_column(heading, lambda entry: entry[key]),
    ]
    return table_of(name, caption, columns, entries[:MOST_SKIPPED], words)


def overview_table(judged: Sequence[Row], words: Words) -> Table | None:
    """Return the figures of all cells that matter most, where there are too many cells for all of their figures."""
    if len(judged) <= LARGE:
        return None
    columns = _overview_columns(words)
    table = _cells_table("overview", columns, (), words)
    return replace(table, lines=lines_of(judged, columns), compact=True)


def cells_tables(cells: Sequence[Row], linked: AbstractSet[str], words: Words) -> list[Table]:
    """Return all numbers of all cells: speed, to whose rows the links lead, costs, resources, and accuracy.

    Of very many cells only those whose anchors are `linked` to. A table of which no cell has a value is left out, but
    for that of speed, which says what became of each.
    """
    shown = cells if len(cells) <= LARGE else [row for row in cells if anchor(cell_name(row)) in linked]
    currency = currency_of(cells)
    about = words["cost"]["table_money"].format(currency=currency) if currency else words["cost"]["table_no_money"]
    note = words["table"]["linked"].format(n=len(shown), total=format_count(len(cells))) if shown is not cells else ""
    tables = [
        replace(_cells_table(name, columns, (), words), lines=lines_of(shown, columns, name == "speed"), shown=note)
        for name, columns in (
            ("speed", _speed_columns(words)),
            ("costs", cost_columns(cells, words)),
            ("resources", _resource_columns(words)),
            ("accuracy", _accuracy_columns(cells, words)),
        )
        if cells and any(row[column] is not None for row in cells for column in _TOLD_BY.get(name, CELL_KEY))
    ]
    return [
        replace(table, caption=table.caption.format(money=about, normaliser=normalisers_of(cells))) for table in tables
    ]


def normalisers_of(cells: Sequence[Row]) -> Markup:
    """Return the names of the normalisers by which cells were scored, without versions; nothing if none was."""
    names = {row["normaliser"].partition(" ")[0] for row in cells if row["normaliser"]}
    return join(Markup("<code>{}</code>").format(name) for name in sorted(names))


def failures_table(rows: Sequence[Row], elsewhere: Sequence[Row], words: Words) -> Table:
    """Return cells with their status and reason, and those on other hardware, which are not compared."""
    say = words["failures"]["elsewhere"]
    reasons = [(row, row["reason"] or NULL) for row in rows]
    reasons += [(row, say.format(hardware=row["device_name"] or row["machine_id"])) for row in elsewhere]
    columns: list[Column[tuple[Row, str]]] = [
        text_column("cell", lambda item: cell_link(cell_name(item[0]))),
        text_column("status", lambda item: item[0]["status"], "status"),
        text_column("reason", lambda item: item[1]),
    ]
    return table_of("failures", words["failures"]["caption"], columns, reasons, words)


def weights_table(cells: Sequence[Row], words: Words) -> Table:
    """Return the weights that were run, with their hashes."""
    known = sorted({(row["model"], row["weights"] or NULL, row["weights_sha256"] or NULL) for row in cells})
    columns: list[Column[tuple[str, str, str]]] = [
        text_column("model", lambda item: item[0]),
        text_column("weights", lambda item: item[1]),
        text_column("weights_sha256", lambda item: item[2]),
    ]
    return table_of("weights", words["provenance"]["caption"], columns, known, words)


def duration_table(found: StudyRankings, words: Words) -> Table:
    """Return the best results for each duration class."""
    pool = words["answer"]["pool_accurate" if found.accuracies else "pool_speed"]
    columns: list[Column[ByDuration]] = [
        Column("duration_s", lambda best: Entry(str(best.duration_s), str(best.duration_s))),
        text_column("throughput_setting", lambda best: _first(best.throughput, words)),
        Column("best_rtfx", lambda best: number_entry(best.throughput.first.rtfx.value, None)),
        text_column("latency_setting", lambda best: _first(best.latency, words)),
        Column("lowest_latency", lambda best: number_entry(best.latency.first.latency.value, None)),
    ]
    caption = words["answer"]["by_duration_caption"].format(pool=pool)
    return table_of("by-duration", caption, columns, found.by_duration, words)


def models_table(cells: Sequence[Row], found: StudyRankings, words: Words) -> Table:
    """Return each model and variant at its best, the most accurate first."""
    candidates = sorted({(row["model"], row["variant"]) for row in cells})
    ranked = sorted(candidates, key=lambda one: (_rank(one, found), one))
    models = [ModelResults.of(candidate, cells, words) for candidate in ranked]
    scored = {result.candidate: result for result in found.accuracies}
    missing, say = words["why_null"], words["models"]

    def wer(model: ModelResults) -> Entry:
        why = missing["random" if model.rows[0]["weights"] == "random" else "not_pooled"]
        return estimate_entry(found.accuracy_of(model.candidate), why, scale=100)

    def kept(model: ModelResults) -> Entry:
        result = scored.get(model.candidate)
        share = word_accuracy_kept(result, found.accuracies) if result else None
        return number_entry(share, missing["no_reference"], 100)

    def rtfx(model: ModelResults) -> Entry:
        fastest = model.fastest
        return _best_entry(fastest, fastest.rtfx.value if fastest else None, model.why, say["place"])

    def latency(model: ModelResults) -> Entry:
        quickest = model.quickest
        return _best_entry(quickest, quickest.latency.value if quickest else None, model.why, say["place"])

    def memory(model: ModelResults) -> Entry:
        known = [row["peak_rss_bytes"] for row in model.rows if row["peak_rss_bytes"] is not None]
        return number_entry(max(known, default=None), model.why, 1e-9)

    def energy(model: ModelResults) -> Entry:
        frugal = model.frugal
        why = next((row["energy_note"] for row in model.rows if row["energy_note"]), model.why)
        value = frugal.energy.value if frugal and frugal.energy else None
        basis = short_basis(frugal, words) if frugal else ""
        return _best_entry(frugal, value, why, say["place_energy"], basis=basis)

    columns: list[Column[ModelResults]] = [
        text_column("model", lambda model: model.candidate[0], "model"),
        text_column("variant", lambda model: model.candidate[1], "variant"),
        text_column("weights", lambda model: model.rows[0]["weights"], "weights"),
        Column("pooled_wer", wer, about=("wer",)),
        *([Column("word_accuracy_kept", kept)] if {variant for _, variant in candidates} != {BASELINE} else []),
        Column("best_rtfx", rtfx, about=("rtfx",)),
        Column("lowest_latency", latency, about=("latency_s_median",)),
        text_column("largest_stage", lambda model: _largest_stage(model.fastest, model.rows, words)),
        Column("peak_memory", memory, about=("peak_rss_bytes",)),
        Column("least_energy", energy),
    ]
    return table_of("models", say["caption"], columns, models, words)


@dataclass(frozen=True)
class ModelResults:
    """A model and variant with its cells, its best results, and `why` there may be none."""

    candidate: Candidate
    rows: Sequence[Row]
    fastest: CellResult | None
    quickest: CellResult | None
    frugal: CellResult | None
    why: str

    @classmethod
    def of(cls, candidate: Candidate, cells: Sequence[Row], words: Words) -> "ModelResults":
        """Return a model of the study."""
        rows = [row for row in cells if (row["model"], row["variant"]) == candidate]
        results = results_of(rows)
        rankings = (highest_rtfx(results), lowest_latency(results), lowest_energy(results))
        why = next((row["reason"] for row in rows if row["reason"]), words["why_null"]["not_measured"])
        fastest, quickest, frugal = (ranking.first if ranking else None for ranking in rankings)
        return cls(candidate, rows, fastest, quickest, frugal, why)


def stars_table(measured: Sequence[CellResult], found: StudyRankings, words: Words) -> Table:
    """Return the stars of each model and variant in the class by which models are compared."""
    results = [result for result in measured if result.duration_s == found.duration_s]

    def entry(n: int | None) -> Entry:
        if n is None:
            return Entry(NULL, "", words["why_null"]["not_measured"])
        shown = Markup('<span role="img" aria-label="{}">{}</span>')
        return Entry(shown.format(words["stars"]["label"].format(n=n), "★" * n + "☆" * (MOST - n)), str(n))

    def column(key: str, measure: str) -> Column[Stars]:
        return Column(key, lambda item: entry(item[1][measure]), numeric=False)

    columns: list[Column[Stars]] = [
        text_column("model", lambda item: item[0][0]),
        text_column("variant", lambda item: item[0][1]),
        column("stars_accuracy", "accuracy"),
        column("stars_speed", "speed"),
        column("stars_energy", "energy"),
        column("stars_memory", "memory"),
    ]
    caption = words["stars"]["caption"].format(duration=NULL if found.duration_s is None else found.duration_s)
    return table_of("stars", caption, columns, stars(results).items(), words)


def _cells_table(name: str, columns: list[Column[Row]], cells: Sequence[Row], words: Words) -> Table:
    return table_of(name, words["cells"][f"{name}_caption"], columns, cells, words)


def _status_column(words: Words) -> Column[Row]:
    def status(row: Row) -> Entry:
        text = words["cells"]["disturbed"].format(status=row["status"]) if row["disturbed"] else row["status"]
        return Entry(text, row["status"], disturbance_of(row))

    return Column("status", status, numeric=False, about=("status",))


def _overview_columns(words: Words) -> list[Column[Row]]:
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
        text_column("energy_is", basis, "energy_method_cpu"),
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


def _speed_columns(words: Words) -> list[Column[Row]]:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return row["reason"] or missing["not_measured"]

    def why_no_interval(row: Row) -> str:
        return row["interval_note"] or why(row)

    def why_p95(row: Row) -> str:
        return missing["p95"]

    return [
        *name_columns(),
        _status_column(words),
        quantity("latency_s_median", why),
        interval_column("latency_interval", "latency_s_ci_low", "latency_s_ci_high", why_no_interval),
        interval_column("next_interval", "latency_s_next_low", "latency_s_next_high", why_no_interval),
        quantity("latency_s_p95", why_p95),
        quantity("rtfx", why),
        interval_column("rtfx_interval", "rtfx_ci_low", "rtfx_ci_high", why_no_interval),
        quantity("samples_per_s", why),
        interval_column("samples_per_s_interval", "samples_per_s_ci_low", "samples_per_s_ci_high", why_no_interval),
        quantity("tokens_per_s", why),
        *(quantity(stage, why) for stage in STAGES),
        quantity("stage_coverage", why, scale=100),
        quantity("encoder_padding_share", why, scale=100),
        quantity("n_windows_mean", why),
        quantity("n_tokens_mean", why),
        *(quantity(key, why, digits=format_count) for key in ("n_laps", "n_passes", "n_batches", "n_warmup_passes")),
        quantity("lap_scatter", why_no_interval, scale=100),
        quantity("machine_speed", lambda row: missing["no_control"], scale=100),
        quantity("threads", why, digits=format_count),
        quantity("startup_cpu_s", why),
        quantity("fork_server_import_cpu_s", lambda row: missing["no_fork_server"]),
        text_column("reason", lambda row: "; ".join(filter(None, (row["reason"], disturbance_of(row))))),
    ]


def _resource_columns(words: Words) -> list[Column[Row]]:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return row["reason"] or missing["not_measured"]

    def why_energy(row: Row) -> str:
        return row["energy_note"] or missing["method"].format(method=energy_method(row))

    def why_gpu(row: Row) -> str:
        return missing["no_gpu"] if row["device"] == "cpu" else why_energy(row)

    def why_one_lap(row: Row) -> str:
        return missing["one_lap"]

    def basis(row: Row) -> str:
        return energy_basis(energy_method(row), words)

    return [
        *name_columns(),
        quantity("energy_j_per_sample", why_energy),
        interval_column(
            "energy_range",
            "energy_j_per_sample_min",
            "energy_j_per_sample_max",
            lambda row: missing["one_window"],
        ),
        text_column("energy_basis", basis, "energy_method_cpu", "energy_method_gpu"),
        quantity("energy_net_j_per_sample", why_energy),
        quantity("energy_cpu_j_per_sample", why_energy),
        quantity("energy_gpu_j_per_sample", why_gpu),
        quantity("energy_ram_j_per_sample", why_energy),
        quantity("idle_power_w", why_energy),
        quantity("n_energy_windows", why_energy, digits=format_count),
        quantity("energy_range_rel", lambda row: missing["one_window"], scale=100),
        quantity("energy_counter_difference", lambda row: row["counter_note"] or missing["not_measured"], scale=100),
        quantity("peak_rss_bytes", why, scale=1e-9),
        interval_column("memory_range", "peak_rss_bytes_min", "peak_rss_bytes", why_one_lap, scale=1e-9),
        quantity("model_rss_bytes", why, scale=1e-9),
        quantity("peak_device_bytes", why_gpu, scale=1e-9),
        interval_column("device_memory_range", "peak_device_bytes_min", "peak_device_bytes", why_one_lap, scale=1e-9),
        quantity("model_device_bytes", why_gpu, scale=1e-9),
        quantity("gflop_per_sample", lambda row: row["gflop_note"]),
        quantity("achieved_gflops", lambda row: row["gflop_note"]),
    ]


def _accuracy_columns(cells: Sequence[Row], words: Words) -> list[Column[Row]]:
    """Return the columns of accuracy; not the error rate of characters where the first one is that already."""
    missing = words["why_null"]
    has = {key: any(row[key] is not None for row in cells) for key in ("wer_corpus", "language_accuracy")}
    counts_words = error_unit_of(cells) != CHARACTERS

    def why(row: Row) -> str:
        return missing["random"] if row["weights"] == "random" else row.get("wer_note") or missing["not_scored"]

    def why_no_language(row: Row) -> str:
        return missing["language_told"]

    characters = [
        quantity("cer", why, scale=100),
        interval_column("cer_interval", "cer_ci_low", "cer_ci_high", why, scale=100),
    ]
    return [
        *name_columns(),
        text_column("weights", lambda row: row["weights"], "weights"),
        quantity("wer", why, scale=100),
        interval_column("wer_interval", "wer_ci_low", "wer_ci_high", why, scale=100),
        quantity("wer_plain", why, scale=100),
        *([quantity("wer_corpus", why, scale=100)] if has["wer_corpus"] else []),
        *(characters if counts_words else []),
        *([quantity("language_accuracy", why_no_language, scale=100)] if has["language_accuracy"] else []),
        *(quantity(f"n_{kind}", why, digits=format_count) for kind in ("substitutions", "deletions", "insertions")),
        *(quantity(f"n_{kind}", why, digits=format_count) for kind in ("empty", "hallucinated")),
        quantity("n_nondeterministic", lambda row: missing["not_repeated"], digits=format_count),
        quantity("wer_words", why, digits=format_count),
        quantity("n_segments", why, digits=format_count),
    ]


def _first(ranking: Ranking, words: Words) -> Markup:
    """Return the first of a ranking with a link to its cell, and its ties below."""
    link = _linked(ranking.first, words)
    if not ranking.ties:
        return link
    ties = truncate_list([_linked(result, words) for result in ranking.ties], words)
    return with_note(link, words["answer"]["as_good"].format(settings=ties))


def _linked(result: CellResult, words: Words) -> Markup:
    """Return a setting in words, with a link to its cell."""
    text = words["answer"]["setting"].format(**result_fields(result))
    return Markup('<a href="#{}">{}</a>').format(anchor(result.cell), text)


def _rank(candidate: Candidate, found: StudyRankings) -> float:
    wer = found.accuracy_of(candidate)
    return wer.value if wer else math.inf


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
