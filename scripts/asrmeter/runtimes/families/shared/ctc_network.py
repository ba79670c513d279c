"""The network of a CTC model as one function of a batch, for engines that export it. Needs torch and transformers."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrmeter.common.errors import one_line
from asrmeter.runtimes.base import Setup, UnsupportedError
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.families.shared.ctc_features import Batch, CtcFeatures
from asrmeter.runtimes.families.shared.ctc_greedy import CONFIG, MASK, VALUES, n_frames, shortest_input
from asrmeter.runtimes.transformers.loading import network

_KEPT = (
    *("model_type", "vocab_size", "pad_token_id", "conv_kernel", "conv_stride", "squeeze_factor"),
    *("add_adapter", "num_adapter_layers", "adapter_stride"),
)
# By so much of the largest score an engine's scores may differ.
_NOISE = 1e-3


class CtcNetwork(torch.nn.Module):
    """A network from a batch to scores, in float32, for inference.

    Attributes:
        is_masked: whether it gets a mask.
        config: its configuration.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.is_masked = CtcFeatures.of_folder(folder).is_masked
        own = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = family_of(own).network_class(own["model_type"])
        options = {"dtype": "float32", "attention": "sdpa"}
        self._model = network(kind, Setup(folder, "ctc", options))
        told: Mapping[str, Any] = self._model.config.to_dict()
        self.config = {key: told[key] for key in _KEPT if key in told} | {
            "vocab_size": self._model.lm_head.out_features
        }
        self.eval()

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the scores (rows, frames, tokens)."""
        scores: torch.Tensor = self._model(values, attention_mask=mask).logits
        return scores

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what goes in."""
        return (VALUES, MASK) if self.is_masked else (VALUES,)

    def example(self, n_rows: int, n_samples: int) -> tuple[torch.Tensor, ...]:
        """Return a batch of noise of which every other row is padded."""
        generator = torch.Generator().manual_seed(n_samples)
        values = torch.randn((n_rows, n_samples), generator=generator)
        mask = torch.ones((n_rows, n_samples), dtype=torch.int64)
        mask[1::2, n_samples * 2 // 3 :] = 0
        return (values, mask) if self.is_masked else (values,)

    def write_config(self, target: Path) -> None:
        """Write what the runtime has to know into the folder `target`."""
        (target / CONFIG).write_text(json.dumps(self.config, indent=2) + "\n", encoding="utf-8")

    def check(self, run: Callable[[Batch], np.ndarray]) -> None:
        """Raise UnsupportedError unless an engine's graph has this network's scores for batches of other sizes.

        What depends on a size may have become a constant when the network was traced.
        """
        for batch in self._other_batches():
            with torch.inference_mode():
                expected = self(*batch).numpy()
            values, mask = batch[0].numpy(), batch[1].numpy() if self.is_masked else None
            found = run(Batch(values, mask))
            is_equal = (
                found.shape == expected.shape and np.abs(found - expected).max() <= _NOISE * np.abs(expected).max()
            )
            frames = n_frames(self.config, values.shape[1])
            if not is_equal or frames != expected.shape[1]:
                raise UnsupportedError(f"the graph of this {self.config['model_type']} model has other scores")

    def _other_batches(self) -> Iterator[tuple[torch.Tensor, ...]]:
        n_samples = example_samples(self.config)
        for n_rows, part in ((1, 0.7), (3, 1.3)):
            yield self.example(n_rows, int(part * n_samples))


def example_samples(config: Mapping[str, Any]) -> int:
    """Return the samples of an example: some ten frames at least, half a second."""
    return max(8000, 20 * shortest_input(config))


def refused(error: Exception, network: CtcNetwork) -> UnsupportedError:
    """Return what is said of a model that an exporter cannot export."""
    return UnsupportedError(f"a {network.config['model_type']} model cannot be exported: {one_line(error)}")
