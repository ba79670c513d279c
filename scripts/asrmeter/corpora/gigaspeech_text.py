"""GigaSpeech's texts: tags, and the rules of its own scoring."""

# Raise when `words`, `official` or `without_fillers` change the result for any text.
RULES_VERSION = 1
# The corpus' own scoring leaves these out (utils/gigaspeech_scoring.py of SpeechColab/GigaSpeech at 44289e4).
PUNCTUATION = frozenset({"<COMMA>", "<PERIOD>", "<QUESTIONMARK>", "<EXCLAMATIONPOINT>"})
GARBAGE = frozenset({"<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"})
UNKNOWN = frozenset({"<UNK>", "<unk>"})
FILLERS = frozenset({"UH", "UHH", "UM", "EH", "MM", "HM", "AH", "HUH", "HA", "ER", "OOF", "HEE", "ACH", "EEE", "EW"})


def words(text: str) -> str:
    """Return the words of a text, without tags."""
    return " ".join(word for word in text.split() if word not in PUNCTUATION | GARBAGE | UNKNOWN)


def official(text: str) -> str:
    """Return a text as the corpus' own scoring compares it: upper case, split at hyphens, without tags and fillers.

    Digits and punctuation that a model writes stay, and count as errors.
    """
    spoken = words(text.upper().replace("-", " ")).split()
    return " ".join(word for word in spoken if word not in FILLERS)


def without_fillers(normalised: str) -> str:
    """Return a normalised text without the fillers that the corpus' own scoring leaves out."""
    return " ".join(word for word in normalised.split() if word.upper() not in FILLERS)
