"""Which segments a pass gets, and what a class of segments is. Standard library only: the measuring parent reads it."""

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any


def batches(segment_ids: Sequence[str], batch_size: int, seed: int) -> list[list[str]]:
    """Return batches of exactly `batch_size` ids that hold every segment at least once.

    The order is shuffled by `seed` and the same for every model and device; the last batch is filled up from the
    beginning, so that every batch is the same amount of work.
    """
    order = list(segment_ids)
    random.Random(f"{seed}/{batch_size}").shuffle(order)
    n_batches = -(-len(order) // batch_size)
    return [[order[(i * batch_size + k) % len(order)] for k in range(batch_size)] for i in range(n_batches)]


def timed(seconds: Sequence[float], n: int) -> list[int]:
    """Return the positions of the `n` batches that are timed (all, if there are no more), given each one's audio.

    They lie evenly between the shortest and the longest, so that few stand for all, and are the same for every model.
    """
    by_length = sorted(range(len(seconds)), key=lambda position: seconds[position])
    n = min(n, len(seconds))
    return sorted(by_length[(2 * i + 1) * len(seconds) // (2 * n)] for i in range(n))


def class_sha256(rows: Sequence[dict[str, Any]]) -> str:
    """Return one hash over the segments of a class (their `segment_id`, `sha256` and `text`)."""
    content = sorted([str(row["segment_id"]), str(row["sha256"]), str(row["text"])] for row in rows)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
