"""Any study is planned, or refused with readable lines."""

import argparse
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asrmeter.common.errors import AsrmeterError
from asrmeter.measure import cell_options
from asrmeter.runtimes.transformers import TransformersOptions
from asrmeter.study import grid, schema, validation
from asrmeter.study.fingerprints import fingerprints_of, measure_options
from asrmeter.study.model import Study
from helpers.broken_studies import COMMIT

FILE = "mine.yaml"
SCHEMA = schema.generate()
PARTS, PROPERTIES = SCHEMA["$defs"], SCHEMA["properties"]
MODELS = {
    "whisper-base": [{}, {"weights": "packaged"}, {"weights": "random"}, {"weights": "hub"}],
    "whisper-tiny.en": [{}, {"weights": "random"}],
    "wav2vec2-base-960h": [{"weights": "random"}, {"weights": "hub"}],
    "whisper-small": [{"weights": "random"}],
    "own": [{"id": "me/own", "revision": COMMIT}, {"id": "me/own", "revision": COMMIT, "weights": "random"}],
}
CORPORA = [
    {"kind": "packages", "name": "quickstart"},
    {"kind": "gigaspeech"},
    {"kind": "hub", "id": "openslr/librispeech_asr", "config": "clean", "durations": "natural"},
]
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


def _some(values: Any, most: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=most, unique=True)


