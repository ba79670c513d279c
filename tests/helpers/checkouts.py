"""A copy of the repository in which a test runs Snakemake, and what it may know of the processes started there."""

import contextlib
import errno
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "hf_secretsecret"
CELLS = [
    f"{model}/fp32/cpu/5s-b{batch_size}" for model in ("whisper-tiny.en", "wav2vec2-base-960h") for batch_size in (1, 2)
]
# Each is the smallest or the largest batch of its class.
PROFILED = CELLS
LAPS = 2
# What is measured: each cell once a lap.
MEASURED = sorted(f"{cell}/lap{lap}" for cell in CELLS for lap in range(1, LAPS + 1))
# Nothing but what a run makes or a tool caches.
_NOT_COPIED = re.compile(r"\.git|\.venv|results.*|\.snakemake|\.hypothesis|\..*_cache")
_MARK = "ASRMETER_TEST_CHECKOUT"
_NOWHERE = "http://127.0.0.1:9"
T = TypeVar("T")


def small(**changes: Any) -> dict[str, Any]:
    """Return a study of four cells in two laps, some seconds each; `changes` replace keys.

    One thread: several tests may measure at once. With as many threads as cores each, they would wait for one another.
    """
    study: dict[str, Any] = {
        "name": "small",
        "corpus": {"kind": "packages", "name": "quickstart", "segments_per_class": 2},
        "models": {"whisper-tiny.en": {"weights": "packaged"}, "wav2vec2-base-960h": {"weights": "random"}},
        "devices": ["cpu"],
        "durations_s": [5],
        "batch_sizes": [1, 2],
        "threads": 1,
        "protocol": {"laps": LAPS, "budget_s": 0.5, "max_passes": 6},
        "report": {"study_2025": True},
    }
    return study | changes


def one_cell(**changes: Any) -> dict[str, Any]:
    """Return a study of one cell of whisper-tiny.en in one lap, which is not profiled; `changes` replace keys."""
    own = small(models={"whisper-tiny.en": {"weights": "packaged"}}, batch_sizes=[1])
    own["protocol"]["laps"] = 1
    own["profile"] = {"durations_s": []}
    return own | changes


def large(n_durations: int) -> dict[str, Any]:
    """Return a study of 200 cells for each of `n_durations` durations, in one lap."""
    models = ["whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "wav2vec2-base-960h"]
    return small(
        name="large",
        results="results-large",
        models={model: {"weights": "random"} for model in models},
        durations_s=list(range(1, n_durations + 1)),
        batch_sizes=list(range(1, 41)),
        protocol={"laps": 1},
    )


def environment(lock: Path, **more: str) -> dict[str, str]:
    """Return the variables of a run: a lock of its own, no network, this Python first."""
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ASRMETER_LOCK": str(lock),
        "HF_HUB_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
    }
    own |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE)
    return os.environ | own | more


@contextlib.contextmanager
def exclusively(folder: Path) -> Iterator[None]:
    """Keep other processes of the tests out of the block for this folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def link(source: str | Path, target: str | Path) -> None:
    """Have `target` be `source` without copying its bytes where the file system can do that."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copy2(source, target)


def _copy_or_link(source: str, target: str) -> None:
    """Copy what a run may write on; weights and archives are large, and only ever replaced."""
    (shutil.copy2 if os.path.getsize(source) < 1e6 else link)(source, target)


@dataclass(frozen=True)
class Ran:
    """What became of a command."""

    code: int
    output: str
    cpu_s: float
    wall_s: float

    @property
    def jobs(self) -> dict[str, int]:
        """Number of jobs by rule, as Snakemake's table says; empty if there was nothing to do."""
        table = re.search(r"^Job stats:\njob +count\n[- ]+\n((?:\S+ +\d+\n)+)", self.output, re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in self.output, self.output
            return {}
        rows = dict(line.split() for line in table[1].splitlines())
        total = int(rows.pop("total"))
        jobs = {rule: int(n) for rule, n in rows.items()}
        assert sum(jobs.values()) == total
        return jobs


@dataclass(frozen=True)
class Process:
    """A process that a run has started."""

    pid: int
    command: str
    started: int

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def has_told(self, event: str) -> bool:
        """Return whether a line with `event` stands in one of its open files without a name."""
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()).endswith(" (deleted)") and event in descriptor.read_text():
                        return True
        return False


