"""A server in one process: requests wait in a queue, and a model transcribes them in batches.

A batch begins once it is full, or once its first request has waited `max_wait_s`, or as soon as the model is free if
that is later. `analysis/queueing` simulates the same rule.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Request:
    """A segment that somebody wants transcribed: its number, and when it came, by `time.perf_counter`."""

    id: int
    segment: int
    arrived_s: float
    latency_s: float | None = None


@dataclass
class Batch:
    """Requests that were transcribed together: when that began and ended, by `time.perf_counter`."""

    requests: Sequence[Request]
    began_s: float
    ended_s: float = field(default=0.0)


class Server:
    """Serves requests by one thread until it is closed.

    `transcribe` is called with the segments of a batch, `done` with the requests that are answered. Where a request has
    waited `give_up_s`, more comes than can be served: it and all that follow are answered at once without a text, so
    that the load ends.
    """

    def __init__(
        self,
        transcribe: Callable[[Sequence[int]], object],
        done: Callable[[Sequence[Request]], None],
        max_batch: int,
        max_wait_s: float,
        give_up_s: float,
    ) -> None:
        self._transcribe, self._done = transcribe, done
        self._max_batch, self._max_wait_s, self._give_up_s = max_batch, max_wait_s, give_up_s
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._is_open = True
        self.batches: list[Batch] = []
        self.gave_up = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="server", daemon=True)
        self._thread.start()

    def put(self, requests: Sequence[Request]) -> None:
        """Queue requests; returns at once."""
        with self._changed:
            self._waiting.extend(requests)
            self._changed.notify()

    def close(self) -> None:
        """Serve what waits, then end.

        Raises:
            BaseException: what the model raised.
        """
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()
        if self.error:
            raise self.error

    def _serve(self) -> None:
        while batch := self._next():
            began_s = time.perf_counter()
            self.gave_up = self.gave_up or began_s - batch[0].arrived_s > self._give_up_s
            if not self.gave_up:
                try:
                    self._transcribe([request.segment for request in batch])
                except BaseException as error:  # told where the server is closed
                    self.error, self.gave_up = error, True
                else:
                    ended_s = time.perf_counter()
                    for request in batch:
                        request.latency_s = ended_s - request.arrived_s
                    self.batches.append(Batch(batch, began_s, ended_s))
            self._done(batch)

    def _next(self) -> list[Request]:
        """Return the next batch once it may begin; nothing once the server is closed and nobody waits."""
        with self._changed:
            while not self._waiting:
                if not self._is_open:
                    return []
                self._changed.wait()
            until_s = self._waiting[0].arrived_s + self._max_wait_s
            while len(self._waiting) < self._max_batch and self._is_open and not self.gave_up:
                left_s = until_s - time.perf_counter()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            return [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
