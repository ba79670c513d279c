"""A greedy loop of our own over anything that runs Whisper's encoder and a step of its decoder."""

from typing import Any, Protocol

import numpy as np

from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Timeline
from asrmeter.runtimes.families.shared.scores import CheckedScores
from asrmeter.runtimes.families.whisper.decoding import WindowRules
from asrmeter.runtimes.families.whisper.logit_rules import LogitRules
from asrmeter.runtimes.families.whisper.windowed import WindowedWhisper


class Backend(Protocol):
    """What runs the network. A state belongs to one batch of windows, and is dropped after it."""

    def encode(self, features: np.ndarray) -> Any:
        """Run the encoder over float32 features (rows, mels, frames); return the state before the first token."""

    def step(self, state: Any, tokens: np.ndarray, n_past: int) -> np.ndarray:
        """Run the decoder over int64 `tokens` (rows, new), after `n_past` others in each row.

        The caches in `state` grow. Return the float32 scores (rows, vocabulary) of the token that follows the last;
        they may be overwritten.
        """


class GreedyWhisper(CheckedScores, WindowedWhisper):
    """A Whisper that a backend runs. A subclass loads the model and sets `backend`.

    Attributes:
        backend: what runs the network.
    """

    backend: Backend

    def decode(self, features: np.ndarray, rules: WindowRules, timeline: Timeline) -> list[list[int]]:
        """See `WindowedWhisper`."""
        timeline.begin("encoder")
        state = self.backend.encode(features)
        timeline.begin("decoder")
        return self.write(state, len(features), rules, timeline.decoder_work)

    def write(self, state: Any, n_rows: int, rules: WindowRules, work: DecoderWork | None) -> list[list[int]]:
        """Choose the tokens of `n_rows` texts, one after another; return them without the prompt and the end.

        A text that is over waits for the others, as in transformers: its row is run on, and what comes is dropped.
        """
        logit_rules = LogitRules(rules)
        texts: list[list[int]] = [[] for _ in range(n_rows)]
        running = list(range(n_rows))
        tokens, n_past = np.tile(np.array(rules.prompt, np.int64), (n_rows, 1)), 0
        for _ in range(rules.max_new_tokens):
            if work is not None:
                work.add(n_rows, tokens.shape[1], n_past)
            scores = self.backend.step(state, tokens, n_past)
            self.see(scores)
            n_past += tokens.shape[1]
            chosen = logit_rules.choose(scores, texts)
            running = [row for row in running if chosen[row] != rules.end]
            if not running:
                break
            for row in running:
                texts[row].append(int(chosen[row]))
            tokens = chosen[:, None]
        return texts
