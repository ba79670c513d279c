"""Command-line options that name a cell, and the spec made from them. Standard library only."""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.typed_json import JsonObject
from asrmeter.corpora.batches import batches, class_sha256
from asrmeter.machine import snakemake_process
from asrmeter.machine.facts import available_cpus
from asrmeter.measure.spec import CellSpec, LoadSpec
from asrmeter.measure.time_ledger import TimeLedger
from asrmeter.models import heard
from asrmeter.sources import integrity
from asrmeter.study import grid

# Keys of the protocol that a record keeps. A profile keeps none.
_OF_PROTOCOL = ("target", "max_passes", "budget_s", "minutes", "energy_window_s")
# Keys of a converted folder's provenance that a record keeps.
_OF_CONVERSION = ("format", "conversion_s", "bytes", "versions")
# The unused time of other cells may exceed the worker's timeout. This share of it leaves room for a last round.
_OF_TIMEOUT = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every job that measures a cell; see `specify`."""
    add_variant_arguments(parser)
    parser.add_argument("--duration-s", type=int, required=True, help="duration class in seconds")
    parser.add_argument("--batch-size", type=int, required=True, help="segments given to the model at once")


def add_variant_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every job that runs a model and variant on the corpus; see `specify_variant`."""
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--model-key", help="fingerprint that the model folder must have")
    parser.add_argument("--corpus-key", help="fingerprint that the corpus must have")
    parser.add_argument("--model-folder", type=Path, required=True, help="model folder, with provenance.json")
    parser.add_argument(
        "--converted-folder", nargs="?", type=Path, help="converted model folder, if the variant needs one"
    )
    parser.add_argument("--conversion-key", help="fingerprint that the converted folder must have")
    parser.add_argument("--refused", help="reason why the cell cannot run on this machine; its record states it")
    parser.add_argument("--segments", type=Path, required=True, help="the corpus' segments.json, beside its audio")
    parser.add_argument("--variant", required=True, help="name of the variant")
    parser.add_argument(
        "--variant-options", required=True, help="the variant's options as JSON: runtime, dtype, attention"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True, help="where the model runs")
    parser.add_argument("--threads", required=True, help="CPU threads, or auto for all available cores")
    parser.add_argument("--seed", type=int, required=True, help="seed of the batches and of the clips without speech")
    parser.add_argument("--protocol", required=True, help="`protocol` of the study, as JSON")
    parser.add_argument("--timeout-s", type=float, default=600, help="kill the worker after this many seconds")
    parser.add_argument(
        "--attempt",
        type=int,
        default=1,
        help="number of this attempt of the job; later attempts keep earlier records",
    )
    parser.add_argument("--output", type=Path, required=True, help="Parquet file to write")


def add_lap_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option for the number of the lap."""
    parser.add_argument("--lap", type=int, default=1, help="number of the lap, from 1")


def add_sitting_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a job that measures a cell in one lap; see `specify_sitting`."""
    add_lap_argument(parser)
    parser.add_argument(
        "--laps", type=int, default=1, help="number of laps of the study; each times its share of the batches"
    )
    parser.add_argument(
        "--attempt-of-sitting",
        type=int,
        default=1,
        help="number of this try of a disturbed sitting",
    )
    parser.add_argument(
        "--share-s",
        type=float,
        help="with protocol.minutes: seconds for the whole job, unless the ledger allows another time",
    )
    parser.add_argument("--time-ledger", type=Path, help="with protocol.minutes: file with the times of all sittings")


def specify_sitting(args: argparse.Namespace, begun_s: float) -> CellSpec:
    """Return the spec of a cell in one lap, for a job that has held the machine since `begun_s` (`time.monotonic`).

    Raises:
        AsrmeterError: see `specify`, or the measuring time is unknown.
    """
    spec, ends_at_s = specify(args), None
    if spec.budget_s is None:
        if args.share_s is None:
            raise AsrmeterError("the measuring time is unknown: give --share-s, or budget_s in --protocol")
        ends_at_s = begun_s + _allowance_s(args, sitting_of(spec).cell.id)
    lap = {"lap": args.lap, "n_laps": max(args.lap, args.laps), "attempt": args.attempt_of_sitting}
    return dataclasses.replace(spec, **lap, share_s=args.share_s, ends_at_s=ends_at_s)


