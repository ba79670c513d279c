"""What the tokens of a CTC model spell, by the files of its folder. Standard library only."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.languages import languages, script_of
from asrmeter.common.printable import printable
from asrmeter.common.vocabulary import PHONEMES

# The defaults of transformers' CTC tokenizer.
DEFAULT_SPECIAL_TOKENS = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
DEFAULT_WORD_DELIMITER = "|"
_TOKENIZER = "tokenizer.json"
# What stands for a space in SentencePiece's pieces of words, and how it names bytes.
_SPACE_OF_PIECES = "▁"
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_MARK = re.compile(r"<.+>|\[.+\]", re.DOTALL)

# Signs of the International Phonetic Alphabet that hardly any orthography has: length, stress and tie, and letters
# without those that African languages, Greek and Icelandic are written with. Lushootseed has two of them, espeak's
# English nine.
_PHONETIC = re.compile("[ːˈˌ\u0361\u035cɐɑɒɕɘɚɜɝɞɟɡɢɤɥɦɧɪɫɬɭɮɰɱɳɴɵɶɸɹɺɻɽɾʀʁʂʈʎʏʐʑʔʕʝʣʤʥʦʧʨ]")
_FEWEST_PHONETIC = 3
# The two-letter phonemes of ARPAbet that TIMIT and CMU's dictionary share; a vocabulary of letters has vowels alone.
_ARPABET = frozenset(
    {
        *("aa", "ae", "ah", "aw", "ay", "ch", "dh", "eh", "er", "ey", "hh"),
        *("ih", "iy", "jh", "ng", "ow", "oy", "sh", "th", "uh", "uw"),
    }
)
_VOWELS = frozenset("aeiou")


def read_spelling(folder: Path) -> dict[int, str]:
    """Return what each token of a CTC vocabulary adds to the text: special tokens nothing, the word delimiter a space.

    Raises:
        AsrmeterError: the folder has no vocabulary, or one for each of several languages, or numbers are missing.
    """
    settings = _read_json(folder / "tokenizer_config.json")
    special = set(_special_tokens(DEFAULT_SPECIAL_TOKENS | settings))
    special |= set(_special_tokens(_read_json(folder / "special_tokens_map.json")))
    if _has_pieces(folder):
        tokenizer = _read_json(folder / _TOKENIZER)
        special |= {token["content"] for token in tokenizer.get("added_tokens", []) if token.get("special")}
        delimiter = _SPACE_OF_PIECES
    else:
        delimiter = _text(settings.get("word_delimiter_token") or DEFAULT_WORD_DELIMITER)
    vocabulary = _vocabulary(folder)
    return {
        number: "" if token in special else _byte(token) or token.replace(delimiter, " ")
        for token, number in vocabulary.items()
    }


def check_blank(folder: Path) -> None:
    """Raise AsrmeterError unless config.json names the blank, and the tokenizer no other where that is a letter."""
    config, vocabulary = _read_json(folder / "config.json"), _vocabulary(folder)
    settings = DEFAULT_SPECIAL_TOKENS | _read_json(folder / "tokenizer_config.json")
    token = _text(settings["pad_token"] or "")
    number = vocabulary.get(token)
    hint = f"; {printable(token, 30)}, the tokenizer's pad_token, is {number}" if number is not None else ""
    blank = config.get("pad_token_id", 0)  # 0 is the default of the classes
    if type(blank) is not int or not 0 <= blank < config.get("vocab_size", blank + 1):
        raise AsrmeterError(
            f"config.json: pad_token_id is {printable(json.dumps(blank), 30)}; set it to the number of the blank{hint}"
        )
    spelled = read_spelling(folder).get(blank, "")
    if number not in (None, blank) and spelled.strip():
        raise AsrmeterError(
            f"config.json: pad_token_id is {blank}, and that token spells {printable(spelled, 30)}{hint}: which of "
            "them is the blank? Set pad_token_id to it"
        )


def outputs(folder: Path) -> str | None:
    """Return `phonemes` where tokens spell these: by the tokenizer's class, or by their signs. None for words."""
    settings = _read_json(folder / "tokenizer_config.json")
    if "Phoneme" in str(settings.get("tokenizer_class")) or settings.get("do_phonemize"):
        return PHONEMES
    # Pieces of words in many languages have all signs.
    return PHONEMES if not _has_pieces(folder) and _are_phonemes(_vocabulary(folder)) else None


