"""The batches of a duration class, and the hash of its segments. Standard library only, for the measuring parent."""

import hashlib
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from asrmeter.common.typed_json import JsonObject


def batches(rows: Sequence[JsonObject], batch_size: int, seed: int) -> list[list[str]]:
    """Return batches of exactly `batch_size` ids that contain every segment of a class at least once.

    `rows` are the segments' rows of the manifest. The order is shuffled by `seed`, and the same for every model and
    device. The last batch is filled up from the beginning, so that all batches have the same size. Segments that were
    added to a corpus have batches of their own, which come after the others: those stay as they are.
    """
    made: list[list[str]] = []
    first: list[str] = []
    for addition in sorted({row.get("addition", 0) for row in rows}):
        order = [row["segment_id"] for row in rows if row.get("addition", 0) == addition]
        random.Random(f"{seed}/{batch_size}" + (f"/{addition}" if addition else "")).shuffle(order)
        first = first or order
        n_batches = -(-len(order) // batch_size)
        filled = [*order, *itertools.islice(itertools.cycle(first), n_batches * batch_size - len(order))]
        made += [filled[i * batch_size : (i + 1) * batch_size] for i in range(n_batches)]
    return made


def by_length(in_batches: Sequence[Sequence[str]], audio_s: Mapping[str, float]) -> list[int]:
    """Return the positions of batches, the longest first, given the seconds of each segment.

    A batch is as long as its longest segment, which all others are padded to; of those that are alike the one with more
    audio is longer.
    """

    def length(position: int) -> tuple[float, float]:
        seconds = [audio_s[i] for i in in_batches[position]]
        return max(seconds), sum(seconds)

    return sorted(range(len(in_batches)), key=length, reverse=True)


def share_of_lap(ranked: Sequence[int], lap: int, n_laps: int) -> list[int]:
    """Return the batches, ranked by length, that lap `lap` of `n_laps` must measure.

    Each lap has short and long ones, and all laps together have every batch. The longest, which shows what does not fit
    into memory, is in all of them.
    """
    return [position for rank, position in enumerate(ranked) if rank == 0 or rank % n_laps == (lap - 1) % n_laps]


def representative(ranked: Sequence[int]) -> int:
    """Return the batch of median length among batches ranked by length."""
    return ranked[len(ranked) // 2]


def class_sha256(rows: Sequence[dict[str, Any]]) -> str:
    """Return the sha256 of the segments of a class: their `segment_id`, `sha256` and `text`, in any order."""
    content = sorted([str(row["segment_id"]), str(row["sha256"]), str(row["text"])] for row in rows)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
