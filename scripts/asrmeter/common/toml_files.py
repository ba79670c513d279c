"""TOML files in `resources/` as dataclasses: the keys of a table are the fields of its class."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from asrmeter.common.errors import AsrmeterError, did_you_mean

T = TypeVar("T")


def read_catalogue(path: Path, entry_type: type[T], key: str = "name") -> dict[str, T]:
    """Return the tables of a TOML file by name; the name is the field `key` of each entry.

    Raises:
        AsrmeterError: the file cannot be read, or a table lacks a key or has an unknown one.
    """
    return {name: _entry(f"{path}: {name}", entry_type, table, **{key: name}) for name, table in _read(path).items()}


def read_list(path: Path, key: str, entry_type: type[T]) -> list[T]:
    """Return the tables of a TOML file's list `key`, in their order.

    Raises:
        AsrmeterError: the file cannot be read or has no such list, or a table lacks a key or has an unknown one.
    """
    tables = _read(path).get(key)
    if not isinstance(tables, list):
        raise AsrmeterError(f"{path}: has no list {key}; write its entries below [[{key}]]")
    return [_entry(f"{path}: {key} {number}", entry_type, table) for number, table in enumerate(tables, start=1)]


def read_value(path: Path, key: str, kind: type[T]) -> T:
    """Return the value of a key of a TOML file.

    Raises:
        AsrmeterError: the file cannot be read, or has no such key of this kind.
    """
    value = _read(path).get(key)
    if not isinstance(value, kind):
        raise AsrmeterError(f"{path}: has no {key}; write one above its tables")
    return value


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AsrmeterError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise AsrmeterError(f"{path}: is not TOML ({error})") from error


def _entry(place: str, entry_type: type[T], table: Any, **given: Any) -> T:
    if not isinstance(table, Mapping):
        raise AsrmeterError(f"{place}: is not a table of keys and values")
    fields = [field for field in dataclasses.fields(entry_type) if field.name not in given]  # type: ignore[arg-type]
    known = [field.name for field in fields]
    if unknown := sorted(table.keys() - set(known)):
        hint = did_you_mean(unknown[0], known)
        raise AsrmeterError(f"{place}: unknown key {unknown[0]}{hint}; allowed are {', '.join(known)}")
    required = [field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING]
    if missing := [name for name in required if name not in table]:
        raise AsrmeterError(f"{place}: the key {', '.join(missing)} is missing")
    return entry_type(**given, **table)
