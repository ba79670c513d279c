"""Constructed tables of what holds cells back; the figures are invented and for tests only."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from asrmeter.analysis.batch_scaling import GROUP
from asrmeter.analysis.bottlenecks import SCHEMAS, Bottlenecks
from asrmeter.analysis.roofline import IDENTITY, LOSSES
from asrmeter.analysis.table_rows import cell_name
from helpers.tables import Cell

Row = dict[str, Any]
PEAK_GFLOPS = {"cpu": 280.0, "cuda": 48000.0}
MEMORY_GB_PER_S = {"cpu": (60.0, 14.0), "cuda": (4200.0, 2100.0)}
NO_CUDA = "the cell ran on the CPU"


def row_of(name: str, **values: Any) -> Row:
    """Return a row of a table with nulls for what is not given."""
    row = dict.fromkeys(SCHEMAS[name].names) | values
    assert row.keys() == set(SCHEMAS[name].names)
    return row


def stage_rows(cell: Cell, bound: str | None = "compute", note: str | None = None) -> list[Row]:
    """Return the roofline rows of a cell: its stages and its pass; without a bound `note` says why."""
    identity = {name: cell[name] for name in IDENTITY}
    peak, seconds = PEAK_GFLOPS[cell["device"]], cell["latency_s_median"]
    shares = {f"{loss}_time_share": {True: 0.55, False: 0.15}[loss == bound] if bound else None for loss in LOSSES}
    rows = []
    stages = [("encoder", 0.6, 220.0), ("decoder", 0.1, 2.4)] if cell["has_decoder"] else [("encoder", 0.5, 95.0)]
    for stage, share, flop_per_byte in [*stages, ("pass", 0.4, 40.0)]:
        gflop_per_s = peak * share * cell["batch_size"] ** 0.1
        rows.append(
            row_of(
                "roofline",
                **identity,
                **shares,
                dtype="float32",
                stage=stage,
                seconds=seconds,
                gflop=gflop_per_s * seconds,
                min_traffic_bytes=gflop_per_s * seconds / flop_per_byte * 1e9,
                flop_per_byte=flop_per_byte * cell["batch_size"] ** 0.5,
                gflop_per_s=gflop_per_s,
                ceiling_gflop_per_s=peak,
                compute_share=share if bound else None,
                memory_share=0.7 - share if bound and stage != "pass" else None,
                bound=bound,
                note=note,
            )
        )
    return rows


def ceiling_rows(device: str = "cpu", machine_id: str = "a1b2c3") -> list[Row]:
    """Return the ceilings of a device."""
    shared = {
        "machine_id": machine_id,
        "device": device,
        "device_name": "Example CPU @ 2.60GHz" if device == "cpu" else "Example GPU",
        "threads": 2,
        "n_runs": 40,
        "status": "ok",
    }
    fast, slow = MEMORY_GB_PER_S[device]
    peak = PEAK_GFLOPS[device] * 1e9
    return [
        *(
            row_of("ceilings", **shared, kind="matmul", dtype="float32", matrix_size=size, flop_per_s=peak * share)
            for size, share in ((512, 0.8), (2048, 1.0))
        ),
        *(
            row_of("ceilings", **shared, kind=kind, dtype="float32", working_set_bytes=2**power, bytes_per_s=1e9 * rate)
            for kind, factor in (("read", 1.0), ("copy", 0.8))
            for power, rate in ((20, fast * factor), (25, (fast + slow) / 2 * factor), (30, slow * factor))
        ),
    ]


def profile_rows(cell: Cell, overhead: float = 0.12, trace: str | None = "", **changes: Any) -> list[Row]:
    """Return two profiled passes of a cell."""
    cuda = cell["device"] == "cuda"
    shared = {name: cell[name] for name in ("model", "weights", "variant", "device", "duration_s", "batch_size")}
    plain_s = cell["latency_s_median"]
    name = f"{cell['model']}/{cell['variant']}/{cell['device']}/{cell['duration_s']}s-b{cell['batch_size']}"
    shared |= {
        "threads": 2,
        "machine_id": cell["machine_id"],
        "attention": "sdpa",
        "pass_s": plain_s * (1 + overhead),
        "plain_pass_s": plain_s,
        "overhead": overhead,
        "profile_coverage": 0.97,
        "device_idle_share": 0.35 if cuda else None,
        "status": "ok",
        "cuda_note": None if cuda else NO_CUDA,
        "trace": f"profiles/{name}.trace.json.gz" if trace == "" else trace,
    }
    parts = [
        ("features", "other", "aten::stft", 3, 0.03, 0.0),
        ("encoder", "matmul", "aten::addmm", 72, 0.28, 0.34),
        ("encoder", "attention", "aten::scaled_dot_product_attention", 6, 0.12, 0.16),
        ("encoder", "convolution", "aten::convolution", 2, 0.05, 0.05),
        ("decoder_self_attention", "matmul", "aten::addmm", 240, 0.10, 0.10),
        ("decoder_cross_attention", "attention", "aten::scaled_dot_product_attention", 60, 0.08, 0.13),
        ("decoder_feed_forward", "activation", "aten::gelu", 60, 0.02, 0.03),
        ("decoder_feed_forward", "normalisation", "aten::layer_norm", 180, 0.04, 0.07),
        ("output_layer", "matmul", "aten::mm", 10, 0.06, 0.06),
        ("decoder_other", "memory", "aten::cat", 400, 0.05, 0.06),
        ("decoder_other", "synchronisation", "cudaStreamSynchronize", 10, 0.04 if cuda else 0.0, 0.0),
        ("decoder_other", "python", "(between operators)", 10, 0.10, 0.0),
    ]
    return [
        row_of(
            "operators",
            **shared
            | {
                "repeat": repeat,
                "stage": stage,
                "group": group,
                "operator": operator,
                "n_calls": n_calls,
                "cpu_self_s": cpu * plain_s,
                "cpu_share": cpu * (1 + 0.02 * (repeat - 1.5)),
                "cuda_self_s": on_device * plain_s if cuda else None,
                "cuda_share": on_device if cuda else None,
            }
            | changes,
        )
        for repeat in (1, 2)
        for stage, group, operator, n_calls, cpu, on_device in parts
    ]


def failed_profile(cell: Cell, reason: str) -> Row:
    """Return the row of a cell whose profile failed."""
    kept = {name: cell[name] for name in ("model", "weights", "variant", "device", "duration_s", "batch_size")}
    return row_of("operators", **kept, status="timeout", reason=reason, machine_id=cell["machine_id"])


def flops_row(model: str = "whisper-base", duration_s: int = 30, batch_size: int = 1, **changes: Any) -> Row:
    """Return the operations of a model; those of whisper-base and of wav2vec 2.0 are 5/4 and 5/2 of the published."""
    whisper = model.startswith("whisper")
    n_windows = -(-duration_s // 30) if whisper else 1
    window_gmac = 40.0 if whisper else 7.5 * duration_s
    gmac = window_gmac * n_windows * batch_size
    row = row_of(
        "flops",
        model=model,
        family="whisper" if whisper else "ctc",
        has_decoder=whisper,
        is_studied=True,
        duration_s=duration_s,
        batch_size=batch_size,
        n_windows=n_windows,
        encoder_gmac=gmac,
        encoder_gflop=2 * gmac,
        total_gflop=2 * gmac,
        edlm2025_encoder=64.0 if whisper else 6.0 * duration_s,
        edlm2025_unit="GFLOP" if whisper else "GMAC",
        checked_against="torch's counter, closed formula",
        not_counted="feature extraction, softmax",
    )
    if whisper:
        row |= {
            "n_tokens_mean": 3.1 * duration_s,
            "decoder_gflop_per_step": 0.12 * batch_size,
            "decoder_mac_per_token": 50_000_000,
            "decoder_mac_per_position": 5_000_000,
            "edlm2025_decoder_gflop_per_step": 0.03,
            "decoder_gflop": 12.0 * n_windows * batch_size,
            "total_gflop": 2 * gmac + 12.0 * n_windows * batch_size,
        }
    return row | changes


def scaling_row(cell: Cell, saturation_batch: int | None = None, **changes: Any) -> Row:
    """Return what larger batches bring; without a saturation batch none was reached."""
    return row_of(
        "scaling",
        **{name: cell[name] for name in GROUP}
        | {
            "batch_sizes": [1, 2, 4],
            "saturation_batch": saturation_batch or 4,
            "saturated": saturation_batch is not None,
            "samples_per_s": 3.0,
            "speedup_over_smallest": 1.3,
            "energy_saving_over_smallest": 1.2,
            "bound": "compute",
            "note": None if saturation_batch else "no larger batch was measured",
        }
        | changes,
    )


def published_row(**changes: Any) -> Row:
    """Return a figure of the 2025 study."""
    row = {
        "table": "latency",
        "model": "whisper-base",
        "device": "cpu",
        "metric": "latency_per_sample",
        "unit": "ms",
        "published_low": 1040.0,
        "published_high": 2086.0,
        "published_note": "Colab Xeon",
        "measured_low": 410.0,
        "measured_high": 1220.0,
        "measured_unit": "ms",
        "n": 12,
    }
    return row_of("edlm2025", **row | changes)


def example_bottlenecks(cells: list[Cell]) -> Bottlenecks:
    """Return tables for a study: every verdict occurs, a stage has none, a profile failed."""
    timed = sorted((cell for cell in cells if cell["latency_s_median"] is not None), key=cell_name)
    devices = sorted({cell["device"] for cell in timed})
    verdicts = {"whisper-tiny.en": "overhead", "whisper-base": "memory", "wav2vec2-base-960h": "compute"}
    roofline = [
        row
        for cell in timed
        for row in (
            stage_rows(cell, None, "no ceilings were measured on its machine")
            if (cell["model"], cell["duration_s"], cell["batch_size"]) == ("whisper-base", 60, 1)
            else stage_rows(cell, "padding" if cell["duration_s"] == 5 else verdicts.get(cell["model"], "compute"))
        )
    ]
    profiled = [cell for cell in timed if cell["duration_s"] == 30 and cell["batch_size"] == 1]
    return Bottlenecks(
        flops=[
            *(flops_row(model, duration_s) for model in sorted(verdicts) for duration_s in (5, 15, 30, 60)),
            flops_row(
                "whisper-small",
                30,
                is_studied=False,
                decoder_gflop_per_step=None,
                decoder_gflop=None,
                total_gflop=None,
                n_tokens_mean=None,
                note="not in the study",
            ),
        ],
        operators=[
            row
            for index, cell in enumerate(profiled)
            for row in (profile_rows(cell) if index else [failed_profile(cell, "longer than 600 s")])
        ],
        ceilings=[row for device in devices for row in ceiling_rows(device)],
        roofline=roofline,
        scaling=[
            scaling_row(cell, 2 if cell["duration_s"] == 30 else None) for cell in timed if cell["batch_size"] == 1
        ],
        edlm2025=[
            published_row(),
            published_row(
                device="cuda",
                measured_low=None,
                measured_high=None,
                measured_unit=None,
                n=0,
                note="not measured in this run",
            ),
            published_row(
                table="flops",
                device=None,
                metric="encoder_gflops",
                unit="GFLOP",
                published_low=59.8,
                published_high=59.8,
                reproduced_low=59.84,
                reproduced_high=59.84,
                measured_low=64.1,
                measured_high=64.1,
                measured_unit="GFLOP",
                n=4,
            ),
            published_row(
                table="stars",
                metric="speed/energy/memory",
                published_text="3/3/4",
                unit="stars",
                published_low=None,
                published_high=None,
                measured_low=None,
                measured_high=None,
                note="a judgement, not a measurement",
            ),
        ],
    )


def write_bottlenecks(folder: Path, tables: Bottlenecks) -> dict[str, Path]:
    """Write the tables the way the pipeline does, and return their paths by name."""
    paths = {name: folder / f"{name}.parquet" for name in SCHEMAS}
    for name, path in paths.items():
        pq.write_table(pa.Table.from_pylist(list(getattr(tables, name)), schema=SCHEMAS[name]), path)
    return paths
