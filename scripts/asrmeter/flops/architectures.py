"""Count the parts of a model from its configuration alone: encoder, decoder, output layer.

All layers of a stack but the first are alike, so the work is linear in their number. A model is counted with one layer
and with two, which takes seconds; all layers of a large model would take minutes.

Feature extraction is not counted: it is not part of the network, and takes about a thousandth of its work.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.models.whisper.configuration_whisper import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperForConditionalGeneration

from asrmeter.flops import formulas
from asrmeter.flops.counting import META, Count, count
from asrmeter.runtimes import family_of
from asrmeter.runtimes.transformers.ctc import network_class


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
    """A model without weights, from the content of its config.json."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.family = family_of(config)
        with META:
            if self.family == "whisper":
                self.model: Any = WhisperForConditionalGeneration(WhisperConfig.from_dict(dict(config)))
            else:
                kind = network_class(config["model_type"])
                self.model = kind(kind.config_class.from_dict(dict(config)))
        self.model.eval()
        self.config = self.model.config
        self.decoder = cache(self._decoder)
        self._ctc = cache(self._ctc_run)

    def encoder(self, n_samples: int) -> Count:
        """Count one run of the encoder over `n_samples` of audio (16 kHz); Whisper's always sees 30 s.

        The head of a CTC model is included.
        """
        return self._window if self.family == "whisper" else self._ctc(n_samples)

    @cached_property
    def _window(self) -> Count:
        shape = (1, self.config.num_mel_bins, 2 * self.config.max_source_positions)
        windows = (torch.zeros(shape, device=META),)
        return self._over_layers(self.config.encoder_layers, lambda model: count(model.get_encoder(), windows))

    def _ctc_run(self, n_samples: int) -> Count:
        waveforms = (torch.zeros((1, n_samples), device=META),)
        return self._over_layers(self.config.num_hidden_layers, lambda model: count(model, waveforms))

    def _over_layers(self, n_layers: int, counted: Callable[[Any], Count]) -> Count:
        if n_layers <= 2:
            return counted(self.model)
        one, two = map(counted, self._shallow)
        return one.with_layers(two, n_layers)

    @cached_property
    def _shallow(self) -> list[Any]:
        """The model with one layer, and with two."""
        names = ("encoder_layers", "decoder_layers") if self.family == "whisper" else ("num_hidden_layers",)
        models = []
        for n_layers in (1, 2):
            config = copy.deepcopy(self.config)
            for name in names:
                setattr(config, name, n_layers)
            with META:
                models.append(type(self.model)(config).eval())
        return models

    def _decoder(self) -> Decoder | None:
        """Count the decoder with its output layer; None for a CTC model."""
        if self.family != "whisper":
            return None
        token = torch.zeros((1, 1), dtype=torch.int64, device=META)

        def run_after(n_past: int) -> Count:
            return self._over_layers(
                self.config.decoder_layers, lambda model: count(_DecoderRun(model, n_past), (token,))
            )

        # The work is linear in the positions. The first run also makes the keys and values of the encoder's output.
        first, second, third = map(run_after, range(3))
        per_position = third.total_macs - second.total_macs
        per_token = second.total_macs - 2 * per_position
        cross_kv = first.total_macs - per_token - per_position
        agrees = first.agrees and second.agrees and third.agrees
        return Decoder(per_token, per_position, cross_kv, second.not_counted, agrees)

    def closed_encoder_macs(self, n_samples: int) -> int | None:
        """Return the MAC of `encoder` by the closed formula, None if there is none."""
        if self.family == "whisper":
            return formulas.whisper_encoder_macs(self.config)
        return formulas.ctc_macs(self.config, n_samples)

    def encoder_elements(self, n_samples: int) -> int:
        """Return how many numbers one run of the encoder reads and writes."""
        if self.family == "whisper":
            n_positions = self.config.max_source_positions
            return int(n_positions * (2 * self.config.num_mel_bins + self.config.d_model))
        n_frames = int(self.model._get_feat_extract_output_lengths(torch.tensor(n_samples)))
        return n_samples + n_frames * int(self.config.vocab_size)

    @property
    def encoder_parameters(self) -> int:
        """Weights that a run of the encoder reads; all weights of a CTC model, as its head counts as encoder."""
        return _size(self.model.get_encoder() if self.family == "whisper" else self.model)

    @property
    def decoder_parameters(self) -> int | None:
        """Weights that a run of the decoder with its output layer reads.

        Without the embeddings, of which it reads a row, and without the weights that make the encoder's keys and
        values, which are used once a window.
        """
        if self.family != "whisper":
            return None
        decoder = self.model.get_decoder()
        once = [part for layer in decoder.layers for part in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)]
        layers = _size(decoder.layers) + _size(decoder.layer_norm) + _size(self.model.proj_out)
        return layers - sum(map(_size, once))

    @property
    def kv_elements(self) -> int | None:
        """Numbers that the caches of keys and values hold for each position, in all layers of the decoder."""
        return 2 * self.config.decoder_layers * self.config.d_model if self.family == "whisper" else None


def _size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class _DecoderRun(torch.nn.Module):
    """A run of Whisper's decoder over one token after `n_past` others, with filled caches."""

    def __init__(self, model: Any, n_past: int) -> None:
        super().__init__()
        self._model, self._n_past = model, n_past
        config = model.config
        self._encoded = torch.zeros((1, config.max_source_positions, config.d_model), device=META)

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        caches = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for layer in range(self._model.config.decoder_layers if self._n_past else 0):
            for cache_, n_positions in (
                (caches.self_attention_cache, self._n_past),
                (caches.cross_attention_cache, self._model.config.max_source_positions),
            ):
                cache_.update(self._states(n_positions), self._states(n_positions), layer)
            caches.is_updated[layer] = True
        decoded = self._model.get_decoder()(
            input_ids=token, encoder_hidden_states=self._encoded, past_key_values=caches, use_cache=True
        )
        scores: torch.Tensor = self._model.proj_out(decoded.last_hidden_state)
        return scores

    def _states(self, n_positions: int) -> torch.Tensor:
        config = self._model.config
        n_heads = config.decoder_attention_heads
        return torch.zeros((1, n_heads, n_positions, config.d_model // n_heads), device=META)
