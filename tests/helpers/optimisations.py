"""Rows of the table `optimisations`, made up: of a study that tries what the 2025 study proposes, and more."""

from typing import Any

from asrmeter.analysis.optimisation_columns import COMPARED_STAGES, OPTIMISATIONS
from asrmeter.study import proposals
from helpers.tables import Cell

# The beginning of a short list of proposals.
BATCHES_AND_EAGER = """
[larger-batches]
wording = "Larger batches"
kind = "batch"
[fused-operations]
wording = "Fused operations"
kind = "without"
variant = "eager"
options = { attention = "eager" }
"""
BY_NAME = {one.name: one for one in proposals.known()}


def optimisation(
    proposal: str | None = "ct2-int8", speed: float | None = 1.6, model: str = "whisper-base", **changes: Any
) -> Cell:
    """Return a row for a proposal, or for a variant that nobody proposes; without a speed it was not measured."""
    told = BY_NAME.get(proposal or "")
    row = dict.fromkeys(OPTIMISATIONS.names) | {
        "proposal": told and told.name,
        "wording": told and told.wording,
        "of_2025": told and told.of_2025,
        "kind": told.kind if told else "variant",
        "variant": told.variant if told else "mine",
        "baseline": told.against if told else "fp32",
        "model": model,
        "weights": "pretrained",
        "device": "cpu",
        "n_cells": 4,
        "n_texts": 0,
        "equal_settings": True,
        "verdict": "not_possible",
        "reason": "it is not for cpu, only for cuda",
    }
    if speed is None:
        return row | {"n_cells": 0} | changes
    verdict = "no_difference" if abs(speed - 1) < 0.05 else "helps" if speed > 1 else "hurts"
    row |= {"speed_ratio": speed, "speed_ratio_low": 0.95 * speed, "speed_ratio_high": 1.05 * speed}
    row |= {"energy_ratio": 0.98 * speed, "energy_method": "cpu_load_model", "memory_ratio": 1.3}
    row |= {"model_bytes": 145_000_000, "baseline_model_bytes": 290_000_000, "n_texts": 24, "share_identical": 0.875}
    row |= {"wer_change": 0.002, "wer_change_low": -0.003, "wer_change_high": 0.006}
    for place, stage in enumerate(COMPARED_STAGES, 1):
        row |= {f"{stage}_ratio": place * speed / 2, f"baseline_{stage}_s": 0.4 * place, f"{stage}_s": 0.8 / speed}
    row |= {"differences": ["padding"], "emulated": False, "verdict": verdict, "reason": None}
    return row | changes


def absent(proposal: str, **changes: Any) -> Cell:
    """Return the row of a proposal whose variant the study does not have."""
    reason = f"the study has no variant {BY_NAME[proposal].variant}"
    return optimisation(proposal, None, verdict="not_measured", equal_settings=None, reason=reason, **changes)


def example_optimisations(models: tuple[str, ...] = ("whisper-tiny.en", "whisper-base")) -> list[Cell]:
    """Return the rows of a study on a processor: each verdict, and each thing that is said of a row."""
    identical = {"share_identical": 1.0, "wer_change": 0.0, "wer_change_low": 0.0, "wer_change_high": 0.0}
    unequal = {"equal_settings": False, "differences": ["features", "beam", "fallback", "vad"]}
    worse = {"wer_change": 0.031, "wer_change_low": 0.012, "wer_change_high": 0.05, "share_identical": 0.25}
    lost = "30 s, batch size 1: it keeps 96.1% of the word accuracy, not 98.0%"
    rows = []
    for place, model in enumerate(models):
        more = 1 + place / 10
        rows += [
            optimisation("larger-batches", 1.21 * more, model, differences=None),
            optimisation("tensor-cores", None, model),
            optimisation("key-value-caching", 2.9 * more, model, **identical, differences=[]),
            optimisation("preallocation", 0.97, model, **identical, differences=[]),
            optimisation("fp16", None, model, reason="no float16 on this processor"),
            optimisation("int8", 1.4 * more, model, **worse, verdict="costs_accuracy", reason=lost),
            optimisation("bf16", 0.27, model, emulated=True, share_identical=0.9),
            optimisation("ct2-fp32", 1.12 * more, model, **identical),
            optimisation("ct2-int8", 1.62 * more, model),
            optimisation("faster-whisper", 1.1 * more, model, **unequal),
            absent("whispercpp-q5_0", model=model),
        ]
    return rows
