"""What is not what it was made as is found and named, and never measured with or shown."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_measure import measured
from test_tables import PASSES, STUDY, a_header

import bottlenecks
import measure
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import check_room
from asrmeter.measure import supervisor
from asrmeter.measure.retries import Attempts
from asrmeter.measure.spec import PeaksSpec
from asrmeter.models.build import build
from asrmeter.models.catalogue import ModelSettings
from asrmeter.records import cell_record
from asrmeter.records import status as siblings
from asrmeter.records.events import Done
from asrmeter.records.operator_rows import OPERATORS
from asrmeter.sources import integrity
from asrmeter.sources.packages import Archives
from asrmeter.study import grid
from asrmeter.study.fingerprints import PROFILE_VERSION, Fingerprints, check_records
from helpers.made_inputs import sign_corpus, sign_model
from helpers.model_folders import whisper_folder

HEADER = a_header("whisper-base", seed=42, reason="ünïcode " * 40)
MANY_PASSES = [entry | {"round": entry["round"] + 3 * i} for i in range(20) for entry in PASSES]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "5s-b2.parquet"
    cell_record.write(path, HEADER, MANY_PASSES)
    return path


# Parquet


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def zeroed(content: bytes, rng: random.Random) -> bytes:
    length = rng.choice((1, 16, 512, 4096))
    begin = rng.randrange(len(content))
    return content[:begin] + bytes(len(content[begin : begin + length])) + content[begin + length :]


def truncated(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


@pytest.mark.parametrize("damage", [flipped, zeroed, truncated])
def test_damage_anywhere_in_a_record_is_found(whole: Path, damage: Callable[[bytes, random.Random], bytes]) -> None:
    written, content = cell_record.read(whole), whole.read_bytes()
    rng = random.Random(1)
    n_missed = 0
    for _ in range(400):
        whole.write_bytes(damage(content, rng))
        try:
            assert cell_record.read(whole) == written
            n_missed += whole.read_bytes() != content
        except AsrmeterError as error:
            assert re.fullmatch(rf"{whole}: [^\n]*; delete it and run again", str(error))
            assert siblings.status(whole) in (None, "ok")
    assert n_missed < 4  # it hit nothing but the seal


@pytest.mark.parametrize("schema", [OPERATORS, PASSES], ids=["a profile", "a table"])
def test_damage_in_any_table_is_found(tmp_path: Path, schema: Any) -> None:
    rows = [{"model": "m", "repeat": i} for i in range(50)] if schema is OPERATORS else PASSES
    table = pa.Table.from_pylist(rows, schema=schema if schema is OPERATORS else cell_record.SCHEMA)
    path = tmp_path / "t.parquet"
    parquet.save(path, table)
    content = path.read_bytes()
    rng = random.Random(2)
    for _ in range(100):
        path.write_bytes(flipped(content, rng))
        try:
            assert parquet.read(path).equals(table)
        except AsrmeterError as error:
            assert "t.parquet: " in str(error) and "delete it and run again" in str(error)


def test_other_programs_read_a_record_and_it_reads_theirs(whole: Path) -> None:
    table = pq.read_table(whole, page_checksum_verification=True)
    assert table.num_rows == len(MANY_PASSES)
    pq.write_table(table, whole)
    assert cell_record.read(whole)[0] == HEADER


def test_the_status_is_that_of_the_json_beside_the_record(whole: Path) -> None:
    assert siblings.header(whole) == HEADER
    assert siblings.status(whole) == "ok"
    whole.unlink()
    assert siblings.header(whole) is None and siblings.status(whole) is None


def test_a_record_without_json_is_of_an_older_version(whole: Path) -> None:
    siblings.json_of(whole).unlink()
    assert siblings.header(whole) is None
    assert siblings.status(whole) == siblings.UNKNOWN
    assert cell_record.read(whole)[0] == HEADER


def test_json_of_another_record_says_nothing(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "60s-b1.parquet"
    cell_record.write(other, replace(HEADER, status="oom"), [])
    siblings.json_of(whole).write_bytes(siblings.json_of(other).read_bytes())
    assert siblings.header(whole) is None and siblings.status(whole) is None


@pytest.mark.parametrize("header", [{"status": ["ok"]}, {"status": None}, {"events": 5}, {"events": {"latency": []}}])
def test_json_of_anybody_says_nothing(whole: Path, header: dict[str, Any]) -> None:
    beside = json.loads(siblings.json_of(whole).read_text())
    siblings.json_of(whole).write_text(json.dumps(beside | {"header": beside["header"] | header}))
    assert siblings.status(whole) is None


# Audio and weights


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.flac").write_bytes(bytes(1000))
    row = {"segment_id": "a", "duration_s": 5, "audio_s": 4.5, "path": "a.flac", "text": "x"}
    return sign_corpus(tmp_path / "c", [row], key="k")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(np.random.default_rng(1).bytes(1 << 20))
    (folder / "config.json").write_text("{}")
    sign_model(folder, key="k")
    return folder


def damage(path: Path) -> None:
    """Flip a bit in the middle; the size and the time of change stay."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("name", ["a.flac", "segments.json"])
