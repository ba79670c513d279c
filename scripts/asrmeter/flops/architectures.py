"""Count the parts of a model from its configuration alone, as its family states them.

All layers of a stack but the first are alike, so the work is linear in their number. A model is counted with one layer
and with two, which takes seconds; all layers of a large model would take minutes.

Feature extraction is not counted: it is not part of the network, and takes about a thousandth of its work.
"""

import copy
import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from asrmeter.flops.counting import META, Count, count
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.families.base import Operations


@dataclass(frozen=True)
class Decoder:
    """The work of a decoder with caches, in MAC a sequence.

    A run over n new tokens whose self-attention sees p positions (earlier and new ones) takes
    n * `per_token` + n * p * `per_position`. Each window takes `cross_kv` once, for the keys and values of the
    encoder's output. `per_token` includes the output layer. `not_counted` names operators, and `agrees` says whether
    torch's counter agrees.
    """

    per_token: int
    per_position: int
    cross_kv: int
    not_counted: tuple[str, ...]
    agrees: bool

    def run(self, n_new: int, n_positions: int) -> int:
        """Return the MAC of one run over `n_new` tokens, without the cross-attention's keys and values."""
        return n_new * (self.per_token + n_positions * self.per_position)

    def transcript(self, n_prompt: int, n_steps: int) -> int:
        """Return the MAC of a window: its keys and values, the prompt in one run, then `n_steps` tokens one by one."""
        steps = sum(self.run(1, n_prompt + step) for step in range(1, n_steps + 1))
        return self.cross_kv + self.run(n_prompt, n_prompt) + steps


class Architecture:
    """A model without weights, from the content of its config.json. Its family says what is run."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.family = family_of(config)
        kind = self.family.network_class(config["model_type"])
        with META:
            self.model = kind(kind.config_class.from_dict(dict(config)))
        self.model.eval()
        self.encoder_operations = self.family.encoder_operations(self.model)
        self.decoder_operations = self.family.decoder_operations(self.model)
        self._encoder = cache(lambda n_samples: self._count(self.encoder_operations, n_samples))
        self.decoder = cache(self._decoder)

    def encoder(self, n_samples: int) -> Count:
        """Count one run of the encoder over `n_samples` of audio (16 kHz), or over a window if it hears windows.

        The output layer of a model without a decoder is included.
        """
        return self._encoder(self.family.heard_samples(n_samples))

    def _count(self, part: Operations, length: int) -> Count:
        """Count a run of a part; `length` is that of `Operations.run`."""
        n_layers = operator.attrgetter(part.layers)(self.model.config)
        if n_layers <= 2:
            return count(*part.run(length))
        one, two = (count(*type(part)(model).run(length)) for model in self._shallow)
        return one.with_layers(two, n_layers)

    @cached_property
    def _shallow(self) -> list[Any]:
        """The model with one layer, and with two."""
        models = []
        for n_layers in (1, 2):
            config = copy.deepcopy(self.model.config)
            for part in filter(None, (self.encoder_operations, self.decoder_operations)):
                *parents, name = part.layers.split(".")
                setattr(functools.reduce(getattr, parents, config), name, n_layers)
            with META:
                models.append(type(self.model)(config).eval())
        return models

    def _decoder(self) -> Decoder | None:
        """Count the decoder with its output layer; None if there is none."""
        if self.decoder_operations is None:
            return None
        # The work is linear in the positions. The first run also makes the keys and values of the encoder's output.
        first, second, third = (self._count(self.decoder_operations, n_past) for n_past in range(3))
        per_position = third.total_macs - second.total_macs
        per_token = second.total_macs - 2 * per_position
        cross_kv = first.total_macs - per_token - per_position
        agrees = first.agrees and second.agrees and third.agrees
        return Decoder(per_token, per_position, cross_kv, second.not_counted, agrees)
