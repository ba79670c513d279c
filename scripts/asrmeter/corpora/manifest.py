"""The corpus folder: `segments.parquet`, `segments.json`, and 16 kHz mono FLAC in `audio/`."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import MOST_CHARACTERS
from asrmeter.common.files import atomic, sha256_of
from asrmeter.common.parquet import as_parquet
from asrmeter.common.printable import printable, spoken
from asrmeter.corpora.audio import encode
from asrmeter.corpora.segments import Clip, Segment
from asrmeter.sources.integrity import SELECTION

SEGMENTS = "segments.parquet"
# The same rows for the measuring process, which must not import pyarrow.
SEGMENTS_JSON = "segments.json"
# Of a silent recording this much is kept.
SILENT_S = 30
SCHEMA = pa.schema(
    [
        ("segment_id", pa.string()),
        ("duration_s", pa.int32()),
        ("audio_s", pa.float64()),
        ("path", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("language_told", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("utterances", pa.list_(pa.string())),
        ("sha256", pa.string()),
        ("mended", pa.string()),
        ("addition", pa.int32()),
    ]
)


def write(
    folder: Path,
    segments: Sequence[Segment],
    clip: Clip,
    selection: dict[str, Any],
    detected: bool = False,
    silent: Mapping[str, Callable[[], np.ndarray]] | None = None,
) -> list[dict[str, Any]]:
    """Write the corpus folder as a whole: a FLAC file for each segment, the manifest, and the record of the selection.

    FLAC has 16 bits for each sample. `audio_s` is the real length in seconds, `sha256` that of the FLAC file.
    `language` is what is spoken, null where nobody knows; `language_told` is what models are told, null where they find
    out by themselves, as all do if it is `detected`. `mended` says what was put right in the audio of which utterance,
    null where nothing was; `addition` is that of the segment. The rows are returned. Recordings that are `silent` are
    in no segment: the beginning of each is a file of its own, which the record names.
    """
    with atomic(folder) as part:
        (part / "audio").mkdir(parents=True)
        rows: list[dict[str, Any]] = []
        mended: dict[str, str] = {}
        for segment in segments:
            samples, notes = segment.audio(clip)
            mended |= notes
            name = f"audio/{segment.id}.flac"
            encode(part / name, samples)
            rows.append(
                {
                    "segment_id": segment.id,
                    "duration_s": segment.duration_s,
                    "audio_s": len(samples) / SAMPLE_RATE_HZ,
                    "path": name,
                    "text": spoken(segment.text),
                    "language": segment.language,
                    "language_told": None if detected else segment.language,
                    "source": _distinct(utterance.source for utterance in segment.utterances),
                    "licence": _distinct(utterance.licence for utterance in segment.utterances),
                    "utterances": [printable(utterance.id) for utterance in segment.utterances],
                    "sha256": sha256_of(part / name),
                    "mended": "; ".join(f"{name}: {how}" for name, how in notes.items()) or None,
                    "addition": segment.addition,
                }
            )
        (part / SEGMENTS).write_bytes(as_parquet(pa.Table.from_pylist(rows, schema=SCHEMA)))
        (part / SEGMENTS_JSON).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        for utterance, how in mended.items():
            logging.warning("mended %s: %s", utterance, how)
        selection |= {"mended": [{"name": utterance, "how": how} for utterance, how in mended.items()]}
        selection |= {"silent": _write_silent(part, silent or {})}
        selection |= {"segments_sha256": sha256_of(part / SEGMENTS_JSON)}
        (part / SELECTION).write_text(json.dumps(selection, indent=1) + "\n", encoding="utf-8")
    return rows


def _write_silent(folder: Path, silent: Mapping[str, Callable[[], np.ndarray]]) -> list[dict[str, Any]]:
    """Write the beginning of each silent recording, and return what the record says of it."""
    written = []
    for number, (name, samples_of) in enumerate(silent.items()):
        path = folder / "silent" / f"{number:03d}.flac"
        path.parent.mkdir(exist_ok=True)
        samples = samples_of()[: SILENT_S * SAMPLE_RATE_HZ]
        encode(path, samples)
        written.append(
            {
                "name": printable(name, MOST_CHARACTERS),
                "path": f"silent/{path.name}",
                "audio_s": len(samples) / SAMPLE_RATE_HZ,
                "sha256": sha256_of(path),
            }
        )
    return written


def _distinct(values: Any) -> str:
    return "; ".join(dict.fromkeys(map(printable, values)))
