"""What is counted of a Whisper, its closed formulas, and what the 2025 study printed. 1 MAC = 2 FLOP."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from asrmeter.runtimes.families.base import DecoderOperations, EncoderOperations

if TYPE_CHECKING:
    from asrmeter.runtimes.families.base import Run


class WhisperEncoder(EncoderOperations):
    """The encoder, which always sees one whole window."""

    layers = "encoder_layers"
    edlm2025_unit = "GFLOP"

    def run(self, length: int) -> "Run":
        """See `Operations`."""
        shape = (1, self.config.num_mel_bins, 2 * self.config.max_source_positions)
        return self.model.get_encoder(), (torch.zeros(shape, device="meta"),)

    def weights(self) -> Iterator[torch.nn.Parameter]:
        """See `Operations`."""
        return self.model.get_encoder().parameters()

    def elements(self, n_samples: int) -> int:
        """See `EncoderOperations`."""
        return int(self.config.max_source_positions * (2 * self.config.num_mel_bins + self.config.d_model))

    def closed_macs(self, length: int) -> int:
        """Return the MAC of Whisper's encoder over one window.

        Two convolutions (3 wide, the second with a stride of 2) over 2 n frames, then L layers over n positions: four
        projections of d x d, two of d x f, and attention's scores and weighted sum, n^2 d each.
        """
        config = self.config
        n, d, f = config.max_source_positions, config.d_model, config.encoder_ffn_dim
        stem = 2 * n * config.num_mel_bins * 3 * d + n * 3 * d * d
        return int(stem + config.encoder_layers * (n * (4 * d * d + 2 * d * f) + 2 * n * n * d))

    def edlm2025(self, n_macs: int, n_normalised: int) -> int:
        """Return what the 2025 study printed for Whisper's encoder.

        It is twice the MAC of linear layers, convolutions, and four operations for every normalised element, as thop
        counts them. The products of attention are missing.
        """
        return 2 * (n_macs + 4 * n_normalised)


class WhisperDecoder(DecoderOperations):
    """The decoder with its output layer, which reads one token."""

    layers = "decoder_layers"

    def run(self, length: int) -> "Run":
        """See `Operations`. The first run, after no token, also makes the keys and values of the encoder's output."""
        token = torch.zeros((1, 1), dtype=torch.int64, device="meta")
        return _DecoderRun(self.model, length), (token,)

    def weights(self) -> Iterator[torch.nn.Parameter]:
        """Yield the weights that a run reads.

        Without the embeddings, of which it reads a row, and without the weights that make the encoder's keys and
        values, which are used once a window.
        """
        decoder = self.model.get_decoder()
        once = {
            id(weight)
            for layer in decoder.layers
            for part in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)
            for weight in part.parameters()
        }
        for part in (decoder.layers, decoder.layer_norm, self.model.proj_out):
            yield from (weight for weight in part.parameters() if id(weight) not in once)

    @property
    def kv_elements(self) -> int:
        """See `DecoderOperations`."""
        return int(2 * self.config.decoder_layers * self.config.d_model)

    @property
    def cross_positions(self) -> int:
        """See `DecoderOperations`."""
        return int(self.config.max_source_positions)

    def closed_macs(self, length: int) -> int:
        """Return the MAC of Whisper's decoder for one token whose self-attention sees `length` positions.

        In each of L layers: six projections of d x d (those of the encoder's keys and values run once a window), two of
        d x f, self-attention over the positions, and cross-attention over the n positions of the encoder. Then the
        output layer, d x vocabulary.
        """
        config = self.config
        d, f, n = config.d_model, config.decoder_ffn_dim, config.max_source_positions
        layer = 6 * d * d + 2 * d * f + 2 * length * d + 2 * n * d
        return int(config.decoder_layers * layer + d * config.vocab_size)

    def closed_cross_kv_macs(self) -> int:
        """Return the MAC of the cross-attention's keys and values, made once a window in every layer of the decoder."""
        config = self.config
        return int(2 * config.decoder_layers * config.max_source_positions * config.d_model**2)

    def edlm2025_step_flop(self) -> int:
        """Return what the 2025 study printed for one step of Whisper's decoder: 24 d^2 L.

        It is twice the MAC of self-attention's four projections and of the feed-forward layers (4 d wide).
        Cross-attention, attention's products and the output layer are missing.
        """
        return int(24 * self.config.d_model**2 * self.config.decoder_layers)


class _DecoderRun(torch.nn.Module):
    """A run of Whisper's decoder over one token after `n_past` others, with filled caches."""

    def __init__(self, model: Any, n_past: int) -> None:
        super().__init__()
        self._model, self._n_past = model, n_past
        config = model.config
        self._encoded = torch.zeros((1, config.max_source_positions, config.d_model), device="meta")

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
        return torch.zeros((1, n_heads, n_positions, config.d_model // n_heads), device="meta")
