"""Closed formulas: one set that counts are checked against, and one behind the 2025 study's numbers.

They need a model's configuration and no library. All are in MAC unless the name says FLOP; 1 MAC = 2 FLOP.
"""

from typing import Any

from asrmeter.flops.counting import CONVOLUTION, LINEAR, Count

# model types of transformers with the architecture of wav2vec 2.0.
_LIKE_WAV2VEC2 = ("wav2vec2", "hubert", "unispeech", "unispeech-sat")


def whisper_encoder_macs(config: Any) -> int:
    """Return the MAC of Whisper's encoder over one window.

    Two convolutions (3 wide, the second with a stride of 2) over 2 n frames, then L layers over n positions: four
    projections of d x d, two of d x f, and attention's scores and weighted sum, n^2 d each.
    """
    n, d, f = config.max_source_positions, config.d_model, config.encoder_ffn_dim
    stem = 2 * n * config.num_mel_bins * 3 * d + n * 3 * d * d
    return int(stem + config.encoder_layers * (n * (4 * d * d + 2 * d * f) + 2 * n * n * d))


def whisper_decoder_macs(config: Any, n_positions: int) -> int:
    """Return the MAC of Whisper's decoder for one token whose self-attention sees `n_positions`, output layer included.

    In each of L layers: six projections of d x d (those of the encoder's keys and values run once a window), two of
    d x f, self-attention over the positions, and cross-attention over the n positions of the encoder. Then d x
    vocabulary.
    """
    d, f, n = config.d_model, config.decoder_ffn_dim, config.max_source_positions
    layer = 6 * d * d + 2 * d * f + 2 * n_positions * d + 2 * n * d
    return int(config.decoder_layers * layer + d * config.vocab_size)


def whisper_cross_kv_macs(config: Any) -> int:
    """Return the MAC of the cross-attention's keys and values, made once a window in every layer of the decoder."""
    return int(2 * config.decoder_layers * config.max_source_positions * config.d_model**2)


def ctc_macs(config: Any, n_samples: int) -> int | None:
    """Return the MAC of a CTC model with its head over `n_samples`; None if its architecture is not wav2vec 2.0's."""
    if config.model_type not in _LIKE_WAV2VEC2 or getattr(config, "add_adapter", False):
        return None
    d, f, n, channels, stem = config.hidden_size, config.intermediate_size, n_samples, 1, 0
    for width, kernel, stride in zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True):
        n = (n - kernel) // stride + 1
        stem += n * channels * width * kernel
        channels = width
    # The positional convolution is padded on both sides. An even kernel gives one frame more, which is cut off.
    kernel = config.num_conv_pos_embeddings
    positions = (n + 1 - kernel % 2) * d * (d // config.num_conv_pos_embedding_groups) * kernel
    layers = config.num_hidden_layers * (n * (4 * d * d + 2 * d * f) + 2 * n * n * d)
    return int(stem + n * channels * d + positions + layers + n * d * config.vocab_size)


def edlm2025_whisper_encoder_flop(counted: Count) -> int:
    """Return what the 2025 study printed for Whisper's encoder.

    It is twice the MAC of linear layers, convolutions, and four operations for every normalised element, as thop counts
    them. The products of attention are missing.
    """
    return 2 * (counted.macs[LINEAR] + counted.macs[CONVOLUTION] + 4 * counted.normalised)


def edlm2025_ctc_macs(counted: Count) -> int:
    """Return what the 2025 study printed for wav2vec 2.0 as GFLOPS, although it is MAC.

    It is the MAC of linear layers and convolutions, and fvcore's five operations for every normalised element. The
    products of attention are missing.
    """
    return counted.macs[LINEAR] + counted.macs[CONVOLUTION] + 5 * counted.normalised


def edlm2025_decoder_flop(config: Any) -> int:
    """Return what the 2025 study printed for one step of Whisper's decoder: 24 d^2 L.

    It is twice the MAC of self-attention's four projections and of the feed-forward layers (4 d wide). Cross-attention,
    attention's products and the output layer are missing.
    """
    return int(24 * config.d_model**2 * config.decoder_layers)
