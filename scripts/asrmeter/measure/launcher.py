"""Start a worker, the process that measures, and wait for it without waking up. Standard library only.

Importing torch and transformers costs seconds for every job. Under Snakemake a fork server imports a runtime once a
run (`fork_server`). Every job still gets a fresh process, forked before any thread or CUDA context exists. Without
Snakemake, or with ASRMETER_FORK_SERVER=0, the worker is started directly, and so it is where a server does not answer.
"""

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from asrmeter.machine import snakemake_process

FORK_SERVER_VARIABLE = "ASRMETER_FORK_SERVER"
# A secret of the run, which Snakemake's jobs inherit: the sockets of its servers are named by it.
RUN_VARIABLE = "ASRMETER_RUN"
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LIBC = ctypes.CDLL(None)
# Libraries read these when they are loaded. Snakemake sets them to the threads of the job, not to those of the cell.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "GOTO_NUM_THREADS",
)
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_SERVER_STARTS_WITHIN_S = 120
# The other side says at once what it has to say.
ANSWERS_WITHIN_S = 10
# What a server says when it has a task, before it begins it.
TAKEN = b"t"
_KILLED = -signal.SIGKILL


class Worker(Protocol):
    """A process that does one task."""

    def wait(self, timeout_s: float) -> int | None:
        """Sleep until it ends; return its exit code (negative: the signal that ended it), or None after `timeout_s`."""

    def kill(self) -> int:
        """Kill it and return its exit code."""


def start(spec: dict[str, Any], events: int, lock: int, scripts: Path) -> Worker:
    """Start a worker. It inherits the descriptors `events`, to write to, and `lock`, to hold while it lives."""
    owner = None if os.environ.get(FORK_SERVER_VARIABLE) == "0" else snakemake_process.process()
    if owner is not None and (secret := os.environ.get(RUN_VARIABLE)):
        with contextlib.suppress(OSError):  # no server starts, or one does not answer
            return _forked(f"{secret} {owner} {snakemake_process.started(owner)}", owner, spec, events, lock, scripts)
    return DirectWorker(spec, events, lock, scripts)


def new_run() -> None:
    """Give this Snakemake process a secret for its measuring jobs that no other user can guess."""
    os.environ[RUN_VARIABLE] = os.urandom(16).hex()


class DirectWorker:
    """A worker that imports everything itself.

    It inherits the descriptors `others` too, and may use the CPUs `cpus` alone, None for all that this process may.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        events: int,
        lock: int,
        scripts: Path,
        others: Collection[int] = (),
        cpus: Collection[int] | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "asrmeter.measure.child"],
            stdin=subprocess.PIPE,
            env=_environment(spec["threads"], scripts),
            pass_fds=(events, lock, *others),
            preexec_fn=functools.partial(_begin, os.getpid(), cpus),
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code says so
            message = spec | {"events": events, "parent_cpu_s": _startup_cpu_s(spec)}
            self._process.stdin.write(json.dumps(message).encode())
            self._process.stdin.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        """See `Worker`. Popen.wait(timeout) would wake up twenty times a second."""
        descriptor = os.pidfd_open(self._process.pid)
        try:
            return self._process.wait() if readable(descriptor, timeout_s) else None
        finally:
            os.close(descriptor)

    def kill(self) -> int:
        """See `Worker`."""
        self._process.kill()
        return self._process.wait()


class ForkedWorker:
    """A worker forked by the server, which kills it when this end of the connection closes.

    Raises:
        OSError: the server does not take the task.
    """

    def __init__(self, connection: socket.socket, spec: dict[str, Any], events: int, lock: int) -> None:
        self._connection = connection
        content = json.dumps(spec | {"parent_cpu_s": _startup_cpu_s(spec)}).encode()
        descriptors = [events, lock, sys.stdout.fileno(), sys.stderr.fileno()]
        connection.settimeout(_SERVER_STARTS_WITHIN_S)
        socket.send_fds(connection, [struct.pack("<Q", len(content))], descriptors)
        connection.sendall(content)
        if connection.recv(1) != TAKEN:
            raise ConnectionError("the server has not taken the task")

    def wait(self, timeout_s: float) -> int | None:
        """See `Worker`."""
        if not readable(self._connection.fileno(), timeout_s):
            return None
        try:
            exit_code = self._connection.recv(64)
        except OSError:
            exit_code = b""
        return int(exit_code) if exit_code else _KILLED  # the server is gone, and the worker with it

    def kill(self) -> int:
        """See `Worker`."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        return self.wait(60) or _KILLED


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent, the process `parent`, ends; exit if that has ended already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _begin(parent: int, cpus: Collection[int] | None) -> None:
    """Set up a process that was forked from `parent`, before it becomes the worker."""
    die_with_parent(parent)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)  # before there is a second thread: each inherits it


def set_process_name(name: str) -> None:
    """Set the name that `ps` and `pgrep` show, 15 characters at most; a fork has its server's command line."""
    _LIBC.prctl(_PR_SET_NAME, name.encode())


def readable(descriptor: int, timeout_s: float) -> bool:
    """Sleep until a descriptor can be read or the time is over; return whether it can be read."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def is_same_user(connection: socket.socket) -> bool:
    """Return whether the process at the other end belongs to the same user: abstract sockets have no permissions."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(user == os.getuid())


def _forked(run: str, owner: int, spec: dict[str, Any], events: int, lock: int, scripts: Path) -> ForkedWorker:
    """Start a worker by the run's fork server for a runtime, which is started if there is none.

    Raises:
        OSError: the server does not start, or does not answer.
    """
    key = f"{run} {spec['threads']} {spec['runtime']} {spec['hidden']} {sys.executable} {scripts} {Path.cwd()}"
    # Abstract: the name vanishes with its server. Nobody can take it first, as nobody else knows what it is made of.
    address = f"\0asrmeter-{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}"
    server = None
    try:
        connection = _connect_to(address)
    except ConnectionRefusedError:  # nobody listens
        server = _start_server(owner, address, spec, scripts)
        connection = _connect_to(address)
    try:
        return ForkedWorker(connection, spec, events, lock)
    except OSError:
        connection.close()
        if server is not None:
            server.kill()  # nothing may run beside the measurement
            server.wait()
        raise


def _start_server(owner: int, address: str, spec: dict[str, Any], scripts: Path) -> "subprocess.Popen[bytes]":
    """Start a server. It listens from the first moment on, and answers once it has imported the runtime."""
    # Bound here: the name would stand in the command line of the server, where others could read and take it.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "asrmeter.measure.fork_server"),
                *("--owner", str(owner), "--listener", str(listener.fileno()), "--preload", spec["runtime"]),
                *("--hide", *spec["hidden"]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # it outlives this job and must not hold its log open
            env=_environment(spec["threads"], scripts),
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )


def _connect_to(address: str) -> socket.socket:
    """Return a connection to a server of this user.

    Raises:
        OSError: nobody listens, or somebody who does not answer or is another user.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(ANSWERS_WITHIN_S)
        connection.connect(address)
        if not is_same_user(connection):
            raise PermissionError("the server belongs to another user")
        return connection
    except OSError:
        connection.close()
        raise


def _startup_cpu_s(spec: dict[str, Any]) -> float:
    """Return the CPU time of this process without the time that it spent on checking the cell's files."""
    return time.process_time() - float(spec.get("check_cpu_s") or 0)


def _environment(threads: int, scripts: Path) -> dict[str, str]:
    return {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), **_QUIET, "PYTHONPATH": str(scripts)}
