"""Model folders are converted for runtimes that load no safetensors; what cannot run is known, and said, beforehand."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_tables import FLOPS, STUDY, a_header, a_round, no_archive

import convert_model
import measure
from asrmeter import runtimes
from asrmeter.analysis import cells_table
from asrmeter.common.errors import AsrmeterError
from asrmeter.machine import host
from asrmeter.measure.tasks import cell as cell_task
from asrmeter.records import cell_record, status
from asrmeter.runtimes.base import Conversion
from asrmeter.runtimes.transformers import TransformersOptions
from asrmeter.sources import integrity
from asrmeter.study import fingerprints, validation
from asrmeter.workflow.briefing import Briefing
from asrmeter.workflow.laps import PlannedJob
from asrmeter.workflow.plan import Plan
from helpers.made_inputs import sign_corpus, sign_model

# A runtime as somebody would add it: it loads the reversed weights.
MADE_UP = """
from dataclasses import dataclass, field
from typing import Literal
from asrmeter.runtimes.base import *

@dataclass(frozen=True, kw_only=True)
class Options(RuntimeOptions):
    __pydantic_config__ = options_config("reversed", "")
    runtime: Literal["reversed"] = field(default="reversed", metadata=RUNTIME)
    format: str = "plain"

    def conversion(self):
        return Conversion(f"reversed-{self.format}", {"format": self.format}, ("numpy",))

OPTIONS = Options
"""
ITS_CONVERSION = """
from asrmeter.runtimes.base import UnsupportedError

def convert(source, family, form, target):
    if form == "square":
        raise UnsupportedError(f"no {family} model is square")
    if form == "missing":
        import no_such_package
    content = (source / "model.safetensors").read_bytes()
    (target / "model.bin").write_bytes(content[::-1])
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = tmp_path / "runtimes" / "reversed"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(MADE_UP)
    (package / "conversion.py").write_text(ITS_CONVERSION)
    monkeypatch.setattr(runtimes, "__path__", [*runtimes.__path__, str(tmp_path / "runtimes")])
    importlib.invalidate_caches()
    runtimes.options.cache_clear()
    yield
    runtimes.options.cache_clear()
    for name in ("reversed", "reversed.conversion"):
        sys.modules.pop(f"asrmeter.runtimes.{name}", None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    sign_model(folder, "whisper")
    return folder


def converted(model: Path, form: str = "plain", key: str | None = "k") -> Path:
    folder = model.parents[1] / "converted" / "m" / f"reversed-{form}"
    options = json.dumps({"runtime": "reversed", "format": form})
    arguments = [f"--model-folder={model}", f"--variant-options={options}", f"--output={folder}"]
    convert_model.main([*arguments, f"--key={key}"])
    return folder


def test_a_converted_folder_says_what_it_is_made_of(made_up: None, model: Path) -> None:
    folder = converted(model)
    assert (folder / "model.bin").read_bytes() == b"sthgiew"
    told = integrity.check_converted(folder, "k")
    assert (told["format"], told["bytes"], told["refused"]) == ("reversed-plain", 7, None)
    assert told["settings"] == {"format": "plain"} and list(told["versions"]) == ["numpy"]
    assert told["source_sha256"] == integrity.check_model_folder(model)["weights_sha256"]
    assert 0 < told["conversion_s"] < 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / "model.bin").write_bytes(b"sthgieW"), "is damaged or was changed"),
        (lambda folder: (folder / "model.bin").unlink(), "cannot be read"),
        (lambda folder: (folder / "more.bin").write_bytes(b""), "does not belong to the model in this folder"),
        (lambda folder: (folder / "provenance.json").write_text("{}"), "lacks key"),
    ],
)
def test_a_converted_folder_that_changed_is_refused(made_up: None, model: Path, change: Any, why: str) -> None:
    folder = converted(model)
    change(folder)
    with pytest.raises(AsrmeterError, match=why):
        integrity.check_converted(folder, "k")


def test_a_converted_folder_of_other_settings_is_refused(made_up: None, model: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"\(key k, not other\); delete it and run again$"):
        integrity.check_converted(converted(model), "other")


def test_a_model_that_cannot_be_converted_says_so(made_up: None, model: Path) -> None:
    told = integrity.check_converted(converted(model, "square"), "k")
    assert (told["refused"], told["bytes"], told["sha256"]) == ("no whisper model is square", 0, {})


def test_a_damaged_model_folder_is_not_converted(made_up: None, model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"others!")
    with pytest.raises(AsrmeterError, match="is damaged or was changed"):
        converted(model)
    assert not (model.parents[1] / "converted" / "m" / "reversed-plain").exists()


