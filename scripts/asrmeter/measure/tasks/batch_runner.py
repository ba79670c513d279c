"""The passes of a cell: waveforms in, text out, timed."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.measure.spec import CellSpec
from asrmeter.measure.tasks import EventSink
from asrmeter.records.events import Pass
from asrmeter.runtimes.base import Hypothesis, Runtime, SpeechBatch, Timeline

# What random weights say of audio whose text nobody knows: slow speech, 120 words a minute.
WORDS_PER_S = 2
# A pass of the warm-up hears as much of each segment at most: enough to set up whatever the first passes do.
WARM_UP_SAMPLES = 5 * SAMPLE_RATE_HZ


class BatchRunner:
    """Runs batches of a cell through a model and emits an event `pass` for each."""

    def __init__(self, spec: CellSpec, runtime: Runtime, emit: EventSink) -> None:
        self._batches = spec.batches
        self._runtime, self._emit = runtime, emit
        self._texts = {
            segment["segment_id"]: segment["text"] or _usual_text(segment["audio_s"]) for segment in spec.segments
        }
        self._languages: dict[str, str | None] = {row["segment_id"]: row["language_told"] for row in spec.segments}
        self._waveforms: dict[str, np.ndarray] = {}
        for segment in spec.segments:
            waveform, rate_hz = soundfile.read(segment["file"], dtype="float32")
            if rate_hz != SAMPLE_RATE_HZ or waveform.ndim != 1:
                raise ValueError(f"{segment['file']} is not 16 kHz mono")
            self._waveforms[segment["segment_id"]] = waveform
        self._audio_s = [sum(len(self._waveforms[i]) for i in ids) / SAMPLE_RATE_HZ for ids in self._batches]
        self.n_marks = 0

    def transcribe(self, batch: int) -> tuple[float, Timeline, list[Hypothesis]]:
        """Run a batch without an event; return the latency in seconds, the timeline and the hypotheses."""
        return self.transcribe_segments(self._batches[batch])

    def transcribe_segments(self, ids: Sequence[str]) -> tuple[float, Timeline, list[Hypothesis]]:
        """Run segments as one batch, as `transcribe` does."""
        return self._transcribe(self._speech(ids, [self._waveforms[i] for i in ids], [self._texts[i] for i in ids]))

    def run(self, phase: str, batch: int, round: int | None = None) -> float:
        """Run a batch, emit the pass, and return its latency in seconds."""
        begin = _Begin()
        latency_s, timeline, hypotheses = self.transcribe(batch)
        self.n_marks = timeline.n_marks
        self._emit(
            Pass(
                phase=phase,
                round=round,
                batch=batch,
                segment_ids=self._batches[batch],
                **begin.times(),
                latency_s=latency_s,
                audio_s=self._audio_s[batch],
                **_stages(timeline),
                texts=[hypothesis.text for hypothesis in hypotheses],
                n_tokens=[hypothesis.n_tokens for hypothesis in hypotheses],
                n_windows=[hypothesis.n_windows for hypothesis in hypotheses],
                processed_s=[hypothesis.processed_s for hypothesis in hypotheses],
                languages=[hypothesis.language for hypothesis in hypotheses],
            )
        )
        return latency_s

    def warm_up(self, batch: int, whole: bool = False) -> float:
        """Run a batch whose segments are cut off, unless it is to be `whole`, and return its latency in seconds.

        The pass that is emitted has no segments, as its texts are those of none.
        """
        ids = self._batches[batch]
        waveforms = [self._waveforms[i][: None if whole else WARM_UP_SAMPLES] for i in ids]
        # Random weights say as much as the reference does.
        shares = [len(cut) / len(self._waveforms[i]) for cut, i in zip(waveforms, ids, strict=True)]
        references = [_beginning(self._texts[i], share) for i, share in zip(ids, shares, strict=True)]
        begin = _Begin()
        latency_s, timeline, _ = self._transcribe(self._speech(ids, waveforms, references))
        audio_s = sum(map(len, waveforms)) / SAMPLE_RATE_HZ
        times = begin.times()
        self._emit(Pass(phase="warmup", **times, latency_s=latency_s, audio_s=audio_s, **_stages(timeline)))
        return latency_s

    def _speech(self, ids: Sequence[str], waveforms: list[np.ndarray], references: list[str]) -> SpeechBatch:
        return SpeechBatch(waveforms, references, [self._languages[i] for i in ids])

    def _transcribe(self, speech: SpeechBatch) -> tuple[float, Timeline, list[Hypothesis]]:
        timeline = self._runtime.timeline()
        self._runtime.synchronize()
        begin = time.perf_counter()
        hypotheses = self._runtime.transcribe(speech, timeline)
        timeline.end()
        self._runtime.synchronize()
        return time.perf_counter() - begin, timeline, hypotheses


class _Begin:
    """The begin of a pass, by the wall clock and by a monotonic clock."""

    def __init__(self) -> None:
        self._wall_s, self._s = time.time(), time.perf_counter()

    def times(self) -> dict[str, Any]:
        """Return beginning and end, which is now."""
        return {"started_at_s": self._wall_s, "ended_at_s": self._wall_s + time.perf_counter() - self._s}


def _stages(timeline: Timeline) -> dict[str, Any]:
    """Return the seconds of each stage, and what the decoder ran on."""
    seconds = {f"{stage}_s": seconds for stage, seconds in timeline.seconds().items()}
    return seconds | (vars(timeline.decoder_work) if timeline.decoder_work else {})


def _usual_text(audio_s: float) -> str:
    """Return a text of the usual length for speech of this duration."""
    return " ".join(["word"] * math.ceil(WORDS_PER_S * audio_s))


def _beginning(text: str, share: float) -> str:
    words = text.split()
    return " ".join(words[: math.ceil(share * len(words))])
