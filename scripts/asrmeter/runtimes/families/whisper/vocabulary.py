"""What a Whisper is by its tokens: languages, tasks, timestamps. Standard library only.

The order of OpenAI's vocabularies, which the tokens of fine-tuned models follow: text, then `END`, `START`, languages,
tasks, `<|startoflm|>`, `<|startofprev|>`, `<|nospeech|>`, `<|notimestamps|>`, and 1501 timestamps, of which older files
name none. What was added later comes after them. The English-only vocabularies name languages too, and no such model
was trained with them: they differ from the others by one token of text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import printable

START, END = "<|startoftranscript|>", "<|endoftext|>"
TASKS = ("transcribe", "translate")
NO_TIMESTAMPS = "<|notimestamps|>"
_PREVIOUS = "<|startofprev|>"
# What OpenAI calls a language, and its code: ISO 639-1 has another for Javanese.
_CODES = {"jw": "jv"}
# The number of `START` in each of OpenAI's two vocabularies -> whether it has languages.
_MULTILINGUAL = {50_257: False, 50_258: True}
# From 0 to 30 s in steps of 20 ms.
_N_TIMESTAMPS = 1501
_TIMESTAMP = re.compile(r"<\|\d+\.\d\d\|>")
# Settings of generation by their form.
_NUMBERS = ("max_length", "max_initial_timestamp_index", "no_repeat_ngram_size")
_LISTS, _MAPPINGS = ("suppress_tokens", "begin_suppress_tokens"), ("lang_to_id", "task_to_id")
_MARK = re.compile(r"<\|.*\|>", re.DOTALL)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a Whisper that are not text of its first training.

    `numbers` are those of added tokens by their text, `words` the numbers of those that are text.
    """

    numbers: Mapping[str, int]
    words: frozenset[int] = frozenset()

    @classmethod
    def of(cls, added: Iterable[tuple[str, int, bool]]) -> "Vocabulary":
        """Return the vocabulary with added tokens: text, number, and whether it is special."""
        tokens = tuple(added)
        words = frozenset(number for text, number, special in tokens if not special and not _MARK.fullmatch(text))
        return cls({text: number for text, number, _ in tokens}, words)

    @classmethod
    def of_json(cls, tokenizer: bytes) -> "Vocabulary":
        """Return the vocabulary of a tokenizer.json."""
        added = json.loads(tokenizer)["added_tokens"]
        return cls.of((token["content"], token["id"], token.get("special", False)) for token in added)

    def number(self, token: str) -> int:
        """Return the number of a token.

        Raises:
            AsrmeterError: there is none.
        """
        if token not in self.numbers:
            raise AsrmeterError(
                f"tokenizer.json lacks {token}: it is not the tokenizer of a Whisper model; copy it from the model "
                "that was fine-tuned"
            )
        return self.numbers[token]

    def languages(self, n_tokens: int) -> dict[str, int]:
        """Return the numbers of the languages of a model that has `n_tokens`, by their tokens."""
        first, last = self.number(START) + 1, min(self.numbers.get("<|translate|>", 0), n_tokens)
        return {
            text: number for text, number in self.numbers.items() if first <= number < last and _MARK.fullmatch(text)
        }

    def tasks(self, n_tokens: int) -> dict[str, int]:
        """Return the numbers of the tasks of a model that has `n_tokens`, by their names."""
        found = {task: self.numbers.get(f"<|{task}|>") for task in TASKS}
        return {task: number for task, number in found.items() if number is not None and number < n_tokens}

    def is_multilingual(self, n_tokens: int, generation: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
        """Return whether a model is told a language and a task, by what its generation_config.json says, or its tokens.

        Raises:
            AsrmeterError: neither tells.
        """
        own = generation.get("is_multilingual")
        if own is not None:
            if not isinstance(own, bool):
                raise AsrmeterError(f"generation_config.json: is_multilingual is {own!r}, and must be true or false")
            return own
        languages, start = self.languages(n_tokens), self.number(START)
        if not languages or "transcribe" not in self.tasks(n_tokens):
            return False
        if start in _MULTILINGUAL:
            return _MULTILINGUAL[start]
        # Text was added or removed before it. What somebody decoded with shows it too.
        forced = generation.get("forced_decoder_ids") or config.get("forced_decoder_ids") or ()
        if generation.get("lang_to_id") or any(pair[1] in languages.values() for pair in forced):
            return True
        raise AsrmeterError(
            f"generation_config.json does not say is_multilingual, and the tokens do not tell ({START} is {start:,}, "
            f"neither {' nor '.join(f'{number:,}' for number in _MULTILINGUAL)}): add is_multilingual, true if the "
            "model is told a language, false if it was trained as an English-only one"
        )

    def has_timestamps(self, n_tokens: int) -> bool:
        """Return whether a model that has `n_tokens` can write timestamps."""
        first = self.number(NO_TIMESTAMPS) + 1
        last = first + _N_TIMESTAMPS - 1
        others = (text for text, number in self.numbers.items() if first <= number <= last)
        return last < n_tokens and all(map(_TIMESTAMP.fullmatch, others))

    def beyond(self, n_tokens: int) -> range:
        """Return the numbers after the last timestamp, or where there are none, after `NO_TIMESTAMPS`."""
        first = self.number(NO_TIMESTAMPS) + 1
        return range(first + _N_TIMESTAMPS if self.has_timestamps(n_tokens) else first, n_tokens)

    def generation(self, n_tokens: int, own: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of generation of a model that has `n_tokens`, as far as its tokens tell.

        `own` are those of its generation_config.json, `config` is its config.json.

        Raises:
            AsrmeterError: a token is missing, or it cannot be told whether the model has languages.
        """
        _check_forms(own)
        end, is_multilingual = self.number(END), self.is_multilingual(n_tokens, own, config)
        settings: dict[str, Any] = {
            **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end),
            "decoder_start_token_id": self.number(START),
            "no_timestamps_token_id": self.number(NO_TIMESTAMPS),
            "return_timestamps": False,
            "is_multilingual": is_multilingual,
        }
        if _PREVIOUS in self.numbers:
            settings["prev_sot_token_id"] = self.numbers[_PREVIOUS]
        if is_multilingual:
            languages = own.get("lang_to_id") or self.languages(n_tokens)
            tasks = own.get("task_to_id") or self.tasks(n_tokens)
            if not languages or "transcribe" not in tasks:
                raise AsrmeterError(
                    "tokenizer.json and generation_config.json have no language or no <|transcribe|>: the model cannot "
                    "be told to transcribe; if it is an English-only model, generation_config.json must say "
                    "is_multilingual false"
                )
            settings |= {"lang_to_id": languages, "task_to_id": tasks}
        return settings


def code_of(name: str) -> str:
    """Return the code (`common/languages`) of a language by OpenAI's name of it, which may be its token: `<|en|>`."""
    name = name.removeprefix("<|").removesuffix("|>")
    return _CODES.get(name, name)


def name_of(code: str) -> str:
    """Return OpenAI's name of a language by its code."""
    return next((name for name, own in _CODES.items() if own == code), code)


def _check_forms(generation: Mapping[str, Any]) -> None:
    """Raise AsrmeterError if a setting of generation_config.json has another form than transformers writes."""
    for key, value in generation.items():
        if key in _NUMBERS:
            fits = type(value) is int and value >= 0
        elif key in _LISTS:
            fits = isinstance(value, list | tuple) and all(type(each) is int for each in value)
        elif key in _MAPPINGS:
            fits = isinstance(value, dict) and all(type(each) is int for each in value.values())
        elif key == "repetition_penalty":
            fits = type(value) in (int, float) and value > 0
        else:
            continue
        if not fits:
            raise AsrmeterError(
                f"generation_config.json: {key} cannot be {printable(json.dumps(value), 50)}; copy the file from the "
                "model that was fine-tuned"
            )
