"""The table of operations: its schema. `asrmeter.flops.table` makes its rows."""

import pyarrow as pa

from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import FLAG, INTEGER, LABEL, MESSAGE, NUMBER, Source, column

_NOT_COUNTED = "it was not counted; `note` says why"
_NO_DECODER = f"there is no decoder, or {_NOT_COUNTED}"
_NO_TRANSCRIPT = f"no transcript of the class is known, or {_NO_DECODER}"
_NO_AUDIO = "the study has no audio of the class, or it was not counted"


def _counted(name: str, unit: str, meaning: str, null_when: str = _NOT_COUNTED) -> pa.Field:
    kind = INTEGER if unit in ("MAC", "values", "positions", "windows") else NUMBER
    return column(name, kind, meaning, Source.COUNTED, unit=unit, null_when=null_when)


# One row for each model, duration class and batch size. Values are for a whole batch of nominal length, except those by
# window, token and position, which are for one segment. From these, `cells` computes the work that really ran, with
# padding and waiting.
FLOPS = pa.schema(
    [
        shared("model"),
        # known also where nothing is counted
        column("family", LABEL, "The family of the model.", Source.STUDY, null_when="it is not known"),
        column(
            "has_decoder",
            FLAG,
            "Whether a decoder writes the text token by token.",
            Source.STUDY,
            null_when="the family is not known",
        ),
        column(
            "is_studied",
            FLAG,
            "Whether the study measures the model. The others belong to the 2025 study.",
            Source.STUDY,
        ),
        shared("duration_s"),
        shared("batch_size"),
        _counted("n_windows", "windows", "Windows of a segment of nominal length."),
        column(
            "n_tokens_mean",
            NUMBER,
            "Tokens of the class' mean reference text.",
            Source.COUNTED,
            unit="tokens",
            null_when=_NO_TRANSCRIPT,
        ),
        _counted(
            "encoder_gmac",
            "GMAC",
            "The encoder over all windows of a batch, with the output layer if there is no decoder.",
        ),
        _counted("encoder_gflop", "GFLOP", "`encoder_gmac` in operations: 1 MAC = 2 FLOP."),
        _counted(
            "decoder_gmac_per_step",
            "GMAC",
            "One token for each segment of the batch, in the middle of the mean transcript, the output layer included.",
            _NO_TRANSCRIPT,
        ),
        _counted(
            "decoder_gflop_per_step", "GFLOP", "`decoder_gmac_per_step` in operations: 1 MAC = 2 FLOP.", _NO_TRANSCRIPT
        ),
        _counted(
            "cross_kv_gflop_per_window", "GFLOP", "Keys and values of the encoder's output, once a window.", _NO_DECODER
        ),
        _counted(
            "decoder_gflop",
            "GFLOP",
            "Keys and values, prompt and mean transcript of all windows of a batch.",
            _NO_TRANSCRIPT,
        ),
        _counted("total_gflop", "GFLOP", "Encoder and decoder of a batch.", _NO_TRANSCRIPT),
        _counted(
            "encoder_mac_per_window",
            "MAC",
            "The encoder over one window, padded as in the batches; their mean.",
            _NO_AUDIO,
        ),
        _counted(
            "encoder_elements_per_window",
            "values",
            "What goes into the encoder and comes out of it, for a window.",
            _NO_AUDIO,
        ),
        _counted(
            "cross_kv_mac_per_window", "MAC", "Keys and values of the encoder's output, for a window.", _NO_DECODER
        ),
        _counted(
            "decoder_mac_per_token",
            "MAC",
            "A token of the decoder, without the part that grows with the text.",
            _NO_DECODER,
        ),
        _counted(
            "decoder_mac_per_position",
            "MAC",
            "Work of a token for each earlier position and its own.",
            _NO_DECODER,
        ),
        _counted("encoder_parameters", "values", "Weights read by a run of the encoder."),
        _counted("decoder_parameters", "values", "Weights read by a run of the decoder.", _NO_DECODER),
        _counted(
            "kv_elements_per_position",
            "values",
            "Cached keys and values read by a run for a position.",
            _NO_DECODER,
        ),
        _counted(
            "cross_positions", "positions", "Positions of the encoder's output that a run attends to.", _NO_DECODER
        ),
        column(
            "edlm2025_encoder",
            NUMBER,
            "The encoder of one segment by the 2025 study's formula, with this model's values.",
            Source.COMPUTED,
            unit="that of `edlm2025_unit`",
            null_when="that study had no such family, or it was not counted",
        ),
        column(
            "edlm2025_unit",
            LABEL,
            "Unit of that formula: GFLOP or GMAC.",
            Source.PUBLISHED,
            null_when="`edlm2025_encoder` is",
        ),
        column(
            "edlm2025_decoder_gflop_per_step",
            NUMBER,
            "A step of the decoder by the 2025 study's formula, with this model's values.",
            Source.COMPUTED,
            unit="GFLOP",
            null_when="that study had no such family, or there is no decoder",
        ),
        column("checked_against", LABEL, "Methods whose counts agree.", Source.RECORDED, null_when=_NOT_COUNTED),
        column(
            "not_counted", LABEL, "The operations that are left out, by name.", Source.RECORDED, null_when=_NOT_COUNTED
        ),
        column("note", MESSAGE, "Why something was not counted.", Source.RECORDED, null_when="all was"),
    ]
)
