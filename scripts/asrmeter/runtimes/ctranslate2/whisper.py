"""Whisper by CTranslate2: its encoder and its greedy decoder are one call each."""

from typing import Any

import ctranslate2
import numpy as np

from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Setup, UnsupportedError
from asrmeter.runtimes.ctranslate2.engine import CTranslate2Runtime
from asrmeter.runtimes.families.whisper.decoding import WindowRules
from asrmeter.runtimes.families.whisper.windowed import WindowedWhisper


class CTranslate2Whisper(CTranslate2Runtime, WindowedWhisper):
    """A Whisper model; see `Runtime`.

    CTranslate2 does not tell what its decoder ran on: rows that are over leave the batch, at a time that nobody sees.
    """

    def __init__(self, setup: Setup) -> None:
        CTranslate2Runtime.__init__(self, ctranslate2.models.Whisper, setup)
        WindowedWhisper.__init__(self, setup)

    def decoder_work(self) -> None:
        """See `WindowedWhisper`: not known."""

    def encode(self, features: np.ndarray) -> Any:
        """See `WindowedWhisper`."""
        return self.engine.encode(ctranslate2.StorageView.from_array(features))

    def detect(self, state: Any, n_rows: int, work: DecoderWork | None) -> list[int]:
        """See `WindowedWhisper`.

        Raises:
            UnsupportedError: CTranslate2 takes the model for an English-only one.
        """
        if not self.engine.is_multilingual:
            raise UnsupportedError(
                "CTranslate2 takes the model for an English-only one by its vocabulary, and finds no languages: tell "
                "it which ones are spoken"
            )
        tokens: dict[str, int] = self.rules.settings["lang_to_id"]
        return [tokens[likeliest[0][0]] for likeliest in self.engine.detect_language(state)]

    def write(self, state: Any, rules: WindowRules, work: DecoderWork | None) -> list[list[int]]:
        """See `WindowedWhisper`."""
        stamps, n_most = rules.timestamps, rules.max_new_tokens
        # Timestamps have rules of their own, in CTranslate2 too, where the prompt does not forbid them. Those of the
        # beginning are a number of timestamps, by default all.
        last_initial = stamps.last_initial if stamps else None
        found = self.engine.generate(
            state,
            [list(prompt) for prompt in rules.prompts],
            beam_size=1,
            max_length=max_length(n_most, rules.n_prompt),
            # Those of the model's own config.json, which the converter took from generation_config.json.
            suppress_blank=True,
            suppress_tokens=list(rules.suppressed),
            max_initial_timestamp_index=1500 if stamps is None or last_initial is None else last_initial - stamps.first,
            repetition_penalty=rules.repetition_penalty,
            no_repeat_ngram_size=rules.no_repeat_ngram_size,
            return_scores=self._checks_scores,
        )
        self.see(np.array([each.scores for each in found]))
        return [each.sequences_ids[0] for each in found]


def max_length(n_most: int, n_prompt: int) -> int:
    """Return the `max_length` with which CTranslate2 writes `n_most` tokens at most after a prompt.

    It writes half of `max_length`, or what is left of it after the prompt without its last token, whichever is less
    (`WhisperReplica::generate`); OpenAI's 224 tokens are half of 448.
    """
    return max(2 * n_most, n_most + n_prompt - 1)
