"""Recordings added to a corpus. Existing segments do not change. Standard library only.

Beside the folder of a corpus lies a copy of its manifest, which is there when the folder is made again. What was
measured of segments and batches that stay is kept by their content: see `records.carried`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.files import write_atomically
from asrmeter.common.printable import printable
from asrmeter.common.typed_json import JsonObject
from asrmeter.corpora.kinds.base import CorpusKind
from asrmeter.corpora.segments import Segment, Utterance


def earlier_rows(folder: Path, corpus: CorpusKind, durations_s: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """Return the rows of the earlier manifest; none if other options had decided them."""
    try:
        told = json.loads(_beside(folder).read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = told["rows"] if told["made_by"] == _made_by(corpus, durations_s, seed) else []
        known_segments([], rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return rows


def remember(folder: Path, corpus: CorpusKind, durations_s: Sequence[int], seed: int, rows: Sequence[Any]) -> None:
    """Keep the rows of a manifest for later additions of recordings.

    Raises:
        AsrmeterError: the file cannot be written.
    """
    write_atomically(_beside(folder), json.dumps({"made_by": _made_by(corpus, durations_s, seed), "rows": rows}))


def known_segments(utterances: Sequence[Utterance], earlier: Sequence[JsonObject]) -> list[Segment]:
    """Return the earlier segments whose utterances all exist with an unchanged total length."""
    by_name: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_name.setdefault(printable(utterance.id), []).append(utterance)
    known = []
    for row in earlier:
        named = [by_name.get(name, []) for name in row["utterances"]]
        segment = Segment(
            row["segment_id"],
            row["duration_s"],
            tuple(found[0] for found in named if len(found) == 1),
            row.get("addition", 0),
        )
        is_whole = len(segment.utterances) == len(named)
        is_of_one_language = len({utterance.language for utterance in segment.utterances}) == 1
        if is_whole and is_of_one_language and segment.n_samples == round(row["audio_s"] * SAMPLE_RATE_HZ):
            known.append(segment)
    return known


def _beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.segments.json")


def _made_by(corpus: CorpusKind, durations_s: Sequence[int], seed: int) -> list[Any]:
    options = corpus.as_json()
    return [{key: options[key] for key in options if key not in ("selection_sha256", "licence")}, [*durations_s], seed]