def _of(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that the schema allows for a number, boolean or choice, without very large ones."""
    if "const" in part:
        return st.just(part["const"])
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if choices := part.get("anyOf") or part.get("oneOf"):
        return st.one_of(*map(_of, choices))
    match part["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(part["minimum"], min(part["maximum"], part["minimum"] + 100))
        case "number":
            least = part.get("minimum", part.get("exclusiveMinimum"))
            most = min(part.get("maximum", 1000), 1000)
            return st.floats(least, most, exclude_min="exclusiveMinimum" in part)
        case "array":
            return st.lists(_of(part["items"]), min_size=1, max_size=3, unique=True)
        case other:
            raise AssertionError(f"the schema has a type that no value is made for: {other}")


def _keys(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key: _of(inner) for key, inner in PARTS[name]["properties"].items()})


OWN_FILE = {"runtime": {"path": str(Path(__file__)), "options": {"url": "http://127.0.0.1", "beam": 5, "x": None}}}


def _without_contradictions(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out options that do not go with the others, which a schema cannot express."""
    try:
        TransformersOptions(**options).check()
    except AsrmeterError as error:
        key = str(error).partition(":")[0]
        return _without_contradictions({name: value for name, value in options.items() if name != key})
    return options


VARIANTS = _keys("TransformersOptions").map(_without_contradictions) | st.just(OWN_FILE)


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """A study that schema and catalogue allow, as a user may write it."""
    grid = {
        "durations_s": _some(st.integers(1, 600), 4),
        "batch_sizes": _some(st.integers(1, 64), 4),
        "devices": st.just("auto") | _some(st.sampled_from(["cpu", "cuda"]), 2),
        "variants": st.dictionaries(names, VARIANTS, min_size=1, max_size=2),
        "max_batch_audio_s": st.none() | st.integers(600 * 64, 600 * 1024),
        "threads": _of(PROPERTIES["threads"]),
        "seed": _of(PROPERTIES["seed"]),
        "corpus": st.sampled_from(CORPORA),
        "protocol": _keys("Protocol"),
    }
    models = {name: draw(st.sampled_from(MODELS[name])) for name in draw(_some(st.sampled_from(sorted(MODELS)), 3))}
    said = {"name": draw(names), "models": models} | draw(st.fixed_dictionaries({}, optional=grid))
    # Rules that a schema cannot express.
    protocol = said.get("protocol", {})
    if protocol.get("minutes") is not None:
        protocol["budget_s"] = None
    defaults = {"timeout_s": 600, "budget_s": 10, "energy_window_s": 5}
    protocol["timeout_s"] = max(protocol.get(key) or default for key, default in defaults.items())
    protocol["timeout_s"] = max(protocol["timeout_s"], 60 * (protocol.get("minutes") or 0))
    said["protocol"] = protocol
    baseline = said.get("variants", {}).get("fp32", {})
    if baseline.get("dtype", "float32") != "float32" or baseline == OWN_FILE:
        del said["variants"]
    return copy.deepcopy(said)


def _complete(said: dict[str, Any]) -> Study:
    return validation.with_defaults(copy.deepcopy(said), FILE)


def _completed_again(whole: Study) -> Study:
    """Return what a complete study, as it is saved, is completed to, with the note on this machine."""
    saved = json.loads(json.dumps(whole.as_json(), allow_nan=False))
    return _complete(saved).model_copy(update={"device_note": whole.device_note})


@given(studies())
def test_completing_a_complete_study_changes_nothing(said: dict[str, Any]) -> None:
    whole = _complete(said)
    assert _completed_again(whole) == whole
    assert json.dumps(_completed_again(whole).as_json()) == json.dumps(whole.as_json())


@given(studies())
def test_each_lap_is_all_cells(said: dict[str, Any]) -> None:
    whole = _complete(said)
    cells, order = grid.cells(whole), grid.execution_order(whole)
    assert len({sitting.id for sitting in order}) == len(order)
    assert [sitting.lap for sitting in order] == [lap for lap in grid.laps(whole) for _ in cells]
    assert len(cells) == len(whole.models) * len(whole.variants) * len(whole.devices) * len(whole.durations_s) * len(
        whole.batch_sizes
    )
    for lap in grid.laps(whole):
        own = [sitting.cell for sitting in order if sitting.lap == lap]
        assert sorted(own) == sorted(cells)
        sizes: dict[tuple[Any, ...], list[int]] = {}
        for cell in own:
            sizes.setdefault((cell.model, cell.variant, cell.device, cell.duration_s), []).append(cell.batch_size)
        assert all(of_group == sorted(of_group) for of_group in sizes.values())


@given(studies(), st.integers(1, 40_000))
def test_no_batch_is_longer_than_it_may_be(said: dict[str, Any], limit: int) -> None:
    every = grid.cells(_complete(said))
    try:
        whole = _complete(said | {"max_batch_audio_s": limit})
    except AsrmeterError as error:
        assert "leaves no cell" in str(error)
        assert all(cell.duration_s * cell.batch_size > limit for cell in every)
        return
    assert grid.cells(whole) == [cell for cell in every if cell.duration_s * cell.batch_size <= limit]
    profiled = grid.profiled(whole)
    assert profiled and set(profiled) <= set(grid.cells(whole))


@given(studies(), st.integers(0, 2**32 - 1))
def test_the_order_depends_on_the_seed_and_the_grid_alone(said: dict[str, Any], seed: int) -> None:
    ours = _complete(said | {"seed": seed})
    keys = ("name", "models", "devices", "durations_s", "batch_sizes", "max_batch_audio_s", "seed")
    bare: dict[str, Any] = {key: value for key, value in ours.as_json().items() if key in keys}
    bare |= {"variants": {name: {} for name in ours.variants}, "protocol": {"laps": ours.protocol.laps}}
    theirs = _complete(bare | {"name": "other"})
    assert grid.execution_order(ours) == grid.execution_order(theirs)


def _options(whole: Study) -> dict[str, list[str]]:
    made_of = fingerprints_of(whole)
    study = whole.as_json()
    return {sitting.id: measure_options(study, sitting, made_of) for sitting in grid.execution_order(whole)}


@given(studies(), st.sampled_from(sorted(MODELS)), st.integers(65, 1024))
def test_more_cells_leave_the_others_as_they_are(said: dict[str, Any], model: str, batch_size: int) -> None:
    before = _options(_complete(said))
    models = {model: MODELS[model][0]} | said["models"]
    sizes = [batch_size, *said.get("batch_sizes", [1, 4])]
    after = _options(_complete(said | {"models": models, "batch_sizes": sizes, "max_batch_audio_s": None}))
    assert before.items() <= after.items()


@given(studies())
def test_the_measuring_job_reads_what_was_planned(said: dict[str, Any]) -> None:
    parser = argparse.ArgumentParser()
    cell_options.add_arguments(parser)
    cell_options.add_sitting_arguments(parser)
    whole = _complete(said)
    named = ["--model-folder=m", "--segments=s", "--output=o"]
    planned = _options(whole)
    for sitting in grid.execution_order(whole):
        cell, read = sitting.cell, parser.parse_args([*planned[sitting.id], *named])
        assert read.lap == sitting.lap
        assert (read.model, read.variant, read.device) == (cell.model, cell.variant, cell.device)
        assert (read.duration_s, read.batch_size, read.seed) == (cell.duration_s, cell.batch_size, whole.seed)
        assert read.threads == str(whole.threads)
        assert json.loads(read.variant_options) == whole.variants[cell.variant].as_json()
        assert json.loads(read.protocol).items() <= whole.protocol.model_dump(exclude_none=True).items()


def _turned(value: Any) -> Any:
    """Return the same value with all keys in reverse order."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return value


@given(studies())
def test_fingerprints_do_not_depend_on_the_order_of_keys(said: dict[str, Any]) -> None:
    assert fingerprints_of(_complete(said)) == fingerprints_of(_complete(_turned(said)))


def _all_places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*place, key)
        yield from _all_places(one, (*place, key))


KEYS = sorted({*PROPERTIES, *(key for part in PARTS.values() for key in part["properties"])})
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "null", "[1]", "{}", '{"a\\nb": 1}', "a/../..", "~", "p" * 300, "/dev/null", "1e999"])
    | st.dates()
    | st.binary(max_size=4)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | scalars, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A complete study in which one or two values are replaced, moved or removed."""
    said = _complete(draw(studies())).as_json()
    for _ in range(draw(st.integers(1, 2))):
        places = list(_all_places(said))
        if not places:
            break
        *path, key = draw(st.sampled_from(places))
        inner: Any = said
        for step in path:
            inner = inner[step]
        match draw(st.sampled_from(["set", "set", "delete", "rename", "add"])):
            case "set":
                inner[key] = draw(values)
            case "delete":
                del inner[key]
            case "rename" if isinstance(inner, dict):
                inner[draw(st.sampled_from(KEYS) | scalars)] = inner.pop(key)
            case _ if isinstance(inner, dict):
                inner[draw(st.sampled_from(KEYS) | scalars)] = draw(values)
    return said


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
@example({"name": "x", "models": {"whisper-base": {}}, "corpus": 5})
@example({"name": "x", "models": {"own": {"path": "p" * 300}}})
@example({"name": "x", "models": {"whisper-base": {}}, "protocol": '{"a\\nb": 1}'})
def test_any_study_is_planned_or_refused_in_lines_that_name_it(said: dict[str, Any]) -> None:
    try:
        whole = _complete(said)
    except AsrmeterError as error:
        lines = str(error).splitlines()
        assert lines
        for line in lines:
            assert line.startswith(f"{FILE}: ") and line.isprintable() and len(line) < 2000, line
        return
    order = grid.execution_order(whole)
    assert order and {sitting.cell for sitting in order} >= set(grid.profiled(whole))
    assert all(len(part.encode()) < 200 for sitting in order for part in sitting.id.split("/"))
    assert _options(whole)
    assert _completed_again(whole) == whole
