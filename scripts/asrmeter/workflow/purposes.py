"""Decide which purposes of a study its speech and models can answer, with reasons for the others.

The result is shown before anything is measured. Standard library only.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from asrmeter.common.constants import LEAST_SEGMENTS
from asrmeter.common.order_statistics import least_n
from asrmeter.corpora.outlook import Outlook
from asrmeter.study.grid import reference_duration

if TYPE_CHECKING:
    from asrmeter.study.model import Scenario, Study

_PERCENTILE = re.compile(r"max_latency_s_p(\d+)")


def unanswerable(study: "Study", outlook: Outlook | None) -> dict[str, list[str]]:
    """Return the purposes of a complete study with the list of what each lacks; empty if nothing.

    `outlook` is the content of the corpus, None if it is not known yet.
    """
    return {name: list(_missing(study, asked, outlook)) for name, asked in study.report.scenarios.items()}


def _missing(study: "Study", asked: "Scenario", outlook: Outlook | None) -> Iterator[str]:
    if asked.devices and not set(asked.devices) & set(study.devices):
        yield f"it needs {' or '.join(asked.devices)}, and the study measures on {', '.join(study.devices)}"
    if _needs_texts(asked):
        if all(model.weights == "random" for model in study.models.values()):
            yield "it limits or prefers accuracy, and all weights are random"
        if outlook and not outlook.has_texts:
            yield "it limits or prefers accuracy, and the speech has no texts"
    if outlook and (found := _class_of(asked, outlook)):
        duration_s, n_segments = found
        if n_segments < LEAST_SEGMENTS:
            yield f"it needs {LEAST_SEGMENTS} segments of {duration_s} s, and there {_are(n_segments)}"
        for key, least in _least_segments(asked).items():
            if LEAST_SEGMENTS <= n_segments < least:
                yield f"to confirm {key} takes {least} segments of {duration_s} s, and there {_are(n_segments)}"


def _needs_texts(asked: "Scenario") -> bool:
    return asked.max_wer is not None or asked.prefer == "accuracy"


def _class_of(asked: "Scenario", outlook: Outlook) -> tuple[int, int] | None:
    """Return the decisive duration class (s) and its number of segments, None without segments.

    It is the longest within Whisper's window with enough segments, else the one with the most segments.
    """
    if asked.duration_s is not None:
        return asked.duration_s, outlook.n_segments.get(asked.duration_s, 0)
    if not outlook.n_segments:
        return None
    enough = [duration_s for duration_s, n in outlook.n_segments.items() if n >= LEAST_SEGMENTS]
    most = max(outlook.n_segments, key=lambda duration_s: (outlook.n_segments[duration_s], duration_s))
    duration_s = reference_duration(enough) if enough else most
    return duration_s, outlook.n_segments[duration_s]


def _least_segments(asked: "Scenario") -> dict[str, int]:
    """Return the number of single-segment requests that can confirm each limit on a percentile, by its key."""
    if asked.load_per_s is not None:
        return {}  # the limit applies to requests under load, whose number is not limited
    keys = {key: named for key in type(asked).model_fields if (named := _PERCENTILE.fullmatch(key))}
    return {key: least_n(int(named[1]) / 100) for key, named in keys.items() if getattr(asked, key) is not None}


def _are(n: int) -> str:
    return {0: "is none", 1: "is one"}.get(n, f"are {n}")
