"""The machine: one measurement at a time, facts, no GPU where there is none."""

import fcntl
import importlib.metadata
import logging
import os
import pwd
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.machine import cuda, facts, lock_holders, probes
from asrmeter.machine.facts import available_cpus, machine_facts
from asrmeter.machine.lock import LOCK_VARIABLE, check_lock, exclusive_lock, shared_lock
from helpers.files import write

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LOCK_VARIABLE, str(tmp_path / "lock"))
    return tmp_path / "lock"


def is_free(lock: Path, kind: int) -> bool:
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_a_measurement_is_alone(lock: Path) -> None:
    with exclusive_lock():
        assert not is_free(lock, fcntl.LOCK_EX)
        assert not is_free(lock, fcntl.LOCK_SH)
    assert is_free(lock, fcntl.LOCK_EX)


def test_other_work_goes_on_together_but_keeps_measurements_out(lock: Path) -> None:
    with shared_lock():
        assert is_free(lock, fcntl.LOCK_SH)
        assert not is_free(lock, fcntl.LOCK_EX)


def test_a_second_process_waits_and_says_so(lock: Path) -> None:
    code = (
        "import logging\nlogging.basicConfig(level=20)\nfrom asrmeter.machine.lock import exclusive_lock\n"
        "with exclusive_lock(): print('in')"
    )
    with exclusive_lock():
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


def _lock_of_nobody(lock: Path) -> None:
    lock.touch()
    lock.chmod(0)


