"""What was disturbed in a lap is measured again: what replaces a record, what is dropped, and when it is given up."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import retry_disturbed
from asrmeter.records import cell_record, status
from asrmeter.study import grid, validation
from asrmeter.study.fingerprints import Fingerprints, measure_options
from asrmeter.study.model import Study
from helpers.records import header

MADE_OF = Fingerprints({"whisper-base": "m"}, "c")
BUSY = {"latency": {"disturbance": "others were busy"}}
UNDISTURBED = {"events": {"latency": {}}, "status": "ok"}
STILL = UNDISTURBED | {"events": {"latency": {"disturbance": "others were busier"}}}
FAILED = {"status": "timeout", "reason": "took too long"}
DIED: dict[str, Any] = {}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of five cells on each of two devices in two laps, saved in its results folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    asked = {"name": "t", "models": {"whisper-base": {}}, "devices": ["cpu", "cuda"], "durations_s": [5]}
    whole = validation.with_defaults(asked | {"batch_sizes": [1, 2, 3, 4, 5], "protocol": {"laps": 2}}, "t.yaml")
    Path("results").mkdir()
    Path("results/study.json").write_text(json.dumps(whole.as_json()))
    return whole


def record(sitting: grid.Sitting) -> Path:
    return Path("results/measurements") / f"{sitting.id}.parquet"


def write_lap(study: Study, disturbed: set[int], lap: int = 1, device: str = "cpu") -> list[grid.Sitting]:
    """Write the records of a lap; `disturbed` are batch sizes. Return the sittings in their order."""
    own = [one for one in grid.execution_order(study) if one.lap == lap and one.cell.device == device]
    for position, sitting in enumerate(own):
        cell = sitting.cell
        told = {"model": cell.model, "device": device, "duration_s": 5, "batch_size": cell.batch_size, "lap": lap}
        told |= {"events": BUSY if cell.batch_size in disturbed else {"latency": {}}, "started_at_s": float(position)}
        cell_record.write(record(sitting), header(**told), [])
    return own


class Measured:
    """Stands in for the jobs that measure: `outcomes` by batch size, one for each try."""

    def __init__(self, outcomes: dict[int, list[dict[str, Any]]]) -> None:
        self._outcomes = {size: iter(tries) for size, tries in outcomes.items()}
        self.commands: list[list[str]] = []
        # Batch size and number of each try.
        self.tried: list[tuple[int, int]] = []

    def run(self, command: list[str], **_: Any) -> SimpleNamespace:
        self.commands.append(command[2:])
        options = dict(option.removeprefix("--").partition("=")[::2] for option in command[2:])
        size, attempt = int(options["batch-size"]), int(options["attempt-of-sitting"])
        self.tried.append((size, attempt))
        told = next(self._outcomes[size])
        if told:
            made = {"batch_size": size, "attempt": attempt}
            cell_record.write(Path(options["output"]), header(**(made | told)), [])
        return SimpleNamespace(returncode=0 if told else 1)


Retry = Callable[..., tuple[Measured, dict[str, Any]]]


@pytest.fixture
def retry(study: Study, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retry]:
    """Measures the first lap on the CPU again; `outcomes` are those of its jobs."""

    def run(outcomes: dict[int, list[dict[str, Any]]], *more: str, time_s: float = 1e6) -> Any:
        jobs = Measured(outcomes)
        monkeypatch.setattr(retry_disturbed.subprocess, "run", jobs.run)
        options = ["--study=results/study.json", f"--fingerprints={MADE_OF.to_json()}", "--models=results/models"]
        options.append("--converted=results/converted")
        options += ["--measurements=results/measurements", "--segments=c/segments.json", "--device=cpu", "--lap=1"]
        options += ["--timeout-s=600", f"--time-s={time_s}", "--output=results/measurements/.laps/cpu-lap1.json"]
        retry_disturbed.main([*options, *more])
        return jobs, json.loads(Path("results/measurements/.laps/cpu-lap1.json").read_text())

    yield run


def test_where_nothing_was_disturbed_nothing_is_measured(study: Study, retry: Retry) -> None:
    write_lap(study, set())
    write_lap(study, {1, 2}, lap=2)
    write_lap(study, {1, 2}, device="cuda")
    jobs, told = retry({})
    assert jobs.commands == []
    assert told == {"device": "cpu", "lap": 1, "n_sittings": 5, "disturbed": [], "gave_up": None}


def test_a_better_record_takes_the_place_of_the_first(study: Study, retry: Retry) -> None:
    sittings = {sitting.cell.batch_size: sitting for sitting in write_lap(study, {1, 3})}
    before = {size: record(sitting).read_bytes() for size, sitting in sittings.items()}
    jobs, told = retry({1: [UNDISTURBED], 3: [STILL, UNDISTURBED]})
    assert sorted(jobs.tried) == [(1, 2), (3, 2), (3, 3)] and jobs.tried[-1] == (3, 3)
    for size, attempt in ((1, 2), (3, 3)):
        found = status.header(record(sittings[size]))
        assert found is not None and found.to_json().get("attempt") == attempt
        assert status.n_tries(record(sittings[size])) == attempt
    for size in (2, 4, 5):
        assert record(sittings[size]).read_bytes() == before[size]
    assert {entry["sitting"]: (entry["n_tries"], entry["still_disturbed"]) for entry in told["disturbed"]} == {
        sittings[1].id: (2, False),
        sittings[3].id: (3, False),
    }
    assert not list(Path("results").rglob(".retry*"))
    again, _ = retry({})
    assert again.commands == [], "what is there is not disturbed"


@pytest.mark.parametrize(
    ("outcome", "why"),
    [(STILL, "others were busier"), (FAILED, "timeout: took too long"), (DIED, "its job ended without a record")],
)
def test_a_record_that_is_no_better_is_dropped(study: Study, retry: Retry, outcome: dict[str, Any], why: str) -> None:
    (sitting,) = [one for one in write_lap(study, {2}) if one.cell.batch_size == 2]
    before = record(sitting).read_bytes()
    jobs, told = retry({2: [outcome, outcome]})
    assert jobs.tried == [(2, 2), (2, 3)]
    assert record(sitting).read_bytes() == before
    assert status.tries(record(sitting)) == {"2": why, "3": why}
    (entry,) = told["disturbed"]
    assert entry == {
        "sitting": sitting.id,
        "disturbance": "others were busy",
        "n_tries": 3,
        "in_vain": {"2": why, "3": why},
        "still_disturbed": True,
    }
    again, _ = retry({})
    assert again.commands == [], "both tries were made"


def test_all_are_tried_once_before_any_of_them_twice(study: Study, retry: Retry) -> None:
    own = [sitting.cell.batch_size for sitting in write_lap(study, {1, 2, 3})]
    order = [size for size in own if size in (1, 2, 3)]
    first, second, third = order
    jobs, _ = retry({first: [STILL, UNDISTURBED], second: [UNDISTURBED], third: [STILL, UNDISTURBED]})
    assert jobs.tried == [(first, 2), (second, 2), (third, 2), (first, 3), (third, 3)]


def test_what_disturbs_every_try_is_not_fought(study: Study, retry: Retry) -> None:
    write_lap(study, {1, 2, 3, 4, 5})
    jobs, told = retry({size: [STILL, STILL] for size in range(1, 6)})
    assert len(jobs.tried) == retry_disturbed.MOST_IN_VAIN
    assert told["gave_up"] == "3 tries in a row were disturbed too: the disturbance of this machine persists"
    assert len(told["disturbed"]) == 5 and all(entry["still_disturbed"] for entry in told["disturbed"])


def test_no_try_begins_that_may_not_end_in_time(study: Study, retry: Retry) -> None:
    write_lap(study, {1, 2})
    jobs, told = retry({1: [UNDISTURBED], 2: [UNDISTURBED]}, time_s=599)
    assert jobs.tried == [] and told["gave_up"].endswith("another try may exceed the time of this job")


def test_a_try_of_a_job_that_died_is_not_made_again(study: Study, retry: Retry) -> None:
    (sitting,) = [one for one in write_lap(study, {4}) if one.cell.batch_size == 4]
    status.note_try(record(sitting), 2, retry_disturbed.BEGUN)
    write_lap(study, {4}, lap=2)
    half, of_lap_2 = (record(sitting).parent / f".retry-lap{lap}" / "record" for lap in (1, 2))
    for path in (half, of_lap_2):
        path.parent.mkdir()
        path.write_text("half")
    jobs, told = retry({4: [UNDISTURBED]})
    assert jobs.tried == [(4, 3)] and not half.exists()
    assert of_lap_2.exists(), "another job may be at it"
    assert not told["disturbed"][0]["still_disturbed"]


def test_the_job_is_that_of_the_lap(study: Study, retry: Retry) -> None:
    (sitting,) = [one for one in write_lap(study, {5}) if one.cell.batch_size == 5]
    jobs, _ = retry({5: [UNDISTURBED]}, "--laps=2", "--share-s=9", "--time-ledger=results/measurements/.time-ledger")
    (command,) = jobs.commands
    tracked = measure_options(study.as_json(), sitting, MADE_OF)
    assert command[: len(tracked)] == tracked
    assert command[len(tracked) :] == [
        "--laps=2",
        "--share-s=9",
        "--time-ledger=results/measurements/.time-ledger",
        "--model-folder=results/models/whisper-base",
        "--segments=c/segments.json",
        "--timeout-s=600.0",
        "--attempt-of-sitting=2",
        f"--output={record(sitting).parent}/.retry-lap1/lap1.parquet",
        "--larger-than-oom",
    ]


def test_other_cells_and_damaged_records_are_left_alone(study: Study, retry: Retry) -> None:
    sittings = write_lap(study, {1, 2})
    gone = Path("results/measurements/gone/fp32/cpu/5s-b1/lap1.parquet")
    cell_record.write(gone, header(events=BUSY), [])
    (damaged,) = [record(sitting) for sitting in sittings if sitting.cell.batch_size == 2]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    jobs, told = retry({1: [UNDISTURBED]})
    assert jobs.tried == [(1, 2)] and told["n_sittings"] == 4
