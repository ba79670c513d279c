"""Measure one cell: start a worker, wait for it, write what it found. A cell that fails is a record too.

While the worker measures, this process sleeps in the kernel and has imported nothing but the standard library.
"""

import argparse
import datetime
import json
import logging
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from asrmeter import machine, siblings, workers
from asrmeter.batches import batches, class_sha256, timed
from asrmeter.cli import run
from asrmeter.errors import AsrmeterError

ROOT = Path(__file__).parents[1]


def specify(args: argparse.Namespace) -> dict[str, Any]:
    """Return the cell as the worker gets it.

    Raises:
        AsrmeterError: the model folder or the corpus is not what it should be.
    """
    provenance = _load_json(args.model_folder / "provenance.json")
    segments = [row for row in _load_json(args.segments) if row["duration_s"] == args.duration_s]
    if not segments:
        raise AsrmeterError(
            f"{args.segments}: holds no segments of {args.duration_s} s; delete {args.segments.parent} and run again"
        )
    protocol = json.loads(args.protocol)
    in_batches = batches([row["segment_id"] for row in segments], args.batch_size, args.seed)
    audio_s = {row["segment_id"]: row["audio_s"] for row in segments}
    return {
        "model": args.model,
        "family": provenance["family"],
        "weights": provenance["weights"],
        "weights_sha256": provenance["weights_sha256"],
        "model_folder": str(args.model_folder),
        "model_key": args.model_key,
        "corpus_key": args.corpus_key,
        "variant": args.variant,
        "options": json.loads(args.variant_options),
        "device": args.device,
        "duration_s": args.duration_s,
        "batch_size": args.batch_size,
        "threads": machine.available_cpus() if args.threads == "auto" else int(args.threads),
        "seed": args.seed,
        "protocol": protocol["version"],
        "stop_rule": {key: protocol[key] for key in ("target", "min_passes", "max_passes", "budget_s")},
        "energy_window_s": protocol["energy_window_s"],
        "corpus": args.segments.parent.name,
        "corpus_sha256": class_sha256(segments),
        "segments": [row | {"file": str(args.segments.parent / row["path"])} for row in segments],
        "batches": in_batches,
        "timed_batches": timed([sum(audio_s[i] for i in ids) for ids in in_batches], protocol["timed_batches"]),
    }


