"""What a runtime does: waveforms in, text out, with a mark at the beginning of each stage."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from asrmeter.common.vocabulary import STAGES, DecoderWork

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Hypothesis:
    """What a model made of one segment.

    Text, text tokens generated, windows (encoder runs) that it took, seconds that the encoder worked through: padding
    counts, and audio that two windows share counts twice.
    """

    text: str
    n_tokens: int
    n_windows: int
    processed_s: float


class Timeline:
    """The stages of one pass: a mark ends the stage before it and begins its own; a stage may come again.

    On the CPU a mark is a reading of the clock. On CUDA it is an event in the stream, read after the pass, so that a
    mark waits for nothing and the pass is not slowed down. What a decoder was run on is counted along.
    """

    def __init__(self, device: str) -> None:
        self.decoder_work = DecoderWork()
        self._mark: Callable[[], Any] = time.perf_counter
        if device == "cuda":
            import torch

            def event() -> Any:
                recorded = torch.cuda.Event(enable_timing=True)
                recorded.record()
                return recorded

            self._mark = event
        self._marks: list[tuple[str, Any]] = []

    def begin(self, stage: str) -> None:
        """End the running stage and begin `stage`."""
        self._marks.append((stage, self._mark()))

    def end(self) -> None:
        """End the last stage."""
        self.begin("")

    @property
    def n_marks(self) -> int:
        """Marks that were set."""
        return len(self._marks)

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage; on CUDA the device must be synchronised before."""
        total = dict.fromkeys(STAGES, 0.0)
        for (stage, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            total[stage] += end - begin if isinstance(begin, float) else begin.elapsed_time(end) / 1000
        return total


def mark_cost_s(device: str, n: int = 200) -> float:
    """Return what setting one mark costs, in seconds: what timing the stages adds to a pass is that by its marks."""
    timeline = Timeline(device)
    begin = time.perf_counter()
    for _ in range(n):
        timeline.begin("text")
    return (time.perf_counter() - begin) / n


class Runtime(Protocol):
    """A loaded model.

    `model` is the network, `head` its module whose output are the scores of the tokens, `attention` the implementation
    of attention that it uses ("sdpa" or "eager"), which the variant's need not be: see `transformers_folder.network`.
    """

    model: "torch.nn.Module"
    head: "torch.nn.Module"
    attention: str

    def __init__(self, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> None: ...

    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch: float32 waveforms of shape (n,), 16 kHz, in host memory.

        `references` serve random weights only: they get as many tokens as the reference would take.
        """

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""
