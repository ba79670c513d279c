"""The process that imports a runtime once a run and forks a fresh process for every job.

It serves one job at a time and sleeps in the kernel meanwhile. It ends when its owner, the Snakemake process of the
run, ends. It imports the libraries of a measurement but does not use them: before the fork there is no thread, no
OpenMP region and no CUDA context. `asrmeter.measure.launcher` is the other side.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import struct
from typing import Any

from asrmeter.measure import child, launcher


def serve(owner: int, listener: socket.socket, runtime: str, hidden: list[str]) -> None:
    """Import a runtime, then serve who connects to a listening socket until the process `owner` ends.

    The packages `hidden` look as if they were not installed.
    """
    launcher.set_process_name("asrmeter-server")
    ends = os.pidfd_open(owner)
    child.hide(hidden)
    child.preload(runtime)
    preload = os.times()
    own = {"preload_cpu_s": preload.user + preload.system}
    while ends not in _wait(ends, listener.fileno()):
        connection, _ = listener.accept()
        with connection:
            if launcher.is_same_user(connection) and (task := _take(connection)):
                message, descriptors = task
                if not _work(message | own, descriptors, connection, listener, ends):
                    return


def _take(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return a task's message and descriptors; None if the other side is gone, silent, or not waiting."""
    connection.settimeout(launcher.ANSWERS_WITHIN_S)
    descriptors: list[int] = []
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, 8, 4)
        if len(head) == 8 and len(descriptors) == 4:
            message = json.loads(_receive(connection, struct.unpack("<Q", head)[0]))
            # Told before the fork: no worker runs beside what the other side does if it is not here any more.
            connection.sendall(launcher.TAKEN)
            return message, descriptors
    except OSError:
        pass
    for descriptor in descriptors:
        os.close(descriptor)
    return None


def _work(
    message: dict[str, Any], descriptors: list[int], connection: socket.socket, listener: socket.socket, ends: int
) -> bool:
    """Do a task in a forked worker; return whether the owner still lives. The worker ends when the other side does."""
    events, _lock, out, err = descriptors  # the worker holds the lock by keeping it open
    server = os.getpid()
    worker = os.fork()
    if worker == 0:
        try:
            launcher.die_with_parent(server)
            launcher.set_process_name("asrmeter-worker")
            listener.close()
            connection.close()
            os.dup2(out, 1)
            os.dup2(err, 2)
            os._exit(child.run(message | {"events": events}))
        finally:
            os._exit(1)  # whatever happens, it is no second server
    for descriptor in descriptors:
        os.close(descriptor)
    finished = os.pidfd_open(worker)
    ready = _wait(finished, connection.fileno(), ends)
    if finished not in ready:
        os.kill(worker, signal.SIGKILL)
    _, status = os.waitpid(worker, 0)
    os.close(finished)
    with contextlib.suppress(OSError):  # the other side may be gone
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    return ends not in ready


def _wait(*descriptors: int) -> set[int]:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll()}


def _receive(connection: socket.socket, n_bytes: int) -> bytes:
    content = bytearray()
    while len(content) < n_bytes:
        piece = connection.recv(n_bytes - len(content))
        if not piece:
            raise ConnectionError("the parent went away")
        content += piece
    return bytes(content)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--owner", type=int, required=True, help="process id of the Snakemake whose run is served")
    parser.add_argument("--listener", type=int, required=True, help="descriptor of the socket that jobs connect to")
    parser.add_argument("--preload", required=True, help="the runtime to import")
    parser.add_argument("--hide", nargs="*", default=[], help="packages that look as if they were not installed")
    args = parser.parse_args()
    serve(args.owner, socket.socket(fileno=args.listener), args.preload, args.hide)
    os._exit(0)  # tearing torch down takes a second


if __name__ == "__main__":
    main()