def measure(
    spec: dict[str, Any], timeout_s: float, lock: int
) -> tuple[str, str | None, dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Run the worker; return (status, reason, events by name, passes).

    `lock` is the descriptor of the machine's lock. The worker holds it too, so that the machine counts as taken for as
    long as the worker lives, whatever becomes of this process.
    """
    oom_kills = machine.oom_kills()
    with tempfile.TemporaryFile() as events:
        os.set_inheritable(events.fileno(), True)
        worker = workers.start(spec, events.fileno(), lock, ROOT / "scripts")
        awake_s = time.process_time()
        code = worker.wait(timeout_s)
        awake_s = time.process_time() - awake_s
        timed_out = code is None
        if code is None:
            code = worker.kill()
        events.seek(0)
        told = [json.loads(line) for line in events.read().decode().splitlines() if line.endswith("}")]
    by_name = {event["event"]: event for event in told if event["event"] != "pass"}
    by_name["waited"] = {"parent_cpu_s": awake_s}
    passes = [event | {"phase": phase(event, by_name)} for event in told if event["event"] == "pass"]
    out_of_memory = machine.oom_kills() > oom_kills
    status, reason = conclude(code, timeout_s if timed_out else None, by_name, len(passes), out_of_memory)
    return status, reason, by_name, passes


def phase(entry: dict[str, Any], told: dict[str, dict[str, Any]]) -> str:
    """Return the phase that a pass turned out to belong to, which for a timed one is known only at the end."""
    if entry["phase"] != "latency" or "latency" not in told:
        return str(entry["phase"])
    if entry["attempt"] < told["latency"]["attempt"]:
        return "disturbed"
    return "warmup" if entry["round"] < told["latency"]["n_unsteady"] else "latency"


def conclude(
    code: int, timeout_s: float | None, told: dict[str, dict[str, Any]], n_passes: int, out_of_memory: bool = False
) -> tuple[str, str | None]:
    """Return (status, reason) from how the worker ended and what it told before.

    `out_of_memory` says that the kernel ended some process meanwhile because the machine's memory ran out.
    """
    if timeout_s is not None:
        return "timeout", f"ended after timeout_s = {timeout_s:g} and {n_passes} passes"
    if "failed" in told:
        return told["failed"]["status"], told["failed"]["reason"]
    if "unsupported" in told:
        return "unsupported", told["unsupported"]["reason"]
    if code < 0:
        if code == -signal.SIGKILL and out_of_memory:
            return "oom", f"the kernel ended the worker after {n_passes} passes: the machine's memory ran out"
        return "killed", f"the worker was ended by {signal.Signals(-code).name} after {n_passes} passes"
    if code or "done" not in told:
        return "error", f"the worker ended with exit code {code} after {n_passes} passes"
    if not told["latency"]["converged"]:
        return "unconverged", f"{told['latency']['reason']} before the interval was narrow enough"
    return "ok", None


def summary(status: str, reason: str | None, passes: list[dict[str, Any]]) -> str:
    """Return a cell in a line, for who watches the run."""
    timed = [entry for entry in passes if entry["phase"] == "latency"]
    why = f"{status}: {reason}" if reason else status
    if not timed:
        return why
    median_s = statistics.median(entry["latency_s"] for entry in timed)
    rtfx = sum(entry["audio_s"] for entry in timed) / sum(entry["latency_s"] for entry in timed)
    return f"{median_s:.3g} s (median of {len(timed)}), {rtfx:.3g} times real time; {why}"


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AsrmeterError(f"{path}: cannot be read ({error}); delete {path.parent} and run again") from error


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure the cell and write its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--model-key", help="digest of what the model folder is made of, for the record")
    parser.add_argument("--corpus-key", help="digest of what the corpus is made of, for the record")
    parser.add_argument("--model-folder", type=Path, required=True, help="its folder, with provenance.json")
    parser.add_argument("--segments", type=Path, required=True, help="the corpus' segments.json, beside its audio")
    parser.add_argument("--variant", required=True, help="name of the variant")
    parser.add_argument(
        "--variant-options", required=True, help="the variant's options as JSON: runtime, dtype, attention"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True, help="where the model runs")
    parser.add_argument("--duration-s", type=int, required=True, help="duration class in seconds")
    parser.add_argument("--batch-size", type=int, required=True, help="segments given to the model at once")
    parser.add_argument("--threads", required=True, help="CPU threads, or auto for every core that may be used")
    parser.add_argument("--seed", type=int, required=True, help="seed of the batches")
    parser.add_argument("--protocol", required=True, help="the protocol as JSON: version, stop rule, energy_window_s")
    parser.add_argument(
        "--larger-than-oom", action="store_true", help="try even where a smaller batch has run out of memory"
    )
    parser.add_argument("--timeout-s", type=float, default=600, help="end the worker after this many seconds")
    parser.add_argument(
        "--attempt", type=int, default=1, help="above 1: an earlier job died without a record; write one"
    )
    parser.add_argument("--output", type=Path, required=True, help="the cell's Parquet file")
    args = parser.parse_args(argv)

    spec = specify(args)
    with machine.alone() as lock:
        header = {key: value for key, value in spec.items() if key not in ("model_folder", "batches", "segments")}
        header["segments"] = [{key: row[key] for key in row if key != "file"} for row in spec["segments"]]
        header |= machine.facts(ROOT) | {"before": machine.activity(), "started_at_s": time.time()}
        told: dict[str, dict[str, Any]] = {}
        passes: list[dict[str, Any]] = []
        too_large = None if args.larger_than_oom else siblings.smaller_out_of_memory(args.output)
        status: str
        reason: str | None
        if args.attempt > 1:
            status = "killed"
            reason = "the measuring job ended without a record; the newest file in .snakemake/log says why"
        elif too_large is not None:
            status = "unsupported"
            reason = f"larger than the batch of {too_large} that ran out of memory; protocol.larger_than_oom tries it"
        else:
            status, reason, told, passes = measure(spec, args.timeout_s, lock)
        header |= {"status": status, "reason": reason, "events": told, "after": machine.activity()}
        header["measured_at"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

        from asrmeter import record  # pyarrow: not before the measurement is over

        record.write(args.output, header, passes)
    logging.info("%s: %s", args.output.with_suffix(""), summary(status, reason, passes))


if __name__ == "__main__":
    run(main, measures=True)
