"""The batches of a duration class, and the hash of its segments. Standard library only, for the measuring parent."""

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any


def batches(segment_ids: Sequence[str], batch_size: int, seed: int) -> list[list[str]]:
    """Return batches of exactly `batch_size` ids that contain every segment at least once.

    The order is shuffled by `seed`, and the same for every model and device. The last batch is filled up from the
    beginning, so that all batches have the same size.
    """
    order = list(segment_ids)
    random.Random(f"{seed}/{batch_size}").shuffle(order)
    n_batches = -(-len(order) // batch_size)
    return [[order[(i * batch_size + k) % len(order)] for k in range(batch_size)] for i in range(n_batches)]


def timed(seconds: Sequence[float], n: int) -> list[int]:
    """Return the positions of the `n` batches to time (all, if there are no more), given the audio of each in seconds.

    They are spread evenly from the shortest to the longest, so that a few represent all, and the same for every model.
    """
    by_length = sorted(range(len(seconds)), key=lambda position: seconds[position])
    n = min(n, len(seconds))
    return sorted(by_length[(2 * i + 1) * len(seconds) // (2 * n)] for i in range(n))


def class_sha256(rows: Sequence[dict[str, Any]]) -> str:
    """Return the sha256 of the segments of a class: their `segment_id`, `sha256` and `text`, in any order."""
    content = sorted([str(row["segment_id"]), str(row["sha256"]), str(row["text"])] for row in rows)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