def test_a_package_that_is_missing_is_named_with_the_way_to_it(made_up: None, model: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"^m: reversed-missing needs a package .*no_such_package.*`make runtimes`"):
        converted(model, "missing")


def test_what_loads_model_folders_has_nothing_to_convert(model: Path) -> None:
    with pytest.raises(AsrmeterError, match="loads a model folder without conversion"):
        convert_model.main([f"--model-folder={model}", '--variant-options={"runtime": "transformers"}', "--output=x"])


# What a run plans


def plan_of(**changes: Any) -> Plan:
    study = {
        "name": "t",
        "models": {"whisper-base": {"weights": "packaged"}, "wav2vec2-base-960h": {"weights": "random"}},
        "variants": {"fp32": {}, "slow": {"attention": "eager"}},
        "devices": ["cpu"],
        "durations_s": [5],
        "batch_sizes": [1, 2],
        "protocol": {"laps": 2, "minutes": 4},
    }
    return Plan(validation.with_defaults(study | changes, "t.yaml"))


@pytest.fixture
def eager_is_for_ctc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whisper's cells of the variant `slow` cannot run here; `slow` has a conversion."""
    monkeypatch.chdir(tmp_path)

    def why_not(self: TransformersOptions, family: str, device: str, _host: host.Host) -> str | None:
        return f"no {family} on {device}" if self.attention == "eager" and family == "whisper" else None

    def conversion(self: TransformersOptions) -> Conversion | None:
        return Conversion("eager-1", {}, ("transformers",)) if self.attention == "eager" else None

    monkeypatch.setattr(TransformersOptions, "why_not", why_not)
    monkeypatch.setattr(TransformersOptions, "conversion", conversion)


def test_what_cannot_run_comes_first_once_and_takes_no_time(eager_is_for_ctc: None) -> None:
    plan = plan_of()
    assert plan.refused == {("whisper-base", "slow", "cpu"): "no whisper on cpu"}
    names = list(plan.laps.sittings)
    refused = [name for name in names if name.startswith("whisper-base/slow/")]
    assert refused == names[:2] and all(name.endswith("/lap1") for name in refused)
    assert len(names) == 2 + 2 * 6 and plan.laps.share_s == 60 * 4 / 12
    by_priority = sorted(names, key=lambda name: -plan.laps.priorities[name])
    assert set(by_priority[:2]) == set(refused)
    assert plan.measure_options(plan.laps.sittings[refused[0]])[-1] == "--refused=no whisper on cpu"
    others = (plan.measure_options(sitting) for name, sitting in plan.laps.sittings.items() if name not in refused)
    assert not any(option.startswith("--refused") for options in others for option in options)


def test_what_cannot_run_is_told_before_the_run(eager_is_for_ctc: None) -> None:
    plan = plan_of()
    jobs = [
        PlannedJob(n, "measure_cpu", [plan.laps.record(name)], True, True) for n, name in enumerate(plan.laps.sittings)
    ]
    lines = Briefing(plan, jobs).lines()
    assert "Not possible here: slow on cpu of whisper-base: no whisper on cpu." in lines


def test_only_what_runs_is_converted(eager_is_for_ctc: None) -> None:
    plan = plan_of()
    needed = {cell.id: plan.conversion_of(cell) for cell in plan.cells.values()}
    assert needed["whisper-base/slow/cpu/5s-b1"] is None and needed["wav2vec2-base-960h/fp32/cpu/5s-b1"] is None
    assert needed["wav2vec2-base-960h/slow/cpu/5s-b1"] == "wav2vec2-base-960h/eager-1"
    assert plan.conversions_in("measure") == ["wav2vec2-base-960h/eager-1"]
    key = plan.fingerprints.conversions["wav2vec2-base-960h/eager-1"]
    options = plan.measure_options(plan.laps.sittings["wav2vec2-base-960h/slow/cpu/5s-b1/lap1"])
    assert f"--conversion-key={key}" in options
    assert plan.converted["wav2vec2-base-960h/eager-1"].output == "results/converted/wav2vec2-base-960h/eager-1"


def test_nothing_is_refused_for_nodes_of_a_cluster(eager_is_for_ctc: None) -> None:
    assert Plan(plan_of().study, on_cluster=True).refused == {}


def test_a_package_that_is_not_installed_is_known_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TransformersOptions, "needs", ("json", "no_such_package"))
    here = Plan(plan_of().study, own_packages=True)
    assert set(here.refused.values()) == {"needs no_such_package, which is not installed; `make runtimes` installs it"}
    assert plan_of().refused == {}  # with an environment for each rule


