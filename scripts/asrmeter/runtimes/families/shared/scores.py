"""The check of a model's scores, for runtimes that get them as arrays of numpy."""

import contextlib
from collections.abc import Iterator

import numpy as np

from asrmeter.runtimes.base import Runtime


class CheckedScores(Runtime):
    """A runtime that sees its model's scores, and calls `see` with them."""

    _checks_scores = False

    def see(self, scores: np.ndarray) -> None:
        """Check scores where they are to be checked."""
        if self._checks_scores:
            check_finite(scores)

    @contextlib.contextmanager
    def check_scores(self) -> Iterator[None]:
        """See `Runtime`."""
        self._checks_scores = True
        try:
            yield
        finally:
            self._checks_scores = False


def check_finite(scores: np.ndarray) -> None:
    """Raise FloatingPointError if a score is infinite or not a number: then an extreme is."""
    if not (np.isfinite(scores.min(initial=0)) and np.isfinite(scores.max(initial=0))):
        raise FloatingPointError("the model's scores are infinite or not a number; measure it in float32 or bfloat16")
