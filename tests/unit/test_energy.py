"""codecarbon's figures: where they come from, and that they follow their own formula."""

import os
import time

import numpy as np
import pytest

from asrmeter import energy


@pytest.fixture(scope="module")
def meter() -> energy.Meter:
    return energy.Meter("cpu")


def test_the_method_is_found_out(meter: energy.Meter) -> None:
    assert meter.method_cpu in {"rapl", "cpu_load_model", "tdp_constant"}
    assert meter.method_gpu == "none"
    assert meter.measures == (meter.method_cpu == "rapl")
    assert ("modelled" in meter.note()) == (not meter.measures)


def test_the_load_model_is_tdp_by_share_of_cpu_time(meter: energy.Meter) -> None:
    if meter.method_cpu != "cpu_load_model":
        pytest.skip(f"this machine's CPU energy comes from {meter.method_cpu}")
    matrix = np.random.default_rng(0).random((400, 400))

    def work() -> None:
        for _ in range(20):
            matrix @ matrix

    before = os.times()
    window = meter.window(work, least_s=2)
    after = os.times()
    cpu_s = after.user + after.system - before.user - before.system
    assert window.seconds >= 2
    assert window.n_passes >= 1
    assert window.gpu_j is None
    assert window.cpu_j == pytest.approx(meter._cpu._tdp * cpu_s / (os.cpu_count() or 1), rel=0.05)


def test_nothing_is_left_behind(meter: energy.Meter, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    meter.window(lambda: time.sleep(0.01), least_s=0.05)
    assert os.listdir(str(tmp_path)) == []
