"""The control kernel: two rates, whatever else goes wrong, and nothing left behind."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from asrmeter.measure import control
from asrmeter.measure.control import ControlKernel


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "KERNEL_S", 0.0)


def resident_bytes() -> int:
    found = re.search(r"^VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found.group(1))


def held_by(function: Any) -> dict[str, Any]:
    """Return what a function holds of where it was made, by name."""
    cells = zip(function.__code__.co_freevars, function.__closure__, strict=True)
    return {name: cell.cell_contents for name, cell in cells}


def test_torch_does_it_if_the_runtime_has_loaded_it() -> None:
    found = ControlKernel("cpu", threads=7).before()
    assert found.library == f"torch {torch.__version__}" and found.device == "cpu"
    assert found.n_threads == torch.get_num_threads()


def test_numpy_does_it_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = ControlKernel("cuda", threads=7).before()
    assert (found.library, found.device, found.n_threads) == (f"numpy {np.__version__}", "cpu", 7)
    assert found.before is not None and found.before["matmul_flop_per_s"] > 1e8


def test_another_precision_is_another_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert ControlKernel("cpu", 1).found.library == f"torch {torch.__version__}, matmul precision medium"


def test_no_context_is_made_on_a_gpu_that_torch_does_not_use() -> None:
    if torch.cuda.is_initialized():
        pytest.skip("CUDA is in use")
    assert ControlKernel("cuda", 1).found.device == "cpu"


def test_the_second_run_completes_the_first() -> None:
    kernel = ControlKernel("cpu", 1)
    first = kernel.before()
    assert first.before is not None and first.after is None
    both = kernel.after()
    assert both.before == first.before and both.after is not None
    assert both.seconds is not None and first.seconds is not None and both.seconds > first.seconds > 0


def test_rates_are_work_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_typical_s", lambda kernel: 0.5)
    speed = ControlKernel("cpu", 1).before().before
    assert speed == {"matmul_flop_per_s": 4 * 384**3, "copy_bytes_per_s": 4 * 2**26}


@pytest.mark.parametrize("torch_is_there", [True, False])
def test_kernels_do_the_work(torch_is_there: bool) -> None:
    kernel = ControlKernel("cpu", 1)
    matmul, copy = kernel._by_torch(8, 64) if torch_is_there else control._by_numpy(8, 64)
    of_matmul, of_copy = held_by(matmul), held_by(copy)
    of_copy["source"][:] = 3
    matmul()
    copy()
    assert (np.asarray(of_matmul["product"]) == 8).all() and (np.asarray(of_copy["target"]) == 3).all()


@pytest.mark.parametrize("torch_is_there", [True, False])
def test_its_memory_is_given_back(monkeypatch: pytest.MonkeyPatch, torch_is_there: bool) -> None:
    if not torch_is_there:
        monkeypatch.setitem(sys.modules, "torch", None)
    kernel = ControlKernel("cpu", 1)
    kernel.before()  # libraries set up what they multiply with
    before = resident_bytes()
    assert kernel.after().note is None
    assert resident_bytes() - before < 4 * 2**20


def test_what_fails_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(count: int) -> None:
        raise MemoryError("no room")

    kernel = ControlKernel("cpu", 1)
    kernel.before()
    monkeypatch.setattr(control, "_memory", refuse)
    found = kernel.after()
    assert found.before is not None and found.after is None
    assert found.note == "after the passes: MemoryError: no room"


def test_a_moment_of_somebody_else_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 9.2, 9.2, 9.3, 9.3, 9.4, 9.4])
    monkeypatch.setattr(control, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert control._typical_s(lambda: None) == pytest.approx(0.1)
