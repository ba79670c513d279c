"""What is spoken, and whether models were told or found out: in a line, as a caution, and errors by language."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from babel import Locale
from markupsafe import Markup

from asrmeter.analysis.cell_parts.languages import DETECTED
from asrmeter.analysis.ranking import StudyRankings
from asrmeter.analysis.results import Candidate
from asrmeter.analysis.table_rows import CELL_KEY, cell_name
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    FEW,
    NARROW_SPACE,
    display_name,
    format_count,
    interval,
    join,
    percent,
    truncate_list,
)
from asrmeter.report.html.table_model import (
    Column,
    Table,
    estimate_entry,
    number_entry,
    quantity,
    table_of,
    text_column,
)
from asrmeter.report.language_rows import worth_telling
from asrmeter.report.terms import WORDS, section_of

# Who is right less often makes errors of its own kind, which readers have to know of.
LEAST_RIGHT = 0.95


@dataclass(frozen=True)
class ByLanguage:
    """Errors by language, and the sentences above: which languages differ."""

    sentences: tuple[Markup, ...]
    table: Table


def language_name(code: str | None, report_language: str, words: Words) -> Markup:
    """Return a language's name in the report's language with its code; the code alone where CLDR has no name."""
    if code is None:
        return words["speech"]["unknown"]
    name = Locale.parse(report_language).languages.get(code)
    return words["speech"]["language"].format(name=name, code=code) if name else Markup("{}").format(code)


def speech_line(cells: Sequence[Row], report_language: str, words: Words, key: str = "") -> Markup:
    """Return what is spoken and how models come to know; nothing where it is not known.

    `key` begins the names of sentences that take their time, such as `method_`; a line names the first languages.
    """
    spoken = _codes(cells, "language")
    if not spoken:
        return Markup()
    named = sorted(language_name(code, report_language, words) for code in spoken)
    names = join(named) if key else truncate_list(named, words)
    if DETECTED not in _codes(cells, "language_told"):
        return words["speech"][f"{key}told"].format(languages=names)
    right = _right(cells).values()
    if not right:
        return words["speech"][f"{key}detected"].format(languages=names)
    low, high = percent(min(right)), percent(max(right))
    shares = low if low == high else f"{interval(min(right), max(right), 100)}{NARROW_SPACE}%"
    return words["speech"][f"{key}detected_right"].format(languages=names, shares=shares)


def detection_caveat(cells: Sequence[Row], words: Words) -> Markup | None:
    """Name the models that take too many segments for another language; None if there are none."""
    wrong = sorted(((1 - right, one) for one, right in _right(cells).items() if right < LEAST_RIGHT), reverse=True)
    if not wrong:
        return None
    said = [words["speech"]["wrong"].format(name=display_name(one), share=percent(share)) for share, one in wrong]
    return words["caveat"]["language_wrong"].format(models=truncate_list(said, words))


def wrong_language(row: Row) -> float | None:
    """Return the share of a cell's segments that its model takes for another language, where that is too many."""
    right = row["language_accuracy"]
    return None if right is None or right >= LEAST_RIGHT else 1 - right


def by_language(rows: Sequence[Row], found: StudyRankings, report_language: str, words: Words) -> ByLanguage | None:
    """Return the errors of each model by language; None where all is one language, which was told.

    `rows` are those of the table `languages`. Of each model those of the cell by which it is compared are shown.
    """
    of_candidate = _compared(rows, found) if worth_telling(rows) else {}
    if not of_candidate:
        return None
    shown = [row for own in of_candidate.values() for row in own]
    names = {row["language"]: language_name(row["language"], report_language, words) for row in shown}
    # The models of a language one below the other.
    ordered = sorted(shown, key=lambda row: (row["language"] is None, names[row["language"]]))
    columns = _columns(ordered, names, words)
    table = table_of("languages", words["speech"]["caption"], columns, ordered, words, source="languages")
    return ByLanguage(tuple(_sentences(of_candidate, report_language, words)), table)


def _codes(cells: Iterable[Row], column: str) -> list[str]:
    """Return the languages that a column of cells names, each once."""
    return sorted({code for row in cells if row[column] for code in row[column].split(", ")})


