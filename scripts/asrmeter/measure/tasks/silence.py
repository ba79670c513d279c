"""Transcribes clips without speech at batch 1. Nothing is timed."""

import contextlib

from asrmeter.corpora import silence
from asrmeter.corpora.silence import Clip
from asrmeter.measure.spec import SilenceSpec
from asrmeter.measure.tasks import Task
from asrmeter.measure.tasks.device import load_runtime
from asrmeter.records.events import Heard, Ready
from asrmeter.runtimes.base import SpeechBatch


class HearSilence(Task):
    """Gives a model one clip after the other."""

    _spec: SilenceSpec

    def run(self) -> None:
        """Emit a text for each clip. The model's scores must be finite in the first one."""
        spec = self._spec
        runtime = load_runtime(spec)
        self._emit(Ready(decoding=runtime.decoding(), versions=runtime.versions()))
        for number, told in enumerate(spec.clips):
            clip = Clip(**told)
            waveform = silence.samples(clip, spec.seed)
            timeline = runtime.timeline()
            with contextlib.nullcontext() if number else runtime.check_scores():
                (found,) = runtime.transcribe(SpeechBatch([waveform], [""], [spec.language_told]), timeline)
                runtime.synchronize()
            self._emit(
                Heard(
                    clip=clip.name,
                    sha256=silence.sha256_of(waveform),
                    text=found.text,
                    language=found.language,
                )
            )
        runtime.close()
