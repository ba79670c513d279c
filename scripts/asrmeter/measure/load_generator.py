"""MLPerf's LoadGen as the one who asks: the scenario Server, requests at random times.

LoadGen decides: whether a percentile stays within its limit, by its own early stopping, and its summary is kept as it
is. It sleeps between requests; what CPU time it takes is told.
"""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.measure.serving import Batch, Request, Server

_SUMMARY = "mlperf_log_summary.txt"
_FIELD = re.compile(r"^\s*([A-Za-z0-9. ()-]+?)\s*: (.+?)\s*$", re.MULTILINE)
# As a multiple of the latency's limit: who has waited longer shows that more comes than can be served.
GIVE_UP_AFTER = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of a server.

    Attributes:
        rate_per_s: requests a second, on average.
        duration_s: how long they come, at least.
        most_s: how long they come, at most.
        least_requests: how many come, at least, if the time allows.
        target_latency_s: the limit of the latency.
        percentile: the share of requests (0 to 1) that must keep it.
        max_batch: the most requests of a batch.
        max_wait_s: how long the first request of a batch waits for others, at most.
        seed: of the times at which requests come, and of which segments they ask for.
    """

    rate_per_s: float
    duration_s: float
    most_s: float
    least_requests: int = 1
    target_latency_s: float
    percentile: float
    max_batch: int
    max_wait_s: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What became of a load.

    Attributes:
        is_valid: whether LoadGen calls it valid, and the server did not give up.
        gave_up: whether requests waited so long that the rest was not served.
        summary: LoadGen's own, as it wrote it.
        took_s: seconds from the first request to the last answer.
        generator_cpu_s: CPU time of LoadGen's thread.
        requests: all of them, in their order.
        batches: those that were transcribed.
    """

    is_valid: bool
    gave_up: bool
    summary: str
    took_s: float
    generator_cpu_s: float
    requests: Sequence[Request]
    batches: Sequence[Batch]

    @property
    def told(self) -> dict[str, str]:
        """The fields of the summary by their names."""
        return dict(_FIELD.findall(self.summary))


def run(load: Load, n_segments: int, transcribe: Callable[[Sequence[int]], object]) -> Answered:
    """Put a load on a server whose model transcribes segments by their numbers, 0 to `n_segments` - 1.

    Raises:
        AsrmeterError: LoadGen is not installed, or wrote no summary.
        BaseException: what the model raised.
    """
    loadgen = _loadgen()

    requests: list[Request] = []
    cpu_s = [0.0]

    def done(batch: Sequence[Request]) -> None:
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(request.id, 0, 0) for request in batch])

    server = Server(transcribe, done, load.max_batch, load.max_wait_s, give_up_s=GIVE_UP_AFTER * load.target_latency_s)

    def issue(samples: Sequence[Any]) -> None:
        now_s = time.perf_counter()
        new = [Request(sample.id, sample.index, now_s) for sample in samples]
        requests.extend(new)
        server.put(new)
        cpu_s[0] = time.thread_time()

    began_cpu_s, began_s = time.thread_time(), time.perf_counter()
    sut = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(n_segments, n_segments, lambda _: None, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        try:
            loadgen.StartTestWithLogSettings(sut, library, _settings(loadgen, load), _log_settings(loadgen, folder))
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(sut)
            took_s = time.perf_counter() - began_s
            server.close()
        summary = (Path(folder) / _SUMMARY).read_text(encoding="utf-8")
    told = dict(_FIELD.findall(summary))
    return Answered(
        is_valid=told.get("Result is") == "VALID" and not server.gave_up,
        gave_up=server.gave_up,
        summary=summary,
        took_s=took_s,
        generator_cpu_s=max(cpu_s[0] - began_cpu_s, 0.0),
        requests=requests,
        batches=server.batches,
    )


def _loadgen() -> Any:
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise AsrmeterError(
            "load: needs mlcommons-loadgen, which is not installed (it has no wheels for Python 3.14); install it, or "
            "leave load out of the study"
        ) from error
    return mlperf_loadgen


def _settings(loadgen: Any, load: Load) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario, settings.mode = loadgen.TestScenario.Server, loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = load.rate_per_s
    settings.server_target_latency_ns = round(load.target_latency_s * 1e9)
    settings.server_target_latency_percentile = load.percentile
    settings.min_duration_ms = round(load.duration_s * 1000)
    settings.max_duration_ms = round(load.most_s * 1000)
    settings.min_query_count = load.least_requests
    settings.schedule_rng_seed = settings.sample_index_rng_seed = settings.qsl_rng_seed = load.seed
    return settings


def _log_settings(loadgen: Any, folder: str) -> Any:
    settings = loadgen.LogSettings()
    settings.log_output.outdir = folder
    settings.log_output.copy_summary_to_stdout = False
    settings.enable_trace = False
    return settings
