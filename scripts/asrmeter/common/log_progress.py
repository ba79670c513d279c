"""Lines in a log that say how far long work has come."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
EVERY_S = 10


def told(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Yield the items, and log every ten seconds how many there were, of how many if that is known.

    `done` counts those of an earlier try.
    """
    last_s = time.monotonic()
    for n, item in enumerate(items, start=done + 1):
        yield item
        if time.monotonic() - last_s >= EVERY_S:
            last_s = time.monotonic()
            logging.info("%s: %d%s", what, n, f" of {total}" if total is not None else "")
