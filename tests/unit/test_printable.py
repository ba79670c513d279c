"""Text of unknown origin can be shown and stored wherever it goes."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.common.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café – ok", "café – ok"),
        ("caf\udce9.wav", "caf\\xe9.wav"),
        ("hello \ud83d there", "hello \\ud83d there"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\0", "two\\nlines\\x00"),
        ("a\u202eb\ufeff", "a\\u202eb\\ufeff"),
        ("n'est\u00a0pas می\u200cخواهم 👩\u200d🔬", "n'est\u00a0pas می\u200cخواهم 👩\u200d🔬"),
    ],
)
def test_only_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_text_is_cut_and_says_so() -> None:
    assert printable("a" * 5000, 10) == "a" * 10 + "… (5,000 characters)"
    assert printable("a" * 10, 10) == "a" * 10


@given(st.text(st.characters()))
def test_any_text_becomes_one_line_of_utf_8(text: str) -> None:
    shown = printable(text)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown)
    assert printable(shown) == shown
