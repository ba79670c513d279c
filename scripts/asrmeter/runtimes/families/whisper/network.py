"""A Whisper as two functions without caches of their own, for engines that export them. Needs torch and transformers.

The encoder's gives the keys and values that the decoder's cross-attention sees; a step of the decoder takes these and
its own of all tokens before, and gives its own with the new tokens'.
"""

from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.whisper.modeling_whisper import WhisperForConditionalGeneration

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.transformers.loading import network


def load(folder: Path) -> tuple["WhisperEncoder", "WhisperStep"]:
    """Return encoder and decoder of a model folder, in float32, for inference."""
    model = network(
        WhisperForConditionalGeneration, Setup(folder, "whisper", {"dtype": "float32", "attention": "sdpa"})
    )
    return WhisperEncoder(model).eval(), WhisperStep(model).eval()


class WhisperEncoder(torch.nn.Module):
    """From features (rows, mels, frames) to keys and values of each decoder layer's cross-attention.

    Values are (rows, heads, positions, size). Keys are (rows, heads, size, positions), as products need them: else
    each step would transpose them.

    Attributes:
        config: the model's configuration.
    """

    _encoder: Any
    _layers: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config, self._encoder = model.config, model.get_encoder()
        self._layers = model.get_decoder().layers

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return key and value of the first layer, then of the next ones."""
        heard = self._encoder(features).last_hidden_state
        made: list[torch.Tensor] = []
        for layer in self._layers:
            attention = layer.encoder_attn
            key, value = (_by_head(attention, part(heard)) for part in (attention.k_proj, attention.v_proj))
            made += [key.transpose(2, 3), value]
        return tuple(made)


class WhisperStep(torch.nn.Module):
    """From new tokens (rows, new), and keys and values, to scores of the next token and longer keys and values.

    Attributes:
        n_layers: its layers.
        n_heads: heads of each attention.
        head_size: numbers of each head.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        decoder, config = model.get_decoder(), model.config
        self.n_layers, self.n_heads = config.decoder_layers, config.decoder_attention_heads
        self.head_size = config.d_model // config.decoder_attention_heads
        self.embed_tokens, self._positions = decoder.embed_tokens, decoder.embed_positions
        self.layers = torch.nn.ModuleList(_Layer(layer) for layer in decoder.layers)
        self.layer_norm, self.proj_out = decoder.layer_norm, model.proj_out

    def forward(self, tokens: torch.Tensor, rows: torch.Tensor, *caches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the scores of the last token (rows, tokens), and key and value of each layer.

        `rows` are the numbers of the rows, int32: by their choice OpenVINO knows caches, and saves copies of them.
        `caches` are key and value of each layer's self-attention, then those of cross-attention.
        """
        past, cross = caches[: 2 * self.n_layers], caches[2 * self.n_layers :]
        past = tuple(each.index_select(0, rows) for each in past)
        n_past, n_new = past[0].shape[2], tokens.shape[1]
        places = torch.arange(n_past, n_past + n_new)
        seen = torch.arange(n_past + n_new)[None] <= places[:, None]
        hidden = self.embed_tokens(tokens) + self._positions.weight[places]
        made: list[torch.Tensor] = []
        for layer, *own in zip(self.layers, past[::2], past[1::2], cross[::2], cross[1::2], strict=True):
            hidden, *longer = layer(hidden, seen, *own)
            made += longer
        return self.proj_out(self.layer_norm(hidden[:, -1])), *made


class _Layer(torch.nn.Module):
    """A layer of the decoder, of parts whose names the graphs' nodes have."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.self_attn = _Attention(layer.self_attn, layer.self_attn_layer_norm)
        self.encoder_attn = _Attention(layer.encoder_attn, layer.encoder_attn_layer_norm)
        self.final_layer_norm, self.fc1, self.fc2 = layer.final_layer_norm, layer.fc1, layer.fc2
        self.activation_fn = layer.activation_fn

    def forward(self, hidden: torch.Tensor, seen: torch.Tensor, *caches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden, key, value = self.self_attn(hidden, *caches[:2], seen)
        hidden, *_ = self.encoder_attn(hidden, *caches[2:])
        return hidden + self.fc2(self.activation_fn(self.fc1(self.final_layer_norm(hidden)))), key, value


class _Attention(torch.nn.Module):
    """An attention with the norm before it, and the sum after it."""

    def __init__(self, attention: Any, norm: Any) -> None:
        super().__init__()
        self.norm, self.attention = norm, attention

    def forward(
        self, hidden: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        own, normed = self.attention, self.norm(hidden)
        query = _by_head(own, own.q_proj(normed))
        if seen is None:  # cross-attention
            found = ((query * own.scaling) @ key).softmax(dim=-1) @ value
        else:
            key = torch.cat([key, _by_head(own, own.k_proj(normed))], dim=2)
            value = torch.cat([value, _by_head(own, own.v_proj(normed))], dim=2)
            found = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return hidden + own.out_proj(found.transpose(1, 2).flatten(2)), key, value


def _by_head(attention: Any, projected: torch.Tensor) -> torch.Tensor:
    """Return (rows, heads, positions, size) of (rows, positions, width)."""
    n_rows, n_positions, _ = projected.shape
    return projected.view(n_rows, n_positions, attention.num_heads, attention.head_dim).transpose(1, 2)
