"""Batch scaling: the batch size at which throughput saturates, and what bounds the cell there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from asrmeter.analysis import roofline
from asrmeter.analysis.results import latency_of
from asrmeter.common.shared_columns import shared
from asrmeter.common.stats import Estimate, ratio, ratio_of
from asrmeter.common.table_types import FLAG, INTEGER, LABEL, MESSAGE, NUMBER, Row, Source, column
from asrmeter.common.vocabulary import MEASURED_STATUS

# A larger batch has to gain more than this, and more than the noise, or the smaller one is as good.
LEAST_GAIN = 0.05
GROUP = ("model", "weights", "variant", "device", "duration_s")

_NO_INTERVAL = "a latency has no interval"


def _over_smallest(name: str, meaning: str, null_when: str = "") -> pa.Field:
    return column(name, NUMBER, meaning, Source.COMPUTED, unit="times", null_when=null_when)


SCALING = pa.schema(
    [
        *map(shared, GROUP),
        column(
            "batch_sizes",
            pa.list_(INTEGER),
            "The batch sizes that were measured undisturbed.",
            Source.STUDY,
            unit="segments",
        ),
        column(
            "saturation_batch",
            INTEGER,
            "The smallest batch size that no larger one beats by 5 % and the noise.",
            Source.COMPUTED,
            unit="segments",
        ),
        column("saturated", FLAG, "Whether a larger batch was tried, and brought no more.", Source.COMPUTED),
        column(
            "samples_per_s",
            NUMBER,
            "Segments transcribed per second at that batch size.",
            Source.COMPUTED,
            unit="segments/s",
        ),
        _over_smallest("speedup_over_smallest", "`samples_per_s` there, over that at the smallest batch size."),
        _over_smallest(
            "speedup_ci_low", "The lower end of the 95 % interval of `speedup_over_smallest`.", _NO_INTERVAL
        ),
        _over_smallest(
            "speedup_ci_high", "The upper end of the 95 % interval of `speedup_over_smallest`.", _NO_INTERVAL
        ),
        _over_smallest(
            "energy_saving_over_smallest",
            "Joules a segment at the smallest batch size, over those at `saturation_batch`.",
            "energy is not known at both",
        ),
        column(
            "bound",
            LABEL,
            "Bottleneck at that batch size; see the table `roofline`.",
            Source.COMPUTED,
            null_when="there is no verdict",
        ),
        column("note", MESSAGE, "Reason why no larger batch was measured.", Source.RECORDED, null_when="`saturated`"),
    ]
)


def rows(cells: Sequence[Row], verdicts: Sequence[Row]) -> Iterator[Row]:
    """Yield a row for each (model, variant, device, duration) with a cell that was measured and not disturbed.

    `verdicts` are the rows of the table `roofline`. `bound` is that of the cell at the saturation batch.
    """
    judged = {
        tuple(row[name] for name in (*GROUP, "batch_size")): row.get("bound")
        for row in verdicts
        if row["stage"] == roofline.PASS
    }
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell[name] for name in GROUP), []).append(cell)
    for group, members in sorted(groups.items()):
        timed = sorted((cell for cell in members if _counts(cell)), key=lambda cell: cell["batch_size"])
        if timed:
            yield dict(zip(GROUP, group, strict=True)) | _scaled(timed, members, judged, group)


def _counts(cell: Row) -> bool:
    """Return whether a cell's throughput was measured undisturbed."""
    return cell["status"] in MEASURED_STATUS and cell["samples_per_s"] is not None and not cell["disturbed"]


def _throughput(cell: Row) -> Estimate:
    return cell["batch_size"] / latency_of(cell)


def _scaled(timed: Sequence[Row], members: Sequence[Row], judged: Mapping[Any, Any], group: Any) -> dict[str, Any]:
    smallest, best = timed[0], max(timed, key=lambda cell: cell["samples_per_s"])
    at = next(cell for cell in timed if _is_as_good(_throughput(cell), _throughput(best)))
    saturated = at is not timed[-1]
    speedup = Estimate.exact(1.0) if at is smallest else ratio_of(_throughput(at), _throughput(smallest))
    assert speedup is not None
    return {
        "batch_sizes": [cell["batch_size"] for cell in timed],
        "saturation_batch": at["batch_size"],
        "saturated": saturated,
        "samples_per_s": at["samples_per_s"],
        "speedup_over_smallest": speedup.value,
        "speedup_ci_low": speedup.low,
        "speedup_ci_high": speedup.high,
        "energy_saving_over_smallest": ratio(smallest["energy_j_per_sample"], at["energy_j_per_sample"]),
        "bound": judged.get((*group, at["batch_size"])),
        "note": None if saturated else _why_no_more(timed, members),
    }


def _is_as_good(one: Estimate, best: Estimate) -> bool:
    return best.value <= one.value * (1 + LEAST_GAIN) or one.ties_with(best)


def _why_no_more(timed: Sequence[Row], members: Sequence[Row]) -> str:
    """Return why no batch larger than the largest timed one was measured."""
    larger = [cell for cell in members if cell["batch_size"] > timed[-1]["batch_size"]]
    if larger:
        next_one = min(larger, key=lambda cell: cell["batch_size"])
        why = "disturbed" if next_one["disturbed"] else f"{next_one['status']}: {next_one['reason']}"
        return f"batch {next_one['batch_size']}: {why}"
    return "only one batch size was measured" if len(timed) == 1 else "no larger batch was measured"
