"""CTC for runtimes whose network is one graph: a batch in, scores out, and the greedy text of these. Without torch."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Setup, SpeechBatch, Timeline
from asrmeter.runtimes.families.ctc_spelling import read_spelling
from asrmeter.runtimes.families.shared.ctc_features import Batch, CtcFeatures
from asrmeter.runtimes.families.shared.scores import CheckedScores

# What goes into a graph and comes out of it; the mask only where the model gets one.
VALUES, MASK, SCORES = "values", "mask", "scores"
# The file beside a graph that says what has to be known of config.json, defaults included.
CONFIG = "ctc.json"


class GreedyCtc(CheckedScores):
    """An encoder with a CTC head. A subclass loads the network and runs it.

    The head is part of the graph, and of the stage `encoder`; the stage `decoder` is the choice of the best tokens.
    """

    def __init__(self, setup: Setup, config: Mapping[str, Any]) -> None:
        """Read what the model hears and spells; `config` is its config.json, defaults included."""
        self.features = CtcFeatures.of_folder(setup.folder)
        spelled = read_spelling(setup.folder)
        self._spelling = spelling(spelled, config["vocab_size"], config["pad_token_id"])
        self._config = config
        self._n_shortest = shortest_input(config)

    @abstractmethod
    def scores(self, batch: Batch) -> np.ndarray:
        """Run the network; return float32 scores (rows, frames, tokens)."""

    def decoding(self) -> dict[str, Any]:
        """See `Runtime`."""
        return {"ctc": "greedy"}

    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `Runtime`."""
        timeline.decoder_work = DecoderWork()  # nothing: there is no decoder
        timeline.begin("features")
        waveforms = lengthened(speech.waveforms, self._n_shortest)
        batch = self.features(waveforms)
        timeline.begin("encoder")
        scores = self.scores(batch)
        self.see(scores)
        timeline.begin("decoder")
        frames = scores.argmax(axis=-1).tolist()
        timeline.begin("text")
        lengths = [n_frames(self._config, len(waveform)) for waveform in waveforms]
        spoken = [collapse(row[:n], self._spelling) for row, n in zip(frames, lengths, strict=True)]
        processed_s = max(map(len, waveforms)) / SAMPLE_RATE_HZ
        return [hypothesis(letters, processed_s) for letters in spoken]


def spelling(spelled: Mapping[int, str], n_outputs: int, blank: int) -> list[str]:
    """Return what each output of the head spells: nothing for the blank, and for one that no file names."""
    return [spelled.get(token, "") if token != blank else "" for token in range(n_outputs)]


def lengthened(waveforms: Sequence[np.ndarray], n_shortest: int) -> list[np.ndarray]:
    """Return waveforms of which each has a frame, by silence if need be: a mask without a frame is an error."""
    return [np.pad(waveform, (0, max(n_shortest - len(waveform), 0))) for waveform in waveforms]


def shortest_input(config: Mapping[str, Any]) -> int:
    """Return the samples of the shortest input of which a model's convolutions, and its squeezing, make a frame."""
    n: int = config.get("squeeze_factor") or 1
    for kernel, stride in zip(reversed(config["conv_kernel"]), reversed(config["conv_stride"]), strict=True):
        n = (n - 1) * stride + kernel
    return n


def n_frames(config: Mapping[str, Any], n_samples: int) -> int:
    """Return how many frames a model makes of samples: `_get_feat_extract_output_lengths` of transformers."""
    n = n_samples
    for kernel, stride in zip(config["conv_kernel"], config["conv_stride"], strict=True):
        n = (n - kernel) // stride + 1
    for _ in range(config["num_adapter_layers"] if config.get("add_adapter") else 0):
        n = (n - 1) // config["adapter_stride"] + 1
    return n


def collapse(frames: Sequence[int], spelling: Sequence[str]) -> list[str]:
    """Return what the best tokens of the frames spell: repeats are merged, then tokens that spell nothing are dropped.

    A blank between two equal letters keeps them apart. The blank and special tokens spell nothing.
    """
    return [spelling[token] for token, _ in groupby(frames) if spelling[token]]


def hypothesis(letters: Sequence[str], processed_s: float) -> Hypothesis:
    """Return the hypothesis that letters make, of a batch in which the encoder worked through `processed_s`."""
    return Hypothesis(" ".join("".join(letters).split()), len(letters), n_windows=1, processed_s=processed_s)