def test_a_conversion_is_made_again_when_its_inputs_change(
    eager_is_for_ctc: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(**changes: Any) -> str:
        return plan_of(**changes).fingerprints.conversions["wav2vec2-base-960h/eager-1"]

    first = key()
    assert key(protocol={"laps": 3}) == first
    assert key(seed=1) != first  # other random weights
    monkeypatch.setattr(fingerprints, "pinned_versions", lambda: {"transformers": "6.0.0"})
    assert key() != first


def test_every_package_of_a_conversion_is_pinned() -> None:
    for name, options in runtimes.options().items():
        if name != runtimes.OWN_FILE and (conversion := options().conversion()):
            assert {*conversion.packages} <= {*fingerprints.pinned_versions()}, name


# What a job does


def test_a_refused_cell_has_a_record_and_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes(b"x")
    sign_model(tmp_path / "m", "whisper")
    (tmp_path / "audio.flac").write_bytes(b"x")
    row = {
        "segment_id": "s",
        "duration_s": 5,
        "audio_s": 5.0,
        "path": "audio.flac",
        "text": "one",
        "language_told": "en",
    }
    manifest = sign_corpus(tmp_path, [row])
    options = {
        **{"model": "m", "model-folder": "m", "segments": manifest, "variant": "slow", "device": "cpu", "threads": 1},
        **{"variant-options": '{"runtime": "transformers"}', "duration-s": 5, "batch-size": 1, "seed": 1},
        **{"protocol": '{"version": 2, "budget_s": 1}', "output": "5s-b1/lap1.parquet", "refused": "needs a GPU"},
    }
    monkeypatch.setattr("asrmeter.measure.job.run_supervised", lambda *_: pytest.fail("a process was started"))
    measure.main([f"--{name}={value}" for name, value in options.items()])
    header = status.header(Path("5s-b1/lap1.parquet"))
    assert header is not None and (header.status, header.reason) == ("unsupported", "needs a GPU")


def test_tables_need_one_lap_of_what_cannot_run(tmp_path: Path) -> None:
    study = STUDY.model_copy(update={"protocol": STUDY.protocol.model_copy(update={"laps": 2})})
    models = list(study.models)
    for lap in (1, 2):
        for model in models:
            if (model, lap) == (models[0], 1):
                header, passes = a_header(model, status="unsupported", reason="needs a GPU", events={}, lap=1), []
            elif model == models[0]:
                continue
            else:
                header, passes = a_header(model, lap=lap), [entry | {"lap": lap} for entry in a_round(0, 1.0, 2.0)]
            cell_record.write(tmp_path / f"{model}/fp32/cpu/5s-b2/lap{lap}.parquet", header, passes)
    made = cells_table.gather(study, tmp_path, no_archive, FLOPS)
    rows = {row["model"]: row for row in made["cells"].to_pylist()}
    assert (rows[models[0]]["status"], rows[models[0]]["reason"]) == ("unsupported", "needs a GPU")
    assert [row["lap"] for row in made["sittings"].to_pylist() if row["model"] == models[0]] == [1]
    (tmp_path / f"{models[1]}/fp32/cpu/5s-b2/lap2.parquet").unlink()
    with pytest.raises(AsrmeterError, match="lap2"):
        cells_table.gather(study, tmp_path, no_archive, FLOPS)


@pytest.mark.parametrize(
    ("cpu_s", "seconds", "threads", "refused"),
    [(1.0, 1.0, 1, False), (1.15, 1.0, 1, False), (1.9, 1.0, 1, True), (4.0, 1.0, 4, False), (0.9, 0.3, 1, False)],
)
def test_more_threads_than_given_are_found_by_cpu_time(
    cpu_s: float, seconds: float, threads: int, refused: bool
) -> None:
    used: Any = SimpleNamespace(cpu_s=cpu_s, seconds=seconds)
    if refused:
        with pytest.raises(AsrmeterError, match=r"^the model computed on 1\.9 threads but the study gives it 1;"):
            cell_task.check_threads(used, threads)
    else:
        cell_task.check_threads(used, threads)


def test_this_host_is_what_linux_says(monkeypatch: pytest.MonkeyPatch) -> None:
    x86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 amx_bf16\n"
    for text, expected in (
        (x86, ("GenuineIntel", {"fpu", "avx2", "amx_bf16"})),
        ("Features\t: asimd bf16\n", ("", {"asimd", "bf16"})),
    ):
        monkeypatch.setattr(host, "read", lambda _path, text=text: text)
        here = host.this_host()
        assert (here.cpu_vendor, here.cpu_flags) == expected
    assert here.lacks("avx2", "amx_bf16") and not here.lacks("bf16", "avx2")
