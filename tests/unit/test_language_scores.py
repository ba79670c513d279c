"""Scores by language: a folder of several languages, counted by hand."""

from pathlib import Path
from typing import Any

import pytest
from test_tables import FLOPS, STUDY, UNMEASURED, a_header, a_pass

from asrmeter.analysis import cells_table, languages_table
from asrmeter.analysis.cell_parts.languages import of_segment
from asrmeter.analysis.normalisers import ByLanguage, normalisers
from asrmeter.analysis.normalisers import basic as basic_of
from asrmeter.common import parquet
from asrmeter.records import cell_record
from asrmeter.report.text.main_tables import main_tables
from asrmeter.sources.packages import Archives

# No text is English, so that no archive is read.
BY_LANGUAGE: ByLanguage = normalisers(Archives(Path("none")), "folder")


def segment(name: str, text: str, language: str | None, told: str | None = None) -> dict[str, Any]:
    return {
        **{"segment_id": name, "text": text, "audio_s": 4.0, "sha256": name},
        **{"language": language, "language_told": told},
    }


SEGMENTS = [
    segment("a", "Ещё 2 дома", "ru"),
    segment("b", "Кто там?", "ru"),
    segment("c", "我爱北京", "zh"),
    segment("d", "hello there", None),
]
TEXTS = {"a": "еще два дом", "b": "кто там", "c": "我爱南京。", "d": "Hello!"}
FOUND = {"a": "ru", "b": "uk", "c": "zh", "d": "en"}


def gathered(folder: Path, segments: list[dict[str, Any]], found: dict[str, str] | None) -> dict[str, Any]:
    """Return the tables of one cell that heard the segments; the other cell of the study failed."""
    names = [[one["segment_id"] for one in segments[i : i + 2]] for i in range(0, len(segments), 2)]
    passes = [
        a_pass(1.0, ids, [TEXTS[name] for name in ids])
        | {"batch": number, "languages": found and [found[name] for name in ids]}
        for number, ids in enumerate(names)
    ]
    # Another pass found something else: the first one counts.
    passes.append(passes[0] | {"round": 1, "languages": found and ["fr"] * len(names[0])})
    records = {"whisper-base": (a_header("whisper-base", segments=segments), passes), **UNMEASURED}
    for model, record in records.items():
        cell_record.write(folder / f"{model}/fp32/cpu/5s-b2/lap1.parquet", *record)
    made = cells_table.gather(STUDY, folder, BY_LANGUAGE, FLOPS)
    made["languages"] = languages_table.table(made)
    rows = {name: table.to_pylist() for name, table in made.items()}
    (rows["cell"],) = (row for row in rows["cells"] if row["model"] == "whisper-base")
    parquet.write({"languages": made["languages"]}, folder)
    return rows


def test_each_language_is_counted_in_its_own_unit(tmp_path: Path) -> None:
    made = gathered(tmp_path, SEGMENTS, FOUND)
    wanted = ("language", "n_segments", "n_words", "error_unit", "wer", "cer", "language_accuracy")
    assert [tuple(row[name] for name in wanted) for row in made["languages"]] == [
        # "еще два дома" and "кто там": one word of five, one letter of 12 + 7; of two languages one was found.
        ("ru", 2, 5, "words", 1 / 5, 1 / 19, 1 / 2),
        ("zh", 1, 4, "characters", 1 / 4, 1 / 4, 1.0),
        # " there" is not there.
        (None, 1, 2, "words", 1 / 2, 6 / 11, None),
    ]
    russian, chinese, _ = made["languages"]
    assert russian["wer_ci_low"] <= 1 / 5 <= russian["wer_ci_high"]
    assert chinese["wer_ci_low"] is None, "one segment has no interval"
    assert [dict(row) for row in languages_table.read(tmp_path / "languages.parquet")] == made["languages"]


def test_a_cell_of_several_languages_says_so(tmp_path: Path) -> None:
    made = gathered(tmp_path, SEGMENTS, FOUND)
    cell = made["cell"]
    assert (cell["language"], cell["language_told"]) == ("ru, zh", "detected")
    assert (cell["error_unit"], cell["language_accuracy"]) == ("words and characters", 2 / 3)
    assert (cell["wer_words"], cell["wer_errors"]) == (11, 3)
    assert cell["normaliser"] == "; ".join(
        sorted((str(basic_of("ru")), f"{basic_of('zh')} by characters", str(basic_of(None))))
    )
    assert cell["normaliser_plain"] == "plain 2; plain 2 by characters" and cell["normaliser_corpus"] is None
    rows = {row["segment_id"]: row for row in made["transcripts"]}
    assert [rows[name]["language_found"] for name in "abcd"] == ["ru", "uk", "zh", "en"]
    assert [rows[name]["language_told"] for name in "abcd"] == [None] * 4
    assert rows["c"]["reference_normalised"] == "我 爱 北 京" and rows["c"]["reference"] == "我爱北京"


def test_a_model_that_was_told_has_no_accuracy(tmp_path: Path) -> None:
    told = [segment(one["segment_id"], one["text"], "ru", "ru") for one in SEGMENTS[:2]]
    made = gathered(tmp_path, told, None)
    (row,) = made["languages"]
    assert (made["cell"]["language_told"], made["cell"]["language_accuracy"]) == ("ru", None)
    assert row["language_accuracy"] is None and row["wer"] == made["cell"]["wer"] == 1 / 5
    assert made["cell"]["error_unit"] == "words"


def test_a_cell_that_was_not_scored_has_no_language_row(tmp_path: Path) -> None:
    made = gathered(tmp_path, SEGMENTS, FOUND)
    assert {row["model"] for row in made["languages"]} == {"whisper-base"}
    assert len(made["cells"]) == 2


@pytest.mark.parametrize(
    ("segments", "found", "shown"), [(SEGMENTS, FOUND, True), (SEGMENTS[:2], FOUND, True), (SEGMENTS[:2], None, False)]
)
def test_languages_have_a_table_for_papers_where_it_tells(
    tmp_path: Path, segments: list[dict[str, Any]], found: dict[str, str] | None, shown: bool
) -> None:
    made = gathered(tmp_path, segments, found)
    tables = {table.name: table for table in main_tables(made["cells"], [], made["languages"])}
    assert ("languages" in tables) is shown
    if len(segments) > 2:
        assert tables["languages"].lines[1][5:8] == ("zh", "25.0", "characters")
        assert any("WER/CER" in heading for heading in tables["accuracy"].headings)


def test_records_that_say_no_language_are_english() -> None:
    older: Any = {"segment_id": "a", "text": "x", "audio_s": 1.0}
    assert of_segment(older, {}) == {"language": "en", "language_told": "en", "language_found": None}
    assert of_segment(older | {"language": None, "language_told": None}, {"a": "ru"})["language_found"] == "ru"
