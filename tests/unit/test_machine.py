"""The machine: one measurement at a time, facts, no GPU where there is none."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrmeter import machine

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(machine.LOCK_VARIABLE, str(tmp_path / "lock"))
    return tmp_path / "lock"


def is_free(lock: Path, kind: int) -> bool:
    with open(lock) as stream:
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_measurement_is_alone(lock: Path) -> None:
    with machine.alone():
        assert not is_free(lock, fcntl.LOCK_EX)
        assert not is_free(lock, fcntl.LOCK_SH)
    assert is_free(lock, fcntl.LOCK_EX)


def test_other_work_goes_on_together_but_keeps_measurements_out(lock: Path) -> None:
    with machine.beside_no_measurement():
        assert is_free(lock, fcntl.LOCK_SH)
        assert not is_free(lock, fcntl.LOCK_EX)


def test_a_second_process_waits_and_says_so(lock: Path) -> None:
    code = (
        "import logging; logging.basicConfig(level=20); from asrmeter import machine\nwith machine.alone(): print('in')"
    )
    with machine.alone():
        other = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert other.stderr is not None
        assert "waiting for another pipeline" in other.stderr.readline()
        time.sleep(0.2)
        assert other.poll() is None
    out, _ = other.communicate(timeout=10)
    assert out == "in\n"


def test_a_child_holds_the_lock_after_its_parent_is_gone(lock: Path) -> None:
    with machine.alone() as descriptor:
        child = subprocess.Popen(["sleep", "0.5"], pass_fds=(descriptor,))
    assert not is_free(lock, fcntl.LOCK_EX)
    child.wait()
    assert is_free(lock, fcntl.LOCK_EX)


def test_the_lock_file_serves_every_user(lock: Path) -> None:
    with machine.alone():
        pass
    assert lock.stat().st_mode & 0o777 == 0o666


def test_hidden_gpus_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert machine.cuda_missing() == "CUDA_VISIBLE_DEVICES hides every GPU"


def test_cuda_is_missing_exactly_where_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert (machine.cuda_missing() is None) == torch.cuda.is_available()


def test_facts_are_those_of_this_machine() -> None:
    facts = machine.facts(SCRIPTS.parent)
    assert facts["n_cpus"] == len(os.sched_getaffinity(0))
    assert facts["memory_bytes"] > 1e8
    assert facts == machine.facts(SCRIPTS.parent)
    assert len(facts["machine_id"]) == 12
    assert machine.activity()["load_1min"] >= 0


@pytest.mark.parametrize(
    ("cpu_max", "most"), [("max 100000", None), (None, None), ("150000 100000", 2), ("1000 100000", 1)]
)
def test_a_containers_share_of_the_cores_counts(
    cpu_max: str | None, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(machine, "read", lambda path: cpu_max)
    assert machine.available_cpus() == (most or 8)
