"""Word error rate: corpus-level, over two named normalisers, by jiwer."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import jiwer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from asrmeter.packages import Archives

_SPELLING = {"package": "openai-whisper", "member": "whisper/normalizers/english.json"}

Normaliser = Callable[[str], str]


@dataclass(frozen=True)
class Errors:
    """Word errors of one segment against its reference."""

    n_words: int
    n_substitutions: int
    n_deletions: int
    n_insertions: int

    @property
    def total(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.n_substitutions + self.n_deletions + self.n_insertions


def whisper_english(archives: Archives) -> Normaliser:
    """Return Whisper's English normaliser with its table of British spellings (Radford et al., 2022, appendix C)."""
    return EnglishTextNormalizer(json.loads(archives.read(**_SPELLING)))


def plain(text: str) -> str:
    """Lower case, letters, digits and apostrophes only: what is left to differ are words and their spelling."""
    kept = (letter if letter.isalnum() or letter == "'" else " " for letter in text.lower().replace("’", "'"))
    return " ".join("".join(kept).split())


def compare(reference: str, hypothesis: str) -> Errors:
    """Count word errors of two normalised texts."""
    if not reference:
        return Errors(0, 0, 0, len(hypothesis.split()))
    done = jiwer.process_words(reference, hypothesis)
    return Errors(done.hits + done.substitutions + done.deletions, done.substitutions, done.deletions, done.insertions)