def _right(cells: Iterable[Row]) -> dict[Candidate, float]:
    """Return for each model and variant that finds out languages in which share of segments it is right."""
    weighed: dict[Candidate, list[tuple[float, int]]] = {}
    for row in cells:
        if row["language_accuracy"] is not None:
            weighed.setdefault((row["model"], row["variant"]), []).append((row["language_accuracy"], row["n_segments"]))
    return {one: sum(share * n for share, n in own) / sum(n for _, n in own) for one, own in weighed.items()}


def _compared(rows: Sequence[Row], found: StudyRankings) -> dict[Candidate, list[Row]]:
    """Return the rows of the cell by which each model is compared, the most accurate model first.

    Where models cannot be compared it is a cell of the class for that, at the smallest batch size.
    """
    cells = {result.candidate: result.cell for result in found.accuracies}
    for row in sorted(rows, key=lambda row: (row["batch_size"], *(str(row[name]) for name in CELL_KEY))):
        if row["duration_s"] == found.duration_s:
            cells.setdefault((row["model"], row["variant"]), cell_name(row))
    own = {one: [row for row in rows if cell_name(row) == cell] for one, cell in cells.items()}
    return {one: found_rows for one, found_rows in own.items() if found_rows}


def _columns(rows: Sequence[Row], names: Mapping[str | None, Markup], words: Words) -> list[Column[Row]]:
    units = {row["error_unit"] for row in rows}
    missing = words["why_null"]

    def why_no_language(row: Row) -> str:
        return missing["language_told"]

    def why(row: Row) -> str:
        return missing["not_scored"]

    counted: list[Column[Row]] = [text_column("error_unit", lambda row: _abbreviation(row, words), "error_unit")]
    characters: list[Column[Row]] = [quantity("cer", why, scale=100)]
    right: list[Column[Row]] = [quantity("language_accuracy", why_no_language, scale=100)]
    return [
        text_column("language", lambda row: names[row["language"]], "language"),
        text_column("model", lambda row: row["model"], "model"),
        text_column("variant", lambda row: row["variant"], "variant"),
        Column("pooled_wer", lambda row: estimate_entry(_rate(row), missing["not_scored"], 100), about=("wer",)),
        *(counted if len(units) > 1 else []),
        *(characters if WORDS in units else []),
        *(right if any(row["language_accuracy"] is not None for row in rows) else []),
        Column("wer_words", lambda row: number_entry(row["n_words"], None, digits=format_count), about=("n_words",)),
        quantity("n_segments", why, digits=format_count),
    ]


def _rate(row: Row) -> Estimate | None:
    return None if row["wer"] is None else Estimate(row["wer"], row["wer_ci_low"], row["wer_ci_high"])


def _abbreviation(row: Row, words: Words) -> str:
    """Return WER or CER, whichever a row has."""
    return words[section_of(row["error_unit"] or WORDS)]["error_rate"]


def _sentences(of_candidate: Mapping[Candidate, Sequence[Row]], report_language: str, words: Words) -> Iterable[Markup]:
    """Yield a sentence for each of the first models that differ between languages by more than their intervals.

    Languages are compared where the same is counted: a share of words says nothing of a share of characters.
    """
    say, pairs, n_comparable = words["speech"], [], 0
    for candidate, rows in of_candidate.items():
        for unit in sorted({row["error_unit"] or WORDS for row in rows}):
            own = [row for row in rows if row["wer_ci_high"] is not None and (row["error_unit"] or WORDS) == unit]
            if len(own) > 1:
                n_comparable += 1
                best, worst = (choose(own, key=lambda row: row["wer"]) for choose in (min, max))
                if best["wer_ci_high"] < worst["wer_ci_low"]:
                    pairs.append((candidate, worst, best))
    for candidate, worst, best in pairs[:FEW]:
        said = {
            end: language_name(row["language"], report_language, words)
            for end, row in (("worst", worst), ("best", best))
        }
        rates = {
            f"{end}_rate": f"{_abbreviation(row, words)} {percent(row['wer'])}"
            for end, row in (("worst", worst), ("best", best))
        }
        yield say["more_errors"].format(name=display_name(candidate), **said, **rates)
    if n_comparable and not pairs:
        yield say["no_difference"]
