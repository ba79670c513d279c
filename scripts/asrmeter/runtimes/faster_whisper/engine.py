"""A Whisper in a folder of CTranslate2, run by faster-whisper with its own defaults."""

import inspect
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel

from asrmeter.runtimes.base import Hypothesis, Setup, SpeechBatch, Timeline, UnsupportedError
from asrmeter.runtimes.ctranslate2.engine import CTranslate2Runtime
from asrmeter.runtimes.families.preprocessor import settings_of
from asrmeter.runtimes.families.whisper import FAMILY
from asrmeter.runtimes.families.whisper.decoding import Decoding
from asrmeter.runtimes.families.whisper.vocabulary import code_of, name_of

_RECORDED = (
    *("beam_size", "best_of", "patience", "length_penalty", "temperature", "compression_ratio_threshold"),
    *("log_prob_threshold", "no_speech_threshold", "condition_on_previous_text", "without_timestamps", "vad_filter"),
)


class MarkedWhisper(WhisperModel):  # type: ignore[misc]
    """faster-whisper's model, which marks the stages of a pass, and counts windows."""

    timeline = Timeline()
    n_windows = 0

    def encode(self, features: np.ndarray) -> Any:
        """Run the encoder; see `WhisperModel`."""
        self.timeline.begin("encoder")
        encoded = super().encode(features)
        self.timeline.begin("decoder")
        self.n_windows += 1
        return encoded


class FasterWhisper(CTranslate2Runtime):
    """A Whisper model; see `asrmeter.runtimes.base.Runtime`. The segments of a batch are heard one after another.

    A window that is decoded again at a higher temperature is more of the stage `decoder`; what that ran on is not told.
    """

    packages = ("faster-whisper", *CTranslate2Runtime.packages)

    def __init__(self, setup: Setup) -> None:
        if setup.random_weights:
            raise UnsupportedError("faster-whisper cannot write texts of a given length, which random weights need")
        self._source = setup.folder
        super().__init__(self._open, setup)
        self._rules = Decoding.of_folder(setup.folder, self._whisper.hf_tokenizer)

    def _open(self, folder: str, device: str, compute_type: str, inter_threads: int, intra_threads: int) -> Any:
        """Load the model with the tokenizer and the features of the folder that it was made of.

        faster-whisper wants all of them in one folder; it would fetch what is missing.
        """
        with tempfile.TemporaryDirectory() as whole:
            for path in (*Path(folder).iterdir(), self._source / "tokenizer.json"):
                (Path(whole) / path.name).symlink_to(path.absolute())
            (Path(whole) / "preprocessor_config.json").write_text(
                json.dumps(settings_of(self._source)), encoding="utf-8"
            )
            self._whisper = MarkedWhisper(
                whole,
                device=device,
                compute_type=compute_type,
                cpu_threads=intra_threads,
                num_workers=inter_threads,
                local_files_only=True,
            )
        return self._whisper.model

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record: the library's own."""
        defaults = inspect.signature(WhisperModel.transcribe).parameters
        return {key: defaults[key].default for key in _RECORDED} | {"batch": "one after another"}

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`."""
        vad = ("vad",) if self.decoding()["vad_filter"] else ()
        return (*super().differences(), "padding", "beam", "fallback", "prompt", *vad)

    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        self._whisper.timeline = timeline
        self._rules.told(speech.languages)  # refuses what the model has no token for
        return [self._hear(*each, timeline) for each in zip(speech.waveforms, speech.languages, strict=True)]

    def _hear(self, waveform: np.ndarray, code: str | None, timeline: Timeline) -> Hypothesis:
        """Hear a segment that is of the language `code`; None: as people do who do not know it."""
        timeline.begin("features")
        self._whisper.n_windows = 0
        # A generator: a window is heard when it is asked for.
        name = name_of(code) if code and self._rules.languages else None
        segments, info = self._whisper.transcribe(waveform, language=name)
        segments = list(segments)
        timeline.begin("text")
        self.see(np.array([segment.avg_logprob for segment in segments]))
        n_tokens = sum(token < self._rules.end for segment in segments for token in segment.tokens)
        text = "".join(segment.text for segment in segments).strip()
        found = code_of(info.language) if self._rules.languages and name is None else None
        return Hypothesis(text, n_tokens, self._whisper.n_windows, self._whisper.n_windows * FAMILY.window_s, found)
