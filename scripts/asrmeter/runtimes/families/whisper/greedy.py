"""A greedy loop of our own over anything that runs Whisper's encoder and a step of its decoder."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from asrmeter.common.vocabulary import DecoderWork
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


@dataclass
class Heard:
    """A backend's state of windows, and how many tokens the decoder has read in each."""

    state: Any
    n_past: int = 0


class GreedyWhisper(CheckedScores, WindowedWhisper):
    """A Whisper that a backend runs. A subclass loads the model and sets `backend`.

    Attributes:
        backend: what runs the network.
    """

    backend: Backend

    def encode(self, features: np.ndarray) -> Heard:
        """See `WindowedWhisper`."""
        return Heard(self.backend.encode(features))

    def detect(self, state: Heard, n_rows: int, work: DecoderWork | None) -> list[int]:
        """See `WindowedWhisper`. The token that was read is not read again."""
        scores = self._step(state, np.full((n_rows, 1), self.rules.start, np.int64), work)
        languages = np.sort([*self.rules.languages.values()])
        found: list[int] = languages[scores[:, languages].argmax(axis=1)].tolist()
        return found

    def write(self, state: Heard, rules: WindowRules, work: DecoderWork | None) -> list[list[int]]:
        """Choose the tokens of texts, one after another; see `WindowedWhisper`.

        A text that is over waits for the others, as in transformers: its row is run on, and what comes is dropped.
        """
        logit_rules = LogitRules(rules)
        texts: list[list[int]] = [[] for _ in rules.prompts]
        running = list(range(len(texts)))
        tokens = np.array(rules.prompts, np.int64)[:, state.n_past :]
        for _ in range(rules.max_new_tokens):
            scores = self._step(state, tokens, work)
            chosen = logit_rules.choose(scores, texts)
            running = [row for row in running if chosen[row] != rules.end]
            if not running:
                break
            for row in running:
                texts[row].append(int(chosen[row]))
            tokens = chosen[:, None]
        return texts

    def _step(self, state: Heard, tokens: np.ndarray, work: DecoderWork | None) -> np.ndarray:
        n_rows, n_new = tokens.shape
        if work is not None:
            work.add(n_rows, n_new, state.n_past)
        scores = self.backend.step(state.state, tokens, state.n_past)
        self.see(scores)
        state.n_past += n_new
        return scores