def test_audio_unlike_its_manifest_is_not_measured(corpus: Path, name: str) -> None:
    assert [row["segment_id"] for row in integrity.check_segments(corpus, 5, "k")] == ["a"]
    damage(corpus.parent / name)
    said = rf"^{corpus.parent}/{name}: is damaged or was changed.* delete {corpus.parent} and run again$"
    with pytest.raises(AsrmeterError, match=said):
        integrity.check_segments(corpus, 5, "k")


def test_missing_audio_and_missing_class_are_named(corpus: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"segments.json: has no segments of 15 s; delete "):
        integrity.check_segments(corpus, 15)
    (corpus.parent / "a.flac").unlink()
    with pytest.raises(AsrmeterError, match=r"a.flac: cannot be read \(.*delete .*/c and run again$"):
        integrity.check_segments(corpus, 5)


def test_a_corpus_or_model_of_another_version_is_not_measured(corpus: Path, model: Path) -> None:
    said = (
        r": was made by another version or study, or from other sources \(key k, not other\); delete it and run again$"
    )
    with pytest.raises(AsrmeterError, match=f"^{corpus.parent}{said}"):
        integrity.check_segments(corpus, 5, "other")
    with pytest.raises(AsrmeterError, match=f"^{model}{said}"):
        integrity.check_model_folder(model, "other")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("run", [None, "run 1"])
def test_a_model_with_other_bytes_is_not_measured(model: Path, name: str, run: str | None) -> None:
    for _ in range(2):
        assert integrity.check_model_folder(model, "k", run)["family"] == "ctc"
    damage(model / name)
    with pytest.raises(AsrmeterError, match=rf"^{model}/{name}: is damaged or was changed.* delete {model} and run"):
        integrity.check_model_folder(model, "k", run)


def test_what_does_not_belong_to_a_model_is_named(model: Path) -> None:
    (model / ".snakemake_timestamp").touch()
    integrity.check_model_folder(model)
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(AsrmeterError, match=r"adapter_config.json: does not belong to the model in this folder"):
        integrity.check_model_folder(model)


