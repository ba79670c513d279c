"""The table `flops`: the work of each model of a study, and of the 2025 study if asked for. 1 MAC = 2 FLOP."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tokenizers

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.batches import batches
from asrmeter.flops.architectures import Architecture, Decoder
from asrmeter.flops.counting import CONVOLUTION, LINEAR, Count
from asrmeter.records.flops_rows import FLOPS
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.families.base import DecoderOperations
from asrmeter.study.edlm2025 import DURATIONS_S, MODELS

Row = dict[str, Any]


@dataclass(frozen=True)
class CountedModel:
    """A model to count: its name, the content of its config.json; with a decoder also its tokenizer and prompt."""

    name: str
    config: Mapping[str, Any]
    is_studied: bool
    tokenizer: tokenizers.Tokenizer | None = None
    n_prompt: int = 0


@dataclass(frozen=True)
class BatchGrid:
    """The (duration class in s, batch size) of a study, the segments of its corpus, and how to form batches of them."""

    grid: Sequence[tuple[int, int]] = ()
    corpus: Sequence[Row] = ()
    seed: int = 0

    def segments(self, duration_s: int) -> list[Row]:
        """Return the segments of a class."""
        return [row for row in self.corpus if row["duration_s"] == duration_s]

    def padded_samples(self, duration_s: int, batch_size: int) -> list[int]:
        """Return the length that the segments of each batch are padded to, in samples."""
        rows = self.segments(duration_s)
        audio_s = {row["segment_id"]: row["audio_s"] for row in rows}
        in_batches = batches(rows, batch_size, self.seed)
        return [round(max(audio_s[i] for i in ids) * SAMPLE_RATE_HZ) for ids in in_batches]


def rows(model: CountedModel, batch_grid: BatchGrid, with_2025: bool = False) -> Iterator[Row]:
    """Yield the rows of a model: the study's grid, and on request what the 2025 study measured of the model.

    A model that cannot be counted, for whatever reason, has rows with a note instead of numbers.
    """
    grid = [(place, model, batch_grid) for place in (batch_grid.grid if model.is_studied else ())]
    if with_2025 and model.name in MODELS:
        others = [
            (duration_s, 1)
            for duration_s in DURATIONS_S
            if not model.is_studied or (duration_s, 1) not in batch_grid.grid
        ]
        grid += [(place, replace(model, is_studied=False), BatchGrid()) for place in others]
    architecture: Architecture | None = None
    for (duration_s, batch_size), own_model, own_grid in grid:
        try:
            architecture = architecture or Architecture(model.config)
            yield _row(own_model, architecture, own_grid, duration_s, batch_size)
        except Exception as error:
            kind = "" if isinstance(error, AsrmeterError) else f"{type(error).__name__}: "
            why = f"not counted: {kind}{' '.join(str(error).split())[:200]}"
            yield _empty(own_model, duration_s, batch_size) | {"note": why}


def _empty(model: CountedModel, duration_s: int, batch_size: int) -> Row:
    return dict.fromkeys(FLOPS.names) | {
        **_facts(model.config),
        "model": model.name,
        "is_studied": model.is_studied,
        "duration_s": duration_s,
        "batch_size": batch_size,
    }


def _facts(config: Mapping[str, Any]) -> Row:
    """Return the columns that follow from a model's family; none where there is no such family."""
    try:
        found = family_of(config)
    except AsrmeterError:
        return {}
    return {"family": found.name, "has_decoder": found.has_decoder}


