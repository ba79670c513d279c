"""Read the file of a study. Unlike Snakemake's errors, these name line and column."""

import json
import os
import re
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean, one_line
from asrmeter.common.regular_files import read_regular

# A large study has some hundred kilobytes.
MAX_BYTES = 5_000_000
# Values of a study with all its anchors expanded. A large study has some thousands.
MAX_VALUES = 100_000
_TYPE_NAMES = {list: "a list", str: "a text", type(None): "empty"}
_ALIKE = "indent all keys of one level equally, with a colon and a space after each; put a text with a colon in quotes"
# Messages of PyYAML, and the correction for each.
_WAYS_OUT = {
    r"'\t'": "indent with spaces, not with tabs",
    "could not find expected ':'": "put a colon and a space after each key",
    "mapping values are not allowed": _ALIKE,
    "expected <block end>": _ALIKE,
    "while parsing a flow": "close the bracket or quote",
    "while scanning a quoted": "close the bracket or quote",
    "but found another document": "a file contains one study; remove the line ---",
    "for the tag": "! marks a type; put a text that begins with ! in quotes",
    "undefined alias": "* repeats a value that & named before; put a text that begins with * in quotes",
}
_WAY_OUT = "indent keys with spaces, with a colon and a space after each; put a text with other characters in quotes"
# YAML 1.1 reads 010 as 8 and 1:30 as 90.
_UNUSUAL_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file as Snakemake would read it: JSON, or else YAML.

    Raises:
        AsrmeterError: there is no such file, it is neither JSON nor YAML, has a key twice, or is not a study.
    """
    text = _read_text(path)
    try:
        content = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, path))
        if _count_json(content) > MAX_VALUES:
            raise _too_many_values(path)
    except ValueError:
        content = _parse_yaml(text, path)
    except RecursionError as error:
        raise AsrmeterError(f"{path}: is nested too deeply") from error
    if not isinstance(content, dict):
        what = _TYPE_NAMES.get(type(content), "a single value")
        raise AsrmeterError(f"{path}: is {what}; a study has keys with values, at least name and models")
    if "__use_yte__" in content:
        raise AsrmeterError(f"{path}: __use_yte__ would run code; a study is plain YAML: write the values out")
    return content


def _read_text(path: Path) -> str:
    if os.path.isdir(path):
        raise AsrmeterError(f"{path}: is a folder; give the file of a study")
    try:
        return read_regular(path, MAX_BYTES).decode("utf-8")
    except FileNotFoundError as error:
        beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        known = [name for name in beside if name.endswith((".yaml", ".yml", ".json"))]
        raise AsrmeterError(f"{path}: there is no such file{did_you_mean(path.name, known)}") from error
    except OSError as error:
        raise AsrmeterError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise AsrmeterError(f"{path}, line {line}: is not UTF-8 text; save it as UTF-8") from error


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in content if keys.count(key) > 1)
        raise AsrmeterError(f"{path}: the key {json.dumps(twice)} appears twice; keep one")
    return content


def _count_json(value: Any) -> int:
    """Return the number of values in JSON; keys count too, as in YAML."""
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(_count_json, value.values()))
    return 1 + sum(map(_count_json, value)) if isinstance(value, list) else 1


def _too_many_values(path: Path) -> AsrmeterError:
    return AsrmeterError(f"{path}: has more than {MAX_VALUES:,} values with its anchors expanded; use fewer")


def _parse_yaml(text: str, path: Path) -> Any:
    # Imported here, so that the import costs nothing if no file is read.
    import yaml

    class Loader(yaml.FullLoader):
        """Stops early, because a file of the maximum size may contain a million values, which take a minute."""

        n_values = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.n_values += 1
            if self.n_values > MAX_VALUES:
                raise _too_many_values(path)
            return super().compose_node(parent, index)

    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_values(node, path, {}) > MAX_VALUES:
            raise _too_many_values(path)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        problem = f"{error.context or ''} {error.problem or ''}".strip()
        way_out = next((way for words, way in _WAYS_OUT.items() if words in problem), _WAY_OUT)
        begun = error.context_mark
        if begun is not None and error.problem_mark is not None and begun.line < error.problem_mark.line:
            problem += f"; it begins in line {begun.line + 1}"
        mark = error.problem_mark or begun
        raise AsrmeterError(f"{_place(path, mark)}: is not YAML ({one_line(Exception(problem))}); {way_out}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise AsrmeterError(
            f"{path}, line {line}: contains the control character U+{error.character:04X}; delete it"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # 2026-02-30, !!bool maybe
        raise AsrmeterError(f"{path}: contains an invalid value ({one_line(error)}); put it in quotes") from error
    except RecursionError as error:
        raise AsrmeterError(f"{path}: is nested too deeply") from error


def _place(path: Path, mark: Any) -> str:
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)


def _count_values(node: Any, path: Path, known: dict[int, int], within: frozenset[int] = frozenset()) -> int:
    """Return the number of values in a YAML node with its anchors expanded; each node is checked once.

    Raises:
        AsrmeterError: the node contains valid YAML that is certainly a mistake.
    """
    if id(node) in within:
        raise AsrmeterError(f"{_place(path, node.start_mark)}: is an anchor that contains itself; write its values out")
    if id(node) not in known:
        parts = []
        if isinstance(node.value, str):
            _check_number(node, path)
        elif node.id == "mapping":
            _check_keys(node, path)
            parts = [part for pair in node.value for part in pair]
        else:
            parts = node.value
        known[id(node)] = 1 + sum(_count_values(part, path, known, within | {id(node)}) for part in parts)
    return known[id(node)]


def _check_number(node: Any, path: Path) -> None:
    import yaml

    if node.style is None and node.tag.endswith((":int", ":float")) and _UNUSUAL_NUMBER.fullmatch(node.value):
        means = yaml.safe_load(node.value)
        raise AsrmeterError(
            f"{_place(path, node.start_mark)}: {node.value} means {means} in YAML; write {means}, or put it in quotes"
        )


def _check_keys(node: Any, path: Path) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key.value, str):
            line = key.start_mark.line + 1
            if (key.tag, key.value) in lines:
                before = lines[key.tag, key.value]
                raise AsrmeterError(f"{path}, line {line}: the key {key.value} is in line {before} already; keep one")
            lines[key.tag, key.value] = line