def sitting_of(spec: CellSpec) -> grid.Sitting:
    """Return the cell and the lap that a spec is of."""
    return grid.Sitting(grid.Cell(spec.model, spec.variant, spec.device, spec.duration_s, spec.batch_size), spec.lap)


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a job that tests a load; see `specify_load`."""
    parser.add_argument("--load", type=json.loads, required=True, help="`load` of the study, as JSON")
    parser.add_argument("--predicted", type=Path, required=True, help="prediction by predict_capacity.py (JSON)")


def specify_load(args: argparse.Namespace, predicted_per_s: float) -> LoadSpec:
    """Return the spec of a load test whose search starts at a rate (1/s).

    Raises:
        AsrmeterError: see `specify`.
    """
    load = args.load
    return LoadSpec(
        **vars(specify(args)),
        probe_s=load["duration_s"],
        search_s=grid.search_s(load["minutes"], load["duration_s"]),
        target_latency_s=load["target_latency_s"],
        percentile=load["percentile"],
        max_wait_s=load["max_wait_ms"] / 1000,
        predicted_per_s=predicted_per_s,
    )


def _allowance_s(args: argparse.Namespace, cell: str) -> float:
    """Return how long the job of a cell may take, in seconds."""
    share_s: float = args.share_s
    if args.time_ledger is not None:
        share_s = TimeLedger(args.time_ledger).allowance_s(cell, args.lap, args.laps, share_s)
    return min(share_s, _OF_TIMEOUT * args.timeout_s)


def specify(args: argparse.Namespace) -> CellSpec:
    """Return the spec of the cell. Call it while holding the machine: hashing weights takes a core.

    Raises:
        AsrmeterError: the model folder or the corpus has changed since it was made.
    """
    begin_s = time.process_time()
    segments = integrity.check_segments(args.segments, args.duration_s, args.corpus_key)
    variant = specify_variant(args, segments)
    return CellSpec(
        **variant,
        check_cpu_s=time.process_time() - begin_s,
        duration_s=args.duration_s,
        batch_size=args.batch_size,
        corpus_sha256=class_sha256(segments),
        segments=[row | {"file": str(args.segments.parent / row["path"])} for row in segments],
        batches=batches(segments, args.batch_size, args.seed),
    )


def specify_variant(args: argparse.Namespace, segments: Sequence[JsonObject] = ()) -> dict[str, Any]:
    """Return the fields of a spec for a model and variant; see `specify`.

    The model must hear the language of the `segments`.
    """
    provenance = integrity.check_model_folder(args.model_folder, args.model_key, snakemake_process.name())
    converted = _converted(args)
    protocol, options = json.loads(args.protocol), json.loads(args.variant_options)
    return {
        "model": args.model,
        "family": provenance["family"],
        "weights": provenance["weights"],
        "outputs": provenance.get("outputs"),
        "weights_sha256": provenance["weights_sha256"],
        "model_folder": str(args.model_folder),
        "converted_folder": str(args.converted_folder) if converted else None,
        "refused": args.refused or heard.why_not(args.model, provenance, segments) or (converted or {}).get("refused"),
        "conversion_key": args.conversion_key,
        "conversion": {name: converted[name] for name in _OF_CONVERSION} if converted else None,
        "model_bytes": converted["bytes"] if converted else integrity.weights_bytes(args.model_folder),
        "model_key": args.model_key,
        "corpus_key": args.corpus_key,
        "variant": args.variant,
        "options": options,
        "runtime": runtimes.runtime_of(options)[0],
        "hidden": runtimes.variant_options(options).hidden,
        "device": args.device,
        "threads": available_cpus() if args.threads == "auto" else int(args.threads),
        "seed": args.seed,
        "protocol": protocol["version"],
        **{key: protocol.get(key) for key in _OF_PROTOCOL},
        "corpus": args.segments.parent.name,
    }


def _converted(args: argparse.Namespace) -> JsonObject | None:
    """Return the provenance of the converted folder, None if the runtime loads the model folder itself.

    Raises:
        AsrmeterError: it has changed since it was made, or is needed and not given.
    """
    if args.refused:
        return None
    if args.converted_folder is None:
        if conversion := runtimes.variant_options(json.loads(args.variant_options)).conversion():
            raise AsrmeterError(
                f"--converted-folder: the variant {args.variant} runs what convert_model.py makes of "
                f"{args.model_folder} ({conversion.format})"
            )
        return None
    return integrity.check_converted(args.converted_folder, args.conversion_key, snakemake_process.name())
