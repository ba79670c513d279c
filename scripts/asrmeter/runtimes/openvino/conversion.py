"""Make graphs of OpenVINO of a model folder, which needs torch and transformers."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from asrmeter import runtimes
from asrmeter.runtimes.families.shared.ctc_greedy import SCORES as CTC_SCORES
from asrmeter.runtimes.families.shared.ctc_network import CtcNetwork, example_samples, refused
from asrmeter.runtimes.families.whisper import network as whisper_network
from asrmeter.runtimes.openvino import TELEMETRY

# Before the first import: it sends what is converted to a service for statistics.
runtimes.hide((TELEMETRY,))

import numpy as np  # noqa: E402
import openvino  # noqa: E402
from openvino import opset13  # noqa: E402
from openvino._offline_transformations import apply_make_stateful_transformation  # noqa: E402

from asrmeter.runtimes.openvino import ctc, whisper  # noqa: E402
from asrmeter.runtimes.openvino.graphs import Graph  # noqa: E402


def convert(source: Path, family: str, form: str, target: Path) -> None:
    """Write the graphs of a model into the empty folder `target`; `form` is the number format of weights.

    Raises:
        UnsupportedError: the model cannot be converted.
    """
    with _silence(), torch.no_grad():
        graphs = whisper_graphs(source) if family == "whisper" else ctc_graphs(source, target)
        for name, graph in graphs.items():
            openvino.save_model(_rounded(graph) if form == "int8" else graph, target / f"{name}.xml", False)


def whisper_graphs(source: Path) -> dict[str, Any]:
    """Return encoder and decoder of a Whisper."""
    encoder, step = whisper_network.load(source)
    config = encoder.config
    features = torch.zeros((2, config.num_mel_bins, 2 * config.max_source_positions))
    heard = encoder(features)
    names = [whisper.cross(number) for number in range(len(heard))]
    heads, keys = [-1, step.n_heads, -1, step.head_size], [-1, step.n_heads, step.head_size, -1]
    traced = openvino.convert_model(encoder, example_input=features)
    _name(traced, {whisper.FEATURES: [-1, *features.shape[1:]]}, names)

    past = [torch.zeros((2, step.n_heads, 3, step.head_size)) for _ in heard]
    stepped = openvino.convert_model(
        step, example_input=(torch.zeros((2, 2), dtype=torch.int64), torch.arange(2, dtype=torch.int32), *past, *heard)
    )
    before, after = ([f"{when}_{number}" for number in range(len(past))] for when in ("past", "present"))
    shapes = {
        whisper.TOKENS: [-1, -1],
        whisper.ROWS: [-1],
        **dict.fromkeys((*before, *names), heads),
        **dict.fromkeys(names[::2], keys),
    }
    _name(stepped, shapes, [whisper.SCORES, *after])
    apply_make_stateful_transformation(stepped, dict(zip(before, after, strict=True)))
    _begin_empty(stepped, step.n_heads, step.head_size)
    return {whisper.ENCODER: traced, whisper.DECODER: stepped}


def ctc_graphs(source: Path, target: Path) -> dict[str, Any]:
    """Return the graph of a CTC model, and write what its runtime has to know into the folder `target`.

    Raises:
        UnsupportedError: the converter cannot convert it, or makes another network of it.
    """
    network = CtcNetwork(source)
    example = network.example(2, example_samples(network.config))
    try:
        graph = openvino.convert_model(network, example_input=example)
    except (RuntimeError, openvino.frontend.OpConversionFailure) as error:
        raise refused(error, network) from error
    _name(graph, {name: [-1, -1] for name in network.inputs}, [CTC_SCORES])
    opened = Graph(graph, torch.get_num_threads())
    network.check(lambda batch: ctc.run(opened, batch))
    network.write_config(target)
    return {ctc.GRAPH: graph}


def _name(graph: Any, inputs: dict[str, list[int]], outputs: Sequence[str]) -> None:
    """Give inputs their names and shapes (-1: of any size), and outputs their names."""
    for place, (name, shape) in zip(graph.inputs, inputs.items(), strict=True):
        place.get_tensor().set_names({name})
        place.get_node().set_partial_shape(openvino.PartialShape(shape))
    for place, name in zip(graph.outputs, outputs, strict=True):
        place.get_tensor().set_names({name})
    graph.validate_nodes_and_infer_types()


def _begin_empty(graph: Any, n_heads: int, head_size: int) -> None:
    """Have caches begin without a position, for as many rows as there are tokens; OpenVINO's own have none."""
    rows = opset13.gather(
        opset13.shape_of(graph.input(whisper.TOKENS), output_type="i64"), opset13.constant([0]), opset13.constant(0)
    )
    shape = opset13.concat([rows, opset13.constant(np.array([n_heads, 0, head_size], np.int64))], axis=0)
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([opset13.broadcast(opset13.constant(np.float32(0)), shape)])
    graph.validate_nodes_and_infer_types()


def _rounded(graph: Any) -> Any:
    """Return a graph whose products have weights of 8 bits."""
    import nncf

    return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep back what converters tell of each step."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
