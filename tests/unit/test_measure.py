"""The measuring parent: whatever becomes of the worker, there is a status and a reason."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import measure
from asrmeter.measure import retries, supervisor, worker
from asrmeter.records import cell_record
from asrmeter.records import status as siblings
from made_inputs import sign_corpus, sign_model

DONE: dict[str, dict[str, Any]] = {"done": {}}
PASSES: list[dict[str, Any]] = [{"event": "pass"}] * 3


@pytest.mark.parametrize(
    ("code", "timeout_s", "told", "status", "reason"),
    [
        (0, None, DONE, "ok", None),
        (-9, None, {}, "killed", "ended by SIGKILL after 3 passes"),
        (-11, None, DONE, "killed", "ended by SIGSEGV"),
        (-9, 7.0, {}, "timeout", "timeout_s = 7 and 3 passes"),
        (1, None, {"failed": {"status": "oom", "reason": "MemoryError: "}}, "oom", "MemoryError"),
        (0, None, {"unsupported": {"reason": "no CUDA device"}}, "unsupported", "no CUDA device"),
        (3, None, {}, "error", "exit code 3"),
        (0, None, {}, "error", "exit code 0"),
    ],
)
def test_every_end_of_a_worker_has_a_status(
    code: int, timeout_s: float | None, told: dict[str, dict[str, Any]], status: str, reason: str | None
) -> None:
    found = supervisor.conclude(code, timeout_s, [*PASSES, *({"event": name} | told[name] for name in told)])
    assert found[0] == status
    assert found[1] is None if reason is None else reason in str(found[1])


def test_a_kill_for_want_of_memory_is_told_from_another() -> None:
    assert supervisor.conclude(-9, None, PASSES, out_of_memory=True) == (
        "oom",
        "the kernel ended the worker after 3 passes: the machine's memory ran out",
    )
    assert supervisor.conclude(-11, None, PASSES, out_of_memory=True)[0] == "killed"


def test_what_a_timed_pass_belongs_to_is_known_at_the_end() -> None:
    told = {"latency": {"attempt": 2, "n_unsteady": 1}}
    passes = [{"phase": "latency", "attempt": attempt, "round": round} for attempt in (1, 2) for round in (0, 1)]
    assert [measure.phase(entry, told) for entry in passes] == ["disturbed", "disturbed", "warmup", "latency"]
    assert measure.phase(passes[0], {}) == "latency"
    assert measure.phase({"phase": "memory"}, told) == "memory"


def test_a_cell_is_told_in_a_line() -> None:
    passes = [
        {"phase": "warmup", "latency_s": 9.0, "audio_s": 5.0},
        {"phase": "latency", "latency_s": 2.0, "audio_s": 5.0},
        {"phase": "latency", "latency_s": 3.0, "audio_s": 5.0},
    ]
    assert measure.summary("ok", None, passes) == "2.5 s (median of 2), 2 times real time; ok"
    assert measure.summary("killed", "gone", []) == "killed: gone"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "oom"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to"),
            "oom",
        ),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "oom"),
        (ValueError("x\ny"), "error"),
    ],
)
def test_exceptions_become_statuses(error: BaseException, status: str) -> None:
    found, reason = worker.classify(error)
    assert found == status
    assert "\n" not in reason


def test_of_a_full_gpu_only_the_figures_are_told() -> None:
    short_of = "CUDA out of memory. Tried to allocate 68.67 GiB. GPU 0 has 139.80 GiB of which 49.07 GiB is free."
    advice = " Including non-PyTorch memory, this process has 90.72 GiB in use. Try setting PYTORCH_CUDA_ALLOC_CONF"
    error = type("OutOfMemoryError", (RuntimeError,), {})(short_of + advice)
    assert worker.classify(error) == ("oom", f"OutOfMemoryError: {short_of}")


def run_instead(code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the parent start a worker of another make."""
    package = tmp_path / "scripts" / "asrmeter" / "measure"
    package.mkdir(parents=True, exist_ok=True)
    head = "import json, os, signal, sys, time\nspec = json.load(sys.stdin)\nevents = open(spec['events'], 'w')\n"
    (package / "worker.py").write_text(head + code)
    monkeypatch.setattr(measure, "ROOT", tmp_path)


SPEC = {"threads": 3}
OUT_OF_MEMORY = 'events.write(\'{"event": "failed", "status": "oom", "reason": "no room"}\\n\'); events.flush()\n'
ONE_PASS = 'events.write(\'{"event": "pass", "phase": "latency"}\\n\'); events.flush()\n'


