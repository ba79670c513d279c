"""What a cell computed in a pass, padding included. 1 MAC = 2 FLOP."""

from dataclasses import dataclass
from functools import cached_property

from asrmeter.analysis.cell_parts.content import Content
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row

# The decoder's work is the sum of these, times the counts of windows, tokens and positions.
_DECODER_MACS = ("cross_kv_mac_per_window", "decoder_mac_per_token", "decoder_mac_per_position")


@dataclass(frozen=True)
class Work:
    """The work of a cell's passes; `flops` is its row of that table, empty if nothing was counted."""

    weights: str
    content: Content
    flops: Row

    @property
    def has_decoder(self) -> bool | None:
        """Whether a decoder writes the text token by token; None where the model's family is not known."""
        return self.flops.get("has_decoder")

    @property
    def encoder_padding_share(self) -> float | None:
        """Share of the seconds that the encoder processed in the timed passes beyond those of the audio.

        That is padding, and the overlap of windows. Never below 0: long-form decoding may stop before the audio does.
        None where the record does not have it.
        """
        if any(entry.get("processed_s") is None for entry in self.content.passes):
            return None
        audio_s = self.content.per_pass(lambda entry: entry["audio_s"])
        audio_share = ratio(audio_s, self.content.sum_per_pass("processed_s"))
        return None if audio_share is None else max(0.0, 1 - audio_share)

    def decoder_per_pass(self, name: str) -> float | None:
        """Return a field of `DecoderWork`, the mean of the timed passes; None where the record does not have it."""
        if any(entry.get(name) is None for entry in self.content.passes):
            return None
        return self.content.per_pass(lambda entry: entry[name])

    @property
    def decoder_padding_share(self) -> float | None:
        """Share of the decoder's rows whose text had already ended: a batch runs until its longest text ends.

        A row needs one run for each token of its text, one that reads the prompt, and one before if its language is
        looked for. None where the encoder heard several windows of a segment: timestamps of a long form are not in the
        text. None where there is no decoder. With random weights all rows take the same number of runs.
        """
        rows = self.decoder_per_pass("n_decoder_rows")
        if rows and self.weights == "random":
            return 0.0
        n_tokens = self.content.sum_per_pass("n_tokens")
        if not rows or n_tokens is None or self._n_windows != self._n_segments:
            return None
        n_found = self.content.per_pass(lambda entry: sum(each is not None for each in entry.get("languages") or ()))
        return max(0.0, 1 - (n_tokens + self._n_segments + (n_found or 0.0)) / rows)

    @property
    def _n_segments(self) -> float:
        return self.content.per_pass(lambda entry: len(entry["segment_ids"])) or 0.0

    @property
    def _n_windows(self) -> float | None:
        return self.content.sum_per_pass("n_windows")

    @cached_property
    def encoder_gflop(self) -> float | None:
        """What the encoder computes in a pass, padding included; without a decoder, the output layer is in it."""
        per_window = self.flops.get("encoder_mac_per_window")
        return None if per_window is None or self._n_windows is None else 2e-9 * per_window * self._n_windows

    @cached_property
    def decoder_gflop(self) -> float | None:
        """What the decoder computes in a pass, padding and the keys and values of each window included.

        None where there is no decoder, or the record does not have what it was run on.
        """
        tokens, positions = (self.decoder_per_pass(f"n_decoder_{name}") for name in ("tokens", "positions"))
        counts = (self._n_windows, tokens, positions)
        if self.flops.get("decoder_mac_per_token") is None or None in counts:
            return None
        macs = [self.flops[name] for name in _DECODER_MACS]
        return 2e-9 * sum(n * mac for n, mac in zip(counts, macs, strict=True) if n is not None)

    @property
    def gflop(self) -> float | None:
        """What a pass computes; None where a part of it is not known."""
        if self.has_decoder is False or self.encoder_gflop is None:
            return self.encoder_gflop
        return None if self.decoder_gflop is None else self.encoder_gflop + self.decoder_gflop

    @property
    def gflop_note(self) -> str | None:
        """Why there is no count of floating-point operations."""
        if self.gflop is not None:
            return None
        if not self.content.passes:
            return "no pass was timed"
        if self._n_windows is None:
            return "its runtime does not say how many windows it ran"
        return self.flops.get("note") or "the record does not say what the decoder was run on; measure it again"
