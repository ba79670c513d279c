"""Layouts: processes that begin together, each on its own cores, none of which is left."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import measure_layout
from asrmeter.analysis.layouts import MeasuredLayout, read_record
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.machine import cores
from asrmeter.machine.lock import exclusive_lock
from asrmeter.records.events import ProcessPasses
from asrmeter.records.layout_rows import LayoutHeader, machine_rate, rows_of
from asrmeter.study import validation
from asrmeter.study.fingerprints import fingerprints_of, layout_options
from asrmeter.study.grid import Cell
from asrmeter.study.layouts import LayoutRun, layout_runs, usual
from asrmeter.study.model import Study
from helpers.made_inputs import sign_corpus, sign_model

PASS_S = 0.05
ENGINE = f"""
import os, signal, sys, time
import numpy as np
from asrmeter.runtimes.base import *
MINE = os.sched_getaffinity(0)
SECOND = MINE == {{max(MINE)}} and max(MINE) > 0
class Engine(Runtime):
    packages = ("numpy",)
    def __init__(self, setup):
        with open("FOLDER/" + str(os.getpid()), "w") as file: print(sorted(MINE), file=file)
        self.setup = setup
        LOADING
    def transcribe(self, speech, timeline):
        TRANSCRIBING
        time.sleep({PASS_S})
        return [Hypothesis('one two') for _ in speech.waveforms]
    def decoding(self): return {{}}
"""
CELL = Cell("m", "mine", "cpu", 5, 1)
Measured = Callable[..., MeasuredLayout]
needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a process needs a core")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Measures a layout of an engine that sleeps; `loading` and `transcribing` are further lines of its methods."""
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    model, corpus, pids = tmp_path / "m", tmp_path / "c", tmp_path / "pids"
    for folder in (model, corpus, pids):
        folder.mkdir()
    (model / "model.safetensors").write_text("weights")
    sign_model(model, weights="random")
    soundfile.write(corpus / "a.flac", np.zeros(5 * 16_000), 16_000)
    segment = {"duration_s": 5, "audio_s": 5.0, "path": "a.flac", "text": "x", "language_told": "en"}
    sign_corpus(corpus, [segment | {"segment_id": name} for name in "stuv"])

    def measure(
        processes: int, threads: int = 1, *more: str, loading: str = "pass", transcribing: str = "pass"
    ) -> MeasuredLayout:
        file = tmp_path / "engine.py"
        code = ENGINE.replace("FOLDER", str(pids))
        file.write_text(code.replace("LOADING", loading).replace("TRANSCRIBING", transcribing))
        own = {"runtime": {"path": str(file), "sha256": sha256_of(file), "options": {}}}
        output = tmp_path / "lap1.parquet"
        measure_layout.main(
            [
                *(f"--model-folder={model}", f"--segments={corpus}/segments.json", "--variant=mine", "--model=m"),
                *("--device=cpu", "--duration-s=5", "--batch-size=1", "--seed=1", "--lap=1"),
                *(f"--processes={processes}", f"--threads={threads}", f"--variant-options={json.dumps(own)}"),
                *('--protocol={"version": 1, "budget_s": 1}', f"--output={output}", *more),
            ]
        )
        left = [pid for pid in os.listdir(pids) if Path(f"/proc/{pid}").exists()]
        assert not left, "a process is left"
        with exclusive_lock():
            pass  # nobody holds the machine
        return read_record(LayoutRun(CELL, processes, threads, 1), output)

    return measure


@needs_two_cores
def test_two_processes_that_sleep_do_twice_as_much(measured: Measured) -> None:
    one, two = measured(1), measured(2)
    assert one.header.status == two.header.status == "ok"
    assert one.samples_per_s == pytest.approx(1 / PASS_S, rel=0.1)
    assert two.samples_per_s == pytest.approx(2 / PASS_S, rel=0.1)
    assert {row["process"] for row in two.passes} == {0, 1}
    # Each process has its own order of the same batches.
    first, second = ([row["batch"] for row in two.passes if row["process"] == process][:4] for process in (0, 1))
    assert sorted(first) == sorted(second) == [0, 1, 2, 3] and first != second


@needs_two_cores
def test_processes_have_cores_of_their_own(measured: Measured, tmp_path: Path) -> None:
    header = measured(2).header
    cpus = [set(own or ()) for own in header.cpus]
    assert all(len(own) == 1 for own in cpus) and not cpus[0] & cpus[1]
    seen = sorted(path.read_text().strip() for path in (tmp_path / "pids").iterdir())
    assert seen == sorted(str(sorted(own)) for own in cpus)


