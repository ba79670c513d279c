"""The process that measures: a cell (load, memory, warm-up, timed passes, energy windows), or another task.

Forked by `fork_server`, or started as `python -m asrmeter.measure.worker` with the cell as JSON on standard input.
What happens leaves as JSON lines on the file descriptor `events`: what was measured before a crash is so already with
the parent. Nothing is imported here that measuring does not need: see the start-up cost in ARCHITECTURE.md.
"""

import contextlib
import gc
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

Emit = Callable[..., None]

# task of a spec -> module whose `measure(spec, emit)` does it; without one, a cell is measured here.
_TASKS = {"profile": "asrmeter.measure.tasks.profile", "ceilings": "asrmeter.measure.tasks.peaks"}


def measure(spec: dict[str, Any], emit: Emit) -> None:
    """Measure the cell `spec` (see `measure.py`) and tell `emit(event, **fields)` what happens.

    Each phase has its own passes, so that no probe runs inside a timed one: memory, warm-up, latency, energy, and last
    the batches that none of these has transcribed.
    """
    import torch

    from asrmeter import runtimes
    from asrmeter.machine.interference import Watch, why_disturbed
    from asrmeter.measure import energy
    from asrmeter.measure.memory import PeakMemory
    from asrmeter.measure.stop_rule import StopRule
    from asrmeter.runtimes.base import mark_cost_s

    device = spec["device"]
    torch.set_num_threads(spec["threads"])
    if device == "cuda" and not torch.cuda.is_available():
        emit("unsupported", reason="no CUDA device on this machine")
        return
    gpu = energy.own_gpu() if device == "cuda" else None
    memory = PeakMemory(device)
    runtime = runtimes.load(
        spec["family"], Path(spec["model_folder"]), spec["options"], device, random_weights=spec["weights"] == "random"
    )
    gc.freeze()
    gc.enable()
    passes = Passes(spec, runtime, emit)
    emit(
        "ready",
        startup_cpu_s=time.process_time() + spec["parent_cpu_s"],
        preload_cpu_s=spec.get("preload_cpu_s"),
        model_rss_bytes=memory.rss_bytes,
        model_device_bytes=memory.device_bytes,
        **(_gpu_facts() if device == "cuda" else {}),
        gpu_uuid=gpu,
        decoding=runtime.decoding(),
        attention=runtime.attention,
    )

    memory.reset()
    with _finite_output(runtime.head):
        worked_s = passes.run("memory", passes.longest)
    emit("memory", peak_rss_bytes=memory.peak_rss_bytes, peak_device_bytes=memory.peak_device_bytes)

    rule = StopRule(**spec["stop_rule"])
    timed = spec["timed_batches"]
    for batch in itertools.cycle(timed):
        if rule.warm(worked_s):
            break
        worked_s += passes.run("warmup", batch)

    def time_rounds(attempt: int) -> dict[str, Any]:
        watch = Watch(device, gpu)
        rounds: list[list[float]] = []
        while not rounds or not (rule.converged(rule.steady(rounds)) or rule.exhausted(rounds)):
            rounds.append([])
            for batch in timed:
                rounds[-1].append(passes.run("latency", batch, round=len(rounds) - 1, attempt=attempt))
                watch.sample()
        report = watch.report()
        return {
            "converged": rule.converged(rule.steady(rounds)),
            "reason": rule.exhausted(rounds),
            "n_unsteady": rule.n_unsteady(rounds),
            "attempt": attempt,
            "watch": report,
            "disturbance": why_disturbed(report, spec["threads"]),
        }

    found = time_rounds(attempt=1)
    if found["disturbance"]:
        emit("disturbed", **found)
        found = time_rounds(attempt=2)
    emit("latency", **found, stage_marks_s=passes.n_marks * mark_cost_s(device))

    def round_of_passes() -> None:
        for batch in timed:
            passes.transcribe(batch)

    # Whole rounds, so that the joules are those of the same audio for every model.
    metered = energy.measure(device, round_of_passes, spec["energy_window_s"])
    for window in metered["windows"]:
        window["n_passes"] *= len(timed)
    emit("energy", **metered)

    for batch in passes.untold if spec["weights"] == "pretrained" else []:
        passes.run("transcript", batch)
    emit("done")


