"""Log the progress of long work."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
INTERVAL_S = 10


def log_progress(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Yield the items, and every ten seconds log the number that is done, and `total` if it is known.

    `done` is the number of items that an earlier attempt completed.
    """
    last_s = time.monotonic()
    for n, item in enumerate(items, start=done + 1):
        yield item
        if time.monotonic() - last_s >= INTERVAL_S:
            last_s = time.monotonic()
            logging.info("%s: %d%s", what, n, f" of {total}" if total is not None else "")
