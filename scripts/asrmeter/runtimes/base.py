"""The interface of runtimes: waveforms in, text out, with a mark at the beginning of each stage."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from asrmeter.common.vocabulary import STAGES, DecoderWork

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Hypothesis:
    """The transcript of one segment, and the work that it took.

    `n_tokens` are text tokens, `n_windows` runs of the encoder. `processed_s` are the seconds that the encoder worked
    through: padding counts, and audio in two windows counts twice.
    """

    text: str
    n_tokens: int
    n_windows: int
    processed_s: float


class Timeline:
    """The stages of one pass. A mark ends one stage and begins the next; a stage may come more than once.

    On the CPU a mark is a reading of the clock. On CUDA it is an event in the stream, read after the pass: setting it
    waits for nothing and does not slow the pass down. `decoder_work` counts what the decoder ran on.
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
        """How many marks were set."""
        return len(self._marks)

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage; on CUDA the device must be synchronised before."""
        total = dict.fromkeys(STAGES, 0.0)
        for (stage, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            total[stage] += end - begin if isinstance(begin, float) else begin.elapsed_time(end) / 1000
        return total


def mark_cost_s(device: str, n: int = 200) -> float:
    """Return the seconds that setting one mark takes; times the marks of a pass, this is the cost of timing stages."""
    timeline = Timeline(device)
    begin = time.perf_counter()
    for _ in range(n):
        timeline.begin("text")
    return (time.perf_counter() - begin) / n


class Runtime(Protocol):
    """A loaded model.

    `attention` is the implementation of attention that it uses ("sdpa" or "eager"). It may differ from the variant's:
    see `transformers.loading.network`.
    """

    attention: str

    def __init__(self, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> None: ...

    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch: float32 waveforms of shape (n,), 16 kHz, in host memory.

        `references` are for random weights only, which generate as many tokens as the reference has.
        """

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""

    def check_scores(self) -> AbstractContextManager[None]:
        """Reject a model whose scores are not finite in a pass of the block: it would be fast, and wrong.

        Raises:
            FloatingPointError: a score is infinite or not a number.
        """


@runtime_checkable
class TorchRuntime(Runtime, Protocol):
    """A runtime whose model is a torch network, `model`; the output of its module `head` are the tokens' scores."""

    model: "torch.nn.Module"
    head: "torch.nn.Module"
