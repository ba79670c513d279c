"""The user's own folder: good files are used, bad ones are named, and mistakes are reported in one line."""

import csv
import io
import itertools
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import spoken
from asrmeter.corpora import folder_metadata, manifest
from asrmeter.corpora.build import build
from asrmeter.corpora.kinds import folder
from asrmeter.sources.integrity import SELECTION


def corpus(path: Path, **options: Any) -> folder.FolderCorpus:
    return folder.FolderCorpus(
        **{"kind": "folder", "name": "mine", "path": str(path), "licence": "mine", "language": "en"} | options
    )


def record(path: Path, length_s: float = 1.0, rate_hz: int = SAMPLE_RATE_HZ, n_channels: int = 1) -> None:
    n = round(length_s * rate_hz)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(n) / rate_hz) + np.random.default_rng(0).normal(0, 0.01, n)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.tile(tone[:, np.newaxis], n_channels), rate_hz)


def copy(source: Path, *targets: Path) -> None:
    """Copy a file to names that libraries do not write to."""
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def mixed(home: Path) -> list[str]:
    """Record 20 files of which cut.wav, empty.flac and untold.wav are bad; return the names of the good ones."""
    kinds = [(".wav", 8_000, 1), (".flac", 44_100, 2), (".mp3", 16_000, 1), (".ogg", 22_050, 1)]
    good = []
    for i in range(17):
        suffix, rate_hz, n_channels = kinds[i % len(kinds)]
        good.append(f"{'ab'[i % 2]}/{i:02d}{suffix}")
        record(home / good[-1], 1 + 0.2 * i, rate_hz, n_channels)
    record(home / "cut.wav", 2)
    os.truncate(home / "cut.wav", 44 + SAMPLE_RATE_HZ)
    (home / "empty.flac").touch()
    record(home / "untold.wav")
    texts = {name: f"words {i}, and more" for i, name in enumerate(good)} | {"cut.wav": "c", "empty.flac": "e"}
    lines = [f'{name},"{text}"' for name, text in texts.items()]
    (home / "metadata.csv").write_text("\n".join(["file_name,text", *lines, "untold.wav,  ", ""]))
    return good


def built(path: Path, output: Path, durations_s: list[int], **settings: Any) -> tuple[list[dict[str, Any]], Any]:
    build(corpus(path, **settings), durations_s, 1, output / "downloads", output / "corpus")
    rows = pq.read_table(output / "corpus" / manifest.SEGMENTS).to_pylist()
    return rows, json.loads((output / "corpus" / SELECTION).read_text())


@pytest.mark.parametrize("durations", ["joined", "natural"])
def test_mixed_folder_keeps_good_files_and_names_bad_ones(durations: str, tmp_path: Path) -> None:
    good = mixed(tmp_path / "f")
    rows, selection = built(tmp_path / "f", tmp_path, [3, 10], durations=durations)
    assert {name for row in rows for name in row["utterances"]} == set(good)
    assert {entry["name"]: entry["reason"] for entry in selection["skipped"]} == {
        "cut.wav": "truncated: only 0.50 of 2.00 s can be read",
        "empty.flac": "is empty (0 bytes)",
        "untold.wav": "has no text in metadata.csv",
    }
    texts = {name: f"words {i}, and more" for i, name in enumerate(good)}
    for row in rows:
        assert row["text"] == " ".join(texts[name] for name in row["utterances"])
        assert row["licence"] == "mine" and set(row["source"].split("; ")) <= {"a", "b"}
        samples, rate_hz = soundfile.read(tmp_path / "corpus" / row["path"])
        lengths_s = [1 + 0.2 * int(name[2:4]) for name in row["utterances"]]
        assert len(samples) / rate_hz == pytest.approx(sum(lengths_s) + 0.4 * (len(lengths_s) - 1), abs=0.001)
        if durations == "natural":
            assert (row["duration_s"],) == ((3,) if lengths_s[0] <= 3 else (10,)) and len(lengths_s) == 1


