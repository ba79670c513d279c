"""Two runs do not work in one results folder at once."""

import errno
import fcntl
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import SCRIPTS
from asrmeter.workflow import run_lock

# Both come to the lock at once: what they do before it takes as long.
RUN = """
import sys, time
from pathlib import Path
from asrmeter.common.errors import AsrmeterError
from asrmeter.workflow import run_lock
print("ready", flush=True)
sys.stdin.readline()
try:
    run_lock.hold(Path("results"))
    print("in", flush=True)
    sys.stdin.readline()
except AsrmeterError as error:
    print(error, flush=True)
"""


class Run:
    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Run]]:
    runs: list[Run] = []

    def begin() -> Run:
        runs.append(Run(tmp_path))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.communicate()


def test_of_two_that_start_at_once_one_is_refused(start: Callable[[], Run]) -> None:
    both = [start(), start()]
    for run in both:
        run.go_on()
    said = {run.read(): run for run in both}
    holder = said.pop("in")
    ((refusal, _),) = said.items()
    assert refusal.startswith(f"results/: another run is active here, process {holder.process.pid} of ")
    assert refusal.endswith("; wait for it, or end it") and " since " in refusal and sys.executable in refusal
    # However the first one ends, the next comes in.
    holder.process.kill()
    holder.process.wait()
    third = start()
    third.go_on()
    assert third.read() == "in"


def test_a_run_on_another_machine_is_named(tmp_path: Path) -> None:
    with open(tmp_path / run_lock.FILE, "w+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write("process 5 on node\x1b7\n")
        stream.flush()
        with pytest.raises(AsrmeterError, match=r"another run is active here, process 5 on node\\x1b7; wait for it"):
            run_lock.hold(tmp_path)


def test_who_holds_says_so_in_the_file(start: Callable[[], Run], tmp_path: Path) -> None:
    run = start()
    run.go_on()
    assert run.read() == "in"
    told = (tmp_path / "results" / run_lock.FILE).read_text()
    assert told == f"process {run.process.pid} on {platform.node()}\n"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_leaves_it_to_snakemake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    run_lock.hold(tmp_path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkdir, "remove the other file in its place"),
        (lambda path: os.symlink("gone", path), "delete the link in its path that leads back"),
        (lambda path: os.symlink("/etc/passwd", path), "delete the link in its path"),
    ],
)
def test_what_stands_in_its_place_is_told(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path / run_lock.FILE)
    with pytest.raises(AsrmeterError, match=said) as caught:
        run_lock.hold(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / run_lock.FILE}: ")
