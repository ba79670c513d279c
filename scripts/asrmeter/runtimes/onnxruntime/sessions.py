"""Open graphs in ONNX Runtime, run them, and tell what computes."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from asrmeter.runtimes.base import Effective, NodeTime, Runtime, Setup, UnsupportedError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_PROVIDERS = {"cpu": CPU, "cuda": CUDA}
_ERRORS_ONLY = 3
# The ending of a node's name in a profile.
_OF_NODE = "_kernel_time"
_NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Graph:
    """A graph on a device. What goes in and comes out are OrtValues, which stay there.

    Attributes:
        inputs: the names of what goes in.
        outputs: the names of what comes out.
    """

    def __init__(self, path: Path, device: str, threads: int, profiled: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Threads that spin while they wait take a core from the one that works, and energy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = _ERRORS_ONLY
        self._name, self._n_runs, self._n_before = path.stem, 0, 0
        if profiled:
            self._profile = tempfile.TemporaryDirectory()
            options.enable_profiling, options.profile_file_prefix = True, f"{self._profile.name}/profile"
        self._session = onnxruntime.InferenceSession(path, options, providers=[_PROVIDERS[device]])
        self._device = device
        self.inputs = [each.name for each in self._session.get_inputs()]
        self.outputs = [each.name for each in self._session.get_outputs()]
        self._dtypes = {each.name: _NUMPY.get(each.type) for each in self._session.get_inputs()}

    def value(self, name: str, array: np.ndarray) -> Any:
        """Return what the input `name` gets for an array, on the device, in the input's number format."""
        dtype = self._dtypes[name]
        array = array if dtype is None else array.astype(dtype, copy=False)
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)

    def run(self, inputs: Mapping[str, Any], on_host: Sequence[str] = ()) -> dict[str, Any]:
        """Run the graph over OrtValues; return those that come out, `on_host` in host memory."""
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name in self.outputs:
            binding.bind_output(name, "cpu" if name in on_host else self._device)
        self._session.run_with_iobinding(binding)
        self._n_runs += 1
        return dict(zip(self.outputs, binding.get_outputs(), strict=True))

    def begin_profile(self) -> None:
        """See `Runtime`."""
        self._n_before = self._n_runs

    def nodes(self) -> list[NodeTime]:
        """See `Runtime`. The profile is over then."""
        told = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        self._profile.cleanup()
        begins = sorted(event["ts"] for event in told if event["name"] == "model_run")[self._n_before :]
        return [
            NodeTime(self._name, event["name"].removesuffix(_OF_NODE), event["args"]["op_name"], event["dur"] / 1e6)
            for event in told
            if event["cat"] == "Node" and event["name"].endswith(_OF_NODE) and begins and event["ts"] >= begins[0]
        ]


class OrtRuntime(Runtime):
    """A runtime whose graphs ONNX Runtime runs.

    Attributes:
        folder: what the conversion made.
    """

    def __init__(self, setup: Setup) -> None:
        if _PROVIDERS[setup.device] not in onnxruntime.get_available_providers():
            raise UnsupportedError(
                "this ONNX Runtime has no provider for CUDA: install onnxruntime-gpu in place of onnxruntime"
            )
        assert setup.converted is not None, "every variant has a conversion"
        self._device, self._threads, self._format = setup.device, setup.threads, setup.options["format"]
        self.folder, self._profiled = setup.converted, setup.profiled
        self._graphs: list[Graph] = []

    def graph(self, name: str) -> Graph:
        """Open a graph of the converted folder."""
        self._graphs.append(Graph(self.folder / f"{name}.onnx", self._device, self._threads, self._profiled))
        return self._graphs[-1]

    def begin_profile(self) -> None:
        """See `Runtime`."""
        for graph in self._graphs:
            graph.begin_profile()

    def nodes(self) -> list[NodeTime]:
        """See `Runtime`."""
        return [node for graph in self._graphs for node in graph.nodes()]

    def effective(self) -> Effective:
        """See `Runtime`. ONNX Runtime does not tell the instructions that it chose; it was told the threads."""
        library = f"onnxruntime {onnxruntime.__version__}, {_PROVIDERS[self._device]}"
        return Effective(dtype=self._format, threads=self._threads, library=library, emulated=False)

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`."""
        return ("features", "activations") if self._format.startswith("int8") else ("features",)

    def versions(self) -> dict[str, str]:
        """See `Runtime`: the package has another name where it is for CUDA."""
        import importlib.metadata

        others = {name: importlib.metadata.version(name) for name in ("tokenizers", "numpy")}
        return {"onnxruntime": onnxruntime.__version__, **others}