@needs_two_cores
def test_no_process_begins_before_all_are_warm(measured: Measured) -> None:
    found = measured(2, loading="time.sleep(1.5 * SECOND)")
    slow, quick = max(found.header.load_s, key=lambda s: s or 0), min(found.header.load_s, key=lambda s: s or 0)
    assert slow is not None and quick is not None and slow - quick > 1
    begin_s = [min(row["began_s"] for row in found.passes if row["process"] == process) for process in (0, 1)]
    assert abs(begin_s[0] - begin_s[1]) < 0.3


@needs_two_cores
@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        ({"loading": "if SECOND: sys.exit(3)"}, "error", "process 2 of 2: .*__init__ raised SystemExit: 3"),
        ({"transcribing": "if SECOND: os.kill(os.getpid(), 9)"}, "killed", "process 2 of 2: .* ended by SIGKILL"),
        ({"loading": "if SECOND: raise MemoryError()"}, "oom", "process 2 of 2: MemoryError"),
        ({"loading": "if SECOND: raise UnsupportedError('no unit')"}, "unsupported", "process 2 of 2: no unit"),
        ({"loading": "time.sleep(60 * SECOND)"}, "timeout", "ended after timeout_s = 5 and .* passes"),
    ],
)  # fmt: skip
def test_a_process_that_fails_ends_all(measured: Measured, lines: dict[str, str], status: str, reason: str) -> None:
    found = measured(2, 1, "--timeout-s=5", **lines)
    assert found.header.status == status
    assert found.header.reason is not None and re.match(reason, found.header.reason)
    assert not found.passes and found.header.peak_pss_bytes is None


@needs_two_cores
def test_memory_that_processes_share_counts_once(measured: Measured, tmp_path: Path) -> None:
    n_bytes = 200_000_000
    (tmp_path / "big").write_bytes(b"1" * n_bytes)
    header = measured(2, loading=f"self.weights = np.memmap('{tmp_path}/big', mode='r'); self.weights.sum()").header
    shared, alone = header.peak_pss_bytes, sum(bytes_ or 0 for bytes_ in header.peak_rss_bytes)
    assert shared is not None
    assert 0.8 * n_bytes < alone - shared < 1.6 * n_bytes


def test_more_threads_than_cores_are_refused(measured: Measured) -> None:
    n_cpus = len(os.sched_getaffinity(0))
    found = measured(n_cpus, 2).header
    said = f"{n_cpus} x 2 threads need {2 * n_cpus} cores, and there are "
    assert found.status == "unsupported" and found.reason is not None and found.reason.startswith(said)


def _machine(folder: Path, siblings: dict[int, str]) -> str:
    for cpu, text in siblings.items():
        place = folder / f"sys/devices/system/cpu/cpu{cpu}/topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(text)
    return str(folder)


def test_threads_have_whole_cores_as_long_as_there_are(tmp_path: Path) -> None:
    # Four cores of two hyper-threads.
    machine = _machine(tmp_path, {cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)})
    assert cores.disjoint_sets(2, 2, range(8), machine) == [[0, 1], [2, 3]]
    assert cores.disjoint_sets(4, 2, range(8), machine) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert cores.disjoint_sets(3, 2, range(8), machine) == [[0, 4], [1, 5], [2, 6]]
    assert cores.disjoint_sets(2, 1, {1, 5}, machine) == [[1], [5]]
    assert cores.disjoint_sets(3, 3, range(8), machine) is None


def test_cores_that_do_not_tell_their_threads_are_whole(tmp_path: Path) -> None:
    assert cores.disjoint_sets(2, 2, range(4), str(tmp_path)) == [[0, 1], [2, 3]]


def _process(process: int, *passes: tuple[float, float]) -> ProcessPasses:
    began_s, ended_s = zip(*passes, strict=True)
    latency_s = [end - begin for begin, end in passes]
    return ProcessPasses(
        process=process, batches=[0] * len(passes), began_s=began_s, ended_s=ended_s, latency_s=latency_s
    )


def test_only_passes_beside_all_others_count() -> None:
    events = [_process(1, (10.5, 12.5), (12.5, 14.5)), _process(0, (10, 11), (11, 12), (12, 13), (13, 14), (14, 15))]
    rows = rows_of(events, [["a", "b"]], {"a": 3.0, "b": 4.0})
    assert [(row["process"], row["began_s"], row["counts"]) for row in rows] == [
        *((0, 0, False), (0, 1, True), (0, 2, True), (0, 3, True), (0, 4, False)),
        *((1, 0.5, True), (1, 2.5, True)),
    ]
    # Two segments a second, and two in two seconds.
    assert machine_rate(rows, "n_segments") == pytest.approx(3)
    assert machine_rate(rows, "audio_s") == pytest.approx(7 + 3.5)
    assert machine_rate([row | {"counts": False} for row in rows], "audio_s") is None


