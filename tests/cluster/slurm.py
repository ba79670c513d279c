"""A SLURM cluster on this machine for the tests: a controller and three nodes, one with a GPU, no systemd.

Debian's build lets several node daemons run on one machine. All of them listen on the loopback address only. The GPU is
a file that SLURM hands out: it counts and binds it as it does a real one, and no CUDA is behind it. `python
tests/cluster/slurm.py FOLDER` starts one to play with, and ends it when it is told to (Ctrl-C).
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

NODES = ("cpu1", "cpu2", "gpu1")
GPU_NODE = "gpu1"
GPU_MODEL = "fake"
CPUS, MEMORY_MB = 2, 16000
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
# Where the clients look, whatever becomes of SLURM_CONF: the executor's job steps drop it.
_SETTINGS = Path("/etc/slurm")
_PORT = 17000
# So long until a node whose daemon is gone counts as down.
_NODE_TIMEOUT_S = 6

_CONF = """
ClusterName=asrmeter
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=15
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
PropagateResourceLimits=NONE
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobs.log
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MinJobAge=3600
SlurmctldTimeout=30
SlurmdTimeout={timeout}
MessageTimeout=5
TCPTimeout=1
KillWait=5
CompleteWait=0
InactiveLimit=0
ReturnToService=2
JobRequeue=0
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE DefaultTime=60 State=UP OverSubscribe=NO DefMemPerCPU=500
"""


def missing() -> str | None:
    """Return why no cluster can be started here; None if one can."""
    lacking = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if shutil.which(name) is None]
    if lacking:
        return f"{', '.join(lacking)} is not installed; apt-get install {' '.join(PACKAGES)}"
    if os.getuid() != 0:
        return "only root can start SLURM's daemons"
    conf = _SETTINGS / "slurm.conf"
    return f"{conf} belongs to a cluster of this machine" if conf.exists() and not conf.is_symlink() else None


@dataclass(frozen=True)
class Job:
    """A job as the controller tells of it."""

    id: int
    comment: str
    state: str
    nodes: str
    asked: Mapping[str, str]
    started: str
    ended: str

    @property
    def rule(self) -> str:
        """The rule or the group that it is of."""
        return re.sub(r"^(rule|group)_", "", self.comment.partition("_wildcards_")[0])

    @property
    def has_gpu(self) -> bool:
        """Whether it was given a GPU."""
        return "gpu" in self.asked.get("TresPerJob", "") + self.asked.get("TresPerNode", "")


class Cluster:
    """The daemons, and what is done to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Seconds until every node was idle.
        self.started_s = 0.0
        self._links = [_SETTINGS / name for name in ("slurm.conf", "gres.conf")]

    def start(self) -> None:
        """Bring everything up; return when every node is idle."""
        began = time.monotonic()
        for name in ("munge", "state", "run", "log", "spool", "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._name_this_machine()
        device = self.folder / "dev" / "gpu0"
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        nodes = []
        for number, name in enumerate(NODES, start=1):
            gpu = f" Gres=gpu:{GPU_MODEL}:1 Weight=100" if name == GPU_NODE else ""
            nodes.append(
                f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={_PORT + number} "
                f"CPUs={CPUS} RealMemory={MEMORY_MB}{gpu} State=UNKNOWN"
            )
        values = {"host": socket.gethostname(), "port": _PORT, "folder": self.folder, "timeout": _NODE_TIMEOUT_S}
        text = _CONF.format(**values, nodes="\n".join(nodes), names=",".join(NODES))
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(f"NodeName={GPU_NODE} Name=gpu Type={GPU_MODEL} File={device}\n")
        _SETTINGS.mkdir(exist_ok=True)
        for link in self._links:
            link.unlink(missing_ok=True)
            link.symlink_to(self.folder / link.name)
        self._start_munge()
        self.start_controller()
        for name in NODES:
            self.start_node(name)
        _wait(lambda: set(self.states().values()) == {"idle"}, "the nodes are not idle", 30)
        self.started_s = time.monotonic() - began

    def stop(self) -> None:
        """End every job and daemon of this cluster."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _run("scancel", "--user=root", "--signal=KILL")
        daemons = ["slurmctld", *(f"slurmd.{name}" for name in NODES), "munge"]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in (self.pid(daemon) for daemon in daemons):
                if pid is not None:
                    _end(pid, number)
            with contextlib.suppress(TimeoutError):
                _wait(lambda: not any(map(self.pid, daemons)), "a daemon lives on", 8)
                break
        for pid in (pid for name in NODES for pid in self._processes_on(name)):
            _end(pid)
        for link in self._links:
            if link.is_symlink() and link.readlink() == self.folder / link.name:
                link.unlink()

    def states(self) -> dict[str, str]:
        """Return the state of each node; empty while the controller does not answer."""
        try:
            lines = _run("sinfo", "--Node", "--noheader", "--format=%N %T").splitlines()
        except subprocess.SubprocessError:
            return {}
        return dict(line.split() for line in lines)  # type: ignore[misc]

    def jobs(self) -> list[Job]:
        """Return all jobs that were ever submitted, the oldest first."""
        found = []
        for line in _run("scontrol", "--oneliner", "show", "jobs").splitlines():
            told = dict(re.findall(r"(\w+)=(.*?)(?= \w+=|\s*$)", line))
            if "JobId" in told:
                found.append(
                    Job(
                        id=int(told["JobId"]),
                        comment=told.get("Comment", ""),
                        state=told["JobState"],
                        nodes=told.get("NodeList", ""),
                        asked=told,
                        started=told["StartTime"],
                        ended=told["EndTime"],
                    )
                )
        return sorted(found, key=lambda job: job.id)

    def log_of_jobs(self) -> list[dict[str, str]]:
        """Return the scheduler's own log: a row for each job that has ended, with its node, start and end."""
        path = self.folder / "log" / "jobs.log"
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in path.read_text().splitlines()]

    def start_controller(self) -> None:
        """Start the controller; it takes up the jobs that it knew."""
        _run("slurmctld", "-f", str(self.folder / "slurm.conf"))

    def kill_controller(self) -> None:
        """Kill the controller as a crash would."""
        self._kill("slurmctld")

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        _run("slurmd", "-N", name, "-f", str(self.folder / "slurm.conf"))

    def kill_daemon(self, name: str) -> None:
        """Kill the daemon of a node; its jobs go on."""
        self._kill(f"slurmd.{name}")

    def kill_node(self, name: str) -> None:
        """Kill a node as a power cut would: its daemon and every process of every job on it."""
        processes = self._processes_on(name)
        with contextlib.suppress(TimeoutError):
            self._kill(f"slurmd.{name}")
        for pid in processes + self._processes_on(name):
            _end(pid)

    def pid(self, daemon: str) -> int | None:
        """Return the process of `slurmctld`, `slurmd.NODE` or `munge`, if it lives."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "run" / f"{daemon}.pid").read_text())
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                return pid
        return None

    def _kill(self, daemon: str) -> None:
        pid = self.pid(daemon)
        if pid is not None:
            _end(pid)
            _wait(lambda: self.pid(daemon) is None, f"{daemon} lives on", 5)

    def _processes_on(self, node: str) -> list[int]:
        """Return the job processes of a node, and those that watch over them."""
        mark = f"SLURMD_NODENAME={node}\0".encode()
        jobs = {job.id for job in self.jobs() if job.nodes == node} if self.pid("slurmctld") else set()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    title = re.match(rb"slurmstepd: \[(\d+)\.", (entry / "cmdline").read_bytes())
                    if (title and int(title[1]) in jobs) or mark in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        own = {"key-file": "key", "socket": "socket", "log-file": "log", "seed-file": "seed"}
        options = [f"--{name}={folder / file}" for name, file in own.items()]
        _run("munged", *options, f"--pid-file={self.folder}/run/munge.pid")

    @staticmethod
    def _name_this_machine() -> None:
        """Have this machine's name mean the loopback address: what listens, listens there."""
        try:
            address = socket.gethostbyname(socket.gethostname())
        except OSError:
            with open("/etc/hosts", "a") as stream:
                stream.write(f"127.0.0.1 {socket.gethostname()}\n")
            address = "127.0.0.1"
        if not address.startswith("127.0.0.1"):
            raise RuntimeError(f"{socket.gethostname()} is {address} and not 127.0.0.1, see /etc/hosts")


def _run(*command: str) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20
    ).stdout


def _end(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait(condition: Callable[[], bool], what: str, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit_s} s")
        time.sleep(0.1)


def main() -> None:
    """Run a cluster until it is interrupted."""
    why = missing()
    if why:
        sys.exit(why)
    cluster = Cluster(Path(sys.argv[1]).absolute())
    try:
        cluster.start()
        print(f"up after {cluster.started_s:.1f} s: {cluster.states()}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