def _row(
    model: CountedModel, architecture: Architecture, batch_grid: BatchGrid, duration_s: int, batch_size: int
) -> Row:
    heard, encoder = architecture.family.heard_samples, architecture.encoder_operations
    nominal = heard(duration_s * SAMPLE_RATE_HZ)
    lengths = [heard(n_samples) for n_samples in batch_grid.padded_samples(duration_s, batch_size)]
    closed = [macs for macs in map(encoder.closed_macs, lengths) if macs is not None]
    are_closed = len(closed) == len(lengths)
    # A count takes a quarter of a second: a closed formula that agrees with the longest batch tells the others.
    to_count = [nominal, *(sorted(lengths)[-1:] if are_closed else lengths)]
    counts = [architecture.encoder(n_samples) for n_samples in to_count]
    counted = counts[0]
    row = _empty(model, duration_s, batch_size)
    row["not_counted"] = ", ".join(sorted({*counted.not_counted, "feature extraction"}))
    row["checked_against"], row["note"] = _checked(architecture, counts, to_count)
    if row["note"]:
        return row
    n_windows = architecture.family.n_windows(duration_s * SAMPLE_RATE_HZ)
    printed = encoder.edlm2025(sum(counted.macs.get(name, 0) for name in (LINEAR, CONVOLUTION)), counted.normalised)
    encoder_gmac = batch_size * n_windows * counted.total_macs / 1e9
    row |= {
        "n_windows": n_windows,
        "encoder_gmac": encoder_gmac,
        "encoder_gflop": 2 * encoder_gmac,
        "encoder_parameters": encoder.n_parameters,
        "edlm2025_encoder": None if printed is None else printed / 1e9,
        "edlm2025_unit": encoder.edlm2025_unit,
    }
    if lengths:
        each = closed if are_closed else [run.total_macs for run in counts[1:]]
        row["encoder_mac_per_window"] = round(statistics.fmean(each))
        row["encoder_elements_per_window"] = round(statistics.fmean(map(encoder.elements, lengths)))
    decoder, operations = architecture.decoder(), architecture.decoder_operations
    if decoder is None or operations is None:
        return row | {"total_gflop": row["encoder_gflop"]}
    return row | _decoder(model, decoder, operations, batch_grid, row)


def _decoder(
    model: CountedModel, decoder: Decoder, operations: DecoderOperations, batch_grid: BatchGrid, row: Row
) -> Row:
    """Return the columns of the decoder."""
    printed = operations.edlm2025_step_flop()
    found: Row = {
        "cross_kv_gflop_per_window": 2e-9 * row["batch_size"] * decoder.cross_kv,
        "cross_kv_mac_per_window": decoder.cross_kv,
        "decoder_mac_per_token": decoder.per_token,
        "decoder_mac_per_position": decoder.per_position,
        "decoder_parameters": operations.n_parameters,
        "kv_elements_per_position": operations.kv_elements,
        "cross_positions": operations.cross_positions,
        "edlm2025_decoder_gflop_per_step": None if printed is None else printed / 1e9,
        "not_counted": ", ".join(sorted({*row["not_counted"].split(", "), *decoder.not_counted})),
    }
    segments = [segment for segment in batch_grid.segments(row["duration_s"]) if segment["text"]]
    if not segments or model.tokenizer is None:
        return found | {
            "note": "no transcript to take the decoder's steps from: the model or the class is not in the study, or "
            "the class has no texts"
        }
    n_tokens = statistics.fmean(
        len(model.tokenizer.encode(segment["text"], add_special_tokens=False).ids) for segment in segments
    )
    steps = round(n_tokens / row["n_windows"])
    per_step_gmac = row["batch_size"] * decoder.run(1, model.n_prompt + max(1, steps // 2)) / 1e9
    decoder_gflop = 2e-9 * row["batch_size"] * row["n_windows"] * decoder.transcript(model.n_prompt, steps)
    return found | {
        "n_tokens_mean": n_tokens,
        "decoder_gmac_per_step": per_step_gmac,
        "decoder_gflop_per_step": 2 * per_step_gmac,
        "decoder_gflop": decoder_gflop,
        "total_gflop": row["encoder_gflop"] + decoder_gflop,
    }


def _checked(
    architecture: Architecture, counts: Sequence[Count], lengths: Sequence[int]
) -> tuple[str | None, str | None]:
    """Return (what the counts agree with, why there are none); one of the two is None."""
    decoder, operations = architecture.decoder(), architecture.decoder_operations
    if not all(counted.agrees for counted in counts) or (decoder and not decoder.agrees):
        return None, "fvcore and torch's counter disagree on this architecture"
    # Each count beside that of the closed formula.
    pairs = [
        (counted.total_macs, architecture.encoder_operations.closed_macs(n_samples))
        for counted, n_samples in zip(counts, lengths, strict=True)
    ]
    if decoder and operations:
        pairs += [(decoder.run(1, n), operations.closed_macs(n)) for n in (1, 2)]
        pairs.append((decoder.cross_kv, operations.closed_cross_kv_macs()))
    if any(closed is None for _, closed in pairs):
        return "torch's counter", None
    fits = all(macs == closed for macs, closed in pairs)
    return ("torch's counter, closed formula", None) if fits else (None, "the closed formula disagrees")
