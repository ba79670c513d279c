"""A sitting is disturbed by what was watched, or where its control kernel was far slower than the machine's best."""

import sys
from subprocess import run
from typing import Any

import pytest

from asrmeter.records import disturbance
from asrmeter.records.header import RecordHeader
from helpers.records import control, header


def sitting(told: dict[str, Any] | None = None, seen: str | None = None, **changes: Any) -> RecordHeader:
    events: dict[str, Any] = {"latency": {"disturbance": seen}}
    return header(events=events | ({"control": told} if told else {}), **changes)


def test_the_best_is_of_the_same_machine_and_kernel() -> None:
    headers = [
        sitting(control(1e11, 2e10)),
        sitting(control(2e11, 1e10)),
        sitting(control(9e11, 9e10), machine_id="other"),
        sitting(control(8e11, 8e10, library="numpy")),
        sitting(control(7e11, 7e10, n_threads=4)),
        sitting(),
    ]
    best = disturbance.best_controls(headers)
    assert len(best) == 4
    assert best["m", "torch", "cpu", 2] == {"matmul_flop_per_s": 2e11, "copy_bytes_per_s": 2e10}
    assert disturbance.machine_speed(headers[0], best) == pytest.approx(0.75)
    assert disturbance.machine_speed(headers[2], best) == 1.0
    assert disturbance.machine_speed(headers[5], best) is None


@pytest.mark.parametrize(("speed", "disturbed"), [(1.0, False), (0.41, False), (0.39, True), (0.2, True)])
def test_a_control_far_slower_disturbs(speed: float, disturbed: bool) -> None:
    fast, slow = sitting(control()), sitting(control(1e11 * speed, 1e10 * speed))
    reason = disturbance.why(slow, disturbance.best_controls([fast, slow]))
    assert (reason is not None) is disturbed
    assert reason is None or reason == f"the machine ran at {100 * speed:.0f} % of its best (control kernel)"
    assert disturbance.why(fast, disturbance.best_controls([fast, slow])) is None


def test_a_best_that_was_seen_once_is_the_best() -> None:
    """Were it the mean of before and after, two sittings that are half disturbed would look quiet."""
    half = sitting(control(after=0.4))
    assert disturbance.machine_speed(half, disturbance.best_controls([half, half])) == pytest.approx(0.7)


def test_before_and_after_count_alike_and_one_is_enough() -> None:
    best = disturbance.best_controls([sitting(control())])
    assert disturbance.machine_speed(sitting(control(after=0.5)), best) == pytest.approx(0.75)
    assert disturbance.machine_speed(sitting(control(after=0.5) | {"after": None}), best) == 1.0
    assert disturbance.machine_speed(sitting(control() | {"before": None, "after": None}), best) is None


def test_both_reasons_are_told_and_none_without_passes() -> None:
    best = disturbance.best_controls([sitting(control())])
    slow = control(1e10, 1e9)
    assert disturbance.why(sitting(None, "steal 9 %"), best) == "steal 9 %"
    both = "steal 9 %; the machine ran at 10 % of its best (control kernel)"
    assert disturbance.why(sitting(slow, "steal 9 %"), best) == both
    assert disturbance.why(header(events={"control": slow}), best) is None


def test_it_is_light() -> None:
    code = "import sys, asrmeter.records.disturbance; print({'numpy', 'pyarrow'} & {*sys.modules})"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "scripts"})
    assert done.stdout == "set()\n"
