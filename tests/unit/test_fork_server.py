"""The fork server: one import a run, a fresh process a cell, nothing left behind."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
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
def hide(packages): pass
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
spec = {"threads": 1, "runtime": "transformers", "hidden": []} | json.loads(sys.argv[1])
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

    def __init__(self, folder: Path, secret: str = "secret") -> None:
        self.folder = folder
        package = folder / "scripts" / "asrmeter"
        for room in ("measure", "machine"):
            (package / room).mkdir(parents=True)
        for name in ("measure/fork_server.py", "machine/snakemake_process.py"):
            shutil.copy(SCRIPTS / "asrmeter" / name, package / name)
        source = (SCRIPTS / "asrmeter" / "measure" / "launcher.py").read_text()
        for patience, less in (("_SERVER_STARTS_WITHIN_S = 120", 1.5), ("\nANSWERS_WITHIN_S = 10", 0.5)):
            assert patience in source
            source = source.replace(patience, f"{patience.partition('=')[0]}= {less}")
        (package / "measure" / "launcher.py").write_text(source)
        (package / "measure" / "child.py").write_text(WORKER)
        (folder / "parent.py").write_text(PARENT)
        (folder / "snakemake").write_text(OWNER)
        self.preloads = folder / "preloads"
        environment = os.environ | {"PYTHONPATH": str(package.parent), "PRELOADS": str(self.preloads)}
        environment |= {"ASRMETER_RUN": secret}
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

    @property
    def address(self) -> str:
        """The name of the socket by which a job with the usual spec finds its server."""
        pid = self.process.pid
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        key = f"secret {pid} {started} 1 transformers [] {sys.executable} {self.folder / 'scripts'} {Path.cwd()}"
        return f"\0asrmeter-{hashlib.sha256(key.encode()).hexdigest()[:32]}"

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
    run = Run(tmp_path)
    with started(run):
        yield run


@contextlib.contextmanager
def started(run: Run) -> Iterator[None]:
    try:
        yield
    finally:
        run.process.kill()
        run.process.communicate()


def sockets() -> list[str]:
    """Return the names of all abstract sockets."""
    return [f"\0{name}" for name in re.findall(r" @(\S+)", Path("/proc/net/unix").read_text())]


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


def test_a_run_without_a_secret_has_no_server(tmp_path: Path) -> None:
    run = Run(tmp_path, secret="")
    assert run.address not in sockets()
    with started(run):
        assert run.job()["kind"] == "DirectWorker"
    assert not run.preloads.exists()


def test_the_name_is_nowhere_to_be_read_before_it_is_taken(run: Run) -> None:
    server = run.job()["parent"]
    told = Path(f"/proc/{server}/cmdline").read_bytes()
    assert b"asrmeter.measure.fork_server" in told
    assert run.address[1:].encode() not in told and b"secret" not in told
    assert run.address in sockets()


@contextlib.contextmanager
def squatter(run: Run, code: str, user: int = os.getuid()) -> Iterator[None]:
    """Have another process listen where the run's server should, and do something with whoever connects."""
    head = (
        f"import os, socket, sys, time\nos.setuid({user})\nlistener = socket.socket(socket.AF_UNIX)\n"
        f"listener.bind({run.address!r}); listener.listen(1); held = []; print('listens', flush=True)\n"
    )
    command = [sys.executable, "-c", head + code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, close_fds=False) as process:
        assert process.stdout is not None and process.stdout.readline() == "listens\n"
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize(
    "code",
    [
        "for _ in range(9): held.append(socket.socket(socket.AF_UNIX)); held[-1].setblocking(False); "
        "held[-1].connect_ex(listener.getsockname())\ntime.sleep(99)",
        "time.sleep(99)",
        "while True: held.append(listener.accept())",
        "while True: listener.accept()",
        "while True: one = listener.accept()[0]; held.append(one); one.sendall(b'x' * 99)",
        "while True: one = listener.accept()[0]; held.append(one); one.shutdown(socket.SHUT_RDWR)",
    ],
    ids=["full backlog", "deaf", "silent", "hangs up", "says nonsense", "shuts down"],
)
def test_who_took_the_name_delays_a_job_for_a_moment(run: Run, code: str) -> None:
    with squatter(run, code):
        began = time.monotonic()
        assert run.job(timeout_s=5)["kind"] == "DirectWorker"
        assert time.monotonic() - began < 5


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_given_nothing(run: Run, tmp_path: Path) -> None:
    got = tmp_path / "got"
    got.touch()
    opened = os.open(got, os.O_WRONLY)
    os.set_inheritable(opened, True)
    code = "while True: one = listener.accept()[0]; os.write(got, one.recv(99) or b'.')"
    with squatter(run, f"got = {opened}\n{code}", user=65534):
        assert run.job(timeout_s=5)["kind"] == "DirectWorker"
        assert comes_true(lambda: bool(got.read_bytes()))
    assert not got.read_bytes().strip(b".")


def test_a_server_that_is_stopped_is_done_without(run: Run) -> None:
    server = run.job()["parent"]
    os.kill(server, signal.SIGSTOP)
    began = time.monotonic()
    assert run.job(timeout_s=5)["kind"] == "DirectWorker"
    assert time.monotonic() - began < 5
    os.kill(server, signal.SIGCONT)
    # What it was asked for meanwhile is not done any more.
    assert (found := run.job())["parent"] == server
    assert found["kind"] == "ForkedWorker"


@pytest.mark.parametrize("said", [b"", b"x", b"\xff" * 8, b"\xff" * 99])
def test_who_connects_and_says_no_task_does_not_stop_the_server(run: Run, said: bytes) -> None:
    server = run.job()["parent"]
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(run.address)
        idle.sendall(said)
        found = run.job(timeout_s=5)
    assert found["code"] == 0 or found["kind"] == "DirectWorker"
    assert run.job()["parent"] == server


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
