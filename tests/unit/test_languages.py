"""Languages and scripts."""

import pytest

from asrmeter.common.languages import languages, script_of, scripts_of


def test_every_language_has_a_code_a_name_and_scripts() -> None:
    for code, language in languages().items():
        assert code == language.code == code.lower() and len(code) in (2, 3)
        assert language.name and language.scripts and all(map(str.isupper, language.scripts))
    assert {code for code, one in languages().items() if not one.spaces} == {
        *("ja", "km", "lo", "my", "th", "yue", "zh"),
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The quick fox", "en"),
        ("Съешь ещё этих булок", "ru"),
        ("Ça dépend de l'été", "fr"),
        ("שלום עולם", "he"),
        ("مرحبا بالعالم", "ar"),
        ("नमस्ते दुनिया", "hi"),
        ("你好，世界", "zh"),
        ("こんにちは世界", "ja"),
        ("안녕하세요", "ko"),
        ("สวัสดีชาวโลก", "th"),
        ("Γειά σου Κόσμε", "el"),
    ],
)
def test_a_text_is_in_a_script_of_its_language(text: str, code: str) -> None:
    script, n = scripts_of(text).most_common(1)[0]
    assert script in languages()[code].scripts and n > 1


def test_what_is_no_letter_has_no_script() -> None:
    assert [script_of(sign) for sign in "1 .,!'—✓😀\u0301\n"] == [None] * 11
    assert not scripts_of("12:30 - 50 %")
