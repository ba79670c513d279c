"""The language of each utterance: the given one, checked against the texts, or else the language of the texts.

Letters are looked at while the run is planned, words in the job that makes the corpus.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from asrmeter.common.errors import AsrmeterError, few, line
from asrmeter.corpora import text_language
from asrmeter.corpora.kinds.base import AUTO, CorpusKind, Speech
from asrmeter.corpora.text_language import by_letters, by_words, main_script, name_of

if TYPE_CHECKING:
    from asrmeter.corpora.segments import Utterance

# More texts than this part that are unlike the others are no slips: the corpus holds several languages.
_SIZEABLE = 0.1
# Texts whose words are looked at one by one, evenly over all.
_MOST_ALONE = 2000
# A word of two letters may be an abbreviation in the letters of another language.
_LEAST_LETTERS = 3
_MOST_WARNINGS = 100
_OR_AUTO = "(or auto, to let models detect it)"


class Text(NamedTuple):
    """The text of a recording: its name, what is said, and the language that was told of it alone, None: none was."""

    name: str
    text: str
    language: str | None = None


def check_letters(corpus: CorpusKind, texts: Sequence[Text], told_by: str = "") -> dict[str, str]:
    """Return the names of texts that are mostly not in letters of their language, each with the reason.

    `told_by` says what told the languages that the study did not.

    Raises:
        AsrmeterError: most are not; or no language was told, and there are no letters, or some of other scripts than
            Latin.
    """
    told = corpus.told_language
    odd: dict[str, str] = {}
    for code in dict.fromkeys(one.language or told for one in texts):
        if code:
            of_code = [one for one in texts if (one.language or told) == code]
            odd |= _not_in_letters(corpus, of_code, code, told_by)
    if corpus.language is None and (unsaid := [one for one in texts if not one.language]):
        _check_unsaid(corpus, unsaid)
    return odd


def settle(corpus: CorpusKind, speech: Speech, usable: "Sequence[Utterance]") -> Speech:
    """Return the speech with the language of each utterance, None where `auto` leaves it open, and what is odd.

    Only the `usable` utterances are looked at.

    Raises:
        AsrmeterError: no language was told and the texts are not certainly English, or they are in another one than was
            told.
    """
    if corpus.natural_language():
        return speech
    texts = [Text(one.id, one.text, one.language) for one in usable]
    found: dict[str, str | None] = {}
    unsaid = [one for one in texts if not one.language]
    odd = check_letters(corpus, texts, speech.language_told_by)
    if unsaid and corpus.language == AUTO:
        found = _looks(unsaid)
    elif unsaid:
        _check_english(corpus, unsaid)
        found = dict.fromkeys((one.name for one in unsaid), "en")
        logging.info("corpus.language is not given; the texts of %s are English (en)", line(corpus.place))
    for code in dict.fromkeys(one.language for one in texts if one.language):
        of_code = [one for one in texts if one.language == code]
        if look := text_language.contradicted([one.text for one in of_code], code):
            raise AsrmeterError(
                f"{_said(corpus, code, speech.language_told_by)}, but the texts of {corpus.place} look "
                f"{name_of(look.code)} ({of_code[0].name}): {_correct(corpus, code, look.code)}"
            )
    warnings = speech.warnings | dict(list(odd.items())[:_MOST_WARNINGS])
    for name, why in warnings.items():
        logging.warning("%s: %s", line(name), line(why))
    if len(odd) > _MOST_WARNINGS:
        logging.warning("and %d more like these", len(odd) - _MOST_WARNINGS)
    utterances = [replace(one, language=one.language or found.get(one.id)) for one in speech.utterances]
    return replace(speech, utterances=utterances, warnings=warnings)


def _not_in_letters(corpus: CorpusKind, texts: Sequence[Text], code: str, told_by: str) -> dict[str, str]:
    """Return the texts of one language that are not in its letters, with the reason.

    Raises:
        AsrmeterError: most are not.
    """
    lettered = [one for one in texts if sum(map(str.isalpha, one.text)) >= _LEAST_LETTERS]
    odd = [one for one in lettered if not text_language.is_written_in(one.text, code)]
    if 2 * len(odd) > len(lettered):
        likely = by_letters(" ".join(one.text for one in odd))
        raise AsrmeterError(
            f"{_said(corpus, code, told_by)}, but {len(odd)} of {len(lettered)} texts of {corpus.place} are not in "
            f"letters of {name_of(code)} ({few([one.name for one in odd], 2)})"
            f"{f' and look {name_of(likely)}' if likely else ''}: {_correct(corpus, code, likely)}"
        )
    return {one.name: f"its text is mostly not in letters of {name_of(code)} ({code})" for one in odd}


def _check_unsaid(corpus: CorpusKind, texts: Sequence[Text]) -> None:
    """Raise AsrmeterError if the letters of texts of which no language was told show that they are not English."""
    scripts = {one: script for one in texts if (script := main_script(one.text))}
    if not scripts:
        raise AsrmeterError(
            f"corpus.language: {corpus.place} has no texts that tell what is spoken: write language: en if it is "
            f"English, else the code of its language {_OR_AUTO}"
        )
    others = [one for one, script in scripts.items() if script != "LATIN"]
    if 2 * len(others) > len(scripts):
        raise _unsaid(corpus, by_letters(" ".join(one.text for one in others)))
    if len(others) > _SIZEABLE * len(scripts):
        raise _mixed(corpus, "in Latin letters", others, len(scripts), by_letters(others[0].text))


def _check_english(corpus: CorpusKind, texts: Sequence[Text]) -> None:
    """Raise AsrmeterError if texts are not certainly English, or a sizeable part of them is not."""
    look = by_words(one.text for one in texts)
    if look is None or not look.is_certain:
        raise _unsaid(corpus, look and look.code, "may be" if look and look.probability > 0.5 else "")
    unlike, n = _unlike(texts, look.code)
    if len(unlike) > _SIZEABLE * n:
        raise _mixed(corpus, name_of(look.code), [*unlike], n, next(iter(unlike.values())))
    if look.code != "en":
        raise _unsaid(corpus, look.code)


def _looks(texts: Sequence[Text]) -> dict[str, str | None]:
    """Return the language of each text by its name, None where it is not certain."""
    by_script: dict[str | None, list[Text]] = {}
    for one in texts:
        by_script.setdefault(main_script(one.text), []).append(one)
    return {name: code for alike in by_script.values() for name, code in _looks_of_one_script(alike).items()}


def _looks_of_one_script(texts: Sequence[Text]) -> dict[str, str | None]:
    """Return the language of each text by its name: that of all where they are alike, else its own if it is certain."""
    look = by_words(one.text for one in texts)
    code = look.code if look and look.is_certain else None
    if code:
        unlike, n = _unlike(texts, code)
        if len(unlike) <= _SIZEABLE * n:
            logging.info("the texts look %s (%s)", name_of(code), code)
            return {one.name: code for one in texts}
    alone = {one.name: by_words([one.text]) for one in texts}
    return {name: look.code if look and look.is_certain else None for name, look in alone.items()}


def _unlike(texts: Sequence[Text], code: str) -> tuple[dict[Text, str], int]:
    """Return the texts that are certainly in another language, with that, and how many are certainly in any."""
    step = -(-len(texts) // _MOST_ALONE) or 1
    looks = {one: look for one in texts[::step] if (look := by_words([one.text])) and look.is_certain}
    return {one: look.code for one, look in looks.items() if not text_language.are_near(look.code, code)}, len(looks)


def _unsaid(corpus: CorpusKind, code: str | None, verb: str = "look") -> AsrmeterError:
    unsaid = f"corpus.language: the texts of {corpus.place} are not said to be in any language, and"
    if not code or not verb:
        return AsrmeterError(
            f"{unsaid} do not tell which: write language: en if they are English, else the code of their language "
            f"{_OR_AUTO}"
        )
    return AsrmeterError(f"{unsaid} {verb} {name_of(code)}: write language: {code} {_OR_AUTO}")


def _mixed(corpus: CorpusKind, most: str, others: Sequence[Text], n: int, code: str | None) -> AsrmeterError:
    looks = f" looks {name_of(code)}" if code else ""
    return AsrmeterError(
        f"corpus.language: most texts of {corpus.place} are {most}, and {len(others)} of the {n} that can be told are "
        f"not ({others[0].name}{looks}): tell the language of each recording in a column language of the "
        f"metadata, or write language: with the code of the one that they are all in {_OR_AUTO}"
    )


def _said(corpus: CorpusKind, code: str, told_by: str) -> str:
    return f"corpus.language: {code} is told" if corpus.told_language == code else f"{told_by} tells {code}"


def _correct(corpus: CorpusKind, code: str, likely: str | None) -> str:
    if corpus.told_language != code and corpus.kind == "folder":
        return "correct that column"
    return f"write language: {likely}" if likely else "write the code of the language that they are in"
