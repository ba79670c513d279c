"""The planner: which cells, in which order, depending on what."""

from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asrmeter.corpora.batches import batches, class_sha256, timed
from asrmeter.study import grid, validation
from asrmeter.study.fingerprints import (
    Fingerprints,
    corpus_fingerprint,
    measure_options,
    model_fingerprint,
    profile_options,
)
from asrmeter.study.model import Study
from asrmeter.workflow import import_closure

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
    assert {cell for cell in first if not cell.again} == set(grid.cells(a_study()))
    half = [cell.model for cell in first[: len(first) // 2]]
    assert min(Counter(half).values()) >= len(half) // 4


def test_smaller_batches_come_first() -> None:
    order = grid.execution_order(a_study(batch_sizes=[8, 1, 4], protocol={"aa_pairs": 0}))
    of_group: dict[tuple[str, str, int], list[int]] = {}
    for cell in order:
        of_group.setdefault((cell.model, cell.device, cell.duration_s), []).append(cell.batch_size)
    assert set(map(tuple, of_group.values())) == {(1, 4, 8)}


def test_a_short_cell_of_each_device_is_measured_first_and_last() -> None:
    study = a_study()
    order = grid.execution_order(study)
    assert [(cell.device, cell.duration_s, cell.batch_size) for cell in order[:2]] == [("cpu", 5, 1), ("cuda", 5, 1)]
    assert grid.aa_pairs(study) == list(zip(order[:2], order[-2:], strict=True))
    assert order[-1].id == f"{order[1].id}-again"
    assert len(grid.aa_pairs(a_study(protocol={"aa_pairs": 3}))) == 6
    assert grid.execution_order(a_study(protocol={"aa_pairs": 0})) and not grid.aa_pairs(
        a_study(protocol={"aa_pairs": 0})
    )


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


def test_profile_depends_on_what_it_shows_not_on_the_budget() -> None:
    study, longer, others = a_study(), a_study(protocol={"budget_s": 99}), a_study(protocol={"timed_batches": 9})
    cell = grid.profiled(study)[0]
    shown = profile_options(study, cell, MADE_OF)
    assert shown == profile_options(longer, cell, MADE_OF)
    assert shown != profile_options(others, cell, MADE_OF)
    assert measure_options(study, cell, MADE_OF) != measure_options(longer, cell, MADE_OF)


def test_keys_follow_what_they_stand_for() -> None:
    base = a_study()
    assert model_fingerprint(base, "whisper-base") == model_fingerprint(a_study(seed=1), "whisper-base")
    assert model_fingerprint(base, "whisper-tiny") != model_fingerprint(a_study(seed=1), "whisper-tiny")
    assert corpus_fingerprint(base) == corpus_fingerprint(a_study(durations_s=[5]))
    assert corpus_fingerprint(base) != corpus_fingerprint(a_study(seed=1))


def test_a_longer_timeout_measures_nothing_again() -> None:
    def options(**protocol: int) -> list[str]:
        study = a_study(protocol=protocol)
        return measure_options(study, grid.cells(study)[0], MADE_OF)

    assert options() == options(timeout_s=70) == options(aa_pairs=0) == options(larger_than_oom=True)
    assert options() != options(budget_s=7)


@given(n=st.integers(1, 40), size=st.integers(1, 17), seed=st.integers(0, 5))
def test_batches_are_full_and_hold_every_segment(n: int, size: int, seed: int) -> None:
    ids = [f"s{i}" for i in range(n)]
    made = batches(ids, size, seed)
    assert made == batches(ids, size, seed)
    assert all(len(batch) == size for batch in made)
    counts = Counter(i for batch in made for i in batch)
    assert set(counts) == set(ids)
    assert len(made) == -(-n // size)


def test_timed_batches_lie_between_shortest_and_longest() -> None:
    assert timed([5.0], 2) == [0]
    assert timed([9.0, 1.0, 5.0], 1) == [2]
    assert timed([8.0, 1.0, 7.0, 3.0, 5.0, 2.0, 4.0, 6.0], 2) == [2, 3]
    assert timed([3.0, 1.0], 9) == [0, 1]


def test_the_hash_of_a_class_sees_text_and_audio_but_not_order() -> None:
    rows = [{"segment_id": "a", "sha256": "1", "text": "x"}, {"segment_id": "b", "sha256": "2", "text": "y"}]
    assert class_sha256(rows) == class_sha256(rows[::-1])
    assert class_sha256(rows) != class_sha256([rows[0], rows[1] | {"text": "z"}])
    assert class_sha256(rows) != class_sha256([rows[0], rows[1] | {"sha256": "3"}])


def test_a_script_is_made_of_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "scripts" / "lib" / "d" / "f").mkdir(parents=True)
    for name, text in {
        "a.py": "import os\nfrom lib.b import x\n",
        "lib/__init__.py": "",
        "lib/b.py": "def f():\n    from lib import c\n",
        "lib/c.py": "from lib import d\n",
        "lib/d/__init__.py": "import pkgutil\nfound = pkgutil.iter_modules(__path__)\n",
        "lib/d/e.py": "",
        "lib/d/f/__init__.py": "",
        "lib/unused.py": "",
    }.items():
        (tmp_path / "scripts" / name).write_text(text)
    found = import_closure.closure(tmp_path / "scripts" / "a.py", tmp_path)
    own = ("__init__", "b", "c", "d/__init__", "d/e", "d/f/__init__")
    assert found == ["scripts/a.py", *(f"scripts/lib/{name}.py" for name in own)]


def test_the_report_does_not_hang_on_measuring() -> None:
    made_of = import_closure.closure(ROOT / "scripts" / "make_report.py", ROOT)
    assert "scripts/asrmeter/report/html/page.py" in made_of
    assert not {
        "scripts/asrmeter/measure/child.py",
        "scripts/measure.py",
        "scripts/asrmeter/measure/stop_rule.py",
    } & set(made_of)


def test_reference_duration_fits_a_window_or_is_the_shortest() -> None:
    assert grid.reference_duration([5, 15, 30, 60]) == 30
    assert grid.reference_duration({60, 20}) == 20
    assert grid.reference_duration([90, 60]) == 60