def scripts(folder: Path) -> list[str] | None:
    """Return the scripts of the letters that tokens spell, sorted; None where they spell no words, or no letters."""
    if outputs(folder):
        return None
    of_languages = {script for language in languages().values() for script in language.scripts}
    # Letters of a token such as [UNK] are not the model's.
    letters = "".join(text for text in read_spelling(folder).values() if not _MARK.fullmatch(text.strip()))
    return sorted(of_languages & set(map(script_of, letters))) or None


def _are_phonemes(tokens: Iterable[str]) -> bool:
    phonetic = {sign for token in tokens for sign in _PHONETIC.findall(token)}
    plain = {token.lower().rstrip("012") for token in tokens}
    is_arpabet = plain >= _ARPABET and not plain & _VOWELS
    return len(phonetic) >= _FEWEST_PHONETIC or is_arpabet


def _has_pieces(folder: Path) -> bool:
    """Return whether the tokens are pieces of words, which tokenizer.json alone has."""
    return not (folder / "vocab.json").exists() and (folder / _TOKENIZER).exists()


def _pieces(folder: Path) -> dict[str, int]:
    """Return the numbers of SentencePiece's pieces, by a tokenizer.json.

    Raises:
        AsrmeterError: its tokens are something else.
    """
    tokenizer = _read_json(folder / _TOKENIZER)
    model = tokenizer["model"]
    listed = model["vocab"]
    # Of a unigram model, each with its score.
    pieces = listed if isinstance(listed, dict) else {piece: number for number, (piece, _) in enumerate(listed)}
    if "ByteLevel" in json.dumps(tokenizer.get("decoder")):
        raise AsrmeterError(
            f"{folder}: tokenizer.json spells with bytes; asrmeter runs CTC models that spell with pieces"
        )
    return pieces | {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}


def _byte(token: str) -> str | None:
    """Return what a token such as `<0x41>` spells, which stands for a byte; None for others.

    Beyond ASCII, a letter is several of them: what they spell together is not known here.
    """
    found = _BYTE.fullmatch(token)
    if found is None:
        return None
    byte = int(found[1], 16)
    return chr(byte) if byte < 128 else "\ufffd"


def _vocabulary(folder: Path) -> dict[str, int]:
    if _has_pieces(folder):
        return _pieces(folder)
    vocabulary = _read_json(folder / "vocab.json")
    if not vocabulary:
        raise AsrmeterError(
            f"{folder}: has no vocab.json, which says what a CTC model's tokens spell; copy it from the model that was "
            "fine-tuned"
        )
    if any(isinstance(number, dict) for number in vocabulary.values()):
        raise AsrmeterError(f"{folder}: vocab.json has a vocabulary for each language; asrmeter runs models with one")
    vocabulary |= _read_json(folder / "added_tokens.json")
    wrong = next((token for token, number in vocabulary.items() if type(number) is not int), None)
    if wrong is not None:
        raise AsrmeterError(
            f"{folder}: vocab.json gives the token {printable(wrong, 30)} no number but "
            f"{printable(json.dumps(vocabulary[wrong]), 30)}"
        )
    return vocabulary


def _special_tokens(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the special tokens that tokenizer_config.json or special_tokens_map.json names."""
    for key in DEFAULT_SPECIAL_TOKENS:
        if settings.get(key):
            yield _text(settings[key])
    for key in ("additional_special_tokens", "extra_special_tokens"):
        tokens = settings.get(key) or []
        yield from map(_text, tokens.values() if isinstance(tokens, dict) else tokens)
    for token in settings.get("added_tokens_decoder", {}).values():
        if token.get("special"):
            yield _text(token)


def _text(token: str | Mapping[str, Any]) -> str:
    """Return the text of a token, which tokenizer files give as a string or within a mapping."""
    return token if isinstance(token, str) else str(token["content"])


def _read_json(path: Path) -> dict[str, Any]:
    """Return the content of a file, an empty mapping if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
