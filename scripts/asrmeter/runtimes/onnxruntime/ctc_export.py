"""Export a CTC model by torch's exporter: scores.onnx."""

import warnings
from pathlib import Path

import torch

from asrmeter.runtimes.families.shared.ctc_greedy import SCORES
from asrmeter.runtimes.families.shared.ctc_network import CtcNetwork, example_samples, refused
from asrmeter.runtimes.onnxruntime.ctc import GRAPH, run
from asrmeter.runtimes.onnxruntime.sessions import Graph

_OPSET = 18


def export(source: Path, target: Path) -> None:
    """Write the graph of a model folder into the empty folder `target`.

    Raises:
        UnsupportedError: the exporter cannot export it, or makes another network of it.
    """
    network = CtcNetwork(source)
    path = target / f"{GRAPH}.onnx"
    sizes = {name: {0: "rows", 1: "samples"} for name in network.inputs} | {SCORES: {0: "rows", 1: "frames"}}
    try:
        # Of the tracer: values that may become constants, which is checked below.
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                network.example(2, example_samples(network.config)),
                str(path),
                input_names=list(network.inputs),
                output_names=[SCORES],
                dynamic_axes=sizes,
                opset_version=_OPSET,
                dynamo=False,
            )
    except (RuntimeError, torch.onnx.OnnxExporterError) as error:
        raise refused(error, network) from error
    graph = Graph(path, "cpu", torch.get_num_threads())
    network.check(lambda batch: run(graph, batch))
    network.write_config(target)
