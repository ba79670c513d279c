"""The table of operations: its schema. `asrmeter.flops.table` makes its rows."""

import pyarrow as pa

from asrmeter.common.table_types import FLAG, INTEGER, NUMBER, TEXT

# One row for each model, duration class and batch size. Values are for a whole batch of nominal length, except those by
# window, token and position, which are for one segment. From these, `cells` computes the work that really ran, with
# padding and waiting.
FLOPS = pa.schema(
    [
        ("model", TEXT),
        # known also where nothing is counted
        ("family", TEXT),
        ("has_decoder", FLAG),
        ("is_studied", FLAG),
        ("duration_s", INTEGER),
        ("batch_size", INTEGER),
        # windows of a segment of nominal length, tokens of the class' mean reference text
        ("n_windows", INTEGER),
        ("n_tokens_mean", NUMBER),
        # all windows; includes the output layer of a model without a decoder
        ("encoder_gmac", NUMBER),
        ("encoder_gflop", NUMBER),
        # one token for each segment, in the middle of the mean transcript; includes the output layer
        ("decoder_gmac_per_step", NUMBER),
        ("decoder_gflop_per_step", NUMBER),
        # keys and values of the encoder's output, once a window
        ("cross_kv_gflop_per_window", NUMBER),
        # keys and values, prompt and mean transcript of all windows
        ("decoder_gflop", NUMBER),
        ("total_gflop", NUMBER),
        # of one segment, padded as in the batches
        ("encoder_mac_per_window", INTEGER),
        ("encoder_elements_per_window", INTEGER),
        ("cross_kv_mac_per_window", INTEGER),
        ("decoder_mac_per_token", INTEGER),
        ("decoder_mac_per_position", INTEGER),
        # weights that a run reads, and the caches of keys and values that a run of the decoder also reads
        ("encoder_parameters", INTEGER),
        ("decoder_parameters", INTEGER),
        ("kv_elements_per_position", INTEGER),
        ("cross_positions", INTEGER),
        # the 2025 study's formulas with this model's values, of one segment; null for a family that it did not have
        ("edlm2025_encoder", NUMBER),
        ("edlm2025_unit", TEXT),
        ("edlm2025_decoder_gflop_per_step", NUMBER),
        ("checked_against", TEXT),
        ("not_counted", TEXT),
        ("note", TEXT),
    ]
)
