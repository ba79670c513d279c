"""The passes of a cell: waveforms in, text out, timed."""

import time
from typing import Any

import numpy as np
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.measure.spec import CellSpec
from asrmeter.measure.tasks import EventSink
from asrmeter.records.events import Pass
from asrmeter.runtimes.base import Hypothesis, Runtime, Timeline


class BatchRunner:
    """Runs batches of a cell through a model and emits an event `pass` for each."""

    def __init__(self, spec: CellSpec, runtime: Runtime, emit: EventSink) -> None:
        self._batches = spec.batches
        self._runtime, self._emit = runtime, emit
        self._texts = {segment["segment_id"]: segment["text"] for segment in spec.segments}
        self._waveforms: dict[str, np.ndarray] = {}
        for segment in spec.segments:
            waveform, rate_hz = soundfile.read(segment["file"], dtype="float32")
            if rate_hz != SAMPLE_RATE_HZ or waveform.ndim != 1:
                raise ValueError(f"{segment['file']} is not 16 kHz mono")
            self._waveforms[segment["segment_id"]] = waveform
        self._audio_s = [sum(len(self._waveforms[i]) for i in ids) / SAMPLE_RATE_HZ for ids in self._batches]
        self._transcribed: set[str] = set()
        self.n_marks = 0

    @property
    def longest(self) -> int:
        """The batch with the longest segment, which takes the most memory."""
        return max(
            range(len(self._batches)), key=lambda batch: max(len(self._waveforms[i]) for i in self._batches[batch])
        )

    @property
    def untranscribed(self) -> list[int]:
        """The batches with segments whose text no pass has emitted yet."""
        return [batch for batch, ids in enumerate(self._batches) if not self._transcribed.issuperset(ids)]

    def transcribe(self, batch: int) -> tuple[float, Timeline, list[Hypothesis]]:
        """Run a batch without an event; return the latency in seconds, the timeline and the hypotheses."""
        ids = self._batches[batch]
        inputs, references = [self._waveforms[i] for i in ids], [self._texts[i] for i in ids]
        timeline = self._runtime.timeline()
        self._runtime.synchronize()
        begin = time.perf_counter()
        hypotheses = self._runtime.transcribe(inputs, references, timeline)
        timeline.end()
        self._runtime.synchronize()
        return time.perf_counter() - begin, timeline, hypotheses

    def run(self, phase: str, batch: int, round: int | None = None, attempt: int | None = None) -> float:
        """Run a batch, emit the pass, and return its latency in seconds."""
        started_at_s, begin_s = time.time(), time.perf_counter()
        latency_s, timeline, hypotheses = self.transcribe(batch)
        self.n_marks = timeline.n_marks
        self._transcribed.update(self._batches[batch])
        stages: dict[str, Any] = {f"{stage}_s": seconds for stage, seconds in timeline.seconds().items()}
        self._emit(
            Pass(
                phase=phase,
                attempt=attempt,
                round=round,
                batch=batch,
                segment_ids=self._batches[batch],
                started_at_s=started_at_s,
                ended_at_s=started_at_s + time.perf_counter() - begin_s,
                latency_s=latency_s,
                **stages,
                audio_s=self._audio_s[batch],
                texts=[hypothesis.text for hypothesis in hypotheses],
                n_tokens=[hypothesis.n_tokens for hypothesis in hypotheses],
                n_windows=[hypothesis.n_windows for hypothesis in hypotheses],
                processed_s=[hypothesis.processed_s for hypothesis in hypotheses],
                **(vars(timeline.decoder_work) if timeline.decoder_work else {}),
            )
        )
        return latency_s
