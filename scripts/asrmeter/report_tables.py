"""The report's tables: for each value what is shown, what it is sorted by, and why it is missing."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.recommend import (
    MEASURED_STATUS,
    Accuracy,
    Candidate,
    Recommendation,
    Row,
    Setting,
    cell_name,
    energy_method,
    highest_rtfx,
    lowest_energy,
    lowest_latency,
    settings_of,
)
from asrmeter.report_text import (
    NARROW_SPACE,
    NULL,
    Words,
    anchor,
    cell_link,
    energy_basis,
    interval,
    number,
    place_of,
    scaled,
    short_basis,
    whole,
)

STAGES = ("features_s_median", "encoder_s_median", "decoder_s_median", "text_s_median")


@dataclass(frozen=True)
class Entry:
    """One field of a table: what is shown, what it is sorted by, and why it is missing."""

    text: str
    sort: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table; the first entry names it, `anchor` is where links to it lead."""

    anchor: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Table:
    """A table of the report; `numeric` says which columns are numbers."""

    name: str
    caption: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Column:
    """How a column of a cells table is shown: its words' key and the entry for a row."""

    key: str
    entry: Callable[[Row], Entry]
    numeric: bool = True


def cells_tables(cells: Sequence[Row], words: Words) -> list[Table]:
    """Return all numbers of all cells: speed, to whose rows the links lead, resources, and accuracy."""
    return [
        _cells_table("speed", _speed_columns(words), cells, words, anchored=True),
        _cells_table("resources", _resource_columns(words), cells, words),
        _cells_table("accuracy", _accuracy_columns(words), cells, words),
    ]


def failures_table(rows: Sequence[Row], words: Words) -> Table:
    """Return the given cells with their status and reason."""
    lines = [[_plain(cell_link(cell_name(row))), _plain(row["status"]), _plain(row["reason"] or NULL)] for row in rows]
    return _table("failures", words["failures"]["caption"], ["cell", "status", "reason"], lines, words)


def weights_table(cells: Sequence[Row], words: Words) -> Table:
    """Return the weights that were run, with their hashes."""
    known = sorted({(row["model"], row["weights"], row["weights_sha256"] or NULL) for row in cells})
    lines = [[_plain(part) for part in parts] for parts in known]
    return _table("weights", words["provenance"]["caption"], ["model", "weights", "weights_sha256"], lines, words)


def duration_table(found: Recommendation, words: Words) -> Table:
    """Return the best settings for each duration class."""
    pool = words["answer"]["pool_accurate" if found.best else "pool_speed"]
    lines = [
        [
            Entry(str(advice.duration_s), str(advice.duration_s)),
            _plain(_linked(advice.throughput.setting, words)),
            Entry(number(advice.throughput.setting.rtfx.value), repr(advice.throughput.setting.rtfx.value)),
            _plain(_linked(advice.latency.setting, words)),
            Entry(number(advice.latency.setting.latency.value), repr(advice.latency.setting.latency.value)),
        ]
        for advice in found.by_duration
    ]
    keys = ["duration_s", "throughput_setting", "best_rtfx", "latency_setting", "lowest_latency"]
    caption = words["answer"]["by_duration_caption"].format(pool=pool)
    return _table("by-duration", caption, keys, lines, words, "duration_s best_rtfx lowest_latency")


def models_table(cells: Sequence[Row], found: Recommendation, words: Words) -> Table:
    """Return each model and variant at its best, the most accurate first."""
    candidates = sorted({(row["model"], row["variant"]) for row in cells})
    ranked = sorted(candidates, key=lambda one: (_rank(one, found), one))
    keys = [
        "model", "variant", "weights", "pooled_wer", "best_rtfx", "lowest_latency", "largest_stage", "peak_memory",
        "least_energy",
    ]  # fmt: skip
    numeric = "pooled_wer best_rtfx lowest_latency peak_memory least_energy"
    lines = [_model_line(candidate, cells, found, words) for candidate in ranked]
    return _table("models", words["models"]["caption"], keys, lines, words, numeric)


