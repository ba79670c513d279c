"""The user's own folder: good files are used, bad ones are named, and mistakes are reported in one line."""

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
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora import manifest
from asrmeter.corpora.build import build
from asrmeter.corpora.kinds import folder
from asrmeter.sources.integrity import SELECTION


def corpus(path: Path, **options: Any) -> folder.FolderCorpus:
    return folder.FolderCorpus(**{"kind": "folder", "name": "mine", "path": str(path), "licence": "mine"} | options)


def record(path: Path, length_s: float = 1.0, rate_hz: int = SAMPLE_RATE_HZ, n_channels: int = 1) -> None:
    n = round(length_s * rate_hz)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(n) / rate_hz) + np.random.default_rng(0).normal(0, 0.01, n)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.tile(tone[:, np.newaxis], n_channels), rate_hz)


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
            "text.wav": "is text; put the file itself in its place",
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
        (None, "", "f has neither metadata.csv nor metadata.jsonl; write one with the columns file_name (relative to"),
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
        ("metadata.csv", "file_name,text\n\n", "metadata.csv lists no file; each needs a line with file_name and text"),
        (
            "metadata.csv",
            "file_name;words\n",
            "metadata.csv has no column text; it has file_name, words: set corpus.te",
        ),
        ("metadata.csv", "file_name,text\na.wav,a, b\n", 'line 2 has 3 fields, not 2; a text with a "," in it must be'),
        ("metadata.csv", "file_name,text\n,said\n", "metadata.csv, line 2 has no file_name"),
        ("metadata.csv", 'file_name,text\na.wav,"a\nb.wav,b\n', "line 3 is not CSV (unexpected end of data); a double"),
        ("metadata.csv", "file_name,text\nb.wav,b\n", "none of the 1 files that"),
        ("metadata.csv", f"file_name,text\n{'b' * 9999},b\n", "none of the 1 files that"),
        ("metadata.csv", "x" * 10**6, "metadata.csv has no column file_name"),
        ("metadata.csv", b"file_name,text\na.wav,gr\xfcn\n", 'metadata.csv, line 2 is not UTF-8; save it as "CSV UTF-'),
        ("metadata.csv", "file_name,text\n".encode("utf-16"), 'metadata.csv, line 1 is not UTF-8; save it as "CSV UTF'),
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
        ("metadata.jsonl", "\n", "metadata.jsonl lists no file; each needs a line with file_name and text"),
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


@given(st.text(max_size=80), st.sampled_from(folder.METADATA), st.sampled_from(["", "file_name,text\n", "file_name\t"]))
def test_any_metadata_is_read_or_refused(content: str, name: str, header: str) -> None:
    path = Path(name)
    read = folder._csv_lines if path.suffix == ".csv" else folder._json_lines
    try:
        assert all(file.strip() for _, file, _ in read(path, header + content, "text"))
    except AsrmeterError as error:
        assert str(error).startswith(("corpus.path: metadata.", "corpus.text: metadata."))


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
    assert selection["skipped"] == [
        {"name": "long.wav", "reason": "4.50 s is longer than the longest of durations_s (3)"}
    ]
    with pytest.raises(AsrmeterError, match=r"^mine: no usable audio is left; 2 were left out, see above$"):
        built(tmp_path / "f", tmp_path, [1], durations=durations)


def test_class_without_segments_names_those_that_have_some(tmp_path: Path) -> None:
    record(tmp_path / "f" / "a.wav", 2)
    (tmp_path / "f" / "metadata.csv").write_text("file_name,text\na.wav,said\n")
    with pytest.raises(AsrmeterError, match=r"^mine: no segment of 10, 30 s .*; write durations_s: \[3\], which have"):
        built(tmp_path / "f", tmp_path, [3, 10, 30])


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
            {"name": "1.wav", "reason": "is silent: nothing in it is louder than -72 dB of full scale"}
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
    how = "channel 1 of 2 alone, as the channels cancel out"
    assert [row["mended"] for row in rows] == [f"opposite.flac: {how}", None]
    assert selection["mended"] == [{"name": "opposite.flac", "how": how}]
