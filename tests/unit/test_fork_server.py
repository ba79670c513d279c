"""The fork server: one import a run, a fresh process a cell, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
# Replaces the measuring process: says who it is, then does what the spec says.
WORKER = """
import json, os, signal, time
def block_unused_imports(runtime): pass
def preload(runtime):
    with open(os.environ["PRELOADS"], "a") as stream:
        stream.write("x")
def run(spec):
    with open(spec["events"], "w") as stream:
        who = {"pid": os.getpid(), "parent": os.getppid(), "preload_cpu_s": spec["preload_cpu_s"]}
        who["name"] = open("/proc/self/comm").read().strip()
        stream.write(json.dumps(who) + "\\n")
    print("to the log", flush=True)
    time.sleep(spec.get("sleep_s", 0))
    if "signal" in spec:
        os.kill(os.getpid(), spec["signal"])
    return spec.get("code", 0)
"""
# Replaces the measuring job.
PARENT = """
import json, os, sys, tempfile, time
from pathlib import Path
from asrmeter.measure import launcher
spec = {"threads": 1, "runtime": "transformers"} | json.loads(sys.argv[1])
with tempfile.TemporaryFile() as events:
    worker = launcher.start(spec, events.fileno(), 2, Path(sys.argv[2]))
    code = worker.wait(spec.get("timeout_s", 30))
    timed_out = code is None
    code = worker.kill() if timed_out else code
    events.seek(0)
    event = json.loads(events.read() or b"{}")
print(json.dumps(event | {"kind": type(worker).__name__, "code": code, "timed_out": timed_out}), flush=True)
"""
# Replaces Snakemake: its name is what the job looks for.
OWNER = """
import subprocess, sys
for line in sys.stdin:
    subprocess.run([sys.executable, sys.argv[1], line.strip(), sys.argv[2]])
    print("done", flush=True)
"""


class Run:
    """A pretended Snakemake run whose jobs are started by `job`."""

    def __init__(self, folder: Path) -> None:
        package = folder / "scripts" / "asrmeter"
        for room in ("measure", "machine"):
            (package / room).mkdir(parents=True)
        for name in ("measure/launcher.py", "measure/fork_server.py", "machine/snakemake_process.py"):
            shutil.copy(SCRIPTS / "asrmeter" / name, package / name)
        (package / "measure" / "child.py").write_text(WORKER)
        (folder / "parent.py").write_text(PARENT)
        (folder / "snakemake").write_text(OWNER)
        self.preloads = folder / "preloads"
        environment = os.environ | {"PYTHONPATH": str(package.parent), "PRELOADS": str(self.preloads)}
        environment.pop("ASRMETER_FORK_SERVER", None)
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "snakemake"), str(folder / "parent.py"), str(package.parent)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def job(self, **spec: Any) -> dict[str, Any]:
        """Run a job and return its result."""
        self.begin(**spec)
        assert self.process.stdout is not None
        found: dict[str, Any] = {}
        for line in self.process.stdout:
            if line == "done\n":
                break
            if line.startswith("{"):
                found = json.loads(line)
        return found

    def begin(self, **spec: Any) -> None:
        """Start a job and do not wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(spec) + "\n")
        self.process.stdin.flush()

    def begin_and_find(self, server: int, **spec: Any) -> int:
        """Start a job and return the process id of its worker."""
        self.begin(**spec)
        children = Path(f"/proc/{server}/task/{server}/children")
        assert comes_true(lambda: bool(children.read_text().split()))
        return int(children.read_text().split()[0])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = Run(tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def comes_true(condition: Callable[[], bool]) -> bool:
    """Wait for a condition, at most ten seconds."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_server_forks_a_fresh_process_for_every_job(run: Run) -> None:
    first, second = run.job(), run.job(code=3)
    assert first["kind"] == second["kind"] == "ForkedWorker"
    assert (first["code"], second["code"]) == (0, 3)
    assert first["parent"] == second["parent"]
    assert len({first["pid"], second["pid"], first["parent"]}) == 3
    assert run.preloads.read_text() == "x"
    assert first["name"] == "asrmeter-worker"
    assert first["preload_cpu_s"] > 0


def test_server_is_another_for_other_threads(run: Run) -> None:
    assert run.job(threads=1)["parent"] != run.job(threads=2)["parent"]


def test_server_is_another_for_another_runtime(run: Run) -> None:
    assert run.job()["parent"] != run.job(runtime="own_file")["parent"]


def test_server_survives_a_killed_worker(run: Run) -> None:
    first, second = run.job(signal=int(signal.SIGKILL)), run.job()
    assert (first["code"], second["code"]) == (-9, 0)
    assert first["parent"] == second["parent"]


def test_worker_that_takes_too_long_is_killed(run: Run) -> None:
    found = run.job(sleep_s=60, timeout_s=1)
    assert (found["timed_out"], found["code"]) == (True, -9)
    assert not alive(found["pid"])
    assert run.job()["code"] == 0


def test_server_killed_kills_its_worker_and_is_replaced(run: Run) -> None:
    server = run.job()["parent"]
    child = run.begin_and_find(server, sleep_s=60)
    os.kill(server, signal.SIGKILL)
    assert comes_true(lambda: not alive(child))
    assert run.job()["code"] == -9  # the answer to the job before
    assert run.job()["parent"] != server


def test_die_with_parent_that_has_ended_already() -> None:
    code = """
import os, time
from asrmeter.measure import launcher
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    launcher.die_with_parent(parent)
    os.write(1, b"lives on")
"""
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_server_and_worker_end_with_the_run(run: Run) -> None:
    server = run.job()["parent"]
    child = run.begin_and_find(server, sleep_s=60)
    run.process.kill()
    assert comes_true(lambda: not alive(server) and not alive(child))


def test_worker_starts_directly_without_snakemake(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.process.communicate("", timeout=30)
    (tmp_path / "scripts" / "asrmeter" / "measure" / "child.py").write_text(
        WORKER + "import sys\nos._exit(run({'preload_cpu_s': None} | json.load(sys.stdin)))"
    )
    command = [sys.executable, str(tmp_path / "parent.py"), "{}", str(tmp_path / "scripts")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "scripts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "DirectWorker"