def test_passes_before_a_kill_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(ONE_PASS + "os.kill(os.getpid(), signal.SIGKILL)", monkeypatch, tmp_path)
    status, reason, _, passes = measure.measure(SPEC, 30, lock=sys.stderr.fileno())
    assert (status, len(passes)) == ("killed", 1)
    assert "SIGKILL after 1 passes" in str(reason)


def test_a_half_written_event_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(ONE_PASS + 'events.write(\'{"event": "pa\'); events.flush(); os._exit(4)', monkeypatch, tmp_path)
    status, _, _, passes = measure.measure(SPEC, 30, lock=sys.stderr.fileno())
    assert (status, len(passes)) == ("error", 1)


def test_a_worker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead("time.sleep(60)", monkeypatch, tmp_path)
    before = os.times()
    status, reason, _, _ = measure.measure(SPEC, 1.0, lock=sys.stderr.fileno())
    after = os.times()
    assert (status, reason) == ("timeout", "ended after timeout_s = 1 and 0 passes")
    assert after.user + after.system - before.user - before.system < 0.1


def test_a_wide_interval_is_told_with_what_ended_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = [{"event": "latency", "converged": False, "reason": "budget_s = 2 was spent"}, {"event": "done"}]
    lines = "".join(json.dumps(event) + "\n" for event in told)
    run_instead(f"events.write({lines!r}); events.close()", monkeypatch, tmp_path)
    status, reason, _, _ = measure.measure(SPEC, 30, lock=sys.stderr.fileno())
    assert (status, reason) == ("unconverged", "budget_s = 2 was spent before the interval was narrow enough")


def test_the_workers_threads_are_the_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Snakemake does
    code = "events.write(json.dumps({'event': 'latency', 'converged': os.environ['OMP_NUM_THREADS'] == '3'}) + '\\n')\n"
    run_instead(code + 'events.write(\'{"event": "done"}\\n\'); events.close()', monkeypatch, tmp_path)
    assert measure.measure(SPEC, 30, lock=sys.stderr.fileno())[0] == "ok"