def spoken_in(home: Path, metadata: str, **settings: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of the utterances, and the skipped files with the reasons."""
    name = "metadata.jsonl" if metadata.startswith("{") else "metadata.csv"
    (home / name).write_text(metadata, encoding="utf-8")
    speech = folder.load(corpus(home, **settings), home / "downloads")
    return {utterance.id: utterance.text for utterance in speech.utterances}, speech.skipped


def test_every_fault_of_a_file_is_reported(tmp_path: Path) -> None:
    home = tmp_path / "f"
    for name in ("good.wav", "unlisted.MP3", "null.wav", "deep/er/good.flac", ".hidden.wav"):
        record(home / name)
    (home / "text.wav").write_text("spoken words")
    (home / "notes.txt").write_text("no audio")
    soundfile.write(home / "nan.wav", np.full(99, np.nan), 16_000, "FLOAT")
    soundfile.write(home / "silent.wav", np.zeros(0), 16_000)
    entries = ["good.wav", "missing.wav", "text.wav", "nan.wav", "silent.wav", "../out.wav", "deep//er/good.flac"]
    lines = [{"file_name": name, "text": " it is\nsaid "} for name in (*entries, "./good.wav")]
    lines += [{"file_name": "null.wav", "text": None}, {"file_name": "good.wav", "text": "other"}]
    assert spoken_in(home, "\n".join(map(json.dumps, lines))) == (
        {"good.wav": "it is said", "deep/er/good.flac": "it is said"},
        {
            "missing.wav": "is missing",
            "text.wav": "is text; fetch the file itself",
            "nan.wav": "has samples that are NaN or infinite",
            "silent.wav": "has no sound (0 samples)",
            "../out.wav": "is not in the folder",
            "good.wav (line 8)": "is listed before; this line is ignored",
            "null.wav": "has no text in metadata.jsonl",
            "good.wav (line 10)": "is listed before; this line is ignored",
            "unlisted.MP3": "has no line in metadata.jsonl",
        },
    )


@pytest.mark.parametrize(
    "metadata",
    [
        "file_name,text\na.wav,said\n",
        "\ufefffile_name,text\r\na.wav,said\r\n",
        "\n file_name , text \n\n a.wav ,said\n,\n",
        "file_name;text;speaker\r\na.wav;said;me\r\n;;\r\n",
        "text\tfile_name\nsaid\ta.wav\n",
        'file_name,text\na.wav,"said\n"\n',
        '\ufeff{"file_name": "a.wav", "text": "said"}\n\n',
    ],
)
def test_metadata_is_read_as_programs_write_it(metadata: str, tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    if metadata.startswith("\ufeff{"):
        (tmp_path / "metadata.jsonl").write_text(metadata)
        metadata = metadata.removeprefix("\ufeff")
    assert spoken_in(tmp_path, metadata) == ({"a.wav": "said"}, {})


def test_names_are_found_in_any_encoding_of_accents(tmp_path: Path) -> None:
    record(tmp_path / "sub" / "u\u0308ber.wav")
    assert spoken_in(tmp_path, "file_name,text\nsub\\\u00fcber.wav,ja\n") == ({"sub/\u00fcber.wav": "ja"}, {})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "metadata.csv",
            "",
            "metadata.csv has no column file_name with the audio files relative to the folder; it has n",
        ),
        (
            "metadata.csv",
            "a.wav,said\n",
            "metadata.csv has no column file_name with the audio files relative to the fol",
        ),
        (
            "metadata.csv",
            "file_name,text\n\n",
            "metadata.csv lists no files; each file needs a line with file_name and text",
        ),
        (
            "metadata.csv",
            "file_name;words\n",
            "metadata.csv has no column text; it has file_name, words: set corpus.te",
        ),
        ("metadata.csv", "file_name,text\na.wav,a, b\n", 'line 2 has 3 fields, not 2; a text with a "," in it must be'),
        ("metadata.csv", "file_name,text\n,said\n", "metadata.csv, line 2 has no file_name"),
        ("metadata.csv", 'file_name,text\na.wav,"a\nb.wav,b\n', "line 2 opens a double quote that is never closed; "),
        ("metadata.csv", "file_name,text\nb.wav,b\n", "none of the 1 files that"),
        ("metadata.csv", f"file_name,text\n{'b' * 9999},b\n", "none of the 1 files that"),
        ("metadata.csv", "x" * 10**6, "metadata.csv has no column file_name"),
        (
            "metadata.csv",
            b"file_name,text\na.wav,gr\xfcn\n",
            "metadata.csv, line 2 is not UTF-8; save it as UTF-8 (in E",
        ),
        ("metadata.csv", b"file_name,text\ngr\xfcn.wav,a\n", "metadata.csv, line 2 is not UTF-8; save it as UTF-8 (in"),
        (
            "metadata.csv",
            b"file_name,text,gr\xfcn\na.wav,a\n",
            "metadata.csv, line 1 is not UTF-8; save it as UTF-8 (in",
        ),
        ("metadata.csv", "file_name,text\n".encode("utf-16"), "metadata.csv is text in UTF-16; save it as UTF-8"),
        ("metadata.jsonl", '{"file_name": "a.wav", "text": "a"}\n{"file_name"}', "metadata.jsonl, line 2 is not JSON"),
        ("metadata.jsonl", '["a.wav", "a"]', "line 1 is not an object with file_name and text"),
        (
            "metadata.jsonl",
            '{"file": "a.wav", "text": "a"}',
            "metadata.jsonl has no column file_name with the audio",
        ),
        (
            "metadata.jsonl",
            '{"file_name": "a.wav", "said": "a"}',
            "metadata.jsonl has no column text; it has file_name",
        ),
        ("metadata.jsonl", '{"file_name": 1, "text": "a"}', "metadata.jsonl, line 1 has no file_name"),
        ("metadata.jsonl", "\n", "metadata.jsonl lists no files; each file needs a line with file_name and text"),
    ],
)
def test_mistakes_in_the_metadata_are_one_line(
    name: str | None, content: str | bytes, message: str, tmp_path: Path
) -> None:
    record(tmp_path / "f" / "a.wav")
    if name:
        (tmp_path / "f" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(AsrmeterError) as caught:
        corpus(tmp_path / "f").check()
    assert message in str(caught.value)
    assert str(caught.value).startswith(("corpus.path: ", "corpus.text: ")) and "\n" not in str(caught.value)


# Signs that CSV, JSON or names are made of, odd ones, and whole pieces that metadata has.
PIECES = st.sampled_from(
    [*',;"\t\n\r \\{}:/1\0\x1b\ufeff\u202e\udce9', '""', "file_name", "a.wav", "../", "\\ud83d"]
) | (st.sampled_from(['{"file_name": "a.wav", "text": "', '"}', "\r\n", "text"]))


@given(st.lists(PIECES | st.text(max_size=4)).map("".join), st.sampled_from(folder_metadata.METADATA))
def test_any_metadata_is_read_or_refused(any_folder: Path, content: str, name: str) -> None:
    header = "file_name,text\n" if name.endswith(".csv") else ""
    for other in folder_metadata.METADATA:
        (any_folder / other).unlink(missing_ok=True)
    (any_folder / name).write_bytes((header + content).encode("utf-8", "surrogateescape" if header else "replace"))
    try:
        speech = folder.load(corpus(any_folder), any_folder)
        assert len({bool(utterance.text) for utterance in speech.utterances}) < 2
    except AsrmeterError as error:
        assert str(error).startswith(("corpus.path: ", "corpus.text: "))
        assert len(str(error).splitlines()) == 1 and str(error).isprintable()


@pytest.fixture(scope="module")
def any_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("any")
    record(home / "a.wav", 0.2)
    return home


FIELDS = st.text(st.sampled_from(list('ab1é,;\t" \n\r\\')) | st.characters(codec="utf-8"), max_size=9)


@example([("a", "\x0c")], ",", csv.QUOTE_MINIMAL, "\n", False)
@given(
    st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=5),
    st.sampled_from(",;\t"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_any_dialect_is_read_as_the_right_one_or_refused(
    any_folder: Path, rows: list[tuple[str, str]], delimiter: str, quoting: Any, end: str, text_first: bool
) -> None:
    """Python's own writer and reader are the oracle. What cannot be written without quotes is written raw."""
    table = [("file_name", "text", "x"), *((f"{name}.wav", text, "x") for name, text in rows)]
    table = [(text, name, x) if text_first else (name, text, x) for name, text, x in table]
    content = io.StringIO()
    try:
        csv.writer(content, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(table)
    except csv.Error:
        content = io.StringIO("".join(f"{delimiter.join(row)}{end}" for row in table))
    path = any_folder / "metadata.csv"
    (any_folder / "metadata.jsonl").unlink(missing_ok=True)
    path.write_bytes(content.getvalue().encode())
    oracle = csv.DictReader(
        io.StringIO(content.getvalue(), newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    try:
        read = folder_metadata.read(path, "text")
    except AsrmeterError as error:
        assert str(error).isprintable()
        return
    wanted = [row for row in oracle if any(field and field.strip() for field in row.values())]
    assert [entry.file for entry in read] == [row["file_name"] for row in wanted]
    assert [entry.text for entry in read] == [" ".join(spoken(row["text"] or "").split()) for row in wanted]


def listing(home: Path, metadata: str | bytes, *names: str) -> list[folder_metadata.Entry]:
    """Return what the metadata of a folder with some (empty) files says."""
    for name in names:
        (home / name).touch()
    path = home / ("metadata.jsonl" if metadata[:1] in ("{", b"{") else "metadata.csv")
    path.write_bytes(metadata.encode() if isinstance(metadata, str) else metadata)
    return folder_metadata.read(path, "text")


SWALLOWED = "and what is between them looks like lines of their own"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        # A quote that closes where another text ends takes the lines between.
        (
            'file_name;text\na;b\nf2.wav;"Yes\nf3.wav;number 3\nf4.wav;ok"\n',
            f"line 3 opens a double quote that ends in line 5, {SWALLOWED}",
        ),
        ('file_name,text\nf2.wav,"Yes\nf3.wav,ok"\n', f"line 2 opens a double quote that ends in line 3, {SWALLOWED}"),
        (
            'text,file_name\n"Yes,f2.wav\nnumber 3,f3.wav\nok",f4.wav\n',
            f"line 2 opens a double quote that ends in line 4, {SWALLOWED}",
        ),
        (
            'file_name,speaker,text\na.wav,"me\n\nand you","Yes\rb.wav,me,ok"\n',
            f"line 4 opens a double quote that ends in line 5, {SWALLOWED}",
        ),
        # Names that do not look like audio: of a file of the folder, or where the name of one is.
        ('file_name,text\nf2,"Yes\nthere\nok"\n', f"line 2 opens a double quote that ends in line 4, {SWALLOWED}"),
        (
            'file_name\ttext\nf2\t"Yes\nf3\tno\nf4\tok"\n',
            f"line 2 opens a double quote that ends in line 4, {SWALLOWED}",
        ),
        # A quote that is never closed, or only by the next one.
        ('file_name,text\na.wav,a\nb.wav,"b\n' + "c.wav,c\n" * 20_000, "line 3 opens a double quote that is never clo"),
        (
            'file_name,text\na.wav,a\nb.wav,"b\nc.wav,c\nd.wav,"d d"\n',
            "line 3 opens a double quote, and more text follows where it is closed in line 5; write a double qu",
        ),
        (
            'file_name,text,x\na.wav,"a\na",x\nb.wav,"b ""b"" \n\n", "x\n',
            "line 6 opens a double quote that is never closed",
        ),
        (
            'file_name,text\na.wav,"a \\"b\\" c"\n',
            "line 2 opens a double quote, and more text follows where it is closed;",
        ),
        ('file_name,text\na.wav,"a" b\n', 'inside of quotes twice, and "," or the end of the line after them'),
        (
            'file_name,text\na.wav,\u00a0"a, b"\n',
            'line 2 has a character between "," and a double quote; nothing may be there',
        ),
        (
            "file_name,text\na.wav,'a, b'\n",
            'line 2 has 3 fields, not 2; a text with a "," in it must be in double quotes',
        ),
        ("file_name,text\na.wav;said\n", 'line 2 is not separated by ",", as the first line is (a.wav;said); use one'),
        (
            "file_name;text\na.wav\tsaid\n",
            'line 2 is not separated by ";", as the first line is (a.wav\\tsaid); use one',
        ),
        ("file_name,text,x;file_name;text;x\n", 'the separator of the fields is ambiguous ("," or ";"); use one'),
        ("file_name,text,text\na.wav,a,b\n", "metadata.csv has the column text twice; give each its own name"),
        ("file_name,text, file_name \na.wav,a,b\n", "metadata.csv has the column file_name twice; give each its"),
        ("file_name,text,by,by\na.wav,a,b,c\n", "metadata.csv has the column by twice; give each its own name"),
        (
            '{"file_name": "a.wav", "text": "a"}\n{"file_name": "a.wav", "text": "a", "text": "b"}',
            "line 2 has the key text twice",
        ),
        ('{"file_name": "a.wav", "text": "a", "\\u001b": 1, "\\u001b": 2}', "line 1 has the key \\x1b twice; keep one"),
        ('{"file_name": ["a.wav"], "text": "a"}', "line 1 has no file_name (a list is not a name)"),
        ("[" * 100_000, "has no column file_name"),
        ('{"file_name": ' + "[" * 100_000, "line 1 is JSON that is nested too deeply"),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "is a git-lfs pointer, not the file; fetch the file",
        ),
        ("<!DOCTYPE html>\n<html><title>404</title>", "metadata.csv is a web page; download the file itself"),
        (
            b"PK\x03\x04" + bytes(22) + b"\x13\0\0\0[Content_Types].xml" + bytes(99),
            'metadata.csv is a spreadsheet or another document of an office program; save it as "CSV UTF-8"',
        ),
        ("file_name,text\na.wav,a\n".encode("utf-16-le"), "metadata.csv is text in UTF-16; save it as UTF-8"),
        ("file_name,text\na.wav,a\n".encode("utf-16-be"), "metadata.csv is text in UTF-16; save it as UTF-8"),
        (b"PK\x03\x04" + bytes(99), 'is a ZIP archive (a spreadsheet?); save it as UTF-8 (in Excel: "CSV UTF-8")'),
        (b"\x1f\x8b\x08\0" + bytes(20), "metadata.csv is compressed by gzip; unpack it"),
        (
            b"\x07\x1b[31m\xff,\0\n" * 99,
            "has no column file_name with the audio files relative to the folder; it has \\x07\\x1b[31m\\xff, \\x00",
        ),
        ("a\ufeffb,text\n", "it has a\\ufeffb, text"),
    ],
)
def test_what_could_be_another_text_is_refused_by_its_line(metadata: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(AsrmeterError) as caught:
        listing(tmp_path, metadata, "there")
    assert message in str(caught.value)
    assert str(caught.value).startswith("corpus.path: ") and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"line one\nline two"', "line one line two"),  # Alt+Enter in Excel
        (
            '"Shall I compare thee\r\nThou art more lovely, and more temperate:\r\nRough winds"',
            "Shall I compare thee Thou art more lovely, and more temperate: Rough winds",
        ),
        ('"He said ""yes, no""\n\nand went, ok"', 'He said "yes, no" and went, ok'),
        ('"It is song.mp3\nthat I mean, not a.wav."', "It is song.mp3 that I mean, not a.wav."),
        (' "hello, there"', "hello, there"),
        ('   "hello"', "hello"),
        ('he said "yes', 'he said "yes'),
        ('"' + "word " * 200_000 + '"', ("word " * 200_000).strip()),
    ],
)
@pytest.mark.parametrize("text_first", [False, True])
def test_texts_in_quotes_are_read(written: str, text: str, text_first: bool, tmp_path: Path) -> None:
    pieces = ("text,file_name", f"{written.strip()},a.wav") if text_first else ("file_name,text", f"a.wav,{written}")
    (entry,) = listing(tmp_path, "\n".join(pieces), "a.wav", "b.wav")
    assert entry[:4] == (2, "a.wav", text, "")