def _cells_table(name: str, columns: list[Column], cells: Sequence[Row], words: Words, anchored: bool = False) -> Table:
    return Table(
        name=name,
        caption=words["cells"][f"{name}_caption"],
        headings=tuple(words["column"][column.key] for column in columns),
        numeric=tuple(column.numeric for column in columns),
        lines=tuple(
            Line(anchor(cell_name(row)) if anchored else "", tuple(column.entry(row) for column in columns))
            for row in cells
        ),
    )


def _speed_columns(words: Words) -> list[Column]:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return row["reason"] or missing["not_measured"]

    def why_p95(row: Row) -> str:
        return missing["p95"]

    return [
        *_name_columns(),
        _text_column("status", lambda row: row["status"]),
        _quantity("latency_s_median", why),
        _interval_column("latency_interval", "latency_s_ci_low", "latency_s_ci_high", why),
        _quantity("latency_s_p95", why_p95),
        _quantity("rtfx", why),
        _quantity("samples_per_s", why),
        _quantity("tokens_per_s", why),
        *(_quantity(stage, why) for stage in STAGES),
        _quantity("n_windows_mean", why),
        _quantity("n_tokens_mean", why),
        _quantity("n_passes", why, digits=whole),
        _quantity("threads", why, digits=whole),
        _quantity("startup_cpu_s", why),
        _quantity("preload_cpu_s", lambda row: missing["no_fork_server"]),
        _text_column("reason", lambda row: row["reason"] or ""),
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
        *_name_columns(),
        _quantity("energy_j_per_sample", why_energy),
        _text_column("energy_basis", basis),
        _quantity("energy_net_j_per_sample", why_energy),
        _quantity("energy_cpu_j_per_sample", why_energy),
        _quantity("energy_gpu_j_per_sample", why_gpu),
        _quantity("energy_ram_j_per_sample", why_energy),
        _quantity("idle_power_w", why_energy),
        _quantity("peak_rss_bytes", why, scale=1e-9),
        _quantity("model_rss_bytes", why, scale=1e-9),
        _quantity("peak_device_bytes", why_gpu, scale=1e-9),
        _quantity("gflop_per_sample", lambda row: row["gflop_note"]),
        _quantity("achieved_gflops", lambda row: row["gflop_note"]),
    ]


def _accuracy_columns(words: Words) -> list[Column]:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return missing["random" if row["weights"] == "random" else "not_scored"]

    return [
        *_name_columns(),
        _text_column("weights", lambda row: row["weights"]),
        _quantity("wer", why, scale=100),
        _interval_column("wer_interval", "wer_ci_low", "wer_ci_high", why, scale=100),
        _quantity("wer_plain", why, scale=100),
        *(_quantity(key, why, digits=whole) for key in ("n_substitutions", "n_deletions", "n_insertions")),
        _quantity("wer_words", why, digits=whole),
        _quantity("n_segments", why, digits=whole),
    ]


def _name_columns() -> list[Column]:
    def count(key: str) -> Column:
        return Column(key, lambda row: Entry(str(row[key]), repr(row[key])))

    def plain(key: str) -> Column:
        return Column(key, lambda row: Entry(row[key], row[key]), numeric=False)

    return [plain("model"), plain("variant"), plain("device"), count("duration_s"), count("batch_size")]


def _quantity(
    key: str, why: Callable[[Row], str], scale: float = 1.0, digits: Callable[[float | None], str] = number
) -> Column:
    """Return a column of numbers; `why` gives the reason of a missing one."""

    def entry(row: Row) -> Entry:
        value = scaled(row[key], scale)
        return Entry(NULL, "", _reason(row, why)) if value is None else Entry(digits(value), repr(value))

    return Column(key, entry)


def _interval_column(key: str, low: str, high: str, why: Callable[[Row], str], scale: float = 1.0) -> Column:
    def entry(row: Row) -> Entry:
        text = interval(row[low], row[high], scale)
        return Entry(text, "", _reason(row, why)) if text == NULL else Entry(text, repr(row[low] * scale))

    return Column(key, entry)


def _text_column(key: str, text: Callable[[Row], str]) -> Column:
    return Column(key, lambda row: Entry(text(row), text(row)), numeric=False)


def _reason(row: Row, why: Callable[[Row], str]) -> str:
    """Return why a number is missing: the cell's own reason if it failed, else the column's."""
    return row["reason"] or row["status"] if row["status"] not in MEASURED_STATUS else why(row)


