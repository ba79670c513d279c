"""Attribute the time of a pass to the nodes of an engine's graphs: rows by stage, group and operator, as of torch.

The worker imports this module, so it must not import pyarrow.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from asrmeter.common.vocabulary import DECODER_OTHER, OUTPUT
from asrmeter.measure.operator_attribution import BETWEEN, OTHER, PYTHON, Row
from asrmeter.runtimes.base import NodeTime

# The graph whose nodes belong to the parts of a decoder; those of all others are the encoder.
_DECODER = "decoder"
# Parts of a decoder by the names that exporters give to their nodes: first that of OpenVINO, then of ONNX Runtime.
_PARTS = {
    "decoder_self_attention": r"\.self_attn|/attn/|/self_attn_layernorm",
    "decoder_cross_attention": r"\.encoder_attn|/cross_attn",
    "decoder_feed_forward": r"\.(fc1|fc2|activation_fn|final_layer_norm)/|/mlp/|/post_attention_layernorm",
    OUTPUT: r"\.proj_out/|/lm_head/",
}
# Groups of operators by the engines' names of them; the first match counts.
_GROUPS = {
    "convolution": r"Conv(?!ert)|Convolution",
    "attention": r"Attention",
    "matmul": r"MatMul|Gemm|FullyConnected",
    "normalisation": r"Normalization|MVN",
    "activation": r"Gelu|Relu|Softmax|Tanh|Sigmoid|Erf|Swish",
    "memory": "|".join(
        (
            r"Reshape|Transpose|Gather|Slice|Concat|Split|queeze|Cast|Convert|Copy|Memcpy|Reorder|Expand|Tile",
            r"Shape|Pad|Scatter|Broadcast|Where|Select|Range|Constant|Input|Output|Result|ReadValue|Assign",
            r"QuantizeLinear|FakeQuantize|Identity",
        )
    ),
}
# Of an attention that is written out, in the module itself and not in its projections. `Subgraph` is OpenVINO's name of
# several operators in one.
_WRITTEN_OUT = re.compile(r"MatMul|Softmax|Subgraph")
_ATTENTION = re.compile(r"(attn|attention|Attention)$")
_PROJECTION = re.compile(r"(attn|attention)[./].*")
_Key = tuple[str, str, str]  # stage, group, operator


def attribute(
    nodes: Sequence[NodeTime], stages_s: Mapping[str, float | None], decoder: str = DECODER_OTHER
) -> list[Row]:
    """Return the rows of a pass whose stages took so long; `decoder` is what is left of the stage of this name.

    What a stage took beside its nodes is its own row: the interpreter, and the engine between nodes.
    """
    costs: dict[_Key, tuple[int, float]] = {}
    left_s = {stage: seconds for stage, seconds in stages_s.items() if seconds is not None}
    for node, scope in _in_scopes(nodes):
        stage = _part(scope) if node.graph == _DECODER else "encoder"
        key = stage, group_of(node.operator, scope), node.operator
        n_calls, seconds = costs.get(key, (0, 0.0))
        costs[key] = n_calls + node.n_calls, seconds + node.seconds
        left_s["decoder" if node.graph == _DECODER else "encoder"] -= node.seconds
    rows = [_row(*key, *cost) for key, cost in costs.items()]
    names = {"decoder": decoder}
    return rows + [
        _row(names.get(stage, stage), PYTHON, BETWEEN, None, max(0.0, seconds)) for stage, seconds in left_s.items()
    ]


def group_of(operator: str, scope: str) -> str:
    """Return the group of an operator of a node whose module is `scope`."""
    if _ATTENTION.search(scope) and _WRITTEN_OUT.search(operator):
        return "attention"
    return next((group for group, pattern in _GROUPS.items() if re.search(pattern, operator)), OTHER)


def _in_scopes(nodes: Sequence[NodeTime]) -> Iterator[tuple[NodeTime, str]]:
    """Yield nodes with the path of their modules.

    A node that an engine made of others has no path: it belongs where the one before does, but a norm, which an
    engine joins with the sum before it, to the one after.
    """
    scopes = [_scope(node.name) for node in nodes]
    before = ""
    for place, node in enumerate(nodes):
        own = scopes[place]
        if not own and "Norm" in node.operator:
            own = next(filter(None, scopes[place:]), "")
        before = own or _PROJECTION.sub(r"\1", before)
        yield node, before


def _scope(name: str) -> str:
    """Return the path of a node's module, of `__module.layers.0.fc1/aten::linear/MatMul` or `/model/lm_head/MatMul`."""
    if name.startswith("__module"):
        return name.partition("/")[0]
    return name.rpartition("/")[0] if name.startswith("/") else ""


def _part(scope: str) -> str:
    return next((part for part, pattern in _PARTS.items() if re.search(pattern, f"{scope}/")), DECODER_OTHER)


def _row(stage: str, group: str, operator: str, n_calls: int | None, seconds: float) -> Row:
    times = {"cpu_self_s": seconds, "cuda_self_s": None}
    return {"stage": stage, "group": group, "operator": operator, "n_calls": n_calls, **times}
