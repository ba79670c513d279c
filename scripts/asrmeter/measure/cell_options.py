"""The options that name a cell on a command line, and the spec that they make. Standard library only."""

import argparse
import json
import time
from pathlib import Path

from asrmeter import runtimes
from asrmeter.common.constants import STOP_RULE
from asrmeter.corpora.batches import batches, class_sha256, timed
from asrmeter.machine import snakemake_process
from asrmeter.machine.facts import available_cpus
from asrmeter.measure.spec import CellSpec
from asrmeter.sources import integrity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every job that measures a cell; see `specify`."""
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--model-key", help="fingerprint that the model folder must have")
    parser.add_argument("--corpus-key", help="fingerprint that the corpus must have")
    parser.add_argument("--model-folder", type=Path, required=True, help="its folder, with provenance.json")
    parser.add_argument("--segments", type=Path, required=True, help="the corpus' segments.json, beside its audio")
    parser.add_argument("--variant", required=True, help="name of the variant")
    parser.add_argument(
        "--variant-options", required=True, help="the variant's options as JSON: runtime, dtype, attention"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True, help="where the model runs")
    parser.add_argument("--duration-s", type=int, required=True, help="duration class in seconds")
    parser.add_argument("--batch-size", type=int, required=True, help="segments given to the model at once")
    parser.add_argument("--threads", required=True, help="CPU threads, or auto for all available cores")
    parser.add_argument("--seed", type=int, required=True, help="seed of the batches")
    parser.add_argument("--protocol", required=True, help="the protocol as JSON, as the study has it")
    parser.add_argument("--timeout-s", type=float, default=600, help="kill the worker after this many seconds")
    parser.add_argument(
        "--attempt",
        type=int,
        default=1,
        help="which attempt of a job this is; later ones keep earlier records",
    )
    parser.add_argument("--output", type=Path, required=True, help="the cell's Parquet file")


def specify(args: argparse.Namespace) -> CellSpec:
    """Return the spec of the cell. Call it while holding the machine: hashing weights takes a core.

    Raises:
        AsrmeterError: the model folder or the corpus has changed since it was made.
    """
    begin_s = time.process_time()
    provenance = integrity.check_model_folder(args.model_folder, args.model_key, snakemake_process.name())
    segments = integrity.check_segments(args.segments, args.duration_s, args.corpus_key)
    check_cpu_s = time.process_time() - begin_s
    protocol, options = json.loads(args.protocol), json.loads(args.variant_options)
    in_batches = batches([row["segment_id"] for row in segments], args.batch_size, args.seed)
    audio_s = {row["segment_id"]: row["audio_s"] for row in segments}
    return CellSpec(
        model=args.model,
        family=provenance["family"],
        weights=provenance["weights"],
        outputs=provenance.get("outputs"),
        weights_sha256=provenance["weights_sha256"],
        model_folder=str(args.model_folder),
        check_cpu_s=check_cpu_s,
        model_key=args.model_key,
        corpus_key=args.corpus_key,
        variant=args.variant,
        options=options,
        runtime=runtimes.runtime_of(options)[0],
        device=args.device,
        duration_s=args.duration_s,
        batch_size=args.batch_size,
        threads=available_cpus() if args.threads == "auto" else int(args.threads),
        seed=args.seed,
        protocol=protocol["version"],
        n_timed_batches=protocol["timed_batches"],
        stop_rule={key: protocol[key] for key in STOP_RULE if key in protocol},
        energy_window_s=protocol.get("energy_window_s"),
        corpus=args.segments.parent.name,
        corpus_sha256=class_sha256(segments),
        segments=[row | {"file": str(args.segments.parent / row["path"])} for row in segments],
        batches=in_batches,
        timed_batches=timed([sum(audio_s[i] for i in ids) for ids in in_batches], protocol["timed_batches"]),
    )