@pytest.mark.parametrize("marks", [0, 1, 2, 3])
@pytest.mark.parametrize("metadata", ["file_name,text\na.wav,said\n", '{"file_name": "a.wav", "text": "said"}\n'])
def test_byte_order_marks_are_no_part_of_the_text(metadata: str, marks: int, tmp_path: Path) -> None:
    name = "metadata.jsonl" if metadata.startswith("{") else "metadata.csv"
    (tmp_path / name).write_text("\ufeff" * marks + metadata, encoding="utf-8")
    assert [entry[1:3] for entry in folder_metadata.read(tmp_path / name, "text")] == [("a.wav", "said")]


def test_a_name_is_looked_for_as_it_is_written(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "f", tmp_path / "elsewhere"
    odd = os.fsdecode(b"caf\xe9.wav")
    there = [
        ".a.wav",
        " lead.wav",
        "trail.wav ",
        "a\\b.wav",
        "b.wav",
        "abs.wav",
        odd,
        "e\u0301.wav",
        "\u00e9.wav",
        "\x1b[31m.wav",
    ]
    record(home / "b.wav", 0.2)
    copy(home / "b.wav", *(home / name for name in ("sub/.hidden/c.wav", *there) if name != "b.wav"))
    record(elsewhere / "linked.wav", 0.2)
    (home / "link.wav").symlink_to(elsewhere / "linked.wav")
    (home / "dir").symlink_to(elsewhere)
    (tmp_path / "alias").symlink_to(home)
    written = {name: name for name in there} | {
        "sub/.hidden/c.wav": "sub/.hidden/c.wav",
        str(home / "abs.wav"): "abs.wav",
        "link.wav": "link.wav",
        "dir/linked.wav": "dir/linked.wav",
    }
    del written["abs.wav"]
    lines = [json.dumps({"file_name": name, "text": f"number {i}"}) for i, name in enumerate(written)]
    texts, skipped = spoken_in(home, "\n".join(lines))
    assert (sorted(texts.values()), skipped) == (sorted(f"number {i}" for i in range(len(written))), {})
    assert list(written.values())[-2:] == list(texts)[-2:]
    # Every one has its own sound, and the corpus is written and read.
    rows, _ = built(home, tmp_path, [5], durations="natural")
    assert "caf\\xe9.wav" in [name for row in rows for name in row["utterances"]]
    assert corpus(tmp_path / "alias").fingerprint_inputs()[1] == corpus(home).fingerprint_inputs()[1]
    (home / "metadata.jsonl").unlink()
    assert spoken_in(home, f"file_name,text\n{tmp_path}/alias/abs.wav,a\nsub\\.hidden\\c.wav,b\n")[0] == {
        "abs.wav": "a",
        "sub/.hidden/c.wav": "b",
    }
    # A name in bytes, as a program of the shell writes it.
    (home / "metadata.csv").write_bytes(b"file_name,text\ncaf\xe9.wav,yes\n")
    assert [utterance.recording for utterance in folder.load(corpus(home), home).utterances] == [odd]


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    home = tmp_path / "f"
    record(home / "good.wav", 0.2)
    for name in ("number.wav", "flag.wav", "list.wav", "half.wav", "long.wav"):
        record(home / name, 0.2)
    record(tmp_path / "out.wav", 0.2)
    os.mkfifo(home / "pipe.wav")
    (home / "folder.wav").mkdir()
    (home / "zero.wav").symlink_to("/dev/zero")
    (home / "lost.wav").symlink_to("nowhere")
    texts = {
        "good.wav": "yes",
        "number.wav": 911,
        "flag.wav": True,
        "list.wav": ["a"],
        "half.wav": "hello \ud83d there",
    }
    texts |= dict.fromkeys(("pipe.wav", "folder.wav", "zero.wav", "lost.wav", "../out.wav", "gone\x1b.wav", "\0"), "a")
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in texts.items()]
    lines.append(f'{{"file_name": "long.wav", "text": {"1" * 5000}}}')
    assert spoken_in(home, "\n".join(lines)) == (
        {"good.wav": "yes"},
        {
            "number.wav": "its text is a number, not a text (metadata.jsonl, line 2); write it in quotes",
            "flag.wav": "its text is true or false, not a text (metadata.jsonl, line 3)",
            "list.wav": "its text is a list, not a text (metadata.jsonl, line 4)",
            "half.wav": "its text has half a character (metadata.jsonl, line 5: hello \\ud83d there)",
            "long.wav": "its text is a number, not a text (metadata.jsonl, line 13); write it in quotes",
            "pipe.wav": "is a pipe, not a file",
            "folder.wav": "is a folder, not a file",
            "zero.wav": "is a device, not a file",
            "lost.wav": "is a broken link, not a file",
            "../out.wav": "is not in the folder",
            "gone\x1b.wav": "is missing",
            "\0": "is missing",
        },
    )


