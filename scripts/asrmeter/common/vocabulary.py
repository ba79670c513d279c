"""The words that records, tables and report share: stages, statuses, energy methods, and what a decoder was run on."""

from dataclasses import dataclass

# Parts of a pass, in their order.
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

# Statuses of a cell that was measured, and of one that could not be: its reason says why.
MEASURED_STATUS = ("ok", "unconverged")
UNMEASURED_STATUS = ("oom", "timeout", "killed", "error", "unsupported")
# Of these it is known that the cell cannot run on this machine; of the others it is not.
IMPOSSIBLE_STATUS = ("oom", "unsupported")
# Stands for the status of a cell, a profile or a machine's rates whose file is damaged, or has a value that cannot be.
UNREADABLE = "unreadable"
STATUSES = frozenset({*MEASURED_STATUS, *UNMEASURED_STATUS, UNREADABLE})

# What a cell runs on, and what its weights are.
DEVICES = frozenset({"cpu", "cuda"})
WEIGHTS = frozenset({"pretrained", "random"})

# What differs by nature between a runtime and the baseline: it computes the features itself, pads them and not the
# waveform, computes inside in another number format, searches with beams, decodes again at a higher temperature, leaves
# out what it takes for silence, has another prompt, suppresses other tokens, cuts long audio every 30 s.
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

# Audio in which nobody speaks: made (see `corpora.silence`), and recordings of the corpus.
SILENCE_KINDS = ("digital_silence", "white_noise", "hum", "room_tone", "recording")

# What the tokens of some models spell instead of words.
PHONEMES = "phonemes"

# Where a figure of energy came from: a counter, or a model.
MEASURED_METHODS = frozenset({"rapl", "nvml_counter", "nvml_power"})
MODELLED_METHODS = ("cpu_load_model", "tdp_constant")


# Endings of the columns that each normaliser fills: the one by which models are compared, the plainest one, and what a
# corpus' own scoring makes of the texts; null where the corpus has none.
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
    """What the decoder of a pass was run on, rows that wait for longer ones included.

    Runs, rows summed over the runs, tokens that it read, and positions that self-attention saw summed over the tokens.
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
