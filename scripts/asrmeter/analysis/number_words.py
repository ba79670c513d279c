"""Numbers in digits, as they are said: by num2words in the languages that it reads right, else joined digits."""

import functools
import re
from collections.abc import Callable
from decimal import Decimal


def _codes(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# num2words' names of languages, where they are not ours.
_CODES = {"kk": "kz"}
# Of 0 to 3000 and random numbers of up to 15 digits no two are read alike, and all in the language's script. Amharic is
# not among them, which never ends above a thousand, nor Serbian, which is always in Latin letters.
_READ = _codes(
    "ar az be bn ca ce cs cy da de eo es fa fi fr he hu id is it ja kk kn ko lt lv nl no pl pt ro ru sk sl sv te "
    "tg th tr uk vi"
)
# Of these not what follows the decimal sign, nor the minus: digits get lost (12.05 is 12.5 in Persian).
_READ_WHOLLY = _READ - {"ar", "bn", "ce", "cy", "fa", "kn", "te", "tr", "vi"}
# Of a Decimal num2words reads the whole part only.
_AS_FLOAT = frozenset({"it"})
# It writes Turkish numbers as one word, as on cheques.
_TURKISH = re.compile(
    "trilyon|milyar|milyon|sıfır|bir|iki|üç|dört|beş|altı|yedi|sekiz|dokuz|on|yirmi|otuz|kırk|elli|altmış|yetmiş|seksen"
    "|doksan|yüz|bin"
)

# Signs of numbers by Unicode's CLDR. A point and groups by commas, as in 1,234.5 (or 1,00,000):
_POINT = _codes(
    "aa ab ak am ar as bm bn bo ce cu cy dv dz ee en fa ga gd gn gu gv ha haw he hi ig ii ja ki km kn ko kw la lg "
    "mg mi ml mn mr ms mt my nd ne ny om or pa qu sa sd si sn so st sw ta te th ti tl tn to tw ug ur xh yi yo yue za "
    "zh zu"
)
# A comma and groups by points, as in 1.234,5. All others have a comma and groups by spaces, as in 1 234,5.
_GROUPED_BY_POINTS = _codes(
    "az bs ca da de el es eu fo fy hr ia id is it jv kl ku lb ln lo mk nl ps pt rn ro rw sc sg sl sr su tr vi wo"
)

# Where a number and what is counted are one word ("3월").
_JOINED = frozenset({"ko"})

# A number with more digits is none that anybody reads out.
_MOST_DIGITS, _MOST_AFTER_SIGN = 15, 3
# Of one text. Reading one takes up to a millisecond.
_MOST_NUMBERS = 1000


def reads(language: str | None) -> bool:
    """Tell whether numbers in a language are read as words."""
    return language in _READ


def in_words(text: str, language: str) -> str:
    """Return a text whose digits are those of ASCII with its numbers as they are said, apart from what is beside them.

    Where a language is not read, and of more than 15 digits, the digits stay, those of a group joined. A number that
    begins with 0 is read digit by digit.

    Raises:
        ValueError: there are too many numbers to read, or num2words refuses one.
    """
    n_read = 0

    def read(found: re.Match[str]) -> str:
        nonlocal n_read
        n_read += 1
        if n_read > _MOST_NUMBERS:
            raise ValueError("too many numbers")
        said = _said(found, language)
        return said if language in _JOINED else f" {said} "

    return _pattern(language).sub(read if reads(language) else _joined, text)


@functools.cache
def _pattern(language: str) -> re.Pattern[str]:
    mark, group, length = (".", ",", "{2,3}") if language in _POINT else (",", ".", "{3}")
    mark, group = re.escape(mark), f"[ {group}]" if language in _GROUPED_BY_POINTS | _POINT else " "
    return re.compile(
        rf"(?P<minus>(?<!\w)[-\u2212])?(?:"
        # Groups by one sign. "8 800 555 35 35" is no number, as it goes on otherwise.
        rf"(?<!\d)(?<!\d{group})(?P<groups>\d{{1,3}}(?P<sign>{group})(?:\d{length}(?P=sign))*\d{{3}})"
        rf"(?:{mark}(?P<rest>\d+))?(?!{group}?\d)(?!{mark}\d)"
        # With a decimal sign. "1,2,3" is a list.
        rf"|(?<!\d)(?<!\d{mark})(?P<whole>\d+){mark}(?P<part>\d+)(?!{mark}?\d)"
        rf"|(?P<plain>\d+))"
    )


def _digits(found: re.Match[str]) -> tuple[str, str]:
    whole = found["groups"] or found["whole"] or found["plain"]
    return re.sub(r"\D", "", whole), found["rest"] or found["part"] or ""


def _joined(found: re.Match[str]) -> str:
    whole, part = _digits(found)
    return f"{found['minus'] or ''}{whole} {part}"


def _said(found: re.Match[str], language: str) -> str:
    whole, part = _digits(found)
    minus = "-" if found["minus"] and language in _READ_WHOLLY else ""
    if len(whole) + len(part) > _MOST_DIGITS:
        return f"{whole} {part}"
    if not part:
        return _whole(whole, language, minus)
    if language not in _READ_WHOLLY or len(part) > _MOST_AFTER_SIGN:
        return f"{_whole(whole, language, minus)} {_whole(part, language)}"
    number = f"{minus}{int(whole)}.{part}"
    return _words(float(number) if language in _AS_FLOAT else Decimal(number), language)


def _whole(digits: str, language: str, minus: str = "") -> str:
    if digits[0] == "0" and digits != "0":
        return " ".join(_words(int(digit), language) for digit in digits)
    return _words(int(minus + digits), language)


@functools.lru_cache(maxsize=10_000)
def _words(number: int | float | Decimal, language: str) -> str:
    try:
        words = _num2words()(number, lang=_CODES.get(language, language))
    except Exception as error:  # whatever a module of another's for one of forty languages raises
        raise ValueError(f"num2words cannot read {number}") from error
    if language == "tr":
        return " ".join(_TURKISH.findall(words))
    # In Arabic "and" is written together with the word that follows.
    return words.replace(" و ", " و") if language == "ar" else words


@functools.cache
def _num2words() -> Callable[..., str]:
    from num2words import num2words

    return num2words
