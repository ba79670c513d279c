"""Floating-point operations in the report. 1 MAC = 2 FLOP."""

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NULL, format_count, number, unit_2025
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    name_columns,
    number_entry,
    quantity,
    table_of,
    text_column,
    with_unit,
)
from asrmeter.study.edlm2025 import MODELS


def operations(flops: Sequence[Row], study_2025: bool, words: Words) -> dict[str, Any] | None:
    """Return the operations of each model; on request what sets them apart from the 2025 study's. None without any."""
    segments = per_segment([row for row in flops if row["is_studied"] or study_2025])
    if all(row["total_gflop"] is None and row["encoder_gflop"] is None for row in segments):
        return None
    return {
        "sentences": list(_apart_from_2025(segments, words)) if study_2025 else [],
        "table": _flops_table(segments, study_2025, words),
    }


def _apart_from_2025(segments: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Yield what sets our operations apart from the 2025 study's, for each figure of theirs that is counted here."""
    known = [row for row in segments if row["model"] in MODELS]
    # Of the 2025 study's models those with a decoder are Whispers; the other is wav2vec 2.0.
    for key, has_decoder, factor in (
        ("whisper_encoder", True, "encoder_factor"),
        ("whisper_decoder", True, "decoder_factor"),
        ("wav2vec2", False, "encoder_factor"),
    ):
        factors = [row[factor] for row in known if row["has_decoder"] is has_decoder and row[factor] is not None]
        if factors:
            yield words["flops"][key].format(factor=_range(factors, words))


def per_segment(flops: Sequence[Row]) -> list[Row]:
    """Return a row for each model and duration, with the operations of one segment at batch 1.

    Those of a batch are those of its segments, so any batch size will do. `*_factor` is how many times the 2025 study's
    figure ours is: of a window of the encoder, of a step of the decoder.
    """
    smallest: dict[Any, Row] = {}
    # The study's own first: only these have a transcript.
    for row in sorted(
        flops, key=lambda row: (row["model"], row["duration_s"], not row["is_studied"], row["batch_size"])
    ):
        smallest.setdefault((row["model"], row["duration_s"]), row)
    return [_of_segment(row) for row in smallest.values()]


def _of_segment(row: Row) -> dict[str, Any]:
    found = dict(row)
    for name in ("encoder_gmac", "encoder_gflop", "decoder_gflop_per_step", "decoder_gflop", "total_gflop"):
        found[name] = None if row[name] is None else row[name] / row["batch_size"]
    window_gflop = None if found["encoder_gflop"] is None else found["encoder_gflop"] / row["n_windows"]
    step_gflop = found["decoder_gflop_per_step"]
    if step_gflop is None and row["decoder_mac_per_token"] is not None:
        # Without a transcript only the first step is known; edlm2025 takes the same.
        step_gflop = 2e-9 * (row["decoder_mac_per_token"] + 2 * row["decoder_mac_per_position"])
    return found | {
        "encoder_factor": _over(window_gflop, row["edlm2025_encoder"]),
        "decoder_factor": _over(step_gflop, row["edlm2025_decoder_gflop_per_step"]),
        "shown_step_gflop": step_gflop,
    }


def _over(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or not theirs else ours / theirs


def _range(factors: Sequence[float], words: Words) -> str:
    """Return the range of factors as they are printed."""
    low, high = number(min(factors)), number(max(factors))
    return low if low == high else words["flops"]["range"].format(low=low, high=high)


def _flops_table(segments: Sequence[Row], study_2025: bool, words: Words) -> Table:
    missing = words["why_null"]

    def why(row: Row) -> str:
        return row["note"] or missing["not_measured"]

    def why_decoder(row: Row) -> str:
        return missing["no_decoder"] if row["has_decoder"] is False else why(row)

    def theirs(row: Row) -> Entry:
        known = number_entry(row["edlm2025_encoder"], why(row))
        return Entry(with_unit(known.text, unit_2025(row["edlm2025_unit"], words)), known.sort) if known.sort else known

    def is_studied(row: Row) -> Markup:
        return words["provenance"]["yes" if row["is_studied"] else "no"]

    def of_2025(*columns: Column[Row]) -> tuple[Column[Row], ...]:
        return columns if study_2025 else ()

    model, _, _, duration_s, _ = name_columns()
    columns = [
        model,
        duration_s,
        *of_2025(text_column("is_studied", is_studied)),
        quantity("n_windows", why, digits=format_count),
        quantity("encoder_gmac", why),
        quantity("encoder_gflop", why),
        *of_2025(Column("edlm2025_encoder", theirs), quantity("encoder_factor", why)),
        quantity("shown_step_gflop", why_decoder),
        *of_2025(quantity("edlm2025_decoder_gflop_per_step", why_decoder), quantity("decoder_factor", why_decoder)),
        quantity("n_tokens_mean", why_decoder),
        quantity("decoder_gflop", why_decoder),
        quantity("total_gflop", why),
        text_column("checked_against", lambda row: row["checked_against"] or NULL),
        text_column("not_counted", lambda row: row["not_counted"] or ""),
    ]
    caption = words["flops"]["caption"]
    if study_2025:
        caption += words["flops"]["caption_2025"]
    return table_of("flops", caption, columns, segments, words, source="flops")
