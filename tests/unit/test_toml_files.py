"""TOML catalogues are read into dataclasses, and each mistake in one is reported in one line."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.toml_files import read_catalogue, read_list


@dataclass(frozen=True)
class Entry:
    name: str
    version: str
    files: list[str] = field(default_factory=list)


def test_tables_become_entries_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[one]\nversion = "1"\n[two]\nversion = "2"\nfiles = ["x"]\n')
    assert read_catalogue(path, Entry) == {"one": Entry("one", "1"), "two": Entry("two", "2", ["x"])}


def test_list_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[[item]]\nname = "b"\nversion = "1"\n[[item]]\nname = "a"\nversion = "2"\n')
    assert read_list(path, "item", Entry) == [Entry("b", "1"), Entry("a", "2")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[one", "is not TOML (Expected ']'"),
        ("\xff", "is not TOML ("),
        ("version = 1", "version: is not a table of keys and values"),
        ("[one]", "one: the key version is missing"),
        ('[one]\nversoin = "1"', "one: unknown key versoin (did you mean version?); allowed are version, files"),
        ('[one]\nversion = "1"\nname = "x"', "one: unknown key name; allowed are version, files"),
    ],
)
def test_mistakes_in_a_catalogue_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(AsrmeterError) as caught:
        read_catalogue(path, Entry)
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no list item; write its entries below [[item]]"),
        ('[[item]]\nname = "a"\nversion = "1"\n[[item]]\nname = "b"', "item 2: the key version is missing"),
    ],
)
def test_mistakes_in_a_list_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(AsrmeterError) as caught:
        read_list(path, "item", Entry)
    assert str(caught.value) == f"{path}: {message}"


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"none\.toml: cannot be read \(No such file"):
        read_catalogue(tmp_path / "none.toml", Entry)
