"""The measuring process: its tasks, its events, and what it keeps out."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asrmeter.measure import child, tasks
from asrmeter.measure.spec import Start
from asrmeter.records.events import Memory, Pass
from asrmeter.runtimes.base import UnsupportedError

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("name", tasks.TASKS)
def test_task_of_the_registry_can_be_loaded(name: str) -> None:
    spec, place = tasks.TASKS[name]
    module, class_name = place.split(":")
    assert issubclass(getattr(importlib.import_module(module), class_name), tasks.Task)
    assert spec.task == name


def events_of(outcome: Exception | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[int, list[Any]]:
    """Run a task that emits a pass and then raises `outcome`; return the exit code and the events."""

    class Task(tasks.Task):
        def run(self) -> None:
            self._emit(Memory(peak_rss_bytes=7))
            if outcome:
                raise outcome

    monkeypatch.setattr(tasks, "load", lambda message, emit: Task(message, Start(), emit))
    path = tmp_path / "events"
    code = child.run({"events": os.open(path, os.O_WRONLY | os.O_CREAT)})
    first, *rest = [json.loads(line) for line in path.read_text().splitlines()]
    assert first == {"event": "memory", "peak_rss_bytes": 7, "peak_device_bytes": None}
    return code, rest


def test_run_ends_with_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert events_of(None, monkeypatch, tmp_path) == (0, [{"event": "done"}])


def test_run_of_an_unsupported_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = UnsupportedError("no CUDA device")
    assert events_of(error, monkeypatch, tmp_path) == (0, [{"event": "unsupported", "reason": "no CUDA device"}])


def test_run_of_a_task_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"event": "failed", "status": "error", "reason": "ValueError: wrong"}
    assert events_of(ValueError("wrong"), monkeypatch, tmp_path) == (1, [event])
    assert "Traceback" in capsys.readouterr().err


def test_what_no_record_can_hold_does_not_reach_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Task(tasks.Task):
        def run(self) -> None:
            self._emit(Pass(phase="latency", latency_s=1, audio_s=1, texts=["half \ud83d of \U0001f600\n\u2028"]))
            raise ValueError("caf\udce9 \x1b[31m http://user:pw@host")

    monkeypatch.setattr(tasks, "load", lambda message, emit: Task(message, Start(), emit))
    path = tmp_path / "events"
    child.run({"events": os.open(path, os.O_WRONLY | os.O_CREAT)})
    passed, failed, _ = path.read_bytes().decode().split("\n")
    assert json.loads(passed)["texts"] == ["half \N{REPLACEMENT CHARACTER} of \U0001f600\n\u2028"]
    assert json.loads(failed)["reason"] == "ValueError: caf\\xe9 \\x1b[31m http://***@host"
    capsys.readouterr()


def test_blocked_packages_look_as_if_not_installed() -> None:
    code = (
        "import importlib.util\n"
        "from asrmeter import runtimes\n"
        "hidden = runtimes.options_of('transformers')().hidden\n"
        "assert 'torchao' in hidden and 'scipy' in hidden\n"
        "runtimes.hide(hidden)\n"
        "for name in hidden:\n"
        "    assert importlib.util.find_spec(name) is None, name\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ModuleNotFoundError:\n"
        "        continue\n"
        "    raise AssertionError(f'{name} was imported')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_child_imports_no_library_before_it_blocks_some() -> None:
    code = (
        "import sys\n"
        "import asrmeter.measure.child\n"
        "heavy = {'torch', 'numpy', 'transformers', 'soundfile'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
