"""Percentiles of the latency over requests, and how much the repetitions of one request scatter."""

from asrmeter.analysis.cell_columns.values import NOT_TIMED, CellColumn, Value
from asrmeter.analysis.requests import LEAST_REPETITIONS, SHARES
from asrmeter.common.order_statistics import least_n
from asrmeter.common.table_types import INTEGER, NUMBER, Source, column


def _part(share: float, part: str) -> Value:
    return lambda cell: getattr(cell.requests.percentile(share), part)


def _percentile(name: str, share: float) -> list[CellColumn]:
    too_few = f"fewer than {least_n(share)} different batches were timed"
    told = (
        (
            "",
            "value",
            f"The latency that {100 * share:g} % of the requests do not exceed. A request is one segment, sent alone "
            "or in a batch.",
            too_few,
        ),
        (
            "_ci_low",
            "low",
            f"The lower end of the 95 % interval of `latency_s_{name}`; where that is not known, a bound from below.",
            "the batches are too few even for a bound, or the latency has no interval",
        ),
        (
            "_ci_high",
            "high",
            f"The upper end of the 95 % interval of `latency_s_{name}`.",
            f"{too_few}, or the latency has no interval",
        ),
    )
    return [
        (
            column(f"latency_s_{name}{ending}", NUMBER, meaning, Source.COMPUTED, unit="s", null_when=null_when),
            _part(share, part),
        )
        for ending, part, meaning, null_when in told
    ]


REQUESTS: list[CellColumn] = [
    *(one for name, share in SHARES.items() for one in _percentile(name, share)),
    (
        column(
            "n_requests",
            INTEGER,
            "Number of requests: the different timed segments.",
            Source.COUNTED,
            unit="segments",
            null_when=NOT_TIMED,
        ),
        lambda cell: cell.requests.n,
    ),
    (
        column(
            "jitter_s_p95",
            NUMBER,
            "By how much 95 % of the repetitions of a request exceed its median at most.",
            Source.MEASURED,
            unit="s",
            null_when=f"too few requests were timed {LEAST_REPETITIONS} times",
        ),
        lambda cell: cell.requests.jitter_s_p95,
    ),
]
