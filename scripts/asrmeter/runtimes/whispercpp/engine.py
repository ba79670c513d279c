"""A Whisper in a file of ggml, run by whisper.cpp: greedy, without timestamps up to 30 s, its own long form beyond."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _pywhispercpp as library
import numpy as np

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Effective, Hypothesis, Runtime, Setup, SpeechBatch, Timeline, UnsupportedError
from asrmeter.runtimes.families.whisper import FAMILY
from asrmeter.runtimes.families.whisper.decoding import WINDOW_SAMPLES, Decoding, heard_in_windows
from asrmeter.runtimes.families.whisper.vocabulary import code_of, name_of
from asrmeter.runtimes.whispercpp.files import FILE

# whisper.cpp hears nothing in less than 100 ms.
_SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 5
# What it is told where it is to find the language.
_UNKNOWN = "auto"
# What it says it was built with, the widest first.
_INSTRUCTIONS = ("AVX512", "AVX2", "AVX", "SVE", "NEON")
_BUILD = re.compile(r"/lib(whisper|ggml)-?\w*\.so\.([\d.]+)$", re.MULTILINE)


class WhisperCpp(Runtime):
    """A Whisper model; see `asrmeter.runtimes.base.Runtime`. The segments of a batch are heard one after another.

    whisper.cpp does not say when a window's decoder begins. What is known is when the first token is chosen: until then
    it is `encoder`, which therefore includes that the decoder reads the prompt.
    """

    packages = ("pywhispercpp",)

    def __init__(self, setup: Setup) -> None:
        assert setup.converted is not None
        self._rules = Decoding.of_folder(setup.folder)
        self._format, self._threads = setup.options["format"], setup.threads
        self._random_weights = setup.random_weights
        self._context = _load(setup.converted / FILE)
        # Half of the positions are for the text of windows before, even where none is given.
        self._max_tokens = library.whisper_n_text_ctx(self._context) // 2 - 4
        self._n_prompt = FAMILY.prompt_length(self._rules.settings)
        self._settings = self._greedy()
        self._params = library.whisper_full_default_params(library.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        for name, value in (self._settings | {"n_threads": setup.threads, "print_progress": False}).items():
            setattr(self._params, name, value)
        library.assign_encoder_begin_callback(self._params, self._enter_encoder)
        library.assign_logits_filter_callback(self._params, self._choose)
        self._timeline, self._n_windows = Timeline(), 0

    def _greedy(self) -> dict[str, Any]:
        """Return the settings under which whisper.cpp decodes as the baseline does, as far as it can."""
        suppressed = self._rules.settings
        return {
            # Within a long form, `no_context` forgets nothing.
            **{"no_context": True, "n_max_text_ctx": 0},
            "temperature": 0.0,
            "temperature_inc": 0.0,
            "greedy": {"best_of": 1},
            # No probability is larger: nothing is taken for silence.
            "no_speech_thold": 2.0,
            "suppress_blank": bool(suppressed.get("begin_suppress_tokens")),
            "suppress_nst": self._random_weights or bool(suppressed.get("suppress_tokens")),
        }

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record, in the words of whisper.cpp."""
        return self._settings | {"max_tokens": self._max_tokens, "batch": "one after another"}

    def effective(self) -> Effective:
        """See `Runtime`."""
        system = library.whisper_print_system_info()
        found = [name for name in _INSTRUCTIONS if f" {name} = 1" in system]
        builds = dict(_BUILD.findall(Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")))
        text = f"whisper.cpp {builds.get('whisper', '?')}, ggml {builds.get('ggml', '?')}"
        return Effective(self._format, self._threads, text, instructions=found[0] if found else None)

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`: keys, values and, of quantised products, activations are no float32."""
        return ("features", "activations", "suppression", *(("windows",) if self._is_without_timestamps else ()))

    @property
    def _is_without_timestamps(self) -> bool:
        """Whether whisper.cpp takes the model for one of the first distilled ones, and makes it write no timestamps."""
        n_layers = library.whisper_model_n_text_layer(self._context)
        return n_layers == 2 and library.whisper_n_vocab(self._context) != 51_866

    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        self._timeline = timeline
        timeline.decoder_work = DecoderWork()
        if self._random_weights:
            return self._fixed_work(speech)
        # As in the baseline, one long segment makes a long form of the batch.
        self._params.no_timestamps = self._params.single_segment = max(map(len, speech.waveforms)) <= WINDOW_SAMPLES
        return self._hear_all(speech.waveforms, speech.languages)

    def _fixed_work(self, speech: SpeechBatch) -> list[Hypothesis]:
        """Do a fixed amount of work; see `Family.fixed_work`."""
        n_tokens = [self._rules.n_tokens(text) for text in speech.references]
        work = FAMILY.fixed_work([len(waveform) for waveform in speech.waveforms], n_tokens, self._max_tokens)
        self._params.no_timestamps = self._params.single_segment = True
        # It stops once there are more; 0 is no limit.
        self._params.max_tokens = max(work.n_tokens - 1, 1)
        heard = [
            heard_in_windows(self._hear_all, [waveform], [code], work.windows)
            for waveform, code in zip(speech.waveforms, speech.languages, strict=True)
        ]
        return [one for (one,) in heard]

    def _hear_all(self, waveforms: list[np.ndarray], codes: Sequence[str | None]) -> list[Hypothesis]:
        return [self._hear(*each) for each in zip(waveforms, codes, strict=True)]

    def _hear(self, waveform: np.ndarray, code: str | None) -> Hypothesis:
        """Hear a segment that is of the language `code`, None if whisper.cpp is to find out."""
        self._params.language = self._name_of(code)
        is_found = bool(self._rules.languages) and code is None
        padded = np.pad(waveform, (0, max(_SHORTEST_SAMPLES - len(waveform), 0)))
        self._timeline.begin("features")
        _check(library.whisper_pcm_to_mel(self._context, padded, len(padded), self._threads))
        self._n_windows = 0
        if is_found:
            # Runs the encoder over the first window, and the decoder over one token; nothing calls back.
            self._enter_encoder(self._context)
            self._count(1, 0)
        _check(library.whisper_full(self._context, self._params, padded, 0))
        self._timeline.begin("text")
        found = library.whisper_lang_str(library.whisper_full_lang_id(self._context)) if is_found else None
        return self._hypothesis(found and code_of(found))

    def _name_of(self, code: str | None) -> str:
        """Return what whisper.cpp calls a language.

        Raises:
            UnsupportedError: the model has no token for it, or another than whisper.cpp takes for granted.
        """
        if not self._rules.languages:
            return "en"
        (token,) = self._rules.told([code])
        if code is None:
            return _UNKNOWN
        name = name_of(code)
        if library.whisper_token_lang(self._context, library.whisper_lang_id(name)) != token:
            raise UnsupportedError(f"whisper.cpp has another token for the language {code} than the model")
        return name

    def _enter_encoder(self, _context: Any) -> bool:
        self._timeline.begin("encoder")
        self._n_windows += 1
        return True

    def _choose(self, _context: Any, n_chosen: int, _score: float) -> None:
        """Note that the decoder has read the prompt, or the last token that was chosen."""
        if n_chosen == 0:
            self._timeline.begin("decoder")
        n_prompt = self._n_prompt - (not self._params.no_timestamps)
        self._count(n_prompt if n_chosen == 0 else 1, n_prompt + n_chosen - 1 if n_chosen else 0)

    def _count(self, n_new: int, n_past: int) -> None:
        assert self._timeline.decoder_work is not None
        self._timeline.decoder_work.add(1, n_new, n_past)

    def _hypothesis(self, language: str | None) -> Hypothesis:
        text, n_tokens, context = b"", 0, self._context
        for segment in range(library.whisper_full_n_segments(context)):
            text += library.whisper_full_get_segment_text(context, segment)
            numbers = range(library.whisper_full_n_tokens(context, segment))
            n_tokens += sum(
                library.whisper_full_get_token_id(context, segment, number) < self._rules.end for number in numbers
            )
        processed_s = self._n_windows * FAMILY.window_s
        return Hypothesis(text.decode(errors="replace").strip(), n_tokens, self._n_windows, processed_s, language)


def _load(path: Path) -> Any:
    """Return whisper.cpp's context of a file.

    Raises:
        AsrmeterError: there is none; using it would end the process.
    """
    params = library.whisper_context_default_params()
    params.use_gpu = False
    said: list[str] = []
    library.whisper_log_set(lambda _level, text: said.append(text))
    context = library.whisper_init_from_file_with_params(str(path), params)
    library.whisper_log_set(None)
    # Nothing else tells.
    if ": failed" in "".join(said):
        raise AsrmeterError(f"whisper.cpp cannot load {path}: {' '.join(''.join(said[-2:]).split())}")
    return context


def _check(code: int) -> None:
    """Raise AsrmeterError if whisper.cpp says that it failed."""
    if code:
        raise AsrmeterError(f"whisper.cpp failed with the code {code}")
