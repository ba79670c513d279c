"""The planner: which cells, in which order, depending on what."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.batches import batches, class_sha256
from asrmeter.study import grid, validation
from asrmeter.study.fingerprints import (
    Fingerprints,
    check_records,
    corpus_fingerprint,
    measure_options,
    model_fingerprint,
    profile_options,
)
from asrmeter.study.model import Study

ROOT = Path(__file__).parents[2]
MADE_OF = Fingerprints({"whisper-base": "m", "whisper-tiny": "n"}, "c")


def a_study(**changes: Any) -> Study:
    base = {
        "name": "t",
        "models": {"whisper-base": {}, "whisper-tiny": {"weights": "random"}},
        "devices": ["cpu", "cuda"],
    }
    return validation.with_defaults(base | changes, "t.yaml")


def test_the_grid_is_whole() -> None:
    cells = grid.cells(a_study(batch_sizes=[1, 2, 4]))
    assert len(cells) == len(set(cells)) == 2 * 1 * 2 * 4 * 3
    assert cells[0].id.count("/") == 3


def test_too_much_audio_at_once_is_left_out() -> None:
    cells = grid.cells(a_study(max_batch_audio_s=60, batch_sizes=[1, 4]))
    assert {(c.duration_s, c.batch_size) for c in cells} == {(5, 1), (5, 4), (15, 1), (15, 4), (30, 1), (60, 1)}


def test_the_order_is_seeded_and_mixes_the_models() -> None:
    first, again, other = (
        grid.execution_order(a_study()),
        grid.execution_order(a_study()),
        grid.execution_order(a_study(seed=1)),
    )
    assert first == again
    assert first != other and sorted(first) == sorted(other)
    of_laps = [[sitting.cell for sitting in first if sitting.lap == lap] for lap in (1, 2, 3)]
    assert [sitting.lap for sitting in first] == [lap for lap in (1, 2, 3) for _ in of_laps[0]]
    assert all(sorted(cells) == sorted(grid.cells(a_study())) for cells in of_laps)
    assert of_laps[0] != of_laps[1] != of_laps[2] != of_laps[0]
    for cells in of_laps:
        half = [cell.model for cell in cells[: len(cells) // 2]]
        assert min(Counter(half).values()) >= len(half) // 4


def test_more_laps_leave_the_first_ones_as_they_are() -> None:
    one, three = (grid.execution_order(a_study(protocol={"laps": laps})) for laps in (1, 3))
    assert three[: len(one)] == one and len(three) == 3 * len(one)
    assert one[0].id == f"{one[0].cell.id}/lap1"


def test_the_saved_study_has_the_same_cells() -> None:
    for study in (a_study(), a_study(max_batch_audio_s=60, batch_sizes=[1, 2, 4])):
        assert grid.cells_of_saved(study.as_json()) == grid.cells(study)


def test_smaller_batches_come_first() -> None:
    of_group: dict[tuple[str, str, int, int], list[int]] = {}
    for cell, lap in ((one.cell, one.lap) for one in grid.execution_order(a_study(batch_sizes=[8, 1, 4]))):
        of_group.setdefault((cell.model, cell.device, cell.duration_s, lap), []).append(cell.batch_size)
    assert set(map(tuple, of_group.values())) == {(1, 4, 8)}


def profiled(**changes: Any) -> list[tuple[str, int, int]]:
    study = a_study(**changes)
    return [(cell.device, cell.duration_s, cell.batch_size) for cell in grid.profiled(study)]


def test_profiled_is_the_reference_at_extreme_batch_sizes() -> None:
    of_one = {"models": {"whisper-base": {}}, "devices": ["cpu", "cuda"], "batch_sizes": [1, 2, 4]}
    assert profiled(**of_one) == [(device, 30, batch) for device in ("cpu", "cuda") for batch in (1, 4)]
    assert profiled(**of_one | {"durations_s": [60, 40]}) == [(d, 40, b) for d in ("cpu", "cuda") for b in (1, 4)]
    assert profiled(**of_one, max_batch_audio_s=60) == [(d, 30, b) for d in ("cpu", "cuda") for b in (1, 2)]
    # Of what is measured at all.
    assert profiled(**of_one, max_batch_audio_s=20) == [(d, 15, 1) for d in ("cpu", "cuda")]
    wanted = {"durations_s": [5], "batch_sizes": [2]}
    assert profiled(**of_one, profile=wanted) == [("cpu", 5, 2), ("cuda", 5, 2)]
    assert profiled(**of_one, profile={"durations_s": []}) == []


def measured(study: Study, lap: int = 1) -> list[str]:
    return measure_options(study.as_json(), grid.Sitting(grid.cells(study)[0], lap), MADE_OF)


def test_profile_depends_on_what_it_shows_not_on_the_budget() -> None:
    study, longer, others = a_study(), a_study(protocol={"budget_s": 99}), a_study(seed=1)
    cell = grid.profiled(study)[0]
    shown = profile_options(study.as_json(), cell, MADE_OF)
    assert shown == profile_options(longer.as_json(), cell, MADE_OF)
    assert shown != profile_options(others.as_json(), cell, MADE_OF)
    assert measured(study) != measured(longer)


def test_keys_follow_what_they_stand_for() -> None:
    base = a_study()
    assert model_fingerprint(base, "whisper-base") == model_fingerprint(a_study(seed=1), "whisper-base")
    assert model_fingerprint(base, "whisper-tiny") != model_fingerprint(a_study(seed=1), "whisper-tiny")
    assert corpus_fingerprint(base) == corpus_fingerprint(a_study(durations_s=[5]))
    assert corpus_fingerprint(base) != corpus_fingerprint(a_study(seed=1))


def test_a_longer_timeout_or_a_lap_more_measures_nothing_again() -> None:
    def options(**protocol: float) -> list[str]:
        return measured(a_study(protocol=protocol))

    assert options() == options(timeout_s=70) == options(larger_than_oom=True) == options(laps=9) == options(laps=1)
    changed = [options(), options(budget_s=7), options(minutes=7), options(target=0.1), options(max_passes=9)]
    changed += [options(energy_window_s=9), measured(a_study(), lap=2)]
    assert len(set(map(tuple, changed))) == len(changed)


def test_a_record_says_which_time_it_was_given() -> None:
    study = a_study(protocol={"minutes": 8})
    sitting = grid.Sitting(grid.cells(study)[0], 1)
    same = SimpleNamespace(minutes=8, budget_s=None, lap=1)
    others = [SimpleNamespace(minutes=None, budget_s=10), SimpleNamespace(minutes=9), SimpleNamespace(lap=2)]
    check_records(study, {Path("a"): (sitting, same), Path("b"): (sitting, SimpleNamespace())}, MADE_OF)
    check_records(study, {Path("profile"): (sitting.cell, SimpleNamespace(lap=2))}, MADE_OF)
    for other, why in zip(others, ("minutes null", "minutes 9", "lap 2"), strict=True):
        with pytest.raises(AsrmeterError, match=rf"another study or version \({why}, but"):
            check_records(study, {Path("a"): (sitting, other)}, MADE_OF)


@given(n=st.integers(1, 40), size=st.integers(1, 17), seed=st.integers(0, 5))
def test_batches_are_full_and_hold_every_segment(n: int, size: int, seed: int) -> None:
    ids = [f"s{i}" for i in range(n)]
    rows = [{"segment_id": name} for name in ids]
    made = batches(rows, size, seed)
    assert made == batches(rows, size, seed)
    assert all(len(batch) == size for batch in made)
    counts = Counter(i for batch in made for i in batch)
    assert set(counts) == set(ids)
    assert len(made) == -(-n // size)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 5))
def test_batches_stay_when_segments_are_added(sizes: list[int], size: int, seed: int) -> None:
    rows = [
        {"segment_id": f"s{addition}-{i}", "addition": addition} for addition, n in enumerate(sizes) for i in range(n)
    ]
    before: list[list[str]] = []
    for addition in range(len(sizes)):
        made = batches([row for row in rows if row["addition"] <= addition], size, seed)
        assert made[: len(before)] == before and {len(batch) for batch in made} == {size}
        new = {row["segment_id"] for row in rows if row["addition"] == addition}
        assert new <= {name for batch in made[len(before) :] for name in batch}
        assert all(new & set(batch) for batch in made[len(before) :])
        before = made


def test_the_hash_of_a_class_sees_text_and_audio_but_not_order() -> None:
    rows = [{"segment_id": "a", "sha256": "1", "text": "x"}, {"segment_id": "b", "sha256": "2", "text": "y"}]
    assert class_sha256(rows) == class_sha256(rows[::-1])
    assert class_sha256(rows) != class_sha256([rows[0], rows[1] | {"text": "z"}])
    assert class_sha256(rows) != class_sha256([rows[0], rows[1] | {"sha256": "3"}])


def test_reference_duration_fits_a_window_or_is_the_shortest() -> None:
    assert grid.reference_duration([5, 15, 30, 60]) == 30
    assert grid.reference_duration({60, 20}) == 20
    assert grid.reference_duration([90, 60]) == 60
