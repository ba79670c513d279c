"""Text is UTF-8 wherever it is read or written, whatever the locale says."""

import ast
from collections.abc import Iterator

import pytest

from asrmeter.common.paths import ROOT, SCRIPTS

SOURCES = [*SCRIPTS.rglob("*.py"), *(ROOT / "tests" / "tools").glob("*.py")]
_NOT_TEXT = ("os.open", "tarfile.open")


def undecided(source: str) -> Iterator[int]:
    """Yield the lines that leave the encoding of a text to the locale."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) not in _NOT_TEXT:
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if "encoding" not in keywords and _is_of_text(ast.unparse(node.func), node.args, keywords):
                yield node.lineno


def _is_of_text(function: str, arguments: list[ast.expr], keywords: dict[str | None, str]) -> bool:
    what = function.rpartition(".")[2]
    if what in ("open", "fdopen"):
        # Path.open has no path among its arguments.
        at = 0 if what == "open" and "." in function else 1
        mode = keywords.get("mode", ast.unparse(arguments[at]) if len(arguments) > at else "")
        return "b" not in mode
    runs = what in ("run", "Popen", "check_output") and {"text", "universal_newlines"} & {*keywords}
    return what in ("read_text", "write_text") or bool(runs)


def test_no_text_is_left_to_the_locale() -> None:
    assert len(SOURCES) > 100
    found = {str(path): lines for path in SOURCES if (lines := [*undecided(path.read_text(encoding="utf-8"))])}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        *("open('a')", "open('a', 'w')", "path.open()", "path.read_text()", "path.write_text('a')", "os.fdopen(3)"),
        "subprocess.run(['a'], text=True)",
    ],
)
def test_a_line_that_does_is_found(line: str) -> None:
    assert list(undecided(line)) == [1]
    assert list(undecided(line.replace(")", ", encoding='utf-8')").replace("(,", "("))) == []


@pytest.mark.parametrize("line", ["open('a', 'rb')", "path.open('wb')", "os.open('a', 0)", "subprocess.run(['a'])"])
def test_bytes_need_no_encoding(line: str) -> None:
    assert list(undecided(line)) == []
