"""Progress of long work as lines in the log."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
INTERVAL_S = 10


def log_progress(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Yield the items, and log every ten seconds how many are done, and of how many if `total` is known.

    `done` is the number of items that an earlier attempt has done.
    """
    last_s = time.monotonic()
    for n, item in enumerate(items, start=done + 1):
        yield item
        if time.monotonic() - last_s >= INTERVAL_S:
            last_s = time.monotonic()
            logging.info("%s: %d%s", what, n, f" of {total}" if total is not None else "")
