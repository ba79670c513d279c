"""Whisper by whisper.cpp as anyone would write it, to check asrmeter against. Imports nothing of asrmeter."""

from pathlib import Path
from typing import Any

import numpy as np

WINDOW_SAMPLES = 30 * 16_000


class Plain:
    """A model by whisper.cpp, greedy, without timestamps, one segment after another."""

    def __init__(self, cell: dict[str, Any]) -> None:
        from pywhispercpp.model import Model

        if cell["weights"] == "random":
            raise SystemExit("the plain script runs a Whisper with its own weights only")
        (file,) = Path(cell["converted_folder"]).glob("*.bin")
        self._model = Model(
            str(file),
            n_threads=cell["threads"],
            redirect_whispercpp_logs_to=None,
            language=cell["language"],
            no_timestamps=True,
            single_segment=True,
            no_context=True,
            temperature=0.0,
            temperature_inc=0.0,
            greedy={"best_of": 1},
            suppress_nst=True,
            no_speech_thold=2.0,
            print_progress=False,
        )

    def transcribe(self, waveforms: list[np.ndarray], _references: list[str]) -> list[str]:
        """Return the texts of a batch."""
        if max(map(len, waveforms)) > WINDOW_SAMPLES:
            raise SystemExit("the plain script runs segments up to 30 s only")
        return ["".join(part.text for part in self._model.transcribe(waveform)).strip() for waveform in waveforms]
