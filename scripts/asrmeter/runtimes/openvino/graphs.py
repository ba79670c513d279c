"""Open graphs in OpenVINO, and tell what computes."""

import re
from pathlib import Path
from typing import Any

import openvino

from asrmeter.runtimes.base import Effective, Runtime, Setup, UnsupportedError

# From the least to the most, as in the names of OpenVINO's kernels.
_INSTRUCTIONS = ("sse42", "avx2", "avx512", "amx")


def open_graph(path: Path, threads: int) -> Any:
    """Compile a graph for the CPU, to compute in float32; caches of keys and values would else be rounded to 8 bits."""
    settings = {
        **{"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"},
        **{"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
        # As with other runtimes, the kernel chooses the core: a thread bound to a busy one waits for a turn.
        "ENABLE_CPU_PINNING": False,
    }
    return openvino.Core().compile_model(path, "CPU", settings)


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
        self._threads, self._format, self.folder = setup.threads, setup.options["format"], setup.converted
        self.graphs: list[Any] = []

    def graph(self, name: str) -> Any:
        """Compile a graph of the converted folder."""
        self.graphs.append(open_graph(self.folder / f"{name}.xml", self._threads))
        return self.graphs[-1]

    def effective(self) -> Effective:
        """See `Runtime`. OpenVINO tells its threads, and names its kernels by their instructions."""
        kernels = " ".join(
            str(node.rt_info["primitiveType"].value)
            for graph in self.graphs
            for node in graph.get_runtime_model().get_ops()
            if "primitiveType" in node.rt_info
        )
        found = [name.upper() for name in _INSTRUCTIONS if re.search(name, kernels)]
        return Effective(
            dtype=self._format,
            threads=max(graph.get_property("INFERENCE_NUM_THREADS") for graph in self.graphs),
            library=f"openvino {openvino.get_version()}, CPU",
            instructions=found[-1] if found else None,
            emulated=False,
        )

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`. Where weights are rounded, OpenVINO rounds in groups what they are multiplied with."""
        rounds = any(int(graph.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")) for graph in self.graphs)
        return ("features", "activations") if self._format == "int8" and rounds else ("features",)
