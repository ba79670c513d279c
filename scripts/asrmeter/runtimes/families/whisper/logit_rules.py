"""Which token comes next: transformers' logits processors for Whisper, in numpy, in the order that it applies them."""

import math
from collections.abc import Sequence

import numpy as np

from asrmeter.runtimes.families.whisper.decoding import TimestampRules, WindowRules


class LogitRules:
    """Chooses tokens by the rules of a window."""

    def __init__(self, rules: WindowRules) -> None:
        self._rules = rules
        self._never = np.array(rules.suppressed, np.int64)
        self._never_first = np.array(rules.suppressed_at_begin, np.int64)

    def choose(self, scores: np.ndarray, texts: Sequence[list[int]]) -> np.ndarray:
        """Return the next token of each row, int64; `texts` are the tokens before, without the prompt.

        `scores` (rows, vocabulary) are overwritten. Of equal ones the first is chosen.
        """
        rules = self._rules
        if rules.depend_on_text:
            for row, prompt, text in zip(scores, rules.prompts, texts, strict=True):
                self._penalise(row, [*prompt, *text])
        if not any(texts) and len(self._never_first):
            scores[:, self._never_first] = -np.inf
        scores[:, self._never] = -np.inf
        if rules.timestamps:
            for row, text in zip(scores, texts, strict=True):
                leave_timestamps(row, text, rules.timestamps, rules.end)
        return scores.argmax(axis=1)

    def _penalise(self, scores: np.ndarray, tokens: list[int]) -> None:
        """Lower the scores of tokens that are there; rule out those that would repeat an n-gram."""
        penalty, n = self._rules.repetition_penalty, self._rules.no_repeat_ngram_size
        if penalty != 1:
            there = np.unique(tokens)
            scores[there] = np.where(scores[there] < 0, scores[there] * penalty, scores[there] / penalty)
        if 0 < n <= len(tokens):
            last = tokens[len(tokens) - n + 1 :]
            repeated = [tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == last]
            scores[repeated] = -np.inf


def leave_timestamps(scores: np.ndarray, text: Sequence[int], rules: TimestampRules, end: int) -> None:
    """Rule out the tokens that timestamps forbid after `text`: `WhisperTimeStampLogitsProcessor` of transformers.

    A text begins with a timestamp. Timestamps stand in pairs, but before the end, and never decrease. Where they are
    together likelier than any other token, one is chosen.
    """
    first = rules.first
    scores[rules.no_timestamps] = -np.inf
    was_stamp = len(text) >= 1 and text[-1] >= first
    before_was_stamp = len(text) < 2 or text[-2] >= first
    if was_stamp:
        if before_was_stamp:
            scores[first:] = -np.inf
        else:
            scores[:end] = -np.inf
    last = next((token for token in reversed(text) if token >= first), None)
    if last is not None:
        # The begin of a sentence may be the end of the one before.
        scores[first : last + (0 if was_stamp and not before_was_stamp else 1)] = -np.inf
    if not text:
        scores[:first] = -np.inf
        if rules.last_initial is not None:
            scores[rules.last_initial + 1 :] = -np.inf
    if _log_sum_exp(scores[first:]) > scores[:first].max():
        scores[:first] = -np.inf


def _log_sum_exp(scores: np.ndarray) -> float:
    """Return the logarithm of the sum of exponentials; the constant of a softmax is the same on both sides."""
    highest = float(scores.max())
    return highest if math.isinf(highest) else highest + math.log(float(np.exp(scores - highest).sum()))
