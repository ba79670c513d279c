"""Whisper by faster-whisper with its defaults, to check asrmeter against. Imports nothing of asrmeter."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np


class Plain:
    """A model by faster-whisper, which is told the language and nothing else, one segment after another."""

    def __init__(self, cell: dict[str, Any]) -> None:
        from faster_whisper import WhisperModel

        if cell["weights"] == "random":
            raise SystemExit("the plain script runs a Whisper with its own weights only")
        self._language = cell["language"]
        with tempfile.TemporaryDirectory() as whole:  # the library wants all in one folder
            described = [Path(cell["model_folder"]) / name for name in ("tokenizer.json", "preprocessor_config.json")]
            for path in (*Path(cell["converted_folder"]).iterdir(), *described):
                (Path(whole) / path.name).symlink_to(path.absolute())
            self._model = WhisperModel(
                whole,
                device=cell["device"],
                compute_type=cell["options"]["format"],
                cpu_threads=cell["threads"],
                local_files_only=True,
            )

    def transcribe(self, waveforms: list[np.ndarray], _references: list[str]) -> list[str]:
        """Return the texts of a batch."""
        heard = (self._model.transcribe(waveform, language=self._language)[0] for waveform in waveforms)
        return ["".join(part.text for part in parts).strip() for parts in heard]