class Checkout:
    """A folder with the repository's files; Snakemake is run in it."""

    def __init__(self, folder: Path, lock: Path) -> None:
        self.folder = folder
        self._lock = lock

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def measured(self) -> list[str]:
        """The sittings that have a record."""
        folder = self.results / "measurements"
        return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.glob("*/*/*/*/*.parquet"))

    def record(self, sitting: str) -> Path:
        """Return the path of a sitting's record."""
        return self.results / "measurements" / f"{sitting}.parquet"

    def write(self, study: dict[str, Any], name: str = "config.yaml") -> str:
        """Write a study (JSON is YAML) and return its name."""
        (self.folder / name).write_text(json.dumps(study, indent=1) + "\n")
        return name

    def start(self, *arguments: str, output: Path | None = None, **more: str) -> "subprocess.Popen[bytes]":
        """Start Snakemake as the leader of a process group, as a shell does. What it says goes to `output`."""
        command = [str(Path(sys.executable).with_name("snakemake")), *arguments]
        if not {"--cores", "--profile", "--unlock"} & {*arguments}:
            command += ["--cores", "2"]
        return self._start(command, output or self.folder.with_name(f"{self.folder.name}.txt"), **more)

    def run(self, *arguments: str, check: bool = True, limit_s: float = 400, **more: str) -> Ran:
        """Run Snakemake; with `check` a run that fails fails the test."""
        ran = self._end_of(lambda output: self.start(*arguments, output=output, **more), limit_s)
        assert not check or ran.code == 0, ran.output
        return ran

    def shell(self, command: str, limit_s: float = 400, **more: str) -> Ran:
        """Run a command line as somebody would type it."""
        return self._end_of(lambda output: self._start(["bash", "-c", command], output, **more), limit_s)

    def _end_of(self, start: Callable[[Path], "subprocess.Popen[bytes]"], limit_s: float) -> Ran:
        """Return what became of a command whose output goes to the file that `start` is given."""
        # Not a pipe: a process left behind would hold it open, and reading would wait for that.
        output = self.folder.with_name(f"{self.folder.name}.txt")
        before, began = _cpu_s(), time.monotonic()
        process = start(output)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.end_all()
            process.wait(10)
            pytest.fail(f"{process.args} took more than {limit_s} s:\n{output.read_text()}")
        return Ran(code, output.read_text(), _cpu_s() - before, time.monotonic() - began)

    def plan(self, *arguments: str) -> dict[str, int]:
        """Return number of jobs by rule of a dry run."""
        return self.run("--dry-run", *arguments).jobs

    def step(self, *command: str, limit_s: float = 90, stdin: str | None = None) -> Ran:
        """Run one of the scripts by hand; `stdin` is a file to read from."""
        output = self.folder.with_name(f"{self.folder.name}-step.txt")
        before, began = _cpu_s(), time.monotonic()
        process = self._start([sys.executable, *command], output, stdin)
        try:
            code = process.wait(limit_s)
        finally:
            process.kill()
        return Ran(code, output.read_text(), _cpu_s() - before, time.monotonic() - began)

    def processes(self, named: str = "") -> list[Process]:
        """Return the processes started from here whose command line has `named` in it, the oldest first."""
        mark = f"{_MARK}={self.folder}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if mark in (entry / "environ").read_bytes() and named in command:
                        started = int((entry / "stat").read_text().rpartition(")")[2].split()[19])
                        found.append(Process(int(entry.name), command, started))
        return sorted(found, key=lambda process: (process.started, process.pid))

    def measuring(self) -> Process | None:
        """Return the process that is measuring a cell and has timed a pass already."""
        told = [process for process in self.processes("-m asrmeter.") if process.has_told('"phase": "latency"')]
        return told[-1] if told else None

    def end_all(self) -> None:
        """End whatever was started from here."""
        for process in self.processes():
            process.end()

    @contextlib.contextmanager
    def changed(self, name: str, text: Callable[[str], str]) -> Iterator[None]:
        """Have a file hold another text for a while; afterwards it is as if nobody had touched it."""
        path = self.folder / name
        before, times = path.read_bytes(), path.stat()
        path.write_text(text(before.decode()))
        try:
            yield
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    @contextlib.contextmanager
    def put_back(self) -> Iterator[None]:
        """Have results and Snakemake's notes be afterwards as they are now, without a run that makes them again."""
        folders = [self.results, self.folder / ".snakemake"]
        kept = {folder: folder.with_name(f"{folder.name}.kept") for folder in folders}
        for folder, aside in kept.items():
            shutil.copytree(folder, aside, symlinks=True, copy_function=_copy_or_link)
        try:
            yield
        finally:
            for folder, aside in kept.items():
                shutil.rmtree(folder)
                aside.rename(folder)

    @contextlib.contextmanager
    def without(self, path: Path) -> Iterator[None]:
        """Have a file not be there for a while."""
        aside = path.with_name(f"{path.name}.aside")
        path.rename(aside)
        try:
            yield
        finally:
            aside.rename(path)

    def _start(
        self, command: list[str], output: Path, stdin: str | None = None, **more: str
    ) -> "subprocess.Popen[bytes]":
        with open(output, "wb") as stream, open(self.folder / stdin if stdin else os.devnull, "rb") as source:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=source,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment(self._lock, **{_MARK: str(self.folder)}, **more),
                start_new_session=True,
            )


class MakeCheckout(Protocol):
    """Makes a copy of the repository with its downloads; `made_from` lends its model folders and corpus."""

    def __call__(self, name: str, made_from: Checkout | None = None) -> Checkout: ...


def copy_repository(target: Path) -> None:
    """Copy the files that a clone would have."""
    target.mkdir(parents=True)
    for entry in ROOT.iterdir():
        if not _NOT_COPIED.fullmatch(entry.name):
            if entry.is_dir():
                shutil.copytree(entry, target / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(entry, target)
    (target / "results").mkdir()
    shutil.copy2(ROOT / "results" / ".gitkeep", target / "results")


def without_second_tries(folder: Path) -> None:
    """Have a copy of the repository measure nothing again because it was disturbed.

    Beside other tests everything is, each time: tests/integration/test_second_tries.py has what is done about it.
    """
    path, tries = folder / "scripts" / "retry_disturbed.py", "\nATTEMPTS = (2, 3)\n"
    text = path.read_text(encoding="utf-8")
    assert text.count(tries) == 1
    path.write_text(text.replace(tries, "\nATTEMPTS = ()\n"), encoding="utf-8")


def wait_for(condition: Callable[[], T], what: str, limit_s: float) -> T:
    """Return the condition's value as soon as it is true."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {limit_s} s")
        time.sleep(0.1)


def _cpu_s() -> float:
    """Return the CPU seconds of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
