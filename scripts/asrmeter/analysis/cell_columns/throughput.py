"""What a cell gets done in a second, and how much audio and text that is."""

from collections.abc import Callable

from asrmeter.analysis.cell_columns.values import NO_INTERVAL, NO_LATENCY, NOT_TIMED, CellColumn, audio_s
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import NUMBER, Source, column


def _per_s(
    name: str, unit: str, meaning: str, amount: Callable[[MeasuredCell], float | None], missing: str = NO_LATENCY
) -> list[CellColumn]:
    """Return an amount a pass per second of latency, and its interval, which is that of the latency."""

    def over(part: str) -> Callable[[MeasuredCell], float | None]:
        return lambda cell: ratio(amount(cell), getattr(cell.fitted, part, None))

    def end(which: str, part: str) -> CellColumn:
        told = f"The {which} end of the 95 % interval of `{name}`, which it has from the latency."
        suffix = "low" if which == "lower" else "high"
        null_when = NO_INTERVAL if missing == NO_LATENCY else f"{NO_INTERVAL}, or {missing}"
        return (
            column(f"{name}_ci_{suffix}", NUMBER, told, Source.COMPUTED, unit=unit, null_when=null_when),
            over(part),
        )

    first = column(name, NUMBER, meaning, Source.COMPUTED, unit=unit, null_when=missing)
    return [(first, over("value")), end("lower", "high"), end("upper", "low")]


THROUGHPUT: list[CellColumn] = [
    *_per_s(
        "samples_per_s",
        "segments/s",
        "Segments transcribed per second of wall time: `batch_size` over the latency.",
        lambda cell: cell.header.batch_size,
    ),
    *_per_s(
        "rtfx",
        "times real time",
        "RTFx: seconds of audio transcribed per second of wall time, padding not counted.",
        audio_s,
    ),
    *_per_s(
        "tokens_per_s",
        "tokens/s",
        "Tokens of text written per second of wall time.",
        lambda cell: cell.content.sum_per_pass("n_tokens"),
        "the cell has no latency, or the runtime does not count tokens",
    ),
    (
        column(
            "n_tokens_mean",
            NUMBER,
            "Tokens of a segment's text, the mean of the segments.",
            Source.COUNTED,
            unit="tokens",
            null_when="no pass was timed, or the runtime does not count tokens",
        ),
        lambda cell: cell.content.per_segment("n_tokens"),
    ),
    (
        column(
            "n_windows_mean",
            NUMBER,
            "Windows (of 30 s for Whisper) that the encoder saw of a segment, the mean of the segments.",
            Source.COUNTED,
            unit="windows",
            null_when="no pass was timed, or the runtime does not count windows",
        ),
        lambda cell: cell.content.per_segment("n_windows"),
    ),
    (
        column(
            "audio_s_mean",
            NUMBER,
            "The length of a segment, the mean of those that were timed.",
            Source.COMPUTED,
            unit="s",
            null_when=NOT_TIMED,
        ),
        lambda cell: ratio(audio_s(cell), cell.header.batch_size),
    ),
    (
        column(
            "encoder_padding_share",
            NUMBER,
            "The share of what the encoder processed that was no new audio: padding, and the overlap of windows.",
            Source.COUNTED,
            unit="share",
            null_when="no pass was timed, or the runtime does not count what it processed",
        ),
        lambda cell: cell.work.encoder_padding_share,
    ),
]