class Passes:
    """The passes of a cell: each gives a batch of waveforms to the model and tells what came out."""

    def __init__(self, spec: dict[str, Any], runtime: Any, emit: Emit) -> None:
        import soundfile

        from asrmeter.common.constants import SAMPLE_RATE_HZ

        self._batches: list[list[str]] = spec["batches"]
        self._device: str = spec["device"]
        self._runtime, self._emit = runtime, emit
        self._texts = {segment["segment_id"]: segment["text"] for segment in spec["segments"]}
        self._waveforms: dict[str, Any] = {}
        for segment in spec["segments"]:
            waveform, rate_hz = soundfile.read(segment["file"], dtype="float32")
            if rate_hz != SAMPLE_RATE_HZ or waveform.ndim != 1:
                raise ValueError(f"{segment['file']} is not 16 kHz mono")
            self._waveforms[segment["segment_id"]] = waveform
        self._audio_s = [sum(len(self._waveforms[i]) for i in ids) / SAMPLE_RATE_HZ for ids in self._batches]
        self._told: set[str] = set()
        self.n_marks = 0

    @property
    def longest(self) -> int:
        """The batch that takes the most memory: the one with the longest segment."""
        return max(
            range(len(self._batches)), key=lambda batch: max(len(self._waveforms[i]) for i in self._batches[batch])
        )

    @property
    def untold(self) -> list[int]:
        """The batches with segments that no pass has told the text of."""
        return [batch for batch, ids in enumerate(self._batches) if not self._told.issuperset(ids)]

    def transcribe(self, batch: int) -> tuple[float, Any, list[Any]]:
        """Give a batch to the model; return the pass' latency in seconds, its timeline and the hypotheses."""
        from asrmeter.runtimes.base import Timeline

        ids = self._batches[batch]
        inputs, references = [self._waveforms[i] for i in ids], [self._texts[i] for i in ids]
        timeline = Timeline(self._device)
        self._synchronize()
        begin = time.perf_counter()
        hypotheses = self._runtime.transcribe(inputs, references, timeline)
        timeline.end()
        self._synchronize()
        return time.perf_counter() - begin, timeline, hypotheses

    def run(self, phase: str, batch: int, round: int | None = None, attempt: int | None = None) -> float:
        """Give a batch to the model, tell what came out, return the latency in seconds."""
        started_at_s, begin_s = time.time(), time.perf_counter()
        latency_s, timeline, hypotheses = self.transcribe(batch)
        self.n_marks = timeline.n_marks
        self._told.update(self._batches[batch])
        self._emit(
            "pass",
            phase=phase,
            attempt=attempt,
            round=round,
            batch=batch,
            segment_ids=self._batches[batch],
            started_at_s=started_at_s,
            ended_at_s=started_at_s + time.perf_counter() - begin_s,
            latency_s=latency_s,
            **{f"{stage}_s": seconds for stage, seconds in timeline.seconds().items()},
            audio_s=self._audio_s[batch],
            texts=[hypothesis.text for hypothesis in hypotheses],
            n_tokens=[hypothesis.n_tokens for hypothesis in hypotheses],
            n_windows=[hypothesis.n_windows for hypothesis in hypotheses],
            processed_s=[hypothesis.processed_s for hypothesis in hypotheses],
            **asdict(timeline.decoder_work),
        )
        return latency_s

    def _synchronize(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()


@contextlib.contextmanager
def _finite_output(head: Any) -> Iterator[None]:
    """Refuse a model whose scores are not numbers: it would be fast, and wrong.

    Raises:
        FloatingPointError: a score is infinite or not a number.
    """
    import torch

    def check(_module: Any, _inputs: Any, scores: torch.Tensor) -> None:
        # The extremes take no memory of their own, and are not finite if any score is not.
        if not all(torch.isfinite(extreme) for extreme in torch.aminmax(scores)):
            raise FloatingPointError(
                f"the model's output in {scores.dtype} is infinite or not a number; measure it in float32 or bfloat16"
            )

    hook = head.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()


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
    # transformers imports these where they are installed, for training losses and images, and pandas pyarrow: half a
    # second for nothing, and a thread.
    unused = ("scipy", "sklearn", "PIL", "torchvision", "torchaudio", "pyarrow")
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]


def preload() -> None:
    """Import what any cell needs, so that a process may be forked off afterwards."""
    import soundfile  # noqa: F401

    from asrmeter.measure import energy, memory, stop_rule  # noqa: F401
    from asrmeter.runtimes import transformers_ctc, transformers_whisper  # noqa: F401

    transformers_ctc.network_class("wav2vec2")  # the others are imported by the cells that need them
    energy.preload()
    gc.freeze()  # what is shared with a child is not touched by its collections


def run(spec: dict[str, Any]) -> int:
    """Do the task of `spec` and tell what happens on the descriptor `spec["events"]`; return the exit code."""
    with open(spec["events"], "w", encoding="utf-8") as stream:

        def emit(event: str, **fields: Any) -> None:
            stream.write(json.dumps({"event": event, **fields}) + "\n")
            stream.flush()

        try:
            task = importlib.import_module(_TASKS[spec["task"]]).measure if "task" in spec else measure
            task(spec, emit)
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
    # What follows is what else lies on the GPU, and advice on torch's allocator.
    text = text.partition(" Including non-PyTorch memory")[0]
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    # torch's CPU allocator raises a plain RuntimeError.
    out_of_memory = out_of_memory or "DefaultCPUAllocator: can't allocate memory" in str(error)
    return ("oom" if out_of_memory else "error"), text


if __name__ == "__main__":
    slim_down()
    # Leaving without the second that tearing down torch takes.
    os._exit(run(json.load(sys.stdin)))
