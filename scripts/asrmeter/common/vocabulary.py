"""Shared vocabulary of records, tables and report: stages, statuses, energy methods, and the work of a decoder."""

from dataclasses import dataclass

# Stages of a pass, in their order.
STAGES = ("features", "encoder", "decoder", "text")
# Parts of a profiled pass: the decoder's layers in detail.
OUTPUT, DECODER_OTHER = "output_layer", "decoder_other"
PROFILE_STAGES = (
    "features",
    "encoder",
    "decoder_self_attention",
    "decoder_cross_attention",
    "decoder_feed_forward",
    OUTPUT,
    DECODER_OTHER,
    "text",
)

# Statuses of a measured cell, and of a cell that could not be measured (see its reason).
MEASURED_STATUS = ("ok", "unconverged")
UNMEASURED_STATUS = ("oom", "timeout", "killed", "error", "unsupported")
# With these statuses the cell certainly cannot run on this machine.
IMPOSSIBLE_STATUS = ("oom", "unsupported")
# Status of a cell, a profile or a machine's peaks whose file is damaged or has an impossible value.
UNREADABLE = "unreadable"
STATUSES = frozenset({*MEASURED_STATUS, *UNMEASURED_STATUS, UNREADABLE})

# Devices of a cell, and kinds of its weights.
DEVICES = frozenset({"cpu", "cuda"})
WEIGHTS = frozenset({"pretrained", "random"})

# Inherent differences between a runtime and the baseline: it computes the features itself, pads them instead of the
# waveform, computes internally in another number format, uses beam search, repeats decoding at a higher temperature,
# skips silence, has another prompt, suppresses other tokens, cuts long audio every 30 s.
DIFFERENCES = (
    "features",
    "padding",
    "activations",
    "beam",
    "fallback",
    "vad",
    "prompt",
    "suppression",
    "windows",
)

# Audio without speech: generated clips (see `corpora.silence`), and recordings of the corpus.
SILENCE_KINDS = ("digital_silence", "white_noise", "hum", "room_tone", "recording")

# Units that the tokens of some models spell instead of words.
PHONEMES = "phonemes"

# Sources of an energy figure: a counter, or a model.
MEASURED_METHODS = frozenset({"rapl", "nvml_counter", "nvml_power"})
MODELLED_METHODS = ("cpu_load_model", "tdp_constant")


# Suffixes of the columns of each normaliser: the one for comparisons, the plain one, and the corpus' own scoring, which
# is null if the corpus has none.
OF_CORPUS = "_corpus"
ENDINGS = ("", "_plain", OF_CORPUS)


@dataclass(frozen=True)
class Errors:
    """Errors of one text against its reference, of words and of characters; a space between words is a character."""

    n_words: int
    n_errors: int
    n_substitutions: int
    n_deletions: int
    n_insertions: int
    n_characters: int
    n_character_errors: int


@dataclass
class DecoderWork:
    """The work of the decoder in a pass, including rows that wait for longer ones.

    Runs, rows summed over the runs, tokens read, and self-attention positions summed over the tokens.
    """

    n_decoder_runs: int = 0
    n_decoder_rows: int = 0
    n_decoder_tokens: int = 0
    n_decoder_positions: int = 0

    def add(self, n_rows: int, n_new: int, n_past: int) -> None:
        """Count a run over `n_new` tokens in each of `n_rows` rows, after `n_past` others."""
        self.n_decoder_runs += 1
        self.n_decoder_rows += n_rows
        self.n_decoder_tokens += n_rows * n_new
        self.n_decoder_positions += n_rows * n_new * (n_past + n_new)