def _socket_at(lock: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(lock))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is a pipe, not a file"),
        (_socket_at, "is a socket, not a file"),
        (lambda lock: lock.symlink_to("/dev/null"), "is a device, not a file"),
        (lambda lock: lock.symlink_to("gone"), "is a broken link"),
        (lambda lock: lock.symlink_to(lock), "is a broken link"),
        (lambda lock: lock.parent.rmdir(), "is in a folder that does not exist; create the folder"),
        (
            lambda lock: lock.parent.rmdir() or lock.parent.touch(),
            "is in a folder that does not exist; create the folder",
        ),
        (lambda lock: lock.parent.chmod(0o555), "cannot be opened (Permission denied)"),
        (_lock_of_nobody, "is not readable for you; ask its owner for permission (chmod 666)"),
    ],
)
@pytest.mark.parametrize("use", ["check_lock()", "exclusive_lock().__enter__()", "shared_lock().__enter__()"])
def test_what_is_no_lock_is_one_line(tmp_path: Path, make: Callable[[Path], object], said: str, use: str) -> None:
    lock = tmp_path / "of" / "lock"
    lock.parent.mkdir()
    make(lock)
    tmp_path.chmod(0o755)
    code = (
        "import asrmeter.machine.lock_holders, asrmeter.machine.lock as lock, os\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        f"try: lock.{use}\nexcept lock.AsrmeterError as error: print(error)"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), LOCK_VARIABLE: "of/lock"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=20)
    assert done.stdout.startswith(f"of/lock: the machine's lock {said}"), done
    assert f", or set {LOCK_VARIABLE} to another file" in done.stdout
    assert done.stdout.count("\n") == 1 and not done.stderr


def test_a_name_that_no_file_can_have_is_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("n" * 5000, "/proc/none/lock"):
        monkeypatch.setenv(LOCK_VARIABLE, name)
        with pytest.raises(AsrmeterError, match=r"the machine's lock .*; .*, or set ASRMETER_LOCK to"):
            check_lock()


def test_a_folder_can_be_the_lock_and_stays_as_it_is(lock: Path) -> None:
    lock.mkdir(mode=0o700)
    check_lock()
    with exclusive_lock():
        assert not is_free(lock, fcntl.LOCK_EX)
    assert lock.stat().st_mode & 0o777 == 0o700


def test_who_holds_the_lock_is_named_again_and_again(
    lock: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lock.touch()
    holder = subprocess.Popen(["flock", "--no-fork", str(lock), "sleep", "1.5"])
    while is_free(lock, fcntl.LOCK_EX):
        time.sleep(0.01)
    monkeypatch.setattr("asrmeter.machine.lock._SAY_AGAIN_S", 0.4)
    caplog.set_level(logging.INFO)
    with exclusive_lock():
        assert holder.wait() == 0
    assert 3 <= len(caplog.messages) <= 5
    user = pwd.getpwuid(os.getuid()).pw_name
    for said in caplog.messages:
        assert re.fullmatch(
            f"waiting for .* to let this one measure: {lock} is held by process {holder.pid} of {user} since "
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(sleep 1.5\)",
            said,
        )
    time.sleep(0.6)
    assert len(caplog.messages) <= 5, "it goes on when the lock is there"


def test_holders_are_told_as_far_as_they_can_be_seen(lock: Path, tmp_path: Path) -> None:
    lock.touch()
    with open(lock) as stream:
        status = os.fstat(stream.fileno())

        def told(*pids: int, device: str = "ff:ff", kind: str = "FLOCK") -> str:
            lines = [f"{n}: {kind}  ADVISORY  READ {pid} {device}:{status.st_ino} 0 EOF" for n, pid in enumerate(pids)]
            other = f"7: -> FLOCK  ADVISORY  WRITE 77 ff:ff:{status.st_ino} 0 EOF"
            write(tmp_path, "proc/locks", "\n".join([other, *lines]))
            return lock_holders.holders(stream.fileno(), str(tmp_path))

        unseen = "a process that cannot be seen from here (in a container, or on another machine?)"
        assert told() == told(0) == told(5, kind="POSIX") == unseen
        assert told(5) == "a process started by process 5, which has ended"
        assert told(1, 2, 3, 4, 5).endswith(" and 2 more")
        (tmp_path / "proc" / "6").mkdir()
        write(tmp_path, "proc/6/cmdline", "rm\0-rf\0\x1b[31m\0")
        assert told(6) == f"process 6 of {pwd.getpwuid(os.getuid()).pw_name} (rm -rf \\x1b[31m \\n)"
    write(tmp_path, "proc/locks", "odd\n")
    with open(lock) as stream:
        assert lock_holders.holders(stream.fileno(), str(tmp_path)) == unseen


def test_a_child_holds_the_lock_after_its_parent_is_gone(lock: Path) -> None:
    with exclusive_lock() as descriptor:
        child = subprocess.Popen(["sleep", "0.5"], pass_fds=(descriptor,))
    assert not is_free(lock, fcntl.LOCK_EX)
    child.wait()
    assert is_free(lock, fcntl.LOCK_EX)


def test_the_lock_file_serves_every_user(lock: Path) -> None:
    with exclusive_lock():
        pass
    assert lock.stat().st_mode & 0o777 == 0o666


def test_hidden_gpus_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert cuda.missing() == "CUDA_VISIBLE_DEVICES hides every GPU"


def test_cuda_is_missing_exactly_where_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert (cuda.missing() is None) == torch.cuda.is_available()


def test_facts_are_those_of_this_machine() -> None:
    facts = machine_facts(SCRIPTS.parent, ("torch", "no-such-package"))
    assert facts.n_cpus == len(os.sched_getaffinity(0))
    assert facts.memory_bytes is not None and facts.memory_bytes > 1e8
    assert facts == machine_facts(SCRIPTS.parent, ("torch", "no-such-package"))
    assert facts.machine_id is not None and len(facts.machine_id) == 12
    assert set(facts.versions) == {"torch", "no-such-package", "codecarbon", "numpy"}
    assert facts.versions["torch"] == importlib.metadata.version("torch")
    assert facts.versions["no-such-package"] == "not installed"
    assert probes.activity()["load_1min"] >= 0


@pytest.mark.parametrize(
    ("cpu_max", "most"), [("max 100000", None), (None, None), ("150000 100000", 2), ("1000 100000", 1)]
)
def test_a_containers_share_of_the_cores_counts(
    cpu_max: str | None, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(facts, "read", lambda path: cpu_max)
    assert available_cpus() == (most or 8)


def test_activity_is_that_of_this_machine() -> None:
    now = probes.activity()
    assert now["load_1min"] == pytest.approx(os.getloadavg()[0], abs=0.5)
    assert now["steal_s"] >= 0
    assert set(now) == {"load_1min", "steal_s", "cpu_mhz", "temperature_c", "throttle_events"}


def test_cpu_time_grows_with_own_work() -> None:
    before = probes.cpu_time()
    begin, own_s = time.monotonic(), time.process_time()
    while time.process_time() - own_s < 0.5:
        pass
    after = probes.cpu_time()
    assert before is not None and after is not None
    seconds = time.monotonic() - begin
    assert after.busy_s - before.busy_s > 0.4
    assert after.total_s - before.total_s == pytest.approx(seconds * (os.cpu_count() or 0), rel=0.1, abs=0.1)


def test_a_machine_that_says_nothing_makes_no_trouble(tmp_path: Path) -> None:
    assert set(probes.activity(str(tmp_path)).values()) == {None}
    assert probes.physical_cores({0, 1}, str(tmp_path)) == 2


@pytest.mark.parametrize("text", ["cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0", "cpu 1 2 3", "intr 0"])
def test_sandboxes_that_do_not_count_cpu_time_say_nothing(text: str, tmp_path: Path) -> None:
    write(tmp_path, "proc/stat", text)
    assert probes.cpu_time(prefix=str(tmp_path)) is None


def test_cpu_time_of_some_cores(tmp_path: Path) -> None:
    write(
        tmp_path,
        "proc/stat",
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 200 300 400 500 600 700 800 90 90\ncpu1 0 0 0 100 0 0 0 0 0 0\nintr 5",
    )
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    found = probes.cpu_time({0}, str(tmp_path))
    # Idle and waiting for disks is not busy; a guest's time is in that of users already.
    assert found == probes.CpuTime(1900 / ticks_per_s, 800 / ticks_per_s, 3600 / ticks_per_s)
    both = probes.cpu_time({0, 1, 2}, str(tmp_path))
    assert both is not None and both.total_s == 3700 / ticks_per_s


def test_the_clock_is_the_highest_of_a_few_cores(tmp_path: Path) -> None:
    for cpu in range(64):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{2_000_000 + cpu}")
    assert 2000 <= (probes.cpu_mhz(str(tmp_path)) or 0) < 2001
    assert len(probes._clock_files(str(tmp_path))) == probes._MAX_CLOCKS


def test_without_cpufreq_the_clock_is_in_cpuinfo(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "cpu MHz\t\t: 2445.406\ncpu MHz\t\t: 2446.5")
    assert probes.cpu_mhz(str(tmp_path)) == 2446.5
    assert probes.cpu_mhz(str(tmp_path), quick=True) is None


def test_the_temperature_is_the_processors(tmp_path: Path) -> None:
    sensors = [("nvme", 80_000), ("coretemp", 55_000), ("coretemp", 61_500), ("k10temp", None)]
    for number, (name, millidegrees) in enumerate(sensors):
        write(tmp_path, f"sys/class/hwmon/hwmon{number}/name", name)
        if millidegrees is not None:
            write(tmp_path, f"sys/class/hwmon/hwmon{number}/temp1_input", f"{millidegrees}")
    assert probes.cpu_temperature_c(str(tmp_path)) == 61.5


def test_without_a_chip_the_temperature_is_in_the_thermal_zones(tmp_path: Path) -> None:
    for number, (name, millidegrees) in enumerate(
        [("acpitz", 90_000), ("cpu-thermal", 47_000), ("gpu-thermal", 99_000)]
    ):
        write(tmp_path, f"sys/class/thermal/thermal_zone{number}/type", name)
        write(tmp_path, f"sys/class/thermal/thermal_zone{number}/temp", f"{millidegrees}")
    assert probes.cpu_temperature_c(str(tmp_path)) == 47


def test_hyper_threads_share_a_core(tmp_path: Path) -> None:
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", siblings)
    assert probes.physical_cores({0, 1, 2, 3}, str(tmp_path)) == 2
    assert probes.physical_cores({0, 2}, str(tmp_path)) == 1
    assert probes.physical_cores({0, 1, 9}, str(tmp_path)) == 3
