"""Repositories for `hub_server`: one with GigaSpeech's columns and conventions, and other datasets."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from helpers.hub_server import Repo

COMMIT = "c0ffee" * 6 + "beef"
SOURCES = ("audiobook", "podcast", "youtube")
_LABELS = {"names": list(SOURCES), "_type": "ClassLabel"}
# As in the dataset's card, in its order.
_GIGASPEECH = {
    "segment_id": {"dtype": "string", "_type": "Value"},
    "speaker": {"dtype": "string", "_type": "Value"},
    "text": {"dtype": "string", "_type": "Value"},
    "audio": {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"},
    "begin_time": {"dtype": "float32", "_type": "Value"},
    "end_time": {"dtype": "float32", "_type": "Value"},
    "audio_id": {"dtype": "string", "_type": "Value"},
    "title": {"dtype": "string", "_type": "Value"},
    "url": {"dtype": "string", "_type": "Value"},
    "source": _LABELS,
    "category": {"names": ["N/A", "Arts"], "_type": "ClassLabel"},
    "original_full_path": {"dtype": "string", "_type": "Value"},
}
_TYPES = {
    "string": pa.string(),
    "float32": pa.float32(),
    "Audio": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    "ClassLabel": pa.int64(),
    "List": pa.list_(pa.string()),
}


def wav(samples: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """Return a WAV file of 16 bits."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def gigaspeech_row(
    audio_id: str, number: int, begin_s: float, samples: np.ndarray, text: str, source: str = "podcast"
) -> dict[str, Any]:
    """Return a row: a segment that begins at `begin_s` of its recording, with all columns."""
    name = f"{audio_id}_S{number:07d}"
    return {
        "segment_id": name,
        "speaker": "N/A",
        "text": text,
        "audio": {"bytes": wav(samples), "path": f"{name}.wav"},
        "begin_time": begin_s,
        "end_time": begin_s + len(samples) / SAMPLE_RATE_HZ,
        "audio_id": audio_id,
        "title": "Title",
        "url": "https://example.org",
        "source": SOURCES.index(source),
        "category": 0,
        "original_full_path": f"{source}/{audio_id}.opus",
    }


def parquet(rows: Sequence[dict[str, Any]], features: dict[str, Any], rows_per_group: int) -> bytes:
    """Return a Parquet file as `datasets` writes it, with the features in its schema."""
    schema = pa.schema(
        [(name, _TYPES[feature.get("dtype", feature["_type"])]) for name, feature in features.items()],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), stream, row_group_size=rows_per_group)
    return stream.getvalue()


def gigaspeech(rows: Sequence[dict[str, Any]], n_files: int = 2, rows_per_group: int = 5) -> Repo:
    """Return the gated repository, with the configuration dev and its split validation in some files."""
    card = (
        "---\nconfigs:\n- config_name: dev\n  data_files:\n  - split: validation\n    path: dev/validation-*\n"
        "- config_name: test\n  data_files:\n  - split: test\n    path: test/test-*\n---\n# GigaSpeech\n"
    )
    files: dict[str, bytes | Path] = {"README.md": card.encode()}
    size = -(-len(rows) // n_files)
    for i in range(n_files):
        name = f"dev/validation-{i:05d}-of-{n_files:05d}.parquet"
        files[name] = parquet(rows[i * size : (i + 1) * size], _GIGASPEECH, rows_per_group)
    files["test/test-00000-of-00001.parquet"] = parquet(rows[:1], _GIGASPEECH, rows_per_group)
    return Repo("speechcolab/gigaspeech", {COMMIT: files}, kind="dataset", gated=True)


def librispeech(rows: Sequence[tuple[str, bytes]], rows_per_group: int = 4) -> Repo:
    """Return an ungated dataset of (text, audio file) in three files, with LibriSpeech's columns except one name."""
    features = {
        "file": {"dtype": "string", "_type": "Value"},
        "audio": {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"},
        "quiet": {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"},
        "sentence": {"dtype": "string", "_type": "Value"},
        "words": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    }
    quiet = wav(np.random.default_rng(0).normal(0, 0.003, 2 * SAMPLE_RATE_HZ))
    table = [
        {"file": f"{i}.flac", "audio": {"bytes": sound, "path": f"{i}.flac"}, "sentence": text}
        | {"quiet": {"bytes": quiet, "path": f"{i}.flac"}, "words": text.split()}
        for i, (text, sound) in enumerate(rows)
    ]
    size = -(-len(table) // 3)
    files: dict[str, bytes | Path] = {
        f"data/test-{i:05d}-of-00003.parquet": parquet(table[i * size : (i + 1) * size], features, rows_per_group)
        for i in range(3)
    }
    return Repo("me/speech", {COMMIT: files}, kind="dataset")


def loose(rows: Sequence[tuple[str, bytes]]) -> Repo:
    """Return a dataset of loose audio files with metadata.csv, and the Hub's Parquet copy on another branch."""
    files: dict[str, bytes | Path] = {f"{i}.wav": sound for i, (_, sound) in enumerate(rows)}
    lines = ["file_name,text", *(f'{i}.wav,"{text}"' for i, (text, _) in enumerate(rows))]
    files["metadata.csv"] = "\n".join(lines).encode()
    features = {
        "audio": {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    table = [{"audio": {"bytes": sound, "path": f"{i}.wav"}, "text": text} for i, (text, sound) in enumerate(rows)]
    converted: dict[str, bytes | Path] = {"default/train/0000.parquet": parquet(table, features, 2)}
    commits = {COMMIT: files, COMMIT[::-1]: converted}
    return Repo("me/loose", commits, "dataset", refs={"main": COMMIT, "refs/convert/parquet": COMMIT[::-1]})


def fleurs(rows: dict[str, Sequence[tuple[str, bytes]]]) -> Repo:
    """Return a dataset made by a script, with the Hub's Parquet copy on another branch: a folder a configuration."""
    features = {
        "audio": {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"},
        "raw_transcription": {"dtype": "string", "_type": "Value"},
    }
    converted: dict[str, bytes | Path] = {}
    for config, said in rows.items():
        table = [
            {"audio": {"bytes": sound, "path": f"{i}.wav"}, "raw_transcription": text}
            for i, (text, sound) in enumerate(said)
        ]
        for split in ("test", "validation"):
            converted[f"{config}/fleurs-{split}.parquet"] = parquet(
                table[: None if split == "test" else 1], features, 2
            )
    commits = {COMMIT: {"README.md": b"# FLEURS", "fleurs.py": b""}, COMMIT[::-1]: converted}
    refs = {"main": COMMIT, "refs/convert/parquet": COMMIT[::-1]}
    return Repo("google/fleurs", commits, "dataset", refs=refs, info={"cardData": {"language": ["en", "ru", "fr"]}})