def _table(
    name: str, caption: str, keys: Sequence[str], lines: Iterable[Sequence[Entry]], words: Words, numeric: str = ""
) -> Table:
    """Return a table whose numeric columns are those keys named in `numeric`."""
    return Table(
        name=name,
        caption=caption,
        headings=tuple(words["column"][key] for key in keys),
        numeric=tuple(key in numeric.split() for key in keys),
        lines=tuple(Line("", tuple(entries)) for entries in lines),
    )


def _plain(text: str) -> Entry:
    return Entry(text, Markup(text).striptags() if isinstance(text, Markup) else text)


def _linked(setting: Setting, words: Words) -> Markup:
    """Return a setting in words, with a link to its cell."""
    text = words["answer"]["setting"].format(**place_of(setting))
    return Markup('<a href="#{}">{}</a>').format(anchor(setting.cell), text)


def _rank(candidate: Candidate, found: Recommendation) -> float:
    accuracy = found.accuracy_of(candidate)
    return accuracy.wer.value if accuracy else math.inf


def _model_line(candidate: Candidate, cells: Sequence[Row], found: Recommendation, words: Words) -> list[Entry]:
    rows = [row for row in cells if (row["model"], row["variant"]) == candidate]
    settings = settings_of(rows)
    missing = words["why_null"]
    accuracy = found.accuracy_of(candidate)
    why_wer = missing["random" if rows[0]["weights"] == "random" else "not_pooled"]
    why = next((row["reason"] for row in rows if row["reason"]), missing["not_measured"])
    fastest, quickest, frugal = (
        pick.setting if pick else None
        for pick in (highest_rtfx(settings), lowest_latency(settings), lowest_energy(settings))
    )
    why_energy = next((row["energy_note"] for row in rows if row["energy_note"]), why)
    memory = max((row["peak_rss_bytes"] for row in rows if row["peak_rss_bytes"] is not None), default=None)
    return [
        _plain(candidate[0]),
        _plain(candidate[1]),
        _plain(rows[0]["weights"]),
        _wer_entry(accuracy, why_wer),
        _best_entry(fastest, fastest.rtfx.value if fastest else None, why, words["models"]["place"]),
        _best_entry(quickest, quickest.latency.value if quickest else None, why, words["models"]["place"]),
        _plain(_largest_stage(fastest, rows, words)),
        Entry(NULL, "", why) if memory is None else Entry(number(memory * 1e-9), repr(memory)),
        _best_entry(
            frugal,
            frugal.energy if frugal else None,
            why_energy,
            words["models"]["place_energy"],
            basis=short_basis(frugal, words) if frugal else "",
        ),
    ]


def _wer_entry(accuracy: Accuracy | None, why: str) -> Entry:
    if accuracy is None:
        return Entry(NULL, "", why)
    wer = accuracy.wer
    return Entry(
        _with_note(number(wer.value * 100), interval(wer.low, wer.high, 100)),
        repr(wer.value),
    )


def _best_entry(setting: Setting | None, value: float | None, why: str, place: Markup, **more: str) -> Entry:
    """Return a number that links to the cell where it was reached, with its place below."""
    if setting is None or value is None:
        return Entry(NULL, "", why)
    link = Markup('<a href="#{}">{}</a>').format(anchor(setting.cell), number(value))
    return Entry(_with_note(link, place.format(**place_of(setting), **more)), repr(value))


def _with_note(text: str, note: str) -> Markup:
    return Markup("{}<small>{}</small>").format(text, note)


def _largest_stage(setting: Setting | None, rows: Sequence[Row], words: Words) -> str:
    """Return the stage that takes most of a pass at a model's fastest setting."""
    row = next((row for row in rows if setting and cell_name(row) == setting.cell), None)
    seconds = {stage: row[stage] for stage in STAGES if row and row[stage] is not None}
    if not seconds or not sum(seconds.values()):
        return NULL
    largest = max(seconds, key=lambda stage: seconds[stage])
    share = f"{100 * seconds[largest] / sum(seconds.values()):.0f}{NARROW_SPACE}%"
    return words["stage"]["share"].format(stage=words["stage"][largest], share=share)
