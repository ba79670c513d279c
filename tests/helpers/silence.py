"""Clips without speech, as models of examples heard them."""

from collections.abc import Mapping, Sequence
from typing import Any

from asrmeter.analysis.silence import SILENCE, n_words
from asrmeter.corpora.silence import MADE
from helpers.tables import Cell


def clips_of(model: str, texts: Mapping[str, str], variant: str = "fp32", **changes: Any) -> list[Cell]:
    """Return the rows of a model and variant: of each kind of clip it wrote a text, or nothing."""
    return [
        dict.fromkeys(SILENCE.names)
        | {"model": model, "variant": variant, "device": "cpu", "status": "ok"}
        | {"kind": clip.kind, "clip": clip.name, "audio_s": clip.audio_s}
        | {"text": (text := texts.get(clip.kind, "")), "n_words": n_words(text, "en")}
        | changes
        for clip in MADE
    ]


def example_silence(models: Sequence[str] = ("whisper-tiny.en", "whisper-base")) -> list[Cell]:
    """Return the rows of two models, of which the first invents more."""
    first, second = models
    invented = {"digital_silence": "you", "white_noise": "Thank you.", "hum": "Thank you for watching!"}
    return [*clips_of(first, invented), *clips_of(second, {"hum": "Hm."})]
