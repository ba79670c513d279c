"""Texts of other languages: what stays, what goes, how numbers are read, in bounded time."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import CONVERTER_CLASSES

from asrmeter.analysis import normalisers, number_words
from asrmeter.analysis.normalised_text import by_characters
from asrmeter.analysis.normalisers import Normaliser, basic
from asrmeter.analysis.scoring import compare, is_hallucinated, repeats_itself
from asrmeter.common.languages import has_spaces, languages
from asrmeter.sources.packages import Archives

# A language each, and what its texts have in common with those of no other.
CODES = ["ru", "fr", "de", "uk", "hi", "ar", "he", "tr", "zh", "ja", "th", "ko", "fa", "vi", "my", "am", "sr"]


def of(language: str | None, ending: str = "") -> Normaliser:
    """Return a normaliser of a language other than English, which needs no archive."""
    return normalisers.normalisers(Archives(Path("none")), "folder")(language)[ending]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("ru", "Ещё 25 человек (смех) ждали: «Кто-то придёт!»", "еще двадцать пять человек ждали кто то придет"),
        ("ru", "Всего 1 234 567, а было 3,5.", None),
        ("be", "Ёсць аб'ём", "ёсць аб'ём"),
        ("fr", "L’été, 71 personnes d'ici : aujourd'hui.", "l été soixante et onze personnes d ici aujourd hui"),
        ("fr", "Le cœur a 1 234,5 raisons", "le cœur a mille deux cent trente quatre virgule cinq raisons"),
        ("de", "Die Straße kostet 1.234 Euro.", "die straße kostet eintausendzweihundertvierunddreißig euro"),
        ("de", "3,5 Größen", "drei komma fünf größen"),
        ("uk", "П’ять п'ять пʼять п`ять — «об’єктів»", "п'ять п'ять п'ять п'ять об'єктів"),
        ("hi", "उन्होंने १२ किताबें, और 1,00,000 रुपये दिए।", "उन्होंने 12 किताबें और 100000 रुपये दिए"),
        ("ar", "ذَهَبَ الطُّلَّابُ إلى المَدْرَســةِ، ٢٥.", "ذهب الطلاب إلى المدرسة خمسة وعشرون"),
        ("he", 'שָׁלוֹם, צה"ל בתל־אביב.', "שלום צהל בתל אביב"),
        ("tr", "İstanbul'da IŞIK, 2024", "istanbulda ışık iki bin yirmi dört"),
        ("fa", "می‌خواهم ٣ كتاب", "می خواهم سه کتاب"),
        ("it", "L'uomo ha 21 anni e pesa 70,5 chili.", "l uomo ha ventuno anni e pesa settanta virgola cinque chili"),
        ("ko", "오늘은 2024년 3월입니다.", "오늘은 이천이십사년 삼월입니다"),
        ("zh", "我有3本书，ok吗？（笑）1,000元。", "我 有 3 本 书 ok 吗 1000 元"),
        ("ja", "今日は３月、Ｔシャツを買う。", "今 日 は 三 月 t シ ャ ツ を 買 う"),
        ("th", "ดื่มน้ำ ๓ แก้ว", "ดื่ ม น้ ำ ส า ม แ ก้ ว"),
        (None, "Ещё 25 [шум] человек 👍🏽 ❤️", "ещё 25 человек"),
    ],
)
def test_a_sentence_is_scored_as_its_language_asks(language: str | None, text: str, expected: str | None) -> None:
    expected = expected or (
        "всего один миллион двести тридцать четыре тысячи пятьсот шестьдесят семь а было три целых пять десятых"
    )
    assert of(language)(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("ru", "8 800 555 35 35", "восемь восемьсот пятьсот пятьдесят пять тридцать пять тридцать пять"),
        ("ru", "007 и 12.03", "ноль ноль семь и двенадцать ноль три"),
        ("ru", "1,2,3", "один два три"),
        ("ru", "−5, 10-15", "минус пять десять пятнадцать"),
        ("es", "1.000.000", "un millón"),
        ("es", "2½ y 11²", "dos uno dos y once dos"),
        ("de", "1" * 16, "1" * 16),
        # Wrong words are worse than none: num2words reads 3.14 as an empty text, and 12.05 in Persian as 12.5.
        ("tr", "3,14", "üç on dört"),
        ("fa", "12.05", "دوازده صفر پنج"),
        # Without end by num2words, and in Latin letters.
        ("am", "1234567", "1234567"),
        ("sr", "25 књига", "25 књига"),
    ],
)
def test_numbers_are_read_as_people_would(language: str, text: str, expected: str) -> None:
    assert of(language)(text) == expected


@pytest.mark.parametrize("language", sorted(set(languages()) - {"en"}))
def test_numbers_of_any_language_end_and_differ(language: str) -> None:
    numbers = [0, 7, 11, 20, 21, 71, 99, 100, 101, 1001, 1100, 2024, 12345, 100000, 1234567, 10**9 + 1, 10**15 - 1]
    began = time.monotonic()
    said, others = of(language), []
    for number in numbers:
        found, _, note = said.pair(str(number), "")
        assert note is None or (language in ("kn", "te") and number > 10**9)
        assert found and (found.isdecimal() or not any(map(str.isdecimal, found)))
        assert found.isdecimal() is (note is not None or not number_words.reads(language))
        others.append(found)
    assert len(set(others)) == len(numbers)
    assert time.monotonic() - began < 20
    if number_words.reads(language):
        assert {"kk": "kz"}.get(language, language) in CONVERTER_CLASSES
        assert "num2words" in str(said)


def test_what_cannot_be_read_stays_and_is_noted() -> None:
    reference, hypothesis, note = of("te").pair("123456789012", "12")
    assert (reference, hypothesis) == ("123456789012", "12")
    assert note == "scored without reading numbers (ValueError)"


def test_a_normaliser_says_its_language_and_its_units() -> None:
    assert str(of("hi")) == "asrmeter-basic 1 (language hi)"
    assert str(of(None)) == "asrmeter-basic 1 (language unknown)"
    assert str(of("ru")).startswith("asrmeter-basic 1 (language ru, num2words 0.")
    assert str(of("zh")) == "asrmeter-basic 1 (language zh) by characters"
    assert str(of("zh", "_plain")) == "plain 2 by characters" and str(of("ru", "_plain")) == "plain 2"


def test_the_plain_normaliser_keeps_marks_in_words() -> None:
    assert of("hi", "_plain")("हिन्दी में।") == "हिन्दी में"
    assert of("ru", "_plain")("Ещё 25!") == "ещё 25"
    assert of("th", "_plain")("น้ำ ok") == "น้ ำ ok"
    # Signs of emoji are no letters, though Unicode calls them marks.
    assert of("ru", "_plain")("я ❤️ 1️⃣ \u0301") == "я 1"


def test_characters_are_counted_where_no_spaces_part_words() -> None:
    said, heard = of("zh")("我爱北京 OK"), of("zh")("我爱南京")
    assert (said, heard) == ("我 爱 北 京 ok", "我 爱 南 京")
    errors = compare(said, heard, spaces=False)
    assert (errors.n_words, errors.n_errors) == (5, 2)
    # Of the characters themselves, no space among them: four and "ok".
    assert (errors.n_characters, errors.n_character_errors) == (6, 3)


def test_units_are_letters_with_their_marks() -> None:
    assert by_characters("กิน 2024 abc12") == "กิ น 2024 abc12"
    assert by_characters("a b") == "a b" and by_characters("") == ""


def test_bursts_of_characters_are_as_long_as_those_of_words() -> None:
    assert not is_hallucinated("好", "", 9, 4, "zh") and is_hallucinated("好", "", 10, 4, "zh")
    assert is_hallucinated("да", "", 3, 4, "ru")


def test_prose_in_scripts_of_three_bytes_is_no_loop() -> None:
    prose = (
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें बुद्धि और "
        "अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए। प्रत्येक व्यक्ति को जीवन, "
        "स्वाधीनता और वैयक्तिक सुरक्षा का अधिकार है। कोई भी ग़ुलामी या दासता की हालत में न रखा जाएगा।"
    )
    assert repeats_itself(prose) and not repeats_itself(prose, in_utf8=False)
    assert repeats_itself("धन्यवाद। " * 20, in_utf8=False) and repeats_itself("谢谢观看" * 20, in_utf8=False)
    assert not is_hallucinated("नमस्ते", prose, 0, 100, "hi")


# What normalisers look for, beside letters of many scripts.
_LOOKED_FOR = "1 12 1,234 1.234 -5 ٣ १२ ½ ² ( [ > ' ’ ё İ I ß ְ ّ ـ ़ ั ำ ํา 한 字 ー ‌ ‍ 👩‍👩‍👧 ️ \u202e \ud83d \0"
ODD = st.lists(
    st.sampled_from(_LOOKED_FOR.split(" "))
    | st.text(st.characters(), max_size=4)
    | st.text(st.characters(categories=["Lo", "Mn", "Mc", "Nd"]), max_size=4),
    max_size=12,
).flatmap(lambda pieces: st.sampled_from([" ".join(pieces), "".join(pieces)]))


@given(st.sampled_from(CODES), ODD, ODD)
def test_any_texts_of_any_language_are_scored(language: str, reference: str, hypothesis: str) -> None:
    for ending in ("", "_plain"):
        said, heard, _ = of(language, ending).pair(reference, hypothesis)
        for text in (said, heard):
            assert text == " ".join(text.split()) and text == text.encode().decode()
            assert not any(sign in text for sign in "([<\u202e\0")
        assert compare(said, said, has_spaces(language)).n_errors == 0
        assert compare(said, heard, has_spaces(language)).n_words >= 0


@pytest.mark.parametrize("language", ["ru", "th"])
@pytest.mark.parametrize(
    "text",
    [
        *("я" * 100_000, "1" * 100_000, "1 234 " * 20_000, "1,23,45," * 12_000, "(<[" * 33_000, "-1" * 50_000),
        *("กั" + "ั" * 99_000, "👩‍👩‍👧" * 20_000, "1.234" * 20_000, "\u202e字" * 50_000, "x" * 300_000),
    ],
    ids=lambda text: text[:4].encode("ascii", "replace").decode(),
)
def test_long_texts_take_bounded_time(language: str, text: str) -> None:
    began = time.monotonic()
    said, heard, _ = of(language).pair(text, text[::-1])
    compare(said, heard, has_spaces(language))
    # A text that takes quadratic time takes minutes.
    assert time.monotonic() - began < 30


def test_different_long_texts_of_characters_are_compared() -> None:
    texts = ["".join(chr(0x4E00 + (i * step) % 5000) for i in range(20_000)) for step in (7, 11)]
    said, heard, _ = of("zh").pair(*texts)
    assert compare(said, heard, spaces=False).n_words == 20_000


def test_basic_is_made_of_the_code_alone() -> None:
    assert basic("xx")("Hello, 25!") == "hello 25"
