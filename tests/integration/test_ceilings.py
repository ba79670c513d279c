"""The peak rates of a machine: the rules of its ceilings, whole rows, and other ways to measure the same."""

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import ceilings as script
from asrmeter.machine.facts import cpu_name
from asrmeter.machine.lock import LOCK_VARIABLE, exclusive_lock
from asrmeter.measure.retries import Attempts
from asrmeter.measure.spec import PeaksSpec, Start
from asrmeter.measure.supervisor import Outcome
from asrmeter.measure.tasks import peaks
from asrmeter.records.events import Event
from asrmeter.records.machine_peaks import PEAK_RATES, MachinePeaks

pytestmark = pytest.mark.alone

MIB = 2**20
# Two measurements of one rate may differ by this much.
AGREEMENT = 0.15
# A neighbour may spoil a few attempts in a row; the best of all counts.
MOST_TRIES = 8
IDENTITY = {"machine_id": "m", "device": "cpu", "threads": 2}
MEMORY = ("read", "copy")
# Plain loops over all numbers of a set, and from one half into the other: the best GB/s of each.
LOOPS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
typedef float vector __attribute__((vector_size(64)));
static pthread_barrier_t barrier;
static float *numbers;
static long n, n_threads;
static double best_s;
static volatile float kept;
static int what;
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static void *work(void *number) {
    long id = (long)number, part = n / n_threads, half = part / 2;
    float *own = numbers + id * part, *source = numbers + id * half, *target = source + n / 2;
    for (int run = 0; run < 12; run++) {
        pthread_barrier_wait(&barrier);
        double seconds = -now();
        if (what == 0) {
            // From four places at once: a processor fetches ahead no further than to the end of a page.
            long quarter = part / 4 / 16;
            vector *from = (vector *)own, sums[4] = {{0}};
            for (long i = 0; i < quarter; i++) {
                sums[0] += from[i];
                sums[1] += from[i + quarter];
                sums[2] += from[i + 2 * quarter];
                sums[3] += from[i + 3 * quarter];
            }
            for (int j = 0; j < 4; j++) kept = sums[j][0];
        } else for (long i = 0; i < half; i++) target[i] = source[i];
        pthread_barrier_wait(&barrier);
        seconds += now();
        if (!id && seconds < best_s) best_s = seconds;
    }
    return NULL;
}
int main(int argc, char **argv) {
    n_threads = atol(argv[1]);
    n = atol(argv[2]) / sizeof(float);
    numbers = aligned_alloc(4096, n * sizeof(float));
    for (long i = 0; i < n; i++) numbers[i] = 1;
    pthread_t threads[256];
    pthread_barrier_init(&barrier, NULL, n_threads);
    for (what = 0; what < 2; what++) {
        best_s = 1e9;
        for (long i = 0; i < n_threads; i++) pthread_create(&threads[i], NULL, work, (void *)i);
        for (long i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
        printf("%f\n", 1.0 * n * sizeof(float) / best_s / 1e9);
    }
}
"""
# numpy brings a BLAS of its own (OpenBLAS); which shapes suit it best differs from torch's (MKL).
PRODUCTS = """
import time, numpy
best = 0.0
for rows, side in [(512, 512), (2048, 512), (3072, 768), (4096, 1024), (2048, 2048), (3072, 3072)]:
    left, right = (numpy.random.rand(n, side).astype("float32") for n in (rows, side))
    product = numpy.empty((rows, side), "float32")
    for other in (right, right.T):
        numpy.matmul(left, other, out=product)
        for _ in range(4):
            begin = time.perf_counter()
            numpy.matmul(left, other, out=product)
            best = max(best, 2 * rows * side**2 / (time.perf_counter() - begin))
print(best / 1e9)
"""


def compute(dtype: str, flop_per_s: float, **changes: Any) -> dict[str, Any]:
    return dict.fromkeys(PEAK_RATES.names) | IDENTITY | {"dtype": dtype, "flop_per_s": flop_per_s} | changes


def memory(mib: int, bytes_per_s: float, kind: str = "read") -> dict[str, Any]:
    found = {"kind": kind, "working_set_bytes": mib * MIB, "bytes_per_s": bytes_per_s}
    return dict.fromkeys(PEAK_RATES.names) | IDENTITY | found


def ceilings(*rows: dict[str, Any]) -> MachinePeaks:
    found = MachinePeaks.of(rows, "m", "cpu", 2)
    assert found is not None
    return found


def test_peaks_best_matrix_product_of_a_dtype() -> None:
    found = ceilings(compute("float32", 3.0), compute("float32", 4.0), compute("bfloat16", 9.0))
    assert [found.flop_per_s(dtype) for dtype in ("float32", "bfloat16", "float16")] == [4.0, 9.0, None]
    assert found.bytes_per_s(MIB) is None


@pytest.mark.parametrize(
    ("mib", "rate"),
    [
        (0.1, 90.0),  # below the smallest: the highest of all
        (1, 90.0),
        (2, 90.0),  # it may still fit where 1 MiB does
        (4, 50.0),
        (15.9, 50.0),
        (16, 40.0),  # spoiled when it was measured: 64 MiB were faster
        (64, 40.0),
        (1024, 10.0),
        (9999, 10.0),  # above the largest: the largest
    ],
)
def test_peaks_working_set_between_measured_sizes(mib: float, rate: float) -> None:
    rows = [memory(16, 20.0), memory(1, 90.0), memory(4, 50.0), memory(64, 40.0), memory(1024, 10.0)]
    assert ceilings(*rows).bytes_per_s(mib * MIB) == rate


def test_peaks_faster_of_read_and_copy() -> None:
    assert ceilings(memory(1, 5.0), memory(1, 6.0, "copy")).bytes_per_s(MIB) == 6


def test_peaks_of_a_machine_device_and_threads() -> None:
    failed = dict.fromkeys(PEAK_RATES.names) | IDENTITY | {"status": "error"}
    rows = [compute("float32", 4.0), compute("float32", 8.0, threads=4), compute("float32", 9.0, device="cuda"), failed]
    rows.append(compute("float32", 99.0, machine_id="another"))
    assert ceilings(*rows).flop_per_s("float32") == 4.0
    on_cuda = MachinePeaks.of(rows, "m", "cuda", threads=7)
    assert on_cuda is not None and on_cuda.flop_per_s("float32") == 9.0
    assert MachinePeaks.of(rows, "m", "cpu", threads=1) is None
    assert MachinePeaks.of([failed], "m", "cpu", threads=2) is None


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str, budget_s: float = 0.1) -> list[dict[str, Any]]:
    """Run the script, without other pipelines to wait for; return the rows of its table."""
    monkeypatch.setenv(LOCK_VARIABLE, str(folder / "lock"))
    monkeypatch.setattr(script, "BUDGET_S", budget_s)
    script.main([*options, "--output", str(folder / "table.parquet")])
    table = pq.read_table(folder / "table.parquet")
    assert table.schema.equals(PEAK_RATES)
    return table.to_pylist()


def test_script_writes_a_whole_row_for_each_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    options = ["--device", "cpu", "--threads", "1", "--dtypes", "float32", "bfloat16"]
    rows = run(tmp_path, monkeypatch, *options)
    whole = ("machine_id", "device_name", "measured_at", "torch_version", "float32_matmul_precision", "n_runs")
    for row in rows:
        assert all(row[name] for name in whole)
        assert (row["device"], row["threads"], row["status"]) == ("cpu", 1, "ok")
        product = row["kind"] == "matmul"
        for name in ("dtype", "matrix_size", "flop_per_s"):
            assert bool(row[name]) == product
        for name in ("working_set_bytes", "bytes_per_s"):
            assert bool(row[name]) != product
    assert {row["dtype"] for row in rows} == {None, "float32", "bfloat16"}
    assert {row["kind"] for row in rows} == {"matmul", *MEMORY}
    assert caplog.messages[-1].startswith("cpu, threads: 1: float32 ") and "GB/s (16 MiB)" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        (["--device", "cpu", "--timeout-s", "0.01"], "timeout", "timeout_s = 0.01"),
        pytest.param(
            ["--device", "cuda"],
            "unsupported",
            "no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_script_device_that_fails_is_one_row(
    options: list[str], status: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = run(tmp_path, monkeypatch, *options)
    assert row["status"] == status and reason in row["reason"]
    assert row["machine_id"] and row["measured_at"]
    assert {row[name] for name in ("kind", "flop_per_s", "bytes_per_s", "n_runs")} == {None}


def test_script_job_that_died_twice_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for attempt in (1, 2):
        assert Attempts(tmp_path / "table.parquet", attempt).begin() is None
    (row,) = run(tmp_path, monkeypatch, "--device", "cpu", "--attempt", "3")
    assert row["status"] == "killed" and "ended 2 times without a record" in row["reason"]


def test_unsupported_dtype_leaves_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rates("cpu", ["uint16", "float32"], monkeypatch, 0.02)
    (bad,) = (row for row in found if row["status"] != "ok")
    assert bad["dtype"] == "uint16" and bad["status"] == "error" and "not implemented" in bad["reason"]
    own = MachinePeaks.of(found, "m", "cpu", 2)
    assert own is not None and own.flop_per_s("float32")


def rates(device: str, dtypes: list[str], monkeypatch: pytest.MonkeyPatch, budget_s: float) -> list[dict[str, Any]]:
    """Measure in this process with the threads that torch has; return the rows."""
    events: list[Event] = []
    spec = PeaksSpec(device=device, threads=torch.get_num_threads(), dtypes=dtypes, budget_s=budget_s)
    peaks.PeakMeasurement(spec, Start(), events.append).run()
    table = script.rows(Outcome("ok", None, events), IDENTITY | {"device": device})
    return pa.Table.from_pylist(table, schema=PEAK_RATES).to_pylist()


def alternate(
    ours: Callable[[], dict[str, float]], theirs: Callable[[], dict[str, float]], most: float = 1 / (1 - AGREEMENT)
) -> dict[str, float]:
    """Measure the same rates in two ways in turn until the best of each agree; return ours in parts of theirs."""
    best: list[dict[str, float]] = [{}, {}]
    ratios: dict[str, float] = {}
    for _ in range(MOST_TRIES):
        with exclusive_lock():
            for found, way in zip(best, (ours, theirs), strict=True):
                found |= {name: max(rate, found.get(name, 0.0)) for name, rate in way().items()}
        ratios = {name: best[0][name] / best[1][name] for name in best[1]}
        if not disagreeing(ratios, most):
            break
    print(best, ratios)
    return ratios


def disagreeing(ratios: dict[str, float], most: float = 1 / (1 - AGREEMENT)) -> dict[str, float]:
    return {name: ratio for name, ratio in ratios.items() if not 1 - AGREEMENT <= ratio <= most}


def output(*command: str) -> list[float]:
    n = str(torch.get_num_threads())
    environment = os.environ | {"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


def products() -> float:
    """Return the best GFLOP/s of matrix products in float32, as `PeakMeasurement` finds it."""
    benchmarks = list(peaks.matmul_benchmarks("cpu", "float32"))
    for _ in range(5):
        for benchmark in benchmarks:
            benchmark.run()
    return max(benchmark.work / benchmark.best_s for benchmark in benchmarks) / 1e9


def test_matrix_products_are_as_fast_as_numpys() -> None:
    ratios = alternate(lambda: {"product": products()}, lambda: {"product": output(sys.executable, "-c", PRODUCTS)[0]})
    assert not disagreeing(ratios)


@pytest.mark.xfail(
    "AMD" in cpu_name(),
    reason="of an AMD's third cache the loops that gcc 12 makes of this read half of what torch does",
    strict=False,
)
@pytest.mark.skipif(not shutil.which("gcc"), reason="the loops that memory is measured with beside need gcc")
def test_memory_is_as_fast_as_in_plain_loops(tmp_path: Path) -> None:
    (tmp_path / "loops.c").write_text(LOOPS)
    # Without the last option the copy would become a call of memcpy, which goes past the caches for large sets.
    options = ["-O3", "-march=native", "-ffast-math", "-pthread", "-fno-tree-loop-distribute-patterns"]
    subprocess.run(["gcc", *options, "-o", tmp_path / "loops", tmp_path / "loops.c"], check=True)
    limit = peaks.MEMORY_SHARE * peaks.free_bytes("cpu")
    sizes = [size for size in (16 * MIB, 512 * MIB) if size <= limit]
    benchmarks = [one for one in peaks.memory_benchmarks("cpu") if one.working_set_bytes in sizes]

    def ours() -> dict[str, float]:
        for _ in range(6):
            for benchmark in benchmarks:
                benchmark.run()
        return {f"{one.kind} {one.working_set_bytes}": one.work / one.best_s / 1e9 for one in benchmarks}

    def theirs() -> dict[str, float]:
        n_threads = str(torch.get_num_threads())
        found = {size: output(str(tmp_path / "loops"), n_threads, str(size)) for size in sizes}
        return {
            f"{kind} {size}": rate for size in sizes for kind, rate in zip(("read", "copy"), found[size], strict=True)
        }

    assert not disagreeing(alternate(ours, theirs))


def test_no_layer_of_a_model_is_faster_than_the_peaks() -> None:
    linear, attention = torch.nn.functional.linear, torch.nn.functional.scaled_dot_product_attention
    speech, weights, wide = torch.randn(1500, 384), torch.randn(384, 384), torch.randn(1536, 384)
    heads, kernel, frames = torch.randn(1, 6, 1500, 64), torch.randn(384, 384, 3), torch.randn(1, 384, 3000)
    layers: dict[str, tuple[float, Callable[[], Any]]] = {
        "linear": (2 * 1500 * 384 * 384, lambda: linear(speech, weights)),
        "wide linear": (2 * 1500 * 384 * 1536, lambda: linear(speech, wide)),
        "attention": (4 * 6 * 1500 * 1500 * 64, lambda: attention(heads, heads, heads)),
        "convolution": (2 * 1500 * 384 * 384 * 3, lambda: torch.conv1d(frames, kernel, stride=2, padding=1)),
    }
    # A step of a decoder: 150 MB of weights, one tensor after the other.
    token, layer_weights = torch.randn(1, 1024), [torch.randn(1024, 1024) for _ in range(36)]
    n_bytes = sum(weight.nbytes for weight in layer_weights)
    benchmarks = [
        benchmark for benchmark in peaks.memory_benchmarks("cpu") if benchmark.working_set_bytes in (2**27, 2**28)
    ]

    def step() -> None:
        for weight in layer_weights:
            linear(token, weight)

    def ceiling() -> dict[str, float]:
        for _ in range(3):
            for benchmark in benchmarks:
                benchmark.run()
        rows = [dict.fromkeys(PEAK_RATES.names) | IDENTITY | benchmark.columns() for benchmark in benchmarks]
        memory_rate = ceilings(*rows).bytes_per_s(n_bytes)
        assert memory_rate is not None
        return dict.fromkeys(layers, products()) | {"step": memory_rate / 1e9}

    def reached() -> dict[str, float]:
        with torch.inference_mode():
            found = {name: work / quickest(layer) / 1e9 for name, (work, layer) in layers.items()}
            return found | {"step": n_bytes / quickest(step) / 1e9}

    assert not disagreeing(alternate(ceiling, reached, math.inf), math.inf)


def quickest(work: Callable[[], Any]) -> float:
    """Return the seconds of the quickest of some calls."""
    seconds = []
    for _ in range(8):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_peaks_of_a_gpu_agree_with_a_timed_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rates("cuda", ["float32", "bfloat16"], monkeypatch, 1.0)
    copied = {row["working_set_bytes"]: row["bytes_per_s"] for row in rows if row["kind"] == "copy"}
    found = MachinePeaks.of(rows, "m", "cuda", 1)
    assert found is not None
    matrix = torch.randn(8192, 8192, device="cuda")
    source, target = torch.ones(2, 2**27, device="cuda")

    def seconds(work: Callable[[], Any]) -> float:
        work()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(20):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - begin) / 20

    for dtype in (torch.float32, torch.bfloat16):
        left, right = (matrix.to(dtype) for _ in range(2))
        rate = 2 * 8192**3 / seconds(lambda left=left, right=right: left @ right)
        assert found.flop_per_s(str(dtype).removeprefix("torch.")) == pytest.approx(rate, rel=AGREEMENT)
    assert copied[2**30] == pytest.approx(2**30 / seconds(lambda: target.copy_(source)), rel=AGREEMENT)
    # What fits a cache is no slower than what does not: the time that starting a kernel takes is not in it.
    assert copied[16 * MIB] > (1 - AGREEMENT) * copied[2**30]
