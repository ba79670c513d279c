"""What language texts look like: by their letters alone, or by py3langid. Without it: standard library only."""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from asrmeter.common.languages import languages, scripts_of

# Texts that are looked at, evenly over all, and characters of each: more changes no answer.
_MOST_TEXTS, _MOST_CHARACTERS = 2000, 500
# Fewer letters hold a name, or a word that many languages share.
LEAST_LETTERS = 20
# In trials three sentences of English had 0.98 or more. Of texts in twenty other languages none had more than 0.23, in
# Scots 0.88; half English, half German had 0.44.
CERTAIN = 0.9
# How scripts that are written together are counted.
_TOGETHER = dict.fromkeys(("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "HALFWIDTH"), "CJK")
# Letters that tell languages of one script apart, the rarer ones first: taken where they are this share of all letters.
_TELLING_SHARE = 0.003
_TELLING = {
    "CYRILLIC": {
        "mk": "ѓќѕ", "sr": "ђћљњј", "be": "ў", "uk": "їєґ", "ba": "ҙҫҡ", "tt": "җ", "tg": "ҷӣӯ", "kk": "ұқғ",
        "mn": "өү", "ru": "ыэё", "bg": "ъ",
    },
    "ARABIC": {"ps": "ټډړښګ", "sd": "ڄڃڊڻ", "ur": "ٹڈڑےں", "ug": "ۇۆېڭ", "ku": "ێۆڕڵ", "fa": "پچژگ"},
    "CJK": {"ja": "のをにはがでしていますたかもンスルラトリ", "yue": "嘅咗唔佢喺嘢哋冇"},
    "BENGALI": {"as": "ৰৱ"},
    "DEVANAGARI": {"mr": "ळ"},
}  # fmt: skip
_USUAL = {"CYRILLIC": "ru", "ARABIC": "ar", "CJK": "zh", "BENGALI": "bn", "DEVANAGARI": "hi", "HEBREW": "he"}
_USUAL |= {"ETHIOPIC": "am", "TIBETAN": "bo", "CANADIAN": "iu", "HANGUL": "ko"}
# Languages that an identifier of texts confuses, and that people tell by their name more than by their words.
_NEAR = (
    {"da", "nn", "no", "sv", "fo"},
    {"bs", "hr", "sr"},
    {"hr", "sl"},
    {"bg", "mk"},
    {"id", "ms", "jv", "su"},
    {"an", "ast", "ca", "es", "ext", "gl", "oc", "pt"},
    {"cs", "sk"},
    {"af", "fy", "li", "nl"},
    {"de", "lb"},
    {"en", "pcm"},
    {"fr", "gcf", "gcr", "ht", "oc", "wa"},
    {"co", "it", "la", "lij", "sc", "vec"},
    {"az", "crh", "tk", "tr", "uz", "uzs"},
    {"ba", "kk", "ky", "tt"},
    {"be", "uk"},
    {"ar", "ary", "arz"},
    {"fa", "ps", "tg"},
    {"ku", "sdh", "ug"},
    {"hi", "mr", "ne", "sa", "gom"},
    {"zh", "yue", "wuu"},
    {"lt", "ltg", "lv"},
    {"ss", "xh", "zu"},
    {"nso", "st", "tn"},
    {"lg", "rn", "rw"},
    {"el", "grc"},
    {"he", "hbo"},
)


class Look(NamedTuple):
    """A language that texts look like, and its probability, from 0 to 1."""

    code: str
    probability: float

    @property
    def is_certain(self) -> bool:
        """Whether it is taken for a fact."""
        return self.probability >= CERTAIN


def name_of(code: str) -> str:
    """Return the English name of a language."""
    return languages()[code].name


def main_script(text: str) -> str | None:
    """Return the script of most letters of a text, such as LATIN; None of one without letters of a known script."""
    found: Counter[str] = Counter()
    for script, n in scripts_of(text).items():
        found[_TOGETHER.get(script, script)] += n
    known = _known_scripts()
    return next((script for script, _ in found.most_common() if script in known), None)


def is_written_in(text: str, code: str) -> bool:
    """Return whether most letters of a text are of scripts of a language; True of a text without letters."""
    own = {_TOGETHER.get(script, script) for script in languages()[code].scripts}
    return main_script(text) in (None, *own)


def by_letters(text: str) -> str | None:
    """Return the likely language of a text by its letters alone; None where they tell little, as Latin ones do."""
    script = main_script(text)
    if script in (None, "LATIN"):
        return None
    counts = Counter(letter for letter in text.lower() if letter.isalpha())
    least = _TELLING_SHARE * counts.total()
    for code, letters in _TELLING.get(script, {}).items():
        if sum(counts[letter] for letter in letters) > least:
            return code
    if script == "CYRILLIC" and counts["і"] > least:
        return "uk"
    own = [code for code, language in languages().items() if script in language.scripts]
    return _USUAL.get(script) or own[0]


def by_words(texts: Iterable[str]) -> Look | None:
    """Return the most likely language of texts, as py3langid tells it; None of texts with few letters.

    Languages that are no code of `common.languages` are passed over.
    """
    probabilities = _probabilities(_joined(texts))
    return next((Look(code, p) for code, p in probabilities.items() if code in languages()), None)


def contradicted(texts: Sequence[str], code: str) -> Look | None:
    """Return the language of texts where it is beyond doubt neither the one with this code nor one near to it.

    Texts of some hundred letters are needed for that, and a language that py3langid knows.
    """
    text = _joined(texts)
    probabilities = _probabilities(text, 5 * LEAST_LETTERS)
    if code not in probabilities:
        return None
    near = set().union({code}, *(group for group in _NEAR if code in group))
    best, p = next(iter(probabilities.items()))
    is_beyond_doubt = p > 0.99 and sum(probabilities.get(one, 0) for one in near) < 0.001
    return Look(best, p) if is_beyond_doubt and best in languages() else None


def are_near(code: str, other: str) -> bool:
    """Return whether two languages are one, or so near that they are confused."""
    return code == other or any({code, other} <= group for group in _NEAR)


def _joined(texts: Iterable[str]) -> str:
    """Return some of the texts as one; those in capitals alone in small letters, as nearly all texts are."""
    written = [text for text in texts if text]
    step = -(-len(written) // _MOST_TEXTS) or 1
    cut = (text[:_MOST_CHARACTERS] for text in written[::step])
    return " ".join(text.lower() if text.isupper() else text for text in cut)


def _probabilities(text: str, least_letters: int = LEAST_LETTERS) -> dict[str, float]:
    """Return the probability of each language of py3langid, the highest first; none of a text with fewer letters."""
    if sum(map(str.isalpha, text)) < least_letters:
        return {}
    found: dict[str, float] = dict(_identifier().rank(text))
    if found.get("en", 0) > found.get("pcm", 0):
        # Short English is half taken for the Pidgin of Nigeria, which is as good a sign that it is English.
        found["en"] += found.pop("pcm", 0)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # the planner has no numpy

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@functools.cache
def _known_scripts() -> frozenset[str]:
    return frozenset(_TOGETHER.get(script, script) for one in languages().values() for script in one.scripts)
