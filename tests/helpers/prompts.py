"""Recorded speech in Russian and French: the prompts of a telephone exchange, which Debian packages with their texts.

CC-BY-SA 3.0, 8 kHz, one voice a language; texts have the punctuation and numbers of print.
"""

import csv
import gzip
import re
import shutil
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

LANGUAGES = ("ru", "fr")
_FEWEST_WORDS = 5
# Longer ones take as long to transcribe as many others.
_MOST_S = 10
# Two letters at least: some prompts spell a name.
_WORD = re.compile(r"[^\W\d_]{2,}")
_MARKUP = re.compile(r"[\[\]<>(){}|]|^[\w-]+:")


class Prompt(NamedTuple):
    """A recording, and what is said in it."""

    name: str
    file: Path
    text: str


def prompts(language: str, n: int | None = None) -> list[Prompt]:
    """Return `n` prompts of a language, spread over the alphabet of their names; None: all.

    The test is skipped where the packages are not installed.
    """
    package = f"asterisk-core-sounds-{language}"
    texts = Path(f"/usr/share/doc/{package}/core-sounds-{language}.txt.gz")
    sounds = Path(f"/usr/share/asterisk/sounds/{language}")
    if not texts.exists() or not sounds.is_dir():
        pytest.skip(f"recorded prompts are not installed: apt-get install {package} {package}-wav")
    found = []
    for line in sorted(gzip.decompress(texts.read_bytes()).decode().splitlines()):
        name, _, text = line.partition(": ")
        file, text = sounds / f"{name}.wav", text.replace("...", " ").strip()
        if not _MARKUP.search(text) and len(_WORD.findall(text)) >= _FEWEST_WORDS and 0 < _seconds(file) <= _MOST_S:
            found.append(Prompt(name, file, " ".join(text.split())))
    n = len(found) if n is None else n
    assert n <= len(found), f"there are {len(found)} prompts of {language}"
    return [found[i * len(found) // n] for i in range(n)]


def write_folder(folder: Path, numbers: Mapping[str, int], with_languages: bool = False) -> Path:
    """Make a folder of so many prompts of each language, and metadata.csv, with a column of languages if asked for."""
    rows = []
    for language, n in numbers.items():
        for prompt in prompts(language, n):
            file = f"{language}/{prompt.name}.wav"
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(prompt.file, folder / file)
            rows.append([file, prompt.text, language])
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as metadata:
        columns = ("file_name", "text", "language")[: 3 if with_languages else 2]
        csv.writer(metadata).writerows([columns, *(row[: len(columns)] for row in rows)])
    return folder


def _seconds(file: Path) -> float:
    if not file.is_file():
        return 0.0
    with wave.open(str(file)) as sound:
        return sound.getnframes() / sound.getframerate()
