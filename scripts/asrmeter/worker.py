"""The process that measures one cell: load, warm up, timed passes, energy windows.

Forked by `asrmeter.fork_server`, or started as `python -m asrmeter.worker` with the cell as JSON on standard input.
What happens leaves as JSON lines on the file descriptor `events`: what was measured before a crash is so already with
the parent. Nothing is imported here that measuring does not need: see the start-up cost in ARCHITECTURE.md.
"""

import gc
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Emit = Callable[..., None]


def measure(spec: dict[str, Any], emit: Emit) -> None:
    """Measure the cell `spec` (see `measure.py`) and tell `emit(event, **fields)` what happens."""
    import numpy as np
    import soundfile
    import torch

    from asrmeter import energy, runtimes
    from asrmeter.memory import PeakMemory
    from asrmeter.protocol import StopRule
    from asrmeter.runtimes.base import Timeline
    from asrmeter.segments import SAMPLE_RATE_HZ

    device = spec["device"]
    torch.set_num_threads(spec["threads"])
    if device == "cuda" and not torch.cuda.is_available():
        emit("unsupported", reason="no CUDA device on this machine")
        return
    waveforms: dict[str, np.ndarray] = {}
    for segment in spec["segments"]:
        waveforms[segment["segment_id"]], rate_hz = soundfile.read(segment["file"], dtype="float32")
        if rate_hz != SAMPLE_RATE_HZ or waveforms[segment["segment_id"]].ndim != 1:
            raise ValueError(f"{segment['file']} is not 16 kHz mono")
    texts = {segment["segment_id"]: segment["text"] for segment in spec["segments"]}

    memory = PeakMemory(device)
    runtime = runtimes.load(
        spec["family"], Path(spec["model_folder"]), spec["options"], device, random_weights=spec["weights"] == "random"
    )
    gc.freeze()
    gc.enable()

    def synchronize() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def run_pass(batch: int) -> tuple[float, Timeline, list[Any]]:
        ids = spec["batches"][batch]
        inputs, references = [waveforms[i] for i in ids], [texts[i] for i in ids]
        timeline = Timeline(device)
        synchronize()
        begin = time.perf_counter()
        hypotheses = runtime.transcribe(inputs, references, timeline)
        timeline.end()
        synchronize()
        return time.perf_counter() - begin, timeline, hypotheses

    def timed_pass(phase: str, batch: int) -> float:
        started_at_s = time.time()
        latency_s, timeline, hypotheses = run_pass(batch)
        emit(
            "pass",
            phase=phase,
            batch=batch,
            segment_ids=spec["batches"][batch],
            started_at_s=started_at_s,
            ended_at_s=time.time(),
            latency_s=latency_s,
            **{f"{stage}_s": seconds for stage, seconds in timeline.seconds().items()},
            audio_s=sum(len(waveforms[i]) for i in spec["batches"][batch]) / SAMPLE_RATE_HZ,
            texts=[hypothesis.text for hypothesis in hypotheses],
            n_tokens=[hypothesis.n_tokens for hypothesis in hypotheses],
            n_windows=[hypothesis.n_windows for hypothesis in hypotheses],
        )
        return latency_s

    own = os.times()
    emit(
        "ready",
        startup_cpu_s=own.user + own.system + spec["parent_cpu_s"],
        preload_cpu_s=spec.get("preload_cpu_s"),
        model_rss_bytes=memory.rss_bytes,
        **(_gpu_facts() if device == "cuda" else {}),
        decoding=runtime.decoding(),
    )

    # Random weights have nothing to transcribe: one batch, again and again, is work enough.
    batches = range(len(spec["batches"]) if spec["weights"] == "pretrained" else 1)
    longest = max(batches, key=lambda batch: max(len(waveforms[i]) for i in spec["batches"][batch]))
    rule = StopRule(**spec["stop_rule"])
    # The kernel and the allocator keep the peaks; they are reset before the passes and read after them.
    memory.reset()
    warmup: list[float] = []
    while not rule.warm(warmup):
        warmup.append(timed_pass("warmup", longest))
    latencies: list[float] = []
    while not latencies or not (rule.converged(latencies) or rule.exhausted(latencies)):
        # Whole rounds: the batches differ in content, and every model is timed on the same ones.
        latencies += [timed_pass("latency", batch) for batch in batches]
    emit("latency", converged=rule.converged(latencies), reason=rule.exhausted(latencies))
    emit("memory", peak_rss_bytes=memory.peak_rss_bytes, peak_device_bytes=memory.peak_device_bytes)

    in_turns = itertools.cycle(batches)
    try:
        emit("energy", **energy.measure(device, lambda: run_pass(next(in_turns)), spec["energy_window_s"]))
    except Exception as error:  # a cell is worth having without its energy; the reason is kept
        emit("energy", method_cpu="none", method_gpu="none", note=f"no energy: {error!r}", windows=[], idle=[])
    emit("done")


def _gpu_facts() -> dict[str, str]:
    """Return the name of the GPU and the version of its driver."""
    import pynvml
    import torch

    pynvml.nvmlInit()
    return {"gpu_name": torch.cuda.get_device_name(), "driver_version": pynvml.nvmlSystemGetDriverVersion()}


def slim_down() -> None:
    """Keep what measuring does not need out of this process; for the beginning of a process that only measures."""
    # Imports make a lot of long-lived objects; collecting in between costs a tenth of the start-up.
    gc.disable()
    # transformers imports these where they are installed, for training losses and images: half a second for nothing.
    sys.modules.update(dict.fromkeys(("scipy", "sklearn", "PIL", "torchvision", "torchaudio")))  # type: ignore[arg-type]


def preload() -> None:
    """Import what any cell needs, so that a process may be forked off afterwards.

    codecarbon is left to the cell: its import opens NVML, which must not be shared over a fork.
    """
    import pandas  # noqa: F401  (codecarbon's half of a second)
    import soundfile  # noqa: F401

    from asrmeter import energy, memory, protocol  # noqa: F401
    from asrmeter.runtimes import transformers_ctc, transformers_whisper  # noqa: F401

    gc.freeze()  # what is shared with a child is not touched by its collections


def run(spec: dict[str, Any]) -> int:
    """Measure a cell and tell what happens on the descriptor `spec["events"]`; return the exit code."""
    with open(spec["events"], "w", encoding="utf-8") as stream:

        def emit(event: str, **fields: Any) -> None:
            stream.write(json.dumps({"event": event, **fields}) + "\n")
            stream.flush()

        try:
            measure(spec, emit)
            return 0
        except BaseException as error:
            status, reason = classify(error)
            emit("failed", status=status, reason=reason)
            sys.excepthook(type(error), error, error.__traceback__)
            return 1
        finally:
            sys.stderr.flush()


def classify(error: BaseException) -> tuple[str, str]:
    """Return (status, reason) of a cell whose measurement raised `error`."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    # torch's CPU allocator raises a plain RuntimeError.
    out_of_memory = out_of_memory or "DefaultCPUAllocator: can't allocate memory" in str(error)
    return ("oom" if out_of_memory else "error"), text


if __name__ == "__main__":
    slim_down()
    # Leaving without the second that tearing down torch takes.
    os._exit(run(json.load(sys.stdin)))
