"""The file of a study: what is wrong with it as YAML, by line and column. Snakemake itself names neither."""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean, one_line

# Values that a study may come to when all its anchors are written out; the largest sensible one has some thousands.
MOST_VALUES = 100_000
_WHAT_ELSE = {list: "a list", str: "a text", type(None): "empty"}
_ALIKE = "indent the keys of one level alike, with a colon and a space after each; put a text with a colon in quotes"
# What people write that PyYAML reports in its own terms.
_WAYS_OUT = {
    r"'\t'": "indent by spaces, not by tabs",
    "could not find expected ':'": "a key is followed by a colon and a space",
    "mapping values are not allowed": _ALIKE,
    "expected <block end>": _ALIKE,
    "while parsing a flow": "close the bracket or quote",
    "while scanning a quoted": "close the bracket or quote",
    "but found another document": "a file holds one study; leave out the line ---",
    "for the tag": "! marks a type; put a text that begins with it in quotes",
    "undefined alias": "* stands for what & has named before; put a text with such a sign in quotes",
}
_WAY_OUT = "keys are indented by spaces, a colon and a space follow them; put a text with other signs in quotes"
# What Snakemake takes for a key and a value.
_ENTRY = re.compile(r"[a-zA-Z_][\w-]*\w=")
# YAML 1.1 takes 010 for 8 and 1:30 for 90.
_UNUSUAL_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")


def check_arguments(arguments: list[str]) -> None:
    """Exit with one line if Snakemake's arguments name a file or a value that it would not read.

    Snakemake reads these before any rule of ours: its own message names neither file nor line, or is a traceback.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", type=Path, default=[])
    parser.add_argument("--config", "-C", nargs="*", default=[])
    try:
        given = parser.parse_known_args(arguments)[0]
    except argparse.ArgumentError:
        return  # Snakemake says so too
    try:
        for path in given.configfile:
            read(path)
        for entry in given.config:
            if not _ENTRY.match(entry):
                raise AsrmeterError(f"--config {entry}: give key=value; of keys within keys key='{{inner: value}}'")
    except AsrmeterError as error:
        sys.exit(f"error: {error}")


def read(path: Path) -> dict[str, Any]:
    """Return what a file says, as Snakemake would read it: JSON, or else YAML.

    Raises:
        AsrmeterError: there is no such file, it is neither, says a key twice, or is no study at all.
    """
    text = _text(path)
    try:
        content = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
    except ValueError:
        content = _yaml(text, path)
    except RecursionError as error:
        raise AsrmeterError(f"{path}: is nested too deeply") from error
    if not isinstance(content, dict):
        what = _WHAT_ELSE.get(type(content), "a single value")
        raise AsrmeterError(f"{path}: is {what}; a study has keys with values, at least name and models")
    if "__use_yte__" in content:
        raise AsrmeterError(f"{path}: __use_yte__ would run code; a study is plain YAML, write out what it makes")
    return content


def _text(path: Path) -> str:
    if os.path.isdir(path):
        raise AsrmeterError(f"{path}: is a folder; give the file of a study")
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        known = [name for name in beside if name.endswith((".yaml", ".yml", ".json"))]
        raise AsrmeterError(f"{path}: there is no such file{did_you_mean(path.name, known)}") from error
    except OSError as error:
        raise AsrmeterError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise AsrmeterError(f"{path}, line {line}: is no text in UTF-8; save it as such") from error


def _once(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in content if keys.count(key) > 1)
        raise AsrmeterError(f"{path}: the key {json.dumps(twice)} stands there twice; keep one")
    return content


def _yaml(text: str, path: Path) -> Any:
    # Part of Snakemake's own environment; imported here so that reading this module costs nothing.
    import yaml

    try:
        loader = yaml.FullLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, path, {}) > MOST_VALUES:
            raise AsrmeterError(f"{path}: comes to more than {MOST_VALUES:,} values with its anchors written out")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        problem = f"{error.context or ''} {error.problem or ''}".strip()
        way_out = next((way for sign, way in _WAYS_OUT.items() if sign in problem), _WAY_OUT)
        begun = error.context_mark
        if begun is not None and error.problem_mark is not None and begun.line < error.problem_mark.line:
            problem += f"; it begins in line {begun.line + 1}"
        mark = error.problem_mark or begun
        raise AsrmeterError(f"{_place(path, mark)}: is not YAML ({one_line(Exception(problem))}); {way_out}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise AsrmeterError(
            f"{path}, line {line}: holds the control sign U+{error.character:04X}; delete it"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # 2026-02-30, !!bool maybe
        raise AsrmeterError(f"{path}: holds what is no value ({one_line(error)}); put it in quotes") from error
    except RecursionError as error:
        raise AsrmeterError(f"{path}: is nested too deeply") from error


def _place(path: Path, mark: Any) -> str:
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)


def _size(node: Any, path: Path, known: dict[int, int], within: frozenset[int] = frozenset()) -> int:
    """Return the number of values that a node of YAML comes to; each is looked at once, however often it is meant.

    Raises:
        AsrmeterError: it holds something that YAML lets pass and nobody means.
    """
    if id(node) in within:
        raise AsrmeterError(f"{_place(path, node.start_mark)}: is an anchor within itself; write out what is meant")
    if id(node) not in known:
        parts = []
        if isinstance(node.value, str):
            _check_number(node, path)
        elif node.id == "mapping":
            _check_keys(node, path)
            parts = [part for pair in node.value for part in pair]
        else:
            parts = node.value
        known[id(node)] = 1 + sum(_size(part, path, known, within | {id(node)}) for part in parts)
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
                raise AsrmeterError(
                    f"{path}, line {line}: the key {key.value} stands in line {before} already; keep one"
                )
            lines[key.tag, key.value] = line
