"""How well a cell transcribed: error rates, and texts that were not the same in every pass."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from asrmeter.common import stats
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import ENDINGS, PHONEMES
from asrmeter.records.header import RecordHeader

# Each rate's numerator and denominator, summed over the segments.
ERROR_RATES = {"wer": ("n_errors", "n_words"), "cer": ("n_character_errors", "n_characters")}

# Why a model whose output are phonemes has no WER.
NO_WORDS = "its output are phonemes, not words"
# Of the segments that a note is about.
_MOST_NAMED = 3


@dataclass(frozen=True)
class Accuracy:
    """The texts of a cell: `passes` are all of its passes, `scored` its rows of the table `transcripts`."""

    passes: Sequence[Row]
    scored: Sequence[Row]

    def normaliser(self, ending: str) -> str | None:
        """Return the normaliser behind the columns with an ending, or those of all languages; None without a score."""
        return "; ".join(sorted({row[name] for row in self.scored if (name := f"normaliser{ending}") in row})) or None

    def count(self, name: str) -> int | None:
        """Return the sum of a column over the segments; None without a score."""
        return sum(row[name] for row in self.scored) if self.scored and name in self.scored[0] else None

    @cached_property
    def error_rates(self) -> dict[str, float | None]:
        """WER and CER over all segments, each with its 95 % bootstrap interval over segments, by column."""
        rates: dict[str, float | None] = {}
        for (rate, (errors, units)), ending in itertools.product(ERROR_RATES.items(), ENDINGS):
            scored = [row for row in self.scored if f"{errors}{ending}" in row]
            value, low, high = error_rate(scored, f"{errors}{ending}", f"{units}{ending}")
            rates |= {f"{rate}{ending}": value, f"{rate}_ci_low{ending}": low, f"{rate}_ci_high{ending}": high}
        return rates

    @property
    def scoring_note(self) -> str | None:
        """Which segments were not scored as the others, and how many these are."""
        noted = [row for row in self.scored if row.get("scoring_note")]
        if not noted:
            return None
        names = ", ".join(row["segment_id"] for row in noted[:_MOST_NAMED]) + (", ..." if noted[_MOST_NAMED:] else "")
        return f"{len(noted)} of {len(self.scored)} segments ({names}): {noted[0]['scoring_note']}"

    @property
    def n_nondeterministic(self) -> int | None:
        """Segments whose text was not the same in every pass; None where none was transcribed twice.

        Greedy decoding repeats itself exactly, but for rounding: that of CUDA, and that of other padding where a
        segment is part of several batches.
        """
        repeated = [texts for texts in texts_of(self.passes).values() if len(texts) > 1]
        return sum(len(set(texts)) > 1 for texts in repeated) if repeated else None


def error_rate(scored: Sequence[Row], errors: str, units: str) -> tuple[float | None, float | None, float | None]:
    """Return errors over units, summed over the segments, and its 95 % bootstrap interval over segments."""
    wrong, total = ([row[name] for row in scored] for name in (errors, units))
    low, high = stats.ratio_interval(wrong, total) or (None, None)
    return ratio(sum(wrong), sum(total)), low, high


def texts_of(passes: Sequence[Row]) -> dict[str, list[str]]:
    """Return the texts of each segment in the order of the passes, of any phase."""
    texts: dict[str, list[str]] = {}
    for entry in passes:
        for segment_id, text in zip(entry["segment_ids"], entry["texts"], strict=True):
            texts.setdefault(segment_id, []).append(text)
    return texts


def wer_note(header: RecordHeader, passes: Sequence[Row]) -> str | None:
    """Return why a cell has no WER, or None if it has one; `passes` are those of all its laps."""
    if header.weights == "random":
        return "random weights transcribe nothing"
    if header.outputs == PHONEMES:
        return NO_WORDS
    if header.segments and not any(segment["text"] for segment in header.segments):
        return "no reference texts"
    n_seen, n_all = len(texts_of(passes)), len(header.segments)
    if n_seen == n_all:
        return None
    # Each lap has its share of the segments: those that lack are of laps that ended early.
    return (
        f"{n_seen} of {n_all} segments were transcribed: laps of it failed; scripts/list_cells.py lists their records, "
        "and --delete has them measured again"
    )