def test_memory_is_what_all_keep_and_what_each_takes() -> None:
    told: dict[str, Any] = {"model": "m", "weights": "random", "variant": "v", "options": {}, "device": "cpu"}
    told |= {"duration_s": 5, "batch_size": 1, "processes": 2, "threads": 1, "lap": 1, "seed": 1, "status": "ok"}
    memory = {"pss_bytes": [100, 200], "rss_bytes": [150, 250], "peak_rss_bytes": [180, 250]}
    assert LayoutHeader(**told, **memory).peak_pss_bytes == 100 + 30 + 200
    assert LayoutHeader(**told, **memory | {"pss_bytes": [100, None]}).peak_pss_bytes is None
    assert LayoutHeader(**told).peak_pss_bytes is None


@pytest.mark.parametrize(
    ("n_cpus", "layouts"),
    [(1, [(1, 1)]), (2, [(1, 2), (2, 1)]), (4, [(1, 4), (2, 2), (4, 1)]), (5, [(1, 5), (2, 2), (5, 1)])],
)
def test_usual_layouts(n_cpus: int, layouts: list[tuple[int, int]]) -> None:
    assert usual(n_cpus) == layouts


def study_of(**keys: Any) -> Study:
    written: dict[str, Any] = {"name": "s", "models": {"whisper-tiny.en": {}}, "devices": ["cpu"], **keys}
    return validation.with_defaults(written, "a study")


def test_auto_layouts_follow_the_threads_of_the_study() -> None:
    runs = layout_runs(study_of(layouts="auto", threads=4, batch_sizes=[4, 2], protocol={"laps": 1}))
    assert [run.id for run in runs] == [f"whisper-tiny.en/fp32/cpu/{layout}/lap1" for layout in ("1x4", "2x2", "4x1")]
    assert {(run.cell.duration_s, run.cell.batch_size) for run in runs} == {(30, 2)}


def test_layouts_are_none_by_default_and_of_their_devices() -> None:
    assert not layout_runs(study_of())
    on_gpu, anywhere = {"processes": 2, "threads": 1, "devices": ["cuda"]}, {"processes": 1, "threads": 2}
    runs = layout_runs(study_of(devices=["cpu", "cuda"], layouts=[on_gpu, anywhere], protocol={"laps": 2}))
    assert [(run.cell.device, run.processes, run.lap) for run in runs] == [
        (device, processes, lap) for lap in (1, 2) for device, processes in (("cpu", 1), ("cuda", 2), ("cuda", 1))
    ]


def test_saved_study_has_the_layouts_that_auto_meant() -> None:
    study = study_of(layouts="auto", threads=2)
    assert study.as_json()["layouts"] == [
        {"processes": 1, "threads": 2, "devices": ["cpu"]},
        {"processes": 2, "threads": 1, "devices": ["cpu"]},
    ]
    assert validation.from_json(study.as_json(), "study.json") == study


@pytest.mark.parametrize(
    ("layouts", "said"),
    [
        ([{"processes": 0, "threads": 1}], "layouts.0.processes: 0 must be at least 1"),
        ([{"processes": 1}], "layouts.0: the key threads is missing"),
        ([{"processes": 2, "threads": 1}] * 2, "layouts: .*must not contain a value twice"),
        ("all", 'layouts: "all" must be a list, or "auto"'),
    ],
)
def test_layouts_that_cannot_be_are_refused(layouts: Any, said: str) -> None:
    with pytest.raises(AsrmeterError, match=said):
        study_of(layouts=layouts)


def test_auto_layouts_on_a_cluster_need_a_number_of_threads() -> None:
    written = {"name": "s", "models": {"whisper-tiny.en": {}}, "devices": ["cpu"], "layouts": "auto"}
    with pytest.raises(
        AsrmeterError, match="layouts: auto counts the cores of this machine, and --jobs runs on a clus"
    ):
        validation.with_defaults(written, "a study", here=False)
    assert validation.with_defaults(written | {"threads": 8}, "a study", here=False).layouts[1].processes == 4


def test_options_of_a_layout_say_what_decides_it() -> None:
    study = study_of(layouts=[{"processes": 2, "threads": 3}], protocol={"laps": 1, "budget_s": 4}, threads=6)
    (run,) = layout_runs(study)
    options = layout_options(study.as_json(), run, fingerprints_of(study))
    assert {"--processes=2", "--threads=3", "--lap=1", "--batch-size=1"} <= set(options)
    assert '--protocol={"version": 1, "budget_s": 4}' in options
