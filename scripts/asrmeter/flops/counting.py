"""Count the multiply-accumulates of a module with fvcore on the meta device: without weights or computation.

fvcore counts a multiply-accumulate, which is two floating-point operations, as one. It knows matrix products and
convolutions; this module adds handles for attention and `baddbmm`. Normalisations are kept apart: they contain no
products of matrices, and fvcore's five operations an element are not multiply-accumulates. Operators without a handle
are listed by name. torch's own counter (`torch.utils.flop_counter`, two for a multiply-accumulate) counts the same
module a second time.
"""

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from fvcore.nn import FlopCountAnalysis
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

META = torch.device("meta")
# fvcore's names of operators.
CONVOLUTION, LINEAR = "conv", "linear"
_NORMALISATIONS = ("layer_norm", "group_norm", "batch_norm")
# fvcore's own factor for normalisations with a scale and a shift.
_PER_NORMALISED_ELEMENT = 5


@dataclass(frozen=True)
class Count:
    """The work of one run of a module: MAC by operator, fvcore's FLOP of normalisations, operators not counted.

    `torch_flop` is the count of the same run by torch's counter.
    """

    macs: dict[str, int]
    normalisation_flop: int
    not_counted: tuple[str, ...]
    torch_flop: int

    @property
    def total_macs(self) -> int:
        """All multiply-accumulates."""
        return sum(self.macs.values())

    @property
    def normalised(self) -> int:
        """Elements that are normalised."""
        return self.normalisation_flop // _PER_NORMALISED_ELEMENT

    @property
    def agrees(self) -> bool:
        """Whether both counters agree to the last digit."""
        return 2 * self.total_macs == self.torch_flop

    def with_layers(self, of_two: "Count", n_layers: int) -> "Count":
        """Return the count with `n_layers`, where this is the count with one layer and `of_two` with two."""

        def line(one: int, two: int) -> int:
            return one + (n_layers - 1) * (two - one)

        names = sorted({*self.macs, *of_two.macs})
        return Count(
            macs={name: line(self.macs.get(name, 0), of_two.macs.get(name, 0)) for name in names},
            normalisation_flop=line(self.normalisation_flop, of_two.normalisation_flop),
            not_counted=tuple(sorted({*self.not_counted, *of_two.not_counted})),
            torch_flop=line(self.torch_flop, of_two.torch_flop),
        )


def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Count:
    """Count one run of a module whose weights and inputs are on the meta device."""
    module.eval()
    with META, torch.no_grad(), _traceable(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        analysis = FlopCountAnalysis(module, inputs)
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
        analysis.set_op_handle("aten::baddbmm", _baddbmm_macs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator: Counter[str] = analysis.by_operator()
        not_counted = {name.removeprefix("aten::") for name in analysis.unsupported_ops()}
    with META, torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    norms = {name: by_operator.pop(name) for name in _NORMALISATIONS if name in by_operator}
    return Count(
        macs={name: int(value) for name, value in sorted(by_operator.items()) if value},
        normalisation_flop=int(sum(norms.values())),
        not_counted=tuple(sorted(not_counted | norms.keys())),
        torch_flop=int(counter.get_total_flops()),
    )


def _attention_macs(inputs: Sequence[Any], _outputs: Sequence[Any]) -> int:
    """Return the MAC of scores and weighted sum, for q (..., n, d), k (..., m, d), v (..., m, e)."""
    query, key, value = (_shape(tensor) for tensor in inputs[:3])
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _baddbmm_macs(inputs: Sequence[Any], _outputs: Sequence[Any]) -> int:
    """Return the MAC of a batch of matrix products that is added to something: (b, n, k) by (b, k, m)."""
    first, second = (_shape(tensor) for tensor in inputs[1:3])
    return math.prod(first) * second[-1]


def _shape(value: Any) -> list[int]:
    sizes: list[int] = value.type().sizes()
    return sizes


@contextmanager
def _traceable() -> Iterator[None]:
    """Make it possible for fvcore to trace a module on the meta device.

    In a thread that traces, sizes are tensors to Python. Kernels of the meta device that are written in Python do not
    accept them, so all kernels run in another thread. Where such a kernel implements `convolution`, that is not traced;
    `_convolution` is.
    """
    functional = torch.nn.functional
    with (
        ThreadPoolExecutor(1) as elsewhere,
        _Elsewhere(elsewhere),
        patch.object(functional, "conv1d", _convolution(1)),
        patch.object(functional, "conv2d", _convolution(2)),
    ):
        yield


class _Elsewhere(TorchDispatchMode):
    """Run every operator's kernel in another thread."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        super().__init__()
        self._executor = executor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        done: Future[Any] = self._executor.submit(_beneath_autograd, func, args, kwargs or {})
        return done.result()


def _beneath_autograd(function: Any, args: Any, kwargs: Any) -> Any:
    """Call an operator below autograd, which has already run in the thread that dispatched it."""
    views = torch._C.DispatchKeySet(torch._C.DispatchKey.ADInplaceOrView)
    with torch._C._AutoDispatchBelowAutograd(), torch._C._ExcludeDispatchKeyGuard(views):
        return function(*args, **kwargs)


def _convolution(n_dimensions: int) -> Any:
    def each(value: Any) -> list[int]:
        return [value] * n_dimensions if isinstance(value, int) else list(value)

    def convolution(
        x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Any:
        if padding == "same":
            spread = [d * (k - 1) for d, k in zip(each(dilation), weight.shape[2:], strict=True)]
            sides = [side for total in reversed(spread) for side in (total // 2, total - total // 2)]
            x, padding = torch.nn.functional.pad(x, sides), 0
        settings = each(stride), each(padding), each(dilation), False, [0] * n_dimensions, groups
        return torch._convolution(x, weight, bias, *settings, False, False, True, True)

    return convolution