@pytest.mark.parametrize(
    ("make", "what"), [(os.mkfifo, "is a pipe, not a file"), (os.mkdir, "is a folder, not a file")]
)
def test_the_metadata_is_a_file(make: Any, what: str, tmp_path: Path) -> None:
    make(tmp_path / "metadata.csv")
    with pytest.raises(AsrmeterError, match=rf"^corpus\.path: .*/metadata\.csv: {what}$"):
        corpus(tmp_path).check()


def test_metadata_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "metadata.csv", "wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(AsrmeterError, match=r"has 1,000,000 MB, more than the 1,000 MB allowed for such a file"):
        corpus(tmp_path).check()


def test_odd_names_and_texts_are_shown_escaped(tmp_path: Path) -> None:
    home = tmp_path / "f"
    record(home / "good.wav")
    red, *unlisted = map(
        os.fsdecode, (b"\xe9\x1b/red\x1b[31m.wav", b"caf\xe9.wav", b"two\nlines.wav", b"\xe2\x80\xaegnp.wav")
    )
    copy(home / "good.wav", *(home / name for name in (red, *unlisted)))
    lines = [{"file_name": "good.wav", "text": "yes \x1b[31m\u202eno\ufeff\0"}]
    lines += [{"file_name": red, "text": "red"}]
    (home / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows, selection = built(home, tmp_path, [3], durations="natural")
    assert [row["utterances"] for row in rows] == [["good.wav"], ["\\xe9\\x1b/red\\x1b[31m.wav"]]
    assert [row["source"] for row in rows] == ["mine", "\\xe9\\x1b"]
    assert [row["text"] for row in rows] == ["yes [31mno", "red"]
    assert json.loads((tmp_path / "corpus" / "segments.json").read_text()) == rows
    names = [entry["name"] for entry in selection["skipped"]]
    assert sorted(names) == ["\\u202egnp.wav", "caf\\xe9.wav", "two\\nlines.wav"]


def test_the_folder_is_found_and_there_is_one_metadata_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(tmp_path / "f")
    monkeypatch.setenv("HOME", str(tmp_path))
    corpus(Path("~/f")).check()
    monkeypatch.chdir(tmp_path)
    corpus(Path("f")).check()
    assert corpus(Path("f/../f/")).default_name() == "f"
    with pytest.raises(AsrmeterError, match=r"^corpus\.path: g is not a folder$"):
        corpus(Path("g")).check()
    (tmp_path / "f" / "metadata.jsonl").touch()
    with pytest.raises(AsrmeterError, match=r"f has both metadata\.csv and metadata\.jsonl; keep one$"):
        corpus(Path("f")).check()


WITHOUT_TEXTS = [
    (None, {}),
    ("file_name\nb/two.wav\na.wav\n", {}),
    ('file_name\n"a,b;c.wav"\na.wav\n', {}),
    ("file_name,text\na.wav,\nb/two.wav, \n", {}),
    ("file_name;speaker\na.wav;me\nb/two.wav;you\n", {"text": None}),
    ('{"file_name": "a.wav"}\n{"file_name": "b/two.wav"}\n', {}),
    ('{"file_name": "a.wav", "text": null}\n{"file_name": "b/two.wav", "text": ""}\n', {}),
    ('{"file_name": "a.wav", "text": 7, "said": "x"}\n', {"text": None}),
]


@pytest.mark.parametrize(("metadata", "settings"), WITHOUT_TEXTS)
def test_audio_needs_no_texts(metadata: str | None, settings: dict[str, Any], tmp_path: Path) -> None:
    home = tmp_path / "f"
    for name in ("a.wav", "b/two.wav", "a,b;c.wav"):
        record(home / name)
    (home / "notes.txt").write_text("no audio")
    if metadata:
        (home / f"metadata.{'jsonl' if metadata.startswith('{') else 'csv'}").write_text(metadata)
    corpus(home, **settings).check()
    assert corpus(home, **settings).fingerprint_inputs()[1]
    rows, selection = built(home, tmp_path, [3], durations="natural", **settings)
    listed = {name for name in ("a.wav", "b/two.wav", "a,b;c.wav") if metadata is None or name in metadata}
    assert {name for row in rows for name in row["utterances"]} == listed
    assert {row["text"] for row in rows} == {""}
    left_out = {"a.wav", "b/two.wav", "a,b;c.wav"} - listed
    assert {one["name"] for one in selection["skipped"]} == left_out
    joined, _ = built(home, tmp_path / "joined", [3], **settings)
    assert {row["text"] for row in joined} == {""}


@pytest.mark.parametrize(
    ("metadata", "text", "message"),
    [
        (
            None,
            "said",
            r"has neither metadata\.csv nor metadata\.jsonl; .* or corpus\.text: null if there are no texts$",
        ),
        (
            "file_name,said\na.wav,x\n",
            "text",
            r"has no column text; it has file_name, said: set corpus\.text to .* null",
        ),
        ("file_name\na.wav\n", "said", r"has no column said; it has file_name: set corpus\.text"),
    ],
)
def test_texts_that_may_be_meant_are_not_left_out(
    metadata: str | None, text: str, message: str, tmp_path: Path
) -> None:
    record(tmp_path / "a.wav")
    if metadata:
        (tmp_path / "metadata.csv").write_text(metadata)
    with pytest.raises(AsrmeterError, match=message):
        corpus(tmp_path, text=text).check()


def test_a_folder_without_audio_and_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"has no audio file, and neither metadata\.csv nor metadata\.jsonl$"):
        corpus(tmp_path).check()


