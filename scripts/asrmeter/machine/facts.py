"""Facts about the machine: its processor, memory, GPU driver and software."""

import hashlib
import importlib.metadata
import math
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrmeter.machine.probes import governor, read

# Packages that every measurement uses, with any runtime.
_VERSIONED = ("codecarbon", "numpy")


def available_cpus() -> int:
    """Return the number of cores for this process: those it is bound to, or the container's share if that is less."""
    bound = len(os.sched_getaffinity(0))
    quota, _, period = (read("/sys/fs/cgroup/cpu.max") or "max 1").partition(" ")
    return bound if quota == "max" else max(1, min(bound, math.ceil(int(quota) / int(period))))


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """Facts about machine and software in a record; None if an older record lacks one.

    Attributes:
        machine_id: see `machine_id`.
        node: name of the node of a cluster.
        commit: the checkout's commit.
        versions: versions by package.
    """

    machine_id: str | None = None
    node: str | None = None
    slurm_job_id: str | None = None
    visible_gpus: str | None = None
    cpu_name: str | None = None
    n_cpus: int | None = None
    memory_bytes: int | None = None
    os: str | None = None
    governor: str | None = None
    python_version: str | None = None
    commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def machine_facts(root: Path, packages: Sequence[str]) -> MachineFacts:
    """Return the facts of this machine.

    `root` is the checkout, for its git commit; `packages` are those of the runtime, whose versions are recorded too.
    """
    return MachineFacts(
        machine_id=machine_id(),
        node=node(),
        slurm_job_id=os.environ.get("SLURM_JOB_ID"),
        visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
        cpu_name=cpu_name(),
        n_cpus=available_cpus(),
        memory_bytes=memory_bytes(),
        os=f"{_distribution()}, Linux {platform.release()}",
        governor=governor(),
        python_version=platform.python_version(),
        commit=_commit(root),
        versions={name: _version(name) for name in (*packages, *_VERSIONED)},
    )


def machine_id() -> str:
    """Return twelve hexadecimal digits that identify this kind of machine: processor, number of cores and memory.

    Equal nodes of a cluster are of one kind; `node` distinguishes them.
    """
    # The kernel reserves some memory, a little more or less at each boot.
    identity = [cpu_name(), str(os.cpu_count()), f"{memory_bytes() / 2**30:.0f} GiB"]
    return hashlib.sha256("\n".join(["asrmeter", *identity]).encode()).hexdigest()[:12]


def node() -> str | None:
    """Return the name of this node of a SLURM cluster; None elsewhere, where the host name is private."""
    return os.environ.get("SLURMD_NODENAME")


def memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown distribution"


def cpu_name() -> str:
    """Return the processor's name from Linux."""
    found = re.search(r"^model name\s*:\s*(.+)$", read("/proc/cpuinfo") or "", re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit(root: Path) -> str | None:
    """Return the checkout's commit, with "-dirty" if files differ from it; None outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=20, encoding="utf-8", errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
