"""The tables of optimisations: all figures, the stages side by side, and proposals without figures."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from asrmeter.common.constants import BASELINE
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NULL, energy_basis, join, number, signed, size
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    estimate_entry,
    full_precision,
    table_of,
    text_column,
    with_note,
)
from asrmeter.report.html.variants import spelled_out
from asrmeter.report.optimisation_rows import have_several_devices

_SOURCE = "optimisations"
# The columns of how stages compare, each with its stage.
_STAGES = {"features_ratio": "features", "encoder_ratio": "encoder", "decoder_ratio": "decoder"}


def measured_table(rows: Sequence[Row], words: Words) -> Table:
    """Return all figures of what was measured."""
    missing, say = words["why_null"], words["optimisations"]

    def speed(row: Row) -> Entry:
        known = Estimate(row["speed_ratio"], row["speed_ratio_low"], row["speed_ratio_high"])
        return estimate_entry(known, missing["not_measured"])

    def ratio(key: str, why: str, note: Callable[[Row], str]) -> Column[Row]:
        def entry(row: Row) -> Entry:
            if row[key] is None:
                return Entry(NULL, "", why)
            return Entry(_noted(number(row[key]), note(row)), repr(row[key]))

        return Column(key, entry, about=(key,))

    def on_disk(row: Row) -> Entry:
        after, before = row["model_bytes"], row["baseline_model_bytes"]
        if after is None:
            return Entry(NULL, "", missing["not_known"])
        note = say["of_baseline"].format(size=size(before, words)) if before not in (None, after) else ""
        return Entry(_noted(number(after / 1e6), note), repr(after / 1e6))

    def wer(row: Row) -> Entry:
        if row["wer_change"] is None:
            return Entry(NULL, "", missing["random" if row["weights"] == "random" else "not_scored"])
        ends = [row["wer_change_low"], row["wer_change_high"]]
        below = "" if None in ends else "\u2009–\u2009".join(signed(100 * end) for end in ends)
        known = [row["wer_change"], *(end for end in ends if end is not None)]
        return Entry(_noted(signed(100 * row["wer_change"]), below), full_precision(known, 100))

    def identical(row: Row) -> Entry:
        share = row["share_identical"]
        if share is None:
            return Entry(NULL, "", missing["random" if row["weights"] == "random" else "not_scored"])
        return Entry(with_note(number(100 * share), say["of_texts"].format(n=row["n_texts"])), repr(100 * share))

    return table_of(
        "optimisations",
        say["caption"],
        [
            *_names(rows, words),
            _verdict(words),
            Column("speed_ratio", speed, about=("speed_ratio",)),
            Column("wer_change", wer, about=("wer_change",)),
            Column("share_identical", identical, about=("share_identical",)),
            ratio("energy_ratio", missing["no_energy_ratio"], lambda row: energy_basis(row["energy_method"], words)),
            ratio("memory_ratio", missing["not_measured"], lambda row: ""),
            Column("model_bytes", on_disk, about=("model_bytes",)),
            text_column("how_differs", lambda row: _how_it_differs(row, words), "differences"),
            _reason(),
        ],
        rows,
        words,
        _SOURCE,
    )


def stages_table(rows: Sequence[Row], words: Words) -> Table:
    """Return how many times as fast each stage is with a proposal, and its seconds without and with it."""
    say = words["optimisations"]

    def stage(ratio: str) -> Column[Row]:
        after, before = f"{_STAGES[ratio]}_s", f"baseline_{_STAGES[ratio]}_s"

        def entry(row: Row) -> Entry:
            if row[ratio] is None:
                return Entry(NULL, "", words["why_null"]["no_stage"])
            seconds = say["from_to"].format(before=number(row[before]), after=number(row[after]))
            return Entry(with_note(number(row[ratio]), seconds), repr(row[ratio]))

        return Column(ratio, entry, about=(ratio,))

    columns = [*_names(rows, words), *map(stage, _STAGES)]
    known = [row for row in rows if any(row[ratio] is not None for ratio in _STAGES)]
    return table_of("optimisation-stages", say["stages_caption"], columns, known, words, _SOURCE)


def left_table(rows: Sequence[Row], words: Words) -> Table:
    """Return the proposals without figures, with the reason; models with the same reason share a line."""
    models: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = (row["proposal"] or "", row["variant"], row["device"], row["verdict"], row["reason"] or "")
        models.setdefault(key, []).append(row["model"])
        first.setdefault(key, row)
    lines = [{**row, "model": join(dict.fromkeys(models[key]))} for key, row in first.items()]
    columns = [*_names(rows, words), _verdict(words), _reason()]
    return table_of("optimisations-left", words["optimisations"]["left_caption"], columns, lines, words, _SOURCE)


def _names(rows: Sequence[Row], words: Words) -> list[Column[Row]]:
    """Return the identifying columns of a row; the device only if there are several."""

    def proposal(row: Row) -> str:
        wording = words["proposal_wording"].get(row["proposal"], row["wording"]) if row["proposal"] else None
        return row["variant"] if wording is None else with_note(wording, _what(row, words))

    return [
        text_column("proposal", proposal, "wording", "variant"),
        text_column("model", lambda row: row["model"], "model"),
        *([text_column("device", lambda row: row["device"], "device")] if have_several_devices(rows) else []),
    ]


def _noted(text: str, note: str) -> Markup | str:
    """Return a text with a smaller one below, if there is any."""
    return with_note(text, note) if note else text


def _what(row: Row, words: Words) -> Markup | str:
    """Return the two sides of a comparison; a variant alone is compared with the baseline."""
    say, names = words["optimisations"], {name: row[name] for name in ("variant", "baseline")}
    if row["kind"] == "variant":
        return row["variant"] if row["baseline"] == BASELINE else say["against"].format(**names)
    return say["of_batch" if row["kind"] == "batch" else "of_without"].format(**names)


def _verdict(words: Words) -> Column[Row]:
    return text_column("optimisation_verdict", lambda row: words["optimisation_verdict"][row["verdict"]], "verdict")


def _reason() -> Column[Row]:
    return text_column("reason", lambda row: row["reason"] or "", "reason")


def _how_it_differs(row: Row, words: Words) -> Markup:
    """Return the differences from the baseline: settings, inherent differences, an emulated number format."""
    say = words["optimisations"]
    unequal = say["not_equal"] if row["equal_settings"] is False else ""
    return join(
        filter(None, [unequal, spelled_out(row["differences"], words), say["emulated"] if row["emulated"] else ""])
    )
