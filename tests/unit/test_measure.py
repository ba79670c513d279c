"""The measuring job: whatever happens to the worker, there is a status and a reason."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

import measure
import profile_operators
from asrmeter.common.errors import AsrmeterError
from asrmeter.measure import job, retries, supervisor, tasks
from asrmeter.measure.spec import PeaksSpec
from asrmeter.measure.time_ledger import TimeLedger
from asrmeter.records import cell_record
from asrmeter.records import status as siblings
from asrmeter.records.events import Done, Event, Failed, Latency, Pass, Unsupported
from helpers.made_inputs import sign_corpus, sign_model
from helpers.records import header

PASSES: list[Event] = [Pass(phase="latency", latency_s=1.0, audio_s=5.0)] * 3


@pytest.mark.parametrize(
    ("code", "timeout_s", "events", "status", "reason"),
    [
        (0, None, [Done()], "ok", None),
        (-9, None, [], "killed", "ended by SIGKILL after 3 passes"),
        (-11, None, [Done()], "killed", "ended by SIGSEGV"),
        (-9, 7.0, [], "timeout", "timeout_s = 7 and 3 passes"),
        (1, None, [Failed(status="oom", reason="MemoryError: ")], "oom", "MemoryError"),
        (0, None, [Unsupported(reason="no CUDA device")], "unsupported", "no CUDA device"),
        (3, None, [], "error", "exit code 3"),
        (0, None, [], "error", "exit code 0"),
    ],
)
def test_classify_exit_gives_status_and_reason(
    code: int, timeout_s: float | None, events: list[Event], status: str, reason: str | None
) -> None:
    found = supervisor.classify_exit(code, timeout_s, [*PASSES, *events])
    assert found[0] == status
    assert found[1] is None if reason is None else reason in str(found[1])


def test_classify_exit_out_of_memory_is_no_other_kill() -> None:
    assert supervisor.classify_exit(-9, None, PASSES, out_of_memory=True) == (
        "oom",
        "the kernel ended the worker after 3 passes: the machine's memory ran out",
    )
    assert supervisor.classify_exit(-11, None, PASSES, out_of_memory=True)[0] == "killed"


def test_phase_of_timed_passes() -> None:
    end = Latency(n_unsteady=1)

    def a_pass(phase: str, round: int | None = None) -> Pass:
        return Pass(phase=phase, round=round, latency_s=1.0, audio_s=5.0)

    passes = [a_pass("latency", round) for round in (0, 1, 2)]
    assert [measure.phase(entry, end) for entry in passes] == ["warmup", "latency", "latency"]
    assert measure.phase(passes[0], None) == "latency"
    assert measure.phase(a_pass("warmup"), end) == "warmup"


def test_summary_of_a_sitting() -> None:
    passes = [
        {"phase": "warmup", "latency_s": 9.0, "audio_s": 5.0, "batch": None},
        {"phase": "latency", "latency_s": 2.0, "audio_s": 5.0, "batch": 0},
        {"phase": "latency", "latency_s": 3.0, "audio_s": 5.0, "batch": 1},
    ]
    said = "2.5 s (mean of 2 passes over 2 batches, 5.0 of 7.5 s), 2 times real time; ok"
    assert measure.summary(header(job_s=7.5), passes) == said
    assert measure.summary(header(status="killed", reason="gone"), []) == "killed: gone"


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
def test_classify_error_gives_a_status(error: BaseException, status: str) -> None:
    found, reason = tasks.classify_error(error)
    assert found == status
    assert "\n" not in reason


def test_classify_error_drops_allocator_advice() -> None:
    short_of = "CUDA out of memory. Tried to allocate 68.67 GiB. GPU 0 has 139.80 GiB of which 49.07 GiB is free."
    advice = " Including non-PyTorch memory, this process has 90.72 GiB in use. Try setting PYTORCH_CUDA_ALLOC_CONF"
    error = type("OutOfMemoryError", (RuntimeError,), {})(short_of + advice)
    assert tasks.classify_error(error) == ("oom", f"OutOfMemoryError: {short_of}")


def run_instead(code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make jobs start a worker that runs this code."""
    package = tmp_path / "scripts" / "asrmeter" / "measure"
    package.mkdir(parents=True, exist_ok=True)
    head = "import json, os, signal, sys, time\nspec = json.load(sys.stdin)\nevents = open(spec['events'], 'w')\n"
    (package / "child.py").write_text(head + code)
    monkeypatch.setattr(job, "ROOT", tmp_path)


SPEC = PeaksSpec(device="cpu", threads=3, dtypes=[], budget_s=1)


