"""Open graphs in OpenVINO, run them, and tell what computes."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino

from asrmeter.runtimes.base import Effective, NodeTime, Runtime, Setup, UnsupportedError

# From the least to the most, as in the names of OpenVINO's kernels.
_INSTRUCTIONS = ("sse42", "avx2", "avx512", "amx")


@functools.cache
def _core() -> Any:
    """Return what compiles all graphs of the process.

    On CPUs with AVX-512 each one sets a stack for signals of its own and later puts back the one that it found. With
    several, that can be one which is gone, and then the next signal ends the process.
    """
    return openvino.Core()


class Graph:
    """A graph on the CPU, which computes in float32, and one request for it.

    Attributes:
        compiled: the graph as OpenVINO runs it.
        request: what it runs on: the tensors that go in and come out, and states.
    """

    def __init__(self, model: Any, threads: int, name: str = "", profiled: bool = False) -> None:
        settings = {
            **{"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"},
            # Caches of keys and values would else be rounded to 8 bits.
            **{"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
            # As with other runtimes, the kernel chooses the core: a thread bound to a busy one waits for a turn.
            **{"ENABLE_CPU_PINNING": False, "PERF_COUNT": profiled},
        }
        self.compiled = _core().compile_model(model, "CPU", settings)
        self.request = self.compiled.create_infer_request()
        self._name = name
        self._n_runs, self._n_before = 0, 0
        self._before_s: list[float] = []

    def run(self, inputs: Mapping[str, Any]) -> None:
        """Run the graph over arrays or tensors; the request has what comes out, until the next run."""
        for name, value in inputs.items():
            self.request.set_tensor(name, openvino.Tensor(value) if isinstance(value, np.ndarray) else value)
        self.request.infer()
        self._n_runs += 1

    def begin_profile(self) -> None:
        """See `Runtime`."""
        self._n_before, self._before_s = self._n_runs, [node.real_time.total_seconds() for node in self._told()]

    def nodes(self) -> list[NodeTime]:
        """See `Runtime`. OpenVINO tells the mean of all runs, in whole microseconds, and of less than one nothing."""
        before_s = self._before_s or [0.0] * len(self._told())
        return [
            NodeTime(
                self._name,
                node.node_name,
                node.node_type,
                max(0.0, self._n_runs * node.real_time.total_seconds() - self._n_before * mean_s),
                self._n_runs - self._n_before,
            )
            for node, mean_s in zip(self._told(), before_s, strict=True)
            if node.status == openvino.ProfilingInfo.Status.EXECUTED
        ]

    def _told(self) -> list[Any]:
        told: list[Any] = self.request.get_profiling_info()
        return told


class OpenVinoRuntime(Runtime):
    """A runtime whose graphs OpenVINO runs.

    Attributes:
        folder: what the conversion made.
        graphs: the compiled graphs.
    """

    packages = ("openvino", "tokenizers", "numpy")

    def __init__(self, setup: Setup) -> None:
        if setup.device != "cpu":
            raise UnsupportedError("OpenVINO does not run on CUDA devices")
        assert setup.converted is not None, "every variant has a conversion"
        self._threads, self._format, self._profiled = setup.threads, setup.options["format"], setup.profiled
        self.folder, self.graphs = setup.converted, list[Graph]()

    def graph(self, name: str) -> Graph:
        """Compile a graph of the converted folder."""
        self.graphs.append(Graph(self.folder / f"{name}.xml", self._threads, name, self._profiled))
        return self.graphs[-1]

    def begin_profile(self) -> None:
        """See `Runtime`."""
        for graph in self.graphs:
            graph.begin_profile()

    def nodes(self) -> list[NodeTime]:
        """See `Runtime`."""
        return [node for graph in self.graphs for node in graph.nodes()]

    def effective(self) -> Effective:
        """See `Runtime`. OpenVINO tells its threads, and names its kernels by their instructions."""
        kernels = " ".join(
            str(node.rt_info["primitiveType"].value)
            for graph in self.graphs
            for node in graph.compiled.get_runtime_model().get_ops()
            if "primitiveType" in node.rt_info
        )
        found = [name.upper() for name in _INSTRUCTIONS if re.search(name, kernels)]
        return Effective(
            dtype=self._format,
            threads=max(graph.compiled.get_property("INFERENCE_NUM_THREADS") for graph in self.graphs),
            library=f"openvino {openvino.get_version()}, CPU",
            instructions=found[-1] if found else None,
            emulated=False,
        )

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`. Where weights are rounded, OpenVINO rounds in groups what they are multiplied with."""
        rounds = any(int(graph.compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")) for graph in self.graphs)
        return ("features", "activations") if self._format == "int8" and rounds else ("features",)