def test_the_text_may_have_another_column(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    metadata = "file_name,text,sentence\na.wav,raw,spoken\n"
    assert spoken_in(tmp_path, metadata, text="sentence") == ({"a.wav": "spoken"}, {})


@pytest.mark.parametrize(
    ("path", "name"),
    [("/data/My speech (2024)", "My-speech-2024"), ("/d/.hidden_", "hidden"), ("/", "corpus"), ("/d/日本", "corpus")],
)
def test_the_corpus_is_named_after_the_folder(path: str, name: str) -> None:
    assert corpus(Path(path)).default_name() == name


def test_fingerprint_inputs_change_with_the_speech_only(tmp_path: Path) -> None:
    home = tmp_path / "f"
    mixed(home)
    record(tmp_path / "elsewhere.wav")

    def inputs() -> Any:
        made = corpus(home).fingerprint_inputs()
        assert json.loads(json.dumps(made)) == made
        return made

    seen = [inputs()]
    (home / "README.txt").write_text("new")
    (home / ".b.wav").touch()
    record(home / "more.WAV")  # not listed: reported when the corpus is built again
    assert inputs() == seen[0]
    os.utime(home / "a" / "00.wav", ns=(1, 1))
    seen.append(inputs())
    with open(home / "metadata.csv", "a") as stream:
        stream.write("b/linked,said\n")
    seen.append(inputs())
    (home / "b" / "linked").symlink_to(tmp_path / "elsewhere.wav")
    seen.append(inputs())
    (home / "b" / "loop").symlink_to(home)
    shutil.rmtree(home / "a")
    seen.append(inputs())
    assert all(before != after for before, after in itertools.pairwise(seen))
    assert [name for name, _, _ in seen[-1][1]] == sorted(name for name, _, _ in seen[-1][1])


def test_planner_is_quick_with_many_files(tmp_path: Path) -> None:
    for i in range(2_000):
        (tmp_path / f"{i}.wav").touch()
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text", *(f"{i}.wav,said" for i in range(2_000))]))
    before_s = time.process_time()
    corpus(tmp_path).check()
    corpus(tmp_path).fingerprint_inputs()
    assert time.process_time() - before_s < 1


@pytest.mark.parametrize("durations", ["joined", "natural"])
def test_utterances_longer_than_every_class_are_named(durations: str, tmp_path: Path) -> None:
    record(tmp_path / "f" / "short.wav", 2)
    record(tmp_path / "f" / "long.wav", 4.5)
    (tmp_path / "f" / "metadata.csv").write_text("file_name,text\nshort.wav,said\nlong.wav,much\n")
    rows, selection = built(tmp_path / "f", tmp_path, [3], durations=durations)
    assert [row["utterances"] for row in rows] == [["short.wav"]]
    assert selection["skipped"] == [{"name": "long.wav", "reason": "4.5 s long: add 5 to durations_s"}]
    with pytest.raises(AsrmeterError, match=r"^mine: there is no usable audio; 2 files were left out, see above$"):
        built(tmp_path / "f", tmp_path, [1], durations=durations)


def test_class_without_segments_names_those_that_have_some(tmp_path: Path) -> None:
    record(tmp_path / "f" / "a.wav", 2)
    (tmp_path / "f" / "metadata.csv").write_text("file_name,text\na.wav,said\n")
    with pytest.raises(AsrmeterError, match=r"^mine: no segment of 10, 30 s .*; write durations_s: \[3\], which have"):
        built(tmp_path / "f", tmp_path, [3, 10, 30])


@pytest.mark.parametrize("durations", ["joined", "natural"])
def test_added_files_leave_the_segments_that_were_there(durations: str, tmp_path: Path) -> None:
    home = tmp_path / "f"
    for i in range(1, 9):
        record(home / f"{i}.wav", 1 + 0.2 * i)
    before, _ = built(home, tmp_path, [2, 5], durations=durations)
    for name in ("0.wav", "5-and-a-half.wav", "9.wav"):
        record(home / name, 1.55)
    after, _ = built(home, tmp_path, [2, 5], durations=durations)
    kept = [row for row in after if not row["addition"]]
    assert kept == before
    new = {name for row in after if row["addition"] for name in row["utterances"]}
    assert {"0.wav", "5-and-a-half.wav", "9.wav"} <= new
    assert durations == "joined" or len(new) == 3
    record(home / "0.wav", 1.7)
    (home / "8.wav").unlink()
    third, _ = built(home, tmp_path, [2, 5], durations=durations)
    gone = [row for row in after if {"0.wav", "8.wav"} & set(row["utterances"])]
    if durations == "natural":
        assert [row for row in third if row in after] == [row for row in after if row not in gone]
        assert max(row["addition"] for row in third) == 2
    else:
        assert {row["addition"] for row in third} == {0}
    # Another study of the same folder has nothing to keep.
    other, _ = built(home, tmp_path, [2, 6], durations=durations)
    assert {row["addition"] for row in other} == {0}


def test_file_that_changes_in_between_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.wav,said\n")
    speech = folder.load(corpus(tmp_path), tmp_path)
    clip, unfit = speech.fetch(speech.utterances)
    assert len(clip(speech.utterances[0]).samples) == SAMPLE_RATE_HZ and not unfit
    assert speech.utterances[0].source == "mine"
    record(tmp_path / "a.wav", 2)
    with pytest.raises(AsrmeterError, match=r"a\.wav: was changed while the corpus was made; run again"):
        clip(speech.utterances[0])
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AsrmeterError, match=r"a\.wav: cannot be read"):
        clip(speech.utterances[0])