def replaced(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink(missing_ok=True)
    make(path)


def sparse(path: Path) -> None:
    with open(path, "wb") as stream:
        stream.truncate(2**40)


NOT_FILES: list[tuple[Callable[[Path], Any], str]] = [
    (os.mkfifo, "is a pipe, not a file"),
    (lambda path: path.symlink_to("/dev/zero"), "leads out of this folder"),
    (lambda path: path.symlink_to("/etc/passwd"), "leads out of this folder"),
    (Path.mkdir, "is a folder, not a file"),
]
SPARSE = (sparse, "has 1,099,512 MB, more than the 100 MB allowed for such a file")


@pytest.mark.parametrize(("make", "why"), [*NOT_FILES, SPARSE])
def test_audio_that_is_no_file_of_the_corpus_is_not_read(corpus: Path, make: Callable[[Path], Any], why: str) -> None:
    replaced(corpus.parent / "a.flac", make)
    with pytest.raises(AsrmeterError, match=rf"{why}.*; delete {corpus.parent} and run again$"):
        integrity.check_segments(corpus, 5, "k")


@pytest.mark.parametrize(
    "name",
    ["../private.flac", "../c/../private.flac", "/dev/zero", "/etc/passwd", "./a.flac", "", "a\0b", "b/../a"],
)
def test_paths_that_lead_out_of_the_corpus_are_refused(corpus: Path, name: str) -> None:
    (corpus.parent.parent / "private.flac").write_bytes(bytes(1000))
    (corpus.parent / "b").mkdir()
    (row,) = json.loads(corpus.read_text())
    corpus.write_text(json.dumps([row | {"path": name}]))
    (corpus.parent / "selection.json").write_text('{"key": "k"}')
    with pytest.raises(AsrmeterError, match=rf"leads out of this folder; delete {corpus.parent} and run again$"):
        integrity.check_segments(corpus, 5, "k")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(("make", "why"), NOT_FILES)
def test_model_files_that_are_none_are_not_read(model: Path, name: str, make: Callable[[Path], Any], why: str) -> None:
    replaced(model / name, make)
    with pytest.raises(AsrmeterError, match=rf"{why}.*; delete {model} and run again$"):
        integrity.check_model_folder(model, "k")


def test_names_that_lead_out_of_a_model_folder_are_refused(model: Path) -> None:
    told = json.loads((model / "provenance.json").read_text())
    (model / "provenance.json").write_text(json.dumps(told | {"sha256": told["sha256"] | {"../x.json": "0"}}))
    with pytest.raises(AsrmeterError, match=r"\.\./x\.json leads out of this folder"):
        integrity.check_model_folder(model, "k")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "is a pipe, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
        (sparse, "more than the 500 MB"),
        (lambda path: path.write_text("[" * 100_000), "cannot be read"),
    ],
)
@pytest.mark.parametrize("name", ["provenance.json", "selection.json", "segments.json"])
def test_records_that_are_no_files_are_named(
    corpus: Path, model: Path, name: str, make: Callable[[Path], Any], why: str
) -> None:
    folder = model if name == "provenance.json" else corpus.parent
    replaced(folder / name, make)
    with pytest.raises(AsrmeterError, match=rf"{folder}.*{name}.*; delete {folder} and run again$") as caught:
        if folder == model:
            integrity.check_model_folder(model)
        else:
            integrity.check_segments(corpus, 5)
    if name == "provenance.json":
        assert why in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, sparse, lambda path: path.write_text("[" * 100_000)])
def test_what_is_remembered_of_a_check_may_be_anything(model: Path, make: Callable[[Path], Any]) -> None:
    memory = model.with_name(".m.checked")
    replaced(memory, make)
    assert integrity.check_model_folder(model, run="1")["family"] == "ctc"
    assert json.loads(memory.read_text())["run"] == "1"


def test_weights_are_hashed_once_a_run(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = integrity.sha256_of
    monkeypatch.setattr(integrity, "sha256_of", lambda path: hashed.append(path.name) or real(path))
    for run in ("1", "1", "2"):
        integrity.check_model_folder(model, run=run)
    assert hashed.count("model.safetensors") == 2
    os.utime(model / "model.safetensors")
    integrity.check_model_folder(model, run="2")
    assert hashed.count("model.safetensors") == 3
    integrity.check_model_folder(model, weights=False)
    assert hashed.count("model.safetensors") == 3


def test_a_cell_is_refused_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor.launcher, "start", lambda *_: pytest.fail("a worker was started"))
    for attempt in (1, 2):
        Attempts(tmp_path / "5s-b1" / "lap1.parquet", attempt).begin()
    measured(tmp_path, monkeypatch, 1, "--attempt=3")  # makes model and corpus, and measures nothing
    real = measure.cell_options.specify

    def specify(*args: Any) -> Any:
        damage(tmp_path / "c" / "a.flac")
        return real(*args)

    monkeypatch.setattr(measure.cell_options, "specify", specify)
    with pytest.raises(AsrmeterError, match=r"c/a.flac: is damaged or was changed"):
        measured(tmp_path, monkeypatch, 2)
    assert not (tmp_path / "5s-b2" / "lap1.parquet").exists()