def test_the_worker_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys, measure; from pathlib import Path\n"
        f"measure.ROOT = Path({str(tmp_path)!r})\n"
        "measure.measure({'threads': 1}, 60, lock=2)"
    )
    package = tmp_path / "scripts" / "asrmeter" / "measure"
    package.mkdir(parents=True, exist_ok=True)
    pid_file = tmp_path / "pid"
    (package / "worker.py").write_text(
        f"import os, time; open({str(pid_file)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    )
    parent = os.spawnve(
        os.P_NOWAIT,
        sys.executable,
        [sys.executable, "-c", code],
        os.environ | {"PYTHONPATH": str(Path(measure.__file__).parent)},
    )
    for _ in range(200):
        if pid_file.exists() and pid_file.read_text().endswith("\n"):
            break
        worker_wait()
    child = int(pid_file.read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    for _ in range(200):
        if not alive(child):
            return
        worker_wait()
    pytest.fail(f"the worker {child} lives on")


def worker_wait() -> None:
    import time

    time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, *more: str) -> Path:
    """Run the parent on a model and a corpus of one segment that a worker could not load; return the cell's file."""
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    model, corpus = tmp_path / "m", tmp_path / "c"
    model.mkdir(exist_ok=True)
    corpus.mkdir(exist_ok=True)
    (model / "model.safetensors").write_text("weights")
    sign_model(model, weights="random")
    (corpus / "a.flac").write_text("audio")
    sign_corpus(corpus, [{"segment_id": "s", "duration_s": 5, "audio_s": 5.0, "path": "a.flac", "text": "x"}])
    protocol = {"version": 1, "target": 0.1, "min_passes": 6, "max_passes": 6, "budget_s": 1, "energy_window_s": 5}
    protocol["timed_batches"] = 2
    output = tmp_path / f"5s-b{batch_size}.parquet"
    options = [
        "--model=m",
        f"--model-folder={model}",
        f"--segments={corpus}/segments.json",
        "--variant=fp32",
        "--variant-options={}",
    ]
    options += ["--device=cpu", "--duration-s=5", f"--batch-size={batch_size}", "--threads=auto", "--seed=1"]
    measure.main([*options, f"--protocol={json.dumps(protocol)}", f"--output={output}", *more])
    return output


def test_a_cell_that_takes_its_job_down_twice_is_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead("", monkeypatch, tmp_path)
    with monkeypatch.context() as dying:
        dying.setattr(measure, "measure", lambda *_: sys.exit("as if killed"))
        for attempt in (1, 2):
            with pytest.raises(SystemExit):
                measured(tmp_path, monkeypatch, 2, f"--attempt={attempt}")
    header, passes = cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=3"))
    assert header["status"] == "killed"
    assert "ended 2 times without a record" in header["reason"]
    assert passes == []
    assert header["threads"] == len(os.sched_getaffinity(0))
    # Whoever runs it anew begins at one.
    assert cell_record.read(measured(tmp_path, monkeypatch, 2))[0]["status"] == "error"


def test_a_later_attempt_keeps_what_an_earlier_one_has_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead("os._exit(3)", monkeypatch, tmp_path)
    output = measured(tmp_path, monkeypatch, 2)
    content = output.read_bytes()
    output.unlink()  # as Snakemake does with all files of a job that failed
    run_instead("os._exit(4)", monkeypatch, tmp_path)
    for attempt in (2, 5):
        assert measured(tmp_path, monkeypatch, 2, f"--attempt={attempt}").read_bytes() == content
    # Nor is it lost when the last attempt has failed for the sake of another cell.
    output.unlink()
    retries.put_back(output)
    assert output.read_bytes() == content
    assert "exit code 4" in cell_record.read(measured(tmp_path, monkeypatch, 2))[0]["reason"]


def test_a_run_forgets_what_an_earlier_one_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead("os._exit(3)", monkeypatch, tmp_path)
    output = measured(tmp_path, monkeypatch, 2)
    output.unlink()
    retries.forget(output)
    run_instead("os._exit(4)", monkeypatch, tmp_path)
    # Of several cells in one job, this one was never reached by the first attempt.
    assert "exit code 4" in cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=2"))[0]["reason"]
    retries.forget(output)
    output.unlink()
    retries.put_back(output)
    assert not output.exists()


def test_out_of_memory_is_believed_only_with_all_the_memory_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(OUT_OF_MEMORY, monkeypatch, tmp_path)
    first = measured(tmp_path, monkeypatch, 2)
    assert cell_record.read(first)[0]["status"] == "oom"
    first.unlink()
    assert cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=2"))[0]["status"] == "oom"
    run_instead("os._exit(4)", monkeypatch, tmp_path)
    assert cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=3"))[0]["status"] == "oom"


def test_a_file_system_without_links_keeps_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    output = tmp_path / "record"
    output.write_text("measured")
    one = retries.Attempts(output, 1)
    one.begin()
    one.keep()
    output.unlink()
    assert retries.Attempts(output, 2).restore() and output.read_text() == "measured"


def test_batches_above_one_that_ran_out_of_memory_are_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(OUT_OF_MEMORY, monkeypatch, tmp_path)
    statuses = {
        batch_size: cell_record.read(measured(tmp_path, monkeypatch, batch_size))[0]["status"]
        for batch_size in (4, 2, 8)
    }
    assert statuses == {4: "oom", 2: "oom", 8: "unsupported"}
    assert (
        "larger than the batch of 2 that ran out of memory" in cell_record.read(tmp_path / "5s-b8.parquet")[0]["reason"]
    )
    asked = measured(tmp_path, monkeypatch, 8, "--larger-than-oom")
    assert cell_record.read(asked)[0]["status"] == "oom"


def test_siblings_of_another_duration_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead('events.write(\'{"event": "failed", "status": "oom", "reason": ""}\\n\')\n', monkeypatch, tmp_path)
    path = measured(tmp_path, monkeypatch, 2)
    assert siblings.status(path) == "oom"
    assert siblings.smaller_out_of_memory(tmp_path / "5s-b4.parquet") == 2
    assert siblings.smaller_out_of_memory(tmp_path / "5s-b2.parquet") is None
    assert siblings.smaller_out_of_memory(tmp_path / "15s-b4.parquet") is None
    for broken in (b"", b"PAR1", b"broken", b"PAR1\xff\xff\xff\x7fPAR1", path.read_bytes()[:-1]):
        (tmp_path / "5s-b1.parquet").write_bytes(broken)
        assert siblings.status(tmp_path / "5s-b1.parquet") is None
    assert siblings.smaller_out_of_memory(tmp_path / "5s-b4.parquet") == 2