def test_clips_too_short_for_a_word_are_named(tmp_path: Path) -> None:
    home = tmp_path / "f"
    lines = ["file_name,text"]
    for n in (1, 200, 1599, 1600, 32_000):
        home.mkdir(exist_ok=True)
        soundfile.write(home / f"{n}.wav", np.random.default_rng(0).normal(0, 0.1, n), 16_000)
        lines.append(f"{n}.wav,said")
    (home / "metadata.csv").write_text("\n".join(lines))
    for durations in ("joined", "natural"):
        rows, selection = built(home, tmp_path, [3], durations=durations)
        assert {name for row in rows for name in row["utterances"]} == {"1600.wav", "32000.wav"}
        assert selection["skipped"] == [
            {"name": "1.wav", "reason": "is silent: its level never exceeds -72 dB of full scale"}
            if n == 1
            else {"name": f"{n}.wav", "reason": f"{n / 16_000:.2f} s is too short for a word"}
            for n in (1, 200, 1599)
        ]


def test_what_was_put_right_is_recorded(tmp_path: Path) -> None:
    home = tmp_path / "f"
    home.mkdir()
    sound = np.random.default_rng(0).normal(0, 0.1, 32_000)
    soundfile.write(home / "opposite.flac", np.stack([sound, -sound], axis=1), 16_000)
    soundfile.write(home / "good.wav", sound, 16_000)
    (home / "metadata.csv").write_text("file_name,text\nopposite.flac,said\ngood.wav,said\n")
    rows, selection = built(home, tmp_path, [3], durations="natural")
    how = "channel 1 of 2 alone, because the channels cancel out"
    assert [row["mended"] for row in rows] == [f"opposite.flac: {how}", None]
    assert selection["mended"] == [{"name": "opposite.flac", "how": how}]