# Records of another study or version

CELL = grid.Cell("whisper-base", "fp32", "cpu", 5, 2)
SITTING = grid.Sitting(CELL, 1)
MADE_OF = Fingerprints({"whisper-base": "m"}, "c")
PLANNED = {
    "options": STUDY.variants["fp32"].as_json(),
    **{"lap": 1, "seed": 42, "protocol": 2, "corpus": "quickstart", "model_key": "m", "corpus_key": "c"},
    **STUDY.protocol.model_dump(include={"target", "max_passes", "budget_s", "minutes", "energy_window_s"}),
    "profile_version": PROFILE_VERSION,
}
OTHERS = {
    "model": "whisper-tiny",
    "options": PLANNED["options"] | {"dtype": "bfloat16"},
    **{"lap": 2, "seed": 7, "protocol": 1, "corpus": "other", "model_key": "n", "corpus_key": "d"},
    **{"energy_window_s": 9, "profile_version": PROFILE_VERSION + 1, "target": 0.9, "max_passes": 99, "budget_s": 99},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_record_of_another_study_or_version_is_refused(name: str) -> None:
    own = {"model": "whisper-base"} | PLANNED
    told = {Path("r/a.parquet"): (SITTING, SimpleNamespace(**own)), Path("older"): (SITTING, SimpleNamespace())}
    check_records(STUDY, told, MADE_OF)
    told = {Path("r/b.parquet"): (SITTING, SimpleNamespace(**own))}
    told[Path("r/a.parquet")] = SITTING, SimpleNamespace(**own | {name: OTHERS[name]})
    said = rf"^r/a.parquet: belongs to another study or version \({name} .*\), as 1 of 2 are; delete"
    with pytest.raises(AsrmeterError, match=said):
        check_records(STUDY, told, MADE_OF)


def test_if_all_records_are_of_another_their_folder_is_named() -> None:
    headers = {Path(f"r/m/{i}.parquet"): (SITTING, SimpleNamespace(**PLANNED | {"seed": 1})) for i in range(30)}
    with pytest.raises(AsrmeterError, match=r"as 30 of 30 are; delete r/m and run again$"):
        check_records(STUDY, headers, MADE_OF)


def test_a_profile_is_of_the_cell_that_its_file_is_named_by(tmp_path: Path) -> None:
    path = tmp_path / "profiles" / f"{CELL.id}.parquet"
    row = dict.fromkeys(OPERATORS.names) | {"model": "whisper-tiny", "variant": "fp32", "device": "cpu"}
    row |= {"duration_s": 5, "batch_size": 2}
    for header in (None, PLANNED):
        parquet.save(path, pa.Table.from_pylist([row], schema=OPERATORS), header)
        with pytest.raises(AsrmeterError, match=r'\(model "whisper-tiny", but "whisper-base" is planned\)'):
            check_records(STUDY, bottlenecks.read_profiles([path], [CELL])[0], MADE_OF)
    parquet.save(path, pa.Table.from_pylist([row | {"model": "whisper-base"}], schema=OPERATORS), PLANNED)
    check_records(STUDY, bottlenecks.read_profiles([path], [CELL])[0], MADE_OF)


# Disks


def mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB."""
    yield from mounted(tmp_path / "small", "-o", "size=400k")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "read-only", "-o", "ro")


@pytest.mark.parametrize("disk", ["small", "read_only"])
def test_place_without_room_is_named_before_measuring(
    disk: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.launcher, "start", lambda *_: pytest.fail("a worker was started"))
    folder = request.getfixturevalue(disk)
    said = "no space left on the disk" if disk == "small" else "cannot be written"
    with pytest.raises(AsrmeterError, match=rf"{folder}/a.parquet: {said}"):
        measured(tmp_path, monkeypatch, 1, f"--output={folder}/a.parquet")
    assert list(folder.iterdir()) == []
    check_room(tmp_path / "elsewhere" / "file")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_model_folder_is_not_left_on_a_full_disk(small: Path, tmp_path: Path) -> None:
    saved = whisper_folder(tmp_path / "saved")
    settings = ModelSettings(weights="random", path=str(saved))
    # The library that writes weights has errors of its own.
    with pytest.raises(AsrmeterError, match=r"small/m: no space left on the disk; free some space and run again"):
        build("m", settings, 1, Archives(tmp_path), small / "m")
    assert list(small.iterdir()) == []


def test_events_of_a_worker_need_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("ASRMETER_FORK_SERVER", "0")
    (tmp_path / "scripts" / "asrmeter" / "measure").mkdir(parents=True)
    code = 'import json, os, sys\nos.write(json.load(sys.stdin)["events"], b\'{"event": "done"}\\n\')\n'
    (tmp_path / "scripts" / "asrmeter" / "measure" / "child.py").write_text(code)
    spec = PeaksSpec(device="cpu", threads=1, dtypes=[], budget_s=1)
    outcome = supervisor.run_supervised(spec, 30, sys.stderr.fileno(), tmp_path)
    assert (outcome.status, outcome.events) == ("ok", [Done()])


# Clocks

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
JUMPY = """
import json, sys, time
from pathlib import Path
from asrmeter.machine import probes
from asrmeter.measure import energy
from asrmeter.machine.interference import Watch, why_disturbed
clock = Path(sys.argv[1])

def work():
    begin_s = time.perf_counter()
    while time.perf_counter() - begin_s < 0.3:
        pass

ahead_s = probes.clock_ahead_s()
watch, meter = Watch("cpu"), energy.Meter(None)
meter.begin()
begin, own = time.perf_counter(), time.process_time()
work()
clock.write_text(sys.argv[2])
work()
own, seconds = time.process_time() - own, time.perf_counter() - begin
joules = meter.end()["cpu_j"]
print(json.dumps({
    "tdp_w": meter._cpu._tdp, "method": meter.method_cpu, "joules": joules, "own_s": own, "seconds": seconds,
    "disturbance": why_disturbed(watch.report(), 1), "jump_s": probes.clock_ahead_s() - ahead_s,
}))
"""


@pytest.mark.skipif(FAKETIME is None, reason="needs Debian's package libfaketime")
@pytest.mark.parametrize(("jump", "jump_s"), [("+3600s", 3600), ("-86400s", -86400), ("+0s", 0)])
def test_a_wall_clock_that_is_set_changes_no_figure_and_is_named(tmp_path: Path, jump: str, jump_s: float) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0s")
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    fake |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(Path(measure.__file__).parent)}
    ran = subprocess.run(
        [sys.executable, "-c", JUMPY, str(clock), jump],
        **{"env": os.environ | fake, "capture_output": True, "text": True, "check": True, "timeout": 60},
    )
    told = json.loads(ran.stdout)
    assert told["jump_s"] == pytest.approx(jump_s, abs=0.5)
    set_by = f"the wall clock was set by {jump_s:+.1f} s, or the machine was suspended"
    assert (set_by in (told["disturbance"] or "")) is bool(jump_s)
    if told["method"] == "cpu_load_model":
        expected = told["tdp_w"] * told["own_s"] / (os.cpu_count() or 1)
        assert expected / 3 < told["joules"] < 3 * expected  # by the wall clock 0, or a thousandth
