"""The English of messages, --help and the report: phrases that were corrected once do not come back."""

import ast
import re
import tomllib

import pytest

from asrmeter.common.paths import ROOT

# Each is wrong in any message, with the wording to use instead.
PHRASES = {
    r"\b(is|are) no (?!longer\b|more\b|worse\b|better\b)[a-z]+ ?": "is not a ...",
    r"\bnobody\b": "no one, or a passive verb",
    r"\bwhatever\b": "any, regardless of",
    r"\bcannot be told\b(?! to)": "is unknown, cannot be decided",
    r"\bcannot be told apart\b": "tie",
    r"\bof which\b": "its, whose",
    r"\bto nowhere\b": "broken",
    r", which cannot be\b(?! \w)": "which is impossible",
    r"\bnot fit for use\b": "cannot be used",
}
# A subject that is not there ("there is no file") is correct.
CORRECT = re.compile(r"\b([Tt]here|which) (is|are) no \w+")


def messages(source: str) -> list[tuple[int, str]]:
    """Return the texts of a module that are shown, with their lines: all but docstrings."""
    tree = ast.parse(source)
    places = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    firsts = [node.body[0] for node in ast.walk(tree) if isinstance(node, places) and node.body]
    docstrings = {id(first.value) for first in firsts if isinstance(first, ast.Expr)}
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [(node.lineno, node.value) for node in found if id(node) not in docstrings]


def wrong(text: str) -> list[str]:
    """Return the phrases of a text that are to be written in another way, each with that way."""
    rest = CORRECT.sub("", text)
    return [f"{found[0]!r}: {better}" for phrase, better in PHRASES.items() if (found := re.search(phrase, rest))]


@pytest.mark.parametrize(
    ("text", "n_wrong"),
    [
        ("mine: is no kept run", 1),
        ("mine: is not a kept run; there is no other", 0),
        ("its sha256 is no longer the same", 0),
        ("lap is 0, which cannot be", 1),
        ("a word, which cannot be read", 0),
        ("whether it is better cannot be told", 1),
        ("the link leads to nowhere", 1),
    ],
)
def test_a_phrase_is_found_only_where_it_is_wrong(text: str, n_wrong: int) -> None:
    assert len(wrong(text)) == n_wrong


def test_messages_of_scripts_are_in_plain_english() -> None:
    paths = sorted((ROOT / "scripts").rglob("*.py"))
    assert len(paths) > 100
    assert [
        f"{path.relative_to(ROOT)}:{line}: {one}"
        for path in paths
        for line, text in messages(path.read_text(encoding="utf-8"))
        if " " in text
        for one in wrong(text)
    ] == []


def test_texts_of_the_report_are_in_plain_english() -> None:
    catalogue = tomllib.loads((ROOT / "report" / "words.en.toml").read_text(encoding="utf-8"))
    assert [
        f"{section}.{key}: {one}"
        for section, texts in catalogue.items()
        for key, text in texts.items()
        for one in wrong(text)
    ] == []