def interpreted(timeout_s: float, root: Path) -> tuple[str, str | None, dict[str, Event], list[dict[str, Any]]]:
    """Run the worker of a checkout; return status, reason, events and passes."""
    outcome = supervisor.run_supervised(SPEC, timeout_s, sys.stderr.fileno(), root)
    return outcome.status, outcome.reason, *measure.interpret(outcome)


OUT_OF_MEMORY = 'events.write(\'{"event": "failed", "status": "oom", "reason": "no room"}\\n\'); events.flush()\n'
ONE_PASS = f"events.write({json.dumps(PASSES[0].to_json()) + chr(10)!r}); events.flush()\n"


def test_worker_killed_keeps_its_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(ONE_PASS + "os.kill(os.getpid(), signal.SIGKILL)", monkeypatch, tmp_path)
    status, reason, _, passes = interpreted(30, tmp_path)
    assert (status, len(passes)) == ("killed", 1)
    assert "SIGKILL after 1 passes" in str(reason)


def test_worker_half_written_event_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(ONE_PASS + 'events.write(\'{"event": "pa\'); events.flush(); os._exit(4)', monkeypatch, tmp_path)
    status, _, _, passes = interpreted(30, tmp_path)
    assert (status, len(passes)) == ("error", 1)


def test_worker_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead("time.sleep(60)", monkeypatch, tmp_path)
    before = os.times()
    status, reason, _, _ = interpreted(1.0, tmp_path)
    after = os.times()
    assert (status, reason) == ("timeout", "ended after timeout_s = 1 and 0 passes")
    assert after.user + after.system - before.user - before.system < 0.1


def test_worker_has_the_threads_of_the_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Snakemake does
    code = "events.write(json.dumps({'event': 'latency', 'reason': os.environ['OMP_NUM_THREADS']}) + '\\n')\n"
    run_instead(code + 'events.write(\'{"event": "done"}\\n\'); events.close()', monkeypatch, tmp_path)
    status, _, events, _ = interpreted(30, tmp_path)
    assert (status, events["latency"]) == ("ok", Latency(reason="3"))


