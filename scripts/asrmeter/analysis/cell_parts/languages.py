"""Which languages a cell heard, was told and found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from asrmeter.common.languages import has_spaces
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row
from asrmeter.records.header import Segment

# Stands for the language that was told where the model finds it out.
DETECTED = "detected"
# Older records do not say a segment's language: all of them are of English, and told so.
_OLDER = "en"


@dataclass(frozen=True)
class Languages:
    """The languages of a cell's segments; `passes` are all of its passes."""

    segments: Sequence[Segment]
    passes: Sequence[Row]

    @cached_property
    def rows(self) -> list[Row]:
        """What is spoken in each segment, what the model was told, and what it found, as `transcripts` has them."""
        found = found_in(self.passes)
        return [of_segment(segment, found) for segment in self.segments]

    @property
    def spoken(self) -> str | None:
        """The languages that are spoken; None where nobody knows."""
        return _listed(row["language"] for row in self.rows)

    @property
    def told(self) -> str | None:
        """The languages that the model was told; None without segments."""
        return _listed(row["language_told"] or DETECTED for row in self.rows)

    @property
    def accuracy(self) -> float | None:
        """The share of segments whose language was found; None where it was looked for in none."""
        return accuracy(self.rows)

    @property
    def error_unit(self) -> str | None:
        """What errors are counted in; None without segments."""
        return error_unit(row["language"] for row in self.rows)


def of_segment(segment: Segment, found: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the columns of a segment's languages; `found` is what the model found by the names of segments."""
    return {
        "language": segment.get("language", _OLDER),
        "language_told": segment.get("language_told", _OLDER),
        "language_found": found.get(segment["segment_id"]),
    }


def accuracy(rows: Iterable[Row]) -> float | None:
    """Return the share of rows of known language whose language the model found, of those where it looked for one."""
    looked = [row for row in rows if row["language"] is not None and row["language_found"] is not None]
    return ratio(sum(row["language"] == row["language_found"] for row in looked), len(looked))


def error_unit(languages: Iterable[str | None]) -> str | None:
    """Return what the errors of texts in some languages are counted in; None without any."""
    units = {"words" if has_spaces(language) else "characters" for language in languages}
    return " and ".join(sorted(units, reverse=True)) or None


def found_in(passes: Iterable[Row]) -> dict[str, str | None]:
    """Return the language that the first pass over a segment found, by the segment's name."""
    found: dict[str, str | None] = {}
    for entry in passes:
        ids = entry["segment_ids"]
        for name, language in zip(ids, entry.get("languages") or [None] * len(ids), strict=True):
            found.setdefault(name, language)
    return found


def _listed(languages: Iterable[str | None]) -> str | None:
    return ", ".join(sorted(set(filter(None, languages)))) or None
