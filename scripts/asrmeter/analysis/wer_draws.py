"""Joint draws of the WERs of results."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from asrmeter.analysis.results import CellResult
from asrmeter.common.constants import CONFIDENCE
from asrmeter.common.stats import Estimate

_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def wer_draws(results: Sequence[CellResult], n: int) -> np.ndarray:
    """Return n draws of the WER of each result, in columns, by resampling segments: the same ones for all of a class.

    Where the errors of segments are not at hand, the interval is taken for that of a normal distribution.
    """
    drawn = np.empty((n, len(results)))
    by_segments: dict[tuple[str, ...], list[int]] = {}
    for place, result in enumerate(results):
        by_segments.setdefault(tuple(name for name, *_ in result.errors), []).append(place)
    for names, places in by_segments.items():
        if not names:
            drawn[:, places] = _normal([results[place].wer for place in places], n)
            continue
        n_segments = len(names)
        counts = np.random.default_rng(0).multinomial(n_segments, np.full(n_segments, 1 / n_segments), n)
        errors, words = (np.array([[one[i] for one in results[place].errors] for place in places]) for i in (1, 2))
        # Of silence alone nothing can be said.
        drawn[:, places] = (counts @ errors.T) / np.maximum(counts @ words.T, 1)
    return drawn


def _normal(wers: Sequence[Estimate | None], n: int) -> np.ndarray:
    known = [wer or Estimate(np.nan) for wer in wers]
    widths = np.array([0.0 if one.low is None or one.high is None else one.high - one.low for one in known])
    values = np.array([one.value for one in known])
    normal = np.random.default_rng(0).standard_normal((n, len(known)))
    return np.maximum(0.0, values + normal * widths / (2 * _Z))
