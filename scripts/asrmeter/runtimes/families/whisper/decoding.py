"""How a Whisper decodes: greedily, by the settings of its folder, with the same rules in every runtime.

Imports no library that computes.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.base import Hypothesis, UnsupportedError
from asrmeter.runtimes.families.whisper import FAMILY, saved_generation
from asrmeter.runtimes.families.whisper.vocabulary import Vocabulary, code_of

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

WINDOW_SAMPLES = FAMILY.window_s * SAMPLE_RATE_HZ
# The generation settings of a folder that are part of the model. All others (sampling, beams, thresholds, tokens forced
# by older versions, what is returned) only record how somebody decoded with it, and are ignored.
PENALTIES = ("repetition_penalty", "no_repeat_ngram_size")
_LANGUAGES = ("lang_to_id", "task_to_id")
OWN_SETTINGS = (
    "max_length",
    "is_multilingual",
    *_LANGUAGES,
    "no_timestamps_token_id",
    "prev_sot_token_id",
    "max_initial_timestamp_index",
    "suppress_tokens",
    "begin_suppress_tokens",
    *PENALTIES,
)


@dataclass(frozen=True)
class TimestampRules:
    """Rules of a window that is written with timestamps.

    Attributes:
        no_timestamps: the token that says that there are none; never chosen.
        first: the token of 0 s; all tokens from it on are timestamps.
        last_initial: the last token that the text may begin with, None if it may begin with any timestamp.
    """

    no_timestamps: int
    first: int
    last_initial: int | None


@dataclass(frozen=True)
class WindowRules:
    """How the tokens of a window are chosen: greedily, among those that the rules leave.

    Attributes:
        prompts: the tokens that the decoder reads first in each row, in every row as many.
        end: the token after which a text is over.
        suppressed: tokens that are never chosen; `end` is one of them where the work is fixed.
        suppressed_at_begin: tokens that are not chosen as the first.
        max_new_tokens: tokens after which a text is over; where the work is fixed, it has exactly so many.
        timestamps: None without timestamps.
        repetition_penalty: what the score of a token that was there before, in the prompt or the text, is divided by if
            positive, and multiplied by if negative (Keskar et al., 2019).
        no_repeat_ngram_size: so many tokens in a row never come twice, prompt included; 0: no such rule.
    """

    prompts: tuple[tuple[int, ...], ...]
    end: int
    suppressed: tuple[int, ...]
    suppressed_at_begin: tuple[int, ...]
    max_new_tokens: int
    timestamps: TimestampRules | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0

    @property
    def n_prompt(self) -> int:
        """How many tokens the decoder reads first in each row."""
        return len(self.prompts[0])

    @property
    def depend_on_text(self) -> bool:
        """Whether which tokens can be chosen depends on those before, so that each text has to be looked at."""
        return self.timestamps is not None or self.repetition_penalty != 1 or self.no_repeat_ngram_size > 0


class Decoding:
    """How a model decodes, and what its tokens spell.

    Attributes:
        settings: its settings of generation; see `own_generation`.
        tokenizer: its tokenizer.
        languages: the tokens of the languages that it can be told, by their codes; none of an English-only model.
        start: the token that a prompt begins with.
        end: the token after which a text is over.
        first_timestamp: the token of 0 s.
        max_tokens: the most tokens that fit into a window after the prompt.
        has_timestamps: whether the model can write timestamps.
    """

    def __init__(
        self, settings: Mapping[str, Any], config: Mapping[str, Any], tokenizer: "Tokenizer", name: str = "the model"
    ) -> None:
        self.settings, self.tokenizer, self._name = settings, tokenizer, name
        self.languages = (
            {code_of(text): number for text, number in settings["lang_to_id"].items()}
            if settings["is_multilingual"]
            else {}
        )
        self.start: int = settings["decoder_start_token_id"]
        self.end: int = settings["eos_token_id"]
        self.first_timestamp: int = settings["no_timestamps_token_id"] + 1
        self._n_positions: int = config["max_target_positions"]
        self.max_tokens = self._n_positions - FAMILY.prompt_length(settings)
        vocabulary, n_tokens = vocabulary_of(tokenizer), config["vocab_size"]
        self._words, self.has_timestamps = vocabulary.words, vocabulary.has_timestamps(n_tokens)
        self._beyond = tuple(vocabulary.beyond(n_tokens))

    @classmethod
    def of_folder(cls, folder: Path, tokenizer: "Tokenizer | None" = None) -> "Decoding":
        """Return how the model of a folder decodes; a tokenizer of it that is there already is not read again.

        Raises:
            AsrmeterError: its tokenizer or its settings do not tell.
        """
        config, tokenizer = config_of(folder), tokenizer or FAMILY.tokenizer(folder)
        try:
            settings = own_generation(saved_generation(folder, config), config, tokenizer)
            return cls(settings, config, tokenizer, folder.name)
        except AsrmeterError as error:
            raise AsrmeterError(f"{folder}: {error}") from error

    def for_record(self) -> dict[str, Any]:
        """Return the settings of decoding, in the words of transformers."""
        said: dict[str, Any] = {"do_sample": False, "num_beams": 1}
        if self.settings["is_multilingual"]:
            said["task"] = "transcribe"
        return said | {key: self.settings[key] for key in PENALTIES if key in self.settings}

    def told(self, codes: Sequence[str | None]) -> list[int | None]:
        """Return the token of each language that the model is told; None where it is to find out, or has no languages.

        Raises:
            UnsupportedError: it has no token for a language.
        """
        if not self.languages:
            return [None] * len(codes)
        if unknown := next((code for code in codes if code is not None and code not in self.languages), None):
            raise UnsupportedError(f"{self._name} knows no {_named(unknown)}")
        return [None if code is None else self.languages[code] for code in codes]

    def code_of(self, token: int) -> str:
        """Return the code of a language by its token."""
        return next(code for code, number in self.languages.items() if number == token)

    def window(
        self,
        languages: Sequence[int | None],
        timestamps: bool = False,
        n_forced: int | None = None,
        number: int = 1,
    ) -> WindowRules:
        """Return the rules of a window.

        Args:
            languages: the token of each row's language, None for a model that has none.
            timestamps: whether timestamps are written, by which the long form goes on.
            n_forced: exactly so many tokens come, whatever the model says; None: until it ends.
            number: the window of a long form, from 1. transformers adds the length of the prompt to `max_length` for
                each window anew (`_set_max_new_tokens_and_length`), as far as there are positions.

        Raises:
            UnsupportedError: the model has no timestamps.
        """
        settings = self.settings
        prompts = tuple(self._prompt(language, timestamps) for language in languages)
        n_prompt = len(prompts[0])
        added = number * min(self._n_positions // 2 - 1, n_prompt)
        n_most = min(settings["max_length"] + added, self._n_positions) - n_prompt
        suppressed = {*(settings.get("suppress_tokens") or ())}
        if timestamps:
            suppressed.update(self.suppressed_with_timestamps())
        if n_forced is not None:
            suppressed.add(self.end)
        return WindowRules(
            prompts=prompts,
            end=self.end,
            suppressed=tuple(sorted(suppressed)),
            suppressed_at_begin=tuple(settings.get("begin_suppress_tokens") or ()),
            max_new_tokens=n_most if n_forced is None else n_forced,
            timestamps=self._timestamp_rules() if timestamps else None,
            **{key: settings[key] for key in PENALTIES if key in settings},
        )

    def suppressed_with_timestamps(self) -> Sequence[int]:
        """Return the tokens after the last timestamp, if any is a word: it would be read as a timestamp."""
        return self._beyond if self._words.intersection(self._beyond) else ()

    def check_timestamps(self) -> None:
        """Raise UnsupportedError if the model has no timestamps, and thus no long form."""
        if not self.has_timestamps:
            raise UnsupportedError(
                f"the model lacks tokens for timestamps, which Whisper needs to continue after {FAMILY.window_s} s; it "
                "transcribes segments up to that"
            )

    def n_tokens(self, text: str) -> int:
        """Return how many tokens a text is."""
        return len(self.tokenizer.encode(text).ids)

    def hypothesis(self, tokens: Iterable[int], n_windows: int, language: str | None = None) -> Hypothesis:
        """Return what tokens spell: those below the end-of-text token are text, and words that were added later.

        `n_windows` are runs of the encoder, and `language` is the code of the one that the model found.
        """
        text = [token for token in tokens if token < self.end or token in self._words]
        spelt, processed_s = self.tokenizer.decode(text).strip(), n_windows * FAMILY.window_s
        return Hypothesis(spelt, len(text), n_windows, processed_s, language)

    def _prompt(self, language: int | None, timestamps: bool) -> tuple[int, ...]:
        settings, prompt = self.settings, [self.start]
        if language is not None:
            prompt += [language, settings["task_to_id"]["transcribe"]]
        return (*prompt, *(() if timestamps else (settings["no_timestamps_token_id"],)))

    def _timestamp_rules(self) -> TimestampRules:
        self.check_timestamps()
        first, last = self.first_timestamp, self.settings.get("max_initial_timestamp_index")
        return TimestampRules(first - 1, first, None if last is None else first + last)


def config_of(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's config.json."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def joined(parts: Sequence[Hypothesis]) -> Hypothesis:
    """Return the hypothesis of a segment from those of its windows; its language was found in the first."""
    n_tokens, n_windows = (sum(getattr(part, name) or 0 for part in parts) for name in ("n_tokens", "n_windows"))
    text = " ".join(part.text for part in parts if part.text)
    return Hypothesis(text, n_tokens, n_windows, n_windows * FAMILY.window_s, parts[0].language)


def heard_in_windows(
    hear: Callable[[list["np.ndarray"], Sequence[str | None]], list[Hypothesis]],
    waveforms: Sequence["np.ndarray"],
    codes: Sequence[str | None],
    windows: Iterable[slice],
) -> list[Hypothesis]:
    """Return what a model hears in fixed windows of a batch, one after another.

    `hear` hears a window of each segment, given the codes of their languages. One that it finds in the first window, it
    is told of the others.
    """
    heard: list[list[Hypothesis]] = []
    for window in windows:
        heard.append(hear([waveform[window] for waveform in waveforms], codes))
        codes = [code if one.language is None else one.language for code, one in zip(codes, heard[-1], strict=True)]
    return [joined(parts) for parts in zip(*heard, strict=True)]


def own_generation(found: Mapping[str, Any], config: Mapping[str, Any], tokenizer: "Tokenizer") -> dict[str, Any]:
    """Return the generation settings that are part of a model, with defaults for those that its folder lacks.

    `found` are the folder's, of any kind; `config` is its config.json. Special tokens are taken from the tokenizer: the
    settings may name several or wrong ones. Numbers of which no token is known, as where an embedding is padded, are
    never chosen.

    Raises:
        AsrmeterError: a token is missing, or nothing tells whether the model has languages.
    """
    vocabulary = vocabulary_of(tokenizer)
    own = {key: value for key in OWN_SETTINGS if (value := found.get(key)) is not None}
    told = vocabulary.generation(config["vocab_size"], own, config)
    settings = {"max_length": config["max_target_positions"]} | own | told
    unknown = {*vocabulary.beyond(config["vocab_size"])} - vocabulary.words
    if unknown:
        settings["suppress_tokens"] = sorted({*(own.get("suppress_tokens") or ()), *unknown})
    return settings


def vocabulary_of(tokenizer: "Tokenizer") -> Vocabulary:
    """Return the tokens that were added to a tokenizer."""
    added = tokenizer.get_added_tokens_decoder().items()
    return Vocabulary.of((token.content, number, token.special) for number, token in added)


def _named(code: str) -> str:
    """Return a language as a person reads it."""
    from asrmeter.common.languages import languages

    known = languages().get(code)
    return f"{known.name} ({code})" if known else f"language {code}"