def test_worker_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from asrmeter.measure.supervisor import run_supervised\n"
        "from asrmeter.measure.spec import PeaksSpec\n"
        "spec = PeaksSpec(device='cpu', threads=1, dtypes=[], budget_s=1)\n"
        f"run_supervised(spec, 60, 2, Path({str(tmp_path)!r}))"
    )
    package = tmp_path / "scripts" / "asrmeter" / "measure"
    package.mkdir(parents=True, exist_ok=True)
    pid_file = tmp_path / "pid"
    (package / "child.py").write_text(
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
    time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def measured(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    *more: str,
    own: dict[str, Any] | None = None,
    hears: list[str] | None = None,
    script: ModuleType = measure,
) -> Path:
    """Run the parent on a model and a corpus of one segment that a worker could not load; return the record.

    `own` are keys of the protocol; None takes one out. The weights are random unless the model `hears` some languages.
    """
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    model, corpus = tmp_path / "m", tmp_path / "c"
    model.mkdir(exist_ok=True)
    corpus.mkdir(exist_ok=True)
    (model / "model.safetensors").write_text("weights")
    sign_model(model, weights="pretrained" if hears else "random", languages=hears)
    (corpus / "a.flac").write_text("audio")
    sign_corpus(
        corpus,
        [{"segment_id": "s", "duration_s": 5, "audio_s": 5.0, "path": "a.flac", "text": "x", "language_told": "en"}],
    )
    protocol = {"version": 2, "target": 0.1, "max_passes": 6, "budget_s": 1, "energy_window_s": 5} | (own or {})
    output = tmp_path / f"5s-b{batch_size}" / "lap1.parquet"
    output.parent.mkdir(exist_ok=True)
    options = [
        "--model=m",
        f"--model-folder={model}",
        f"--segments={corpus}/segments.json",
        "--variant=fp32",
        '--variant-options={"runtime": "transformers"}',
    ]
    options += ["--device=cpu", "--duration-s=5", f"--batch-size={batch_size}", "--threads=auto", "--seed=1"]
    protocol = {key: value for key, value in protocol.items() if value is not None}
    script.main([*options, f"--protocol={json.dumps(protocol)}", f"--output={output}", *more])
    return output


def test_job_that_dies_twice_writes_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead("", monkeypatch, tmp_path)
    with monkeypatch.context() as dying:
        dying.setattr(job, "run_supervised", lambda *_: sys.exit("as if killed"))
        for attempt in (1, 2):
            with pytest.raises(SystemExit):
                measured(tmp_path, monkeypatch, 2, f"--attempt={attempt}")
    header, passes = cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=3"))
    assert header.status == "killed"
    assert "ended 2 times without a record" in header.reason
    assert passes == []
    assert header.threads == len(os.sched_getaffinity(0))
    # A new run begins at one.
    assert cell_record.read(measured(tmp_path, monkeypatch, 2))[0].status == "error"


def test_what_a_model_spells_reaches_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead("", monkeypatch, tmp_path)
    assert cell_record.read(measured(tmp_path, monkeypatch, 1))[0].outputs is None
    real = measure.cell_options.specify

    def specify(*args: Any) -> Any:
        provenance = tmp_path / "m" / "provenance.json"
        provenance.write_text(json.dumps(json.loads(provenance.read_text()) | {"outputs": "phonemes"}))
        return real(*args)

    monkeypatch.setattr(measure.cell_options, "specify", specify)
    assert cell_record.read(measured(tmp_path, monkeypatch, 2))[0].outputs == "phonemes"


def test_speech_that_a_model_does_not_hear_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead("os._exit(3)", monkeypatch, tmp_path)
    header, passes = cell_record.read(measured(tmp_path, monkeypatch, 1, hears=["ru"]))
    assert (header.status, header.reason, passes) == (
        "unsupported",
        "m knows Russian only, and the corpus has English (en)",
        [],
    )
    trace = tmp_path / "trace.json.gz"
    profile = measured(tmp_path, monkeypatch, 2, f"--trace={trace}", hears=["ru"], script=profile_operators)
    (row,) = pq.read_table(profile).to_pylist()
    assert (row["status"], row["reason"], row["trace"]) == (header.status, header.reason, None)
    # What it hears is tried, and so are random weights.
    assert "exit code 3" in cell_record.read(measured(tmp_path, monkeypatch, 1, hears=["en", "ru"]))[0].reason
    assert "exit code 3" in cell_record.read(measured(tmp_path, monkeypatch, 1))[0].reason


def test_attempt_keeps_an_earlier_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "exit code 4" in cell_record.read(measured(tmp_path, monkeypatch, 2))[0].reason


def test_run_forgets_records_of_an_earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead("os._exit(3)", monkeypatch, tmp_path)
    output = measured(tmp_path, monkeypatch, 2)
    output.unlink()
    retries.forget(output)
    run_instead("os._exit(4)", monkeypatch, tmp_path)
    # Of several cells in one job, this one was never reached by the first attempt.
    assert "exit code 4" in cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=2"))[0].reason
    retries.forget(output)
    output.unlink()
    retries.put_back(output)
    assert not output.exists()


def test_out_of_memory_is_kept_from_the_second_attempt_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(OUT_OF_MEMORY, monkeypatch, tmp_path)
    first = measured(tmp_path, monkeypatch, 2)
    assert cell_record.read(first)[0].status == "oom"
    first.unlink()
    assert cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=2"))[0].status == "oom"
    run_instead("os._exit(4)", monkeypatch, tmp_path)
    assert cell_record.read(measured(tmp_path, monkeypatch, 2, "--attempt=3"))[0].status == "oom"


def test_attempt_keeps_copies_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/hostname", path)])
def test_what_is_no_file_of_an_attempt_is_not_taken_for_one(tmp_path: Path, make: Any) -> None:
    later = retries.Attempts(tmp_path / "record", 2)
    (tmp_path / retries.FOLDER).mkdir()
    make(tmp_path / retries.FOLDER / "record.kept")
    assert not later.restore() and not (tmp_path / "record").exists()


def test_batch_above_one_out_of_memory_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(OUT_OF_MEMORY, monkeypatch, tmp_path)
    statuses = {
        batch_size: cell_record.read(measured(tmp_path, monkeypatch, batch_size))[0].status for batch_size in (4, 2, 8)
    }
    assert statuses == {4: "oom", 2: "oom", 8: "unsupported"}
    refused, _ = cell_record.read(tmp_path / "5s-b8" / "lap1.parquet")
    assert "larger than the batch of 2 that ran out of memory" in str(refused.reason)
    asked = measured(tmp_path, monkeypatch, 8, "--larger-than-oom")
    assert cell_record.read(asked)[0].status == "oom"


def test_smaller_out_of_memory_ignores_other_durations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead('events.write(\'{"event": "failed", "status": "oom", "reason": ""}\\n\')\n', monkeypatch, tmp_path)
    path = measured(tmp_path, monkeypatch, 2)
    assert siblings.status(path) == "oom"
    assert siblings.smaller_out_of_memory(tmp_path / "5s-b4" / "lap2.parquet") == 2
    assert siblings.smaller_out_of_memory(tmp_path / "5s-b2" / "lap1.parquet") is None
    assert siblings.smaller_out_of_memory(tmp_path / "15s-b4" / "lap1.parquet") is None
    other = tmp_path / "5s-b1" / "lap1.parquet"
    other.parent.mkdir()
    siblings.json_of(other).write_bytes(siblings.json_of(path).read_bytes())
    for broken in (b"", b"PAR1", b"broken", b"PAR1\xff\xff\xff\x7fPAR1", path.read_bytes()[:-1]):
        other.write_bytes(broken)
        assert siblings.status(other) is None
    assert siblings.smaller_out_of_memory(tmp_path / "5s-b4" / "lap1.parquet") == 2


# Laps, and the time of a study


class Given:
    """Takes the place of the worker: keeps its spec, and tells of two rounds of 10 ms in all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spec: Any = None
        monkeypatch.setattr(job, "run_supervised", self.run)

    def run(self, spec: Any, *_: Any) -> supervisor.Outcome:
        """See `run_supervised`."""
        self.spec = spec
        lists: dict[str, Any] = {"segment_ids": ["s"], "texts": [""], "n_tokens": [1], "n_windows": [1]}
        lists |= {"processed_s": [30.0], "languages": [None]}
        one = Pass(phase="latency", round=0, batch=0, latency_s=0.005, audio_s=5.0, **lists)
        latency = Latency(n_rounds=2, timed_s=0.01)
        return supervisor.Outcome("ok", None, [one, replace(one, round=1), latency, Done()], 0.0)


def test_a_record_says_which_lap_and_try_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Given(monkeypatch)
    found, passes = cell_record.read(
        measured(tmp_path, monkeypatch, 1, "--lap=2", "--laps=3", "--attempt-of-sitting=2")
    )
    assert (found.lap, found.n_laps, found.attempt, {entry["lap"] for entry in passes}) == (2, 3, 2, {2})
    assert (found.target, found.max_passes, found.budget_s, found.minutes) == (0.1, 6, 1, None)
    assert found.job_s is not None and 0 < found.job_s < 60


def test_a_budget_needs_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    measured(tmp_path, monkeypatch, 1, "--share-s=20")
    assert given.spec.ends_at_s is None and given.spec.budget_s == 1


def test_a_share_ends_from_when_the_job_has_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, begun_s = Given(monkeypatch), time.monotonic()
    found, _ = cell_record.read(
        measured(tmp_path, monkeypatch, 1, "--share-s=20", own={"budget_s": None, "minutes": 5})
    )
    assert begun_s + 20 <= given.spec.ends_at_s < time.monotonic() + 20
    assert (found.minutes, found.share_s, found.budget_s) == (5, 20, None)


def test_the_ledger_says_what_a_sitting_may_take_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    ledger = TimeLedger(tmp_path / "ledger")
    ledger.begin(20, ["m/fp32/cpu/5s-b1/lap1", "m/fp32/cpu/5s-b1/lap2"])
    own = ("--share-s=20", f"--time-ledger={tmp_path}/ledger", "--laps=2")
    measured(tmp_path, monkeypatch, 1, *own, own={"budget_s": None, "minutes": 5})
    _, line = (tmp_path / "ledger").read_text().splitlines()
    told = json.loads(line)
    assert (told["sitting"], told["lap"]) == ("m/fp32/cpu/5s-b1/lap1", 1)
    # One of the two rounds is not needed.
    assert told["least_s"] == pytest.approx(told["spent_s"] - 0.005)
    measured(tmp_path, monkeypatch, 1, *own, "--lap=2", own={"budget_s": None, "minutes": 5})
    assert given.spec.ends_at_s - time.monotonic() == pytest.approx(40 - told["spent_s"], abs=1)


def test_without_any_time_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AsrmeterError, match="the measuring time is unknown: give --share-s, or budget_s in --protocol"):
        measured(tmp_path, monkeypatch, 1, own={"budget_s": None, "minutes": 5})


def test_a_record_is_written_without_pandas(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import measure\n"
        "sys.meta_path.insert(0, measure.WithoutPandas)\n"
        "from asrmeter.records import cell_record\n"
        "from helpers.records import header\n"
        f"path = Path({str(tmp_path)!r}) / 'lap1.parquet'\n"
        "cell_record.write(path, header(status='error', reason='x'), [])\n"
        "assert cell_record.read(path)[0].reason == 'x'\n"
        "assert 'pandas' not in sys.modules\n"
    )
    scripts, tests = Path(measure.__file__).parent, Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{scripts}{os.pathsep}{tests}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
