"""What a cell computes in a pass."""

from dataclasses import fields

from asrmeter.analysis.cell_columns.values import CellColumn
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import MESSAGE, NUMBER, Source, column
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.records.cell_record import DECODER_WORK

_NOT_COUNTED = "it is unknown; `gflop_note` says why"
_NO_DECODER_WORK = "no pass was timed, or the runtime does not report it"


def _decoder_work(name: str) -> CellColumn:
    meaning, unit = DECODER_WORK[name]

    def value(cell: MeasuredCell) -> float | None:
        return cell.work.decoder_per_pass(name)

    told = f"{meaning}, the mean of the batches."
    return column(f"{name}_mean", NUMBER, told, Source.COUNTED, unit=unit, null_when=_NO_DECODER_WORK), value


WORK: list[CellColumn] = [
    (
        column(
            "encoder_gflop",
            NUMBER,
            "What the encoder computes in a pass, padding included; 1 MAC = 2 FLOP. Of a model without a decoder the "
            "output layer is in it.",
            Source.COUNTED,
            unit="GFLOP",
            null_when=_NOT_COUNTED,
        ),
        lambda cell: cell.work.encoder_gflop,
    ),
    (
        column(
            "decoder_gflop",
            NUMBER,
            "What the decoder computes in a pass, with waiting rows and with the keys and values of windows.",
            Source.COUNTED,
            unit="GFLOP",
            null_when=f"there is no decoder, or {_NOT_COUNTED}",
        ),
        lambda cell: cell.work.decoder_gflop,
    ),
    (
        column(
            "gflop_per_sample",
            NUMBER,
            "What a pass computes, by segment.",
            Source.COUNTED,
            unit="GFLOP",
            null_when=_NOT_COUNTED,
        ),
        lambda cell: ratio(cell.work.gflop, cell.header.batch_size),
    ),
    (
        column(
            "achieved_gflops",
            NUMBER,
            "What a pass computes, over its latency.",
            Source.COMPUTED,
            unit="GFLOP/s",
            null_when=_NOT_COUNTED,
        ),
        lambda cell: ratio(cell.work.gflop, cell.timing.latency_s),
    ),
    (
        column("gflop_note", MESSAGE, "Why operations are not known.", Source.RECORDED, null_when="they are"),
        lambda cell: cell.work.gflop_note,
    ),
    *(_decoder_work(count.name) for count in fields(DecoderWork)),
    (
        column(
            "decoder_padding_share",
            NUMBER,
            "The share of the decoder's rows whose text had ended: a batch runs until its longest text ends.",
            Source.COMPUTED,
            unit="share",
            null_when="a segment took several windows, or the runtime does not report it",
        ),
        lambda cell: cell.work.decoder_padding_share,
    ),
]
