"""The tables of a study of ten thousand cells; the figures are invented and for tests only."""

import json
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

from helpers.bottlenecks import (
    Row,
    example_bottlenecks,
    flops_row,
    profile_rows,
    scaling_row,
    stage_rows,
    write_bottlenecks,
)
from helpers.optimisations import BY_NAME, optimisation
from helpers.tables import (
    Cell,
    cell,
    example_segments,
    example_selection,
    example_study,
    failed,
    transcripts_of,
    write_tables,
)

MODELS = [f"whisper-{size}-v{version}" for size in ("tiny", "base", "small", "medium") for version in range(1, 6)]
MODELS += [f"wav2vec2-large-{name}" for name in ("960h", "lv60", "robust", "xlsr", "voxpopuli")]
VARIANTS = ("fp32", "bf16", "compiled", "int8")
DEVICES = ("cpu", "cuda")
DURATIONS_S = (5, 10, 15, 20, 25, 30, 35, 40, 50, 60)
BATCH_SIZES = (1, 2, 4, 8, 16)
SEGMENTS = 40
OPERATORS = 5  # of each kind


def large_cells() -> list[Cell]:
    """Return the cells; every 97th failed, every 41st was disturbed, every 53rd did not converge."""
    cells = []
    for index, (model, variant, device, duration_s, batch_size) in enumerate(
        product(MODELS, VARIANTS, DEVICES, DURATIONS_S, BATCH_SIZES)
    ):
        slowness = 1 + 0.37 * MODELS.index(model) + 0.113 * VARIANTS.index(variant)
        row = cell(model, device, duration_s, batch_size, variant=variant, wer=0.04 + 0.003 * MODELS.index(model))
        times = {key: value * slowness for key, value in row.items() if key.startswith("latency_") and value}
        row |= times | {"latency_s_p95": times["latency_s_median"] * 1.08, "rtfx": row["rtfx"] / slowness}
        if index % 97 == 0:
            row = failed(row, "killed", "the kernel killed the worker: out of memory at 7.9 of 8.2 GB")
        elif index % 53 == 0:
            row |= {"status": "unconverged", "reason": "the interval is 17 % wide to a side, the target is 5 %"}
        elif index % 41 == 0:
            row |= {"disturbed": True, "disturbance": f"other processes took 0.{index % 7 + 1} cores"}
        cells.append(row)
    return cells


def large_transcripts(cells: list[Cell]) -> list[Cell]:
    """Return the transcripts at batch 1, as many segments as a study has."""

    @cache
    def texts(model: str, duration_s: int) -> list[Cell]:
        return transcripts_of(cell(model, duration_s=duration_s, wer=0.08), n_segments=SEGMENTS)

    names = ("model", "variant", "device", "duration_s", "batch_size")
    return [
        {**text, **{name: row[name] for name in names}}
        for row in cells
        if row["batch_size"] == 1 and row["wer"] is not None
        for text in texts(row["model"], row["duration_s"])
    ]


def profiled_rows(row: Cell) -> list[Row]:
    """Return the profile of a cell with as many operators as a real one has."""
    return [
        {**one, "operator": f"{one['operator']}_{index}", "cpu_share": one["cpu_share"] / OPERATORS}
        for one in profile_rows(row)
        for index in range(OPERATORS)
    ]


def write_large_study(folder: Path) -> dict[str, Path]:
    """Write everything that the report is made of but the figures; return its files by the options that name them."""
    cells = large_cells()
    timed = [row for row in cells if row["latency_s_median"] is not None]
    limits = ("compute", "memory", "overhead", "padding")
    bottlenecks = replace(
        example_bottlenecks(cells[:1]),
        flops=[flops_row(model, duration_s) for model in MODELS for duration_s in DURATIONS_S],
        operators=[
            one
            for row in timed
            if row["duration_s"] == DURATIONS_S[0] and row["batch_size"] in (BATCH_SIZES[0], BATCH_SIZES[-1])
            for one in profiled_rows(row)
        ],
        ceilings=example_bottlenecks([cell(), cell(device="cuda")]).ceilings,
        roofline=[one for index, row in enumerate(timed) for one in stage_rows(row, limits[index % 7 % 4])],
        scaling=[scaling_row(row, 2 if row["duration_s"] == 30 else None) for row in timed if row["batch_size"] == 1],
    )
    optimisations = [
        optimisation(name, 0.5 + place / 10, model, device=device)
        for model, device, (place, name) in product(MODELS, DEVICES, enumerate(BY_NAME))
    ]
    written = write_tables(folder, cells, large_transcripts(cells), optimisations)
    paths = {path.stem: path for path in written}
    beside = ("languages", "optimisations", "start", "silence", "silence_models", "loads", "capacities", "layouts")
    paths |= {name: folder / f"{name}.parquet" for name in beside}
    paths |= write_bottlenecks(folder, bottlenecks)
    one = example_segments()["house-5-0"]
    segments = [
        one | {"segment_id": f"house-{duration_s}-{index}", "duration_s": duration_s, "audio_s": float(duration_s)}
        for duration_s in DURATIONS_S
        for index in range(SEGMENTS)
    ]
    others = {"study": example_study(name="large").as_json(), "selection": example_selection(), "segments": segments}
    for name, content in others.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content))
    return paths
