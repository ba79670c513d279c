"""What the columns of scores say of themselves, in `cells` and in `transcripts`."""

import pyarrow as pa

from asrmeter.common.table_types import Kind, Source, column
from asrmeter.common.vocabulary import OF_CORPUS

# By the ending of the columns.
NORMALISED_BY = {
    "": "both texts by the normaliser that models are compared by",
    "_plain": "both texts only in lower case and without punctuation",
    OF_CORPUS: "both texts by the corpus' own scoring",
}
_WITHOUT = "the corpus has no scoring of its own"
# What `cells` and `languages` say alike.
LANGUAGE_ACCURACY = "The share of the segments of a known language whose language the first pass over them found."
NONE_FOUND = "models were told the languages, or look for none"
ERROR_UNIT = (
    "What `wer` counts: `words`, or `characters` in languages whose words no spaces part; `words and characters` where "
    "there are such and others."
)
COUNTED = {
    "n_words": ("The words that were said", "words"),
    "n_errors": ("The words that are wrong: substituted, deleted or inserted", "words"),
    "n_substitutions": ("The words that stand for others", "words"),
    "n_deletions": ("The words that were said and not transcribed", "words"),
    "n_insertions": ("The words that were transcribed and not said", "words"),
    "n_characters": ("The characters that were said, a space between words among them", "characters"),
    "n_character_errors": ("The characters that are wrong: substituted, deleted or inserted", "characters"),
}


def score_column(name: str, kind: Kind, meaning: str, ending: str, *, unit: str = "", null_when: str = "") -> pa.Field:
    """Return a column of a score by the normaliser of an ending."""
    reasons = "; or ".join(filter(None, (_WITHOUT if ending == OF_CORPUS else "", null_when)))
    told = f"{meaning}; {NORMALISED_BY[ending]}."
    return column(f"{name}{ending}", kind, told, Source.SCORED, unit=unit, null_when=reasons)
