"""Whisper by CTranslate2 as anyone would write it, to check asrmeter against. Imports nothing of asrmeter."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

N_FFT, HOP, N_FRAMES = 400, 160, 3000
WINDOW_SAMPLES = HOP * N_FRAMES
LONGEST_TOKENS = 448


class Plain:
    """A model by CTranslate2, greedy, without timestamps."""

    def __init__(self, cell: dict[str, Any]) -> None:
        import ctranslate2
        import tokenizers

        if cell["family"] != "whisper" or cell["weights"] == "random":
            raise SystemExit("the plain script runs a Whisper with its own weights only")
        folder = Path(cell["model_folder"])
        self._view = ctranslate2.StorageView.from_array
        self._model = ctranslate2.models.Whisper(
            cell["converted_folder"],
            device=cell["device"],
            compute_type=cell["options"]["format"],
            intra_threads=cell["threads"],
            inter_threads=1,
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "generation_config.json").read_text())
        told = [f"<|{cell['language']}|>", "<|transcribe|>"] if config["is_multilingual"] else []
        words = ["<|startoftranscript|>", *told]
        self._prompt = [self._tokenizer.token_to_id(word) for word in [*words, "<|notimestamps|>"]]
        self._filters = filters(json.loads((folder / "preprocessor_config.json").read_text())["feature_size"])

    def transcribe(self, waveforms: list[np.ndarray], _references: list[str]) -> list[str]:
        """Return the texts of a batch."""
        if max(map(len, waveforms)) > WINDOW_SAMPLES:
            raise SystemExit("the plain script runs segments up to 30 s only")
        features = np.stack([log_mel(waveform, self._filters) for waveform in waveforms])
        encoded = self._model.encode(self._view(features))
        found = self._model.generate(
            encoded,
            [self._prompt] * len(waveforms),
            beam_size=1,
            max_length=2 * LONGEST_TOKENS,
            suppress_blank=True,
            suppress_tokens=[-1],
        )
        return [self._tokenizer.decode(result.sequences_ids[0]).strip() for result in found]


def log_mel(waveform: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the features of a window, float32 (mels, frames)."""
    padded = np.pad(np.pad(waveform, (0, WINDOW_SAMPLES - len(waveform))), N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:N_FRAMES]
    window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    # In parts that stay in the cache.
    spectra = [np.fft.rfft(part * window, axis=1) for part in np.array_split(frames, 6)]
    powers = weights @ np.concatenate([np.square(np.abs(part)) for part in spectra]).T
    logs = np.log10(np.maximum(powers, 1e-10))
    features: np.ndarray = (np.maximum(logs, logs.max() - 8) + 4) / 4
    return features


def filters(n_mels: int) -> np.ndarray:
    """Return the mel filters of Whisper (Slaney's), float32 (mels, frequencies), for one thread."""
    # Threads of numpy's own would wait spinning beside those of the engine.
    threadpoolctl.threadpool_limits(1, user_api="blas")
    mels = np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))[:, None]
    frequencies = np.linspace(0, 8000, N_FFT // 2 + 1)
    rising, falling = np.diff(edges, axis=0)[:-1], np.diff(edges, axis=0)[1:]
    triangles = np.minimum((frequencies - edges[:-2]) / rising, (edges[2:] - frequencies) / falling)
    return (np.maximum(0, triangles) * 2 / (edges[2:] - edges[:-2])).astype(np.float32)
