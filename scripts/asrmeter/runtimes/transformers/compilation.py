"""Parts of a network compiled by torch.compile: for the shapes of a cell, and with what that costs.

torch's inductor keeps what it compiled in a folder beside the model folder, for the next laps.
"""

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from asrmeter.runtimes.base import Setup, UnsupportedError

Forward = Callable[..., Any]


class Compilation:
    """What compiling costs in this process. Made before anything is compiled, it imports what compiles.

    One compiler runs at a time: none outlives the warm-up beside what is measured.
    """

    def __init__(self, setup: Setup) -> None:
        folder = setup.folder.resolve()
        if os.access(folder.parent, os.W_OK):
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_of(folder))
        import torch._dynamo.utils
        import torch._inductor.compile_fx
        import torch._inductor.config

        # It says of functions of transformers that their caches are not used while they are traced.
        warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
        torch._inductor.config.compile_threads = 1
        self._utils = torch._dynamo.utils
        self._on_cuda = setup.device == "cuda"
        self._n_graphs = 0

    def seconds(self) -> float:
        """Return the seconds from tracing to the compiled code, of all parts.

        That a GPU's graphs are recorded in the passes after is not in it.
        """
        return float(self._utils.calculate_time_spent().get("entire_frame_compile", 0.0))

    def n_cache_hits(self) -> int:
        """Return how many parts another process had compiled."""
        return int(self._utils.counters["inductor"]["fxgraph_cache_hit"])

    def check_graphs(self) -> None:
        """Raise UnsupportedError if parts that were to run as CUDA graphs do not."""
        if self._n_graphs and (n := self._utils.counters["inductor"]["cudagraph_skips"]):
            raise UnsupportedError(f"torch made no CUDA graph of {n} compiled parts of the model")

    def of_fixed_shape(self, forward: Forward) -> Forward:
        """Return `forward` compiled for the shape that it is first called with; CUDA graphs on a GPU."""
        if not self._on_cuda:
            compiled: Forward = torch.compile(forward, dynamic=False)
            return compiled
        self._n_graphs += 1
        graph = torch.compile(forward, dynamic=False, mode="reduce-overhead")

        @functools.wraps(forward)
        def run(*args: Any, **named: Any) -> Any:
            # What the last run returned is not needed any more: its memory is used again.
            torch.compiler.cudagraph_mark_step_begin()
            return graph(*args, **named)

        return run

    def of_any_shape(self, forward: Forward) -> Forward:
        """Return `forward` compiled once for inputs of all lengths."""
        compiled: Forward = torch.compile(forward, dynamic=True)
        return compiled


def cache_of(folder: Path) -> Path:
    """Return where what is compiled of a model lies: beside its folder."""
    return folder.with_name(f".{folder.name}.compiled")


def compile_encoder(compilation: Compilation, encoder: Any) -> None:
    """Compile an encoder whose inputs differ in their number of rows alone: fewer rows are filled up with silence.

    The longest list of rows is the first. Long audio of a batch ends in different windows, and each number of rows
    would be compiled anew.
    """
    compiled, most = compilation.of_fixed_shape(encoder.forward), 0

    @functools.wraps(encoder.forward)
    def forward(input_features: torch.Tensor, attention_mask: Any = None, **named: Any) -> Any:
        nonlocal most
        # The mask is as long as the audio, and no part of the encoder reads it.
        n_rows = len(input_features)
        most = max(most, n_rows)
        if n_rows < most:
            silence = input_features.new_zeros(most - n_rows, *input_features.shape[1:])
            input_features = torch.cat([input_features, silence])
        heard = compiled(input_features, **named)
        # A copy: a CUDA graph writes over what it returned the last time.
        heard.last_hidden_state = heard.last_hidden_state[:n_rows].clone()
        return heard

    encoder.forward = forward


def compile_decoder(compilation: Compilation, decoder: Any) -> None:
    """Compile the decoder's runs over one token with static caches; the prompt fills them, uncompiled."""
    eager, compiled = decoder.forward, compilation.of_fixed_shape(decoder.forward)

    @functools.wraps(eager)
    def forward(*args: Any, **named: Any) -> Any:
        caches = named["past_key_values"]  # none while a language is looked for
        is_filled = caches is not None and caches.is_updated.get(0)
        return (compiled if is_filled and named["input_ids"].shape[1] == 1 else eager)(*args, **named)

    decoder.forward = forward
