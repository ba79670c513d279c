"""The report of speech in any language: its name, what is counted, errors by language, and texts of every script."""

import re

import pytest
from markupsafe import Markup
from test_report import Page, rendered, text_of

from asrmeter.report.catalogue import error_unit_of, load_texts, load_words
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.render import figure_svg
from asrmeter.report.html.languages import detection_caveat, language_name, speech_line
from asrmeter.report.html.transcripts import transcripts_section
from asrmeter.report.text.main_tables import main_tables
from helpers import scripts
from helpers.bottlenecks import example_bottlenecks
from helpers.pages import TEMPLATES
from helpers.tables import Cell, cell, example_study, failed

WORDS = load_words(TEMPLATES, "en")


def page_of(*codes: str, told: bool = True, language: str = "en", drawn: bool = False) -> str:
    cells, transcripts, by_language = scripts.tables(*codes, told=told)
    return rendered(cells, transcripts, languages=by_language, report={"language": language}, drawn=drawn)


@pytest.mark.parametrize(
    ("language", "code", "name"),
    [
        ("en", "ru", "Russian (ru)"),
        ("ru", "yue", "кантонский (yue)"),
        # Whisper's code for Javanese, which CLDR does not have, and what no language has.
        ("ru", "jw", "jw"),
        ("en", "<b>", "&lt;b&gt;"),
        ("en", None, "unknown"),
    ],
)
def test_languages_are_named_in_the_language_of_the_report(language: str, code: str | None, name: str) -> None:
    assert language_name(code, language, WORDS) == Markup(name)


def test_a_line_says_what_is_spoken_and_who_told_the_models() -> None:
    def line(*cells: Cell) -> str:
        return speech_line(cells, "en", WORDS)

    found = {"language": "ru", "language_told": "detected", "n_segments": 10}
    assert line(cell(language="ru", language_told="ru")) == "Russian (ru), given to the models"
    assert line(cell(**found)) == "Russian (ru), detected by the models"
    right = [cell(language_accuracy=1.0, **found), cell(batch_size=2, language_accuracy=0.92, **found)]
    assert line(*right) == "Russian (ru), detected by the models: correctly in 96.0\u202f% of segments"
    both = [*right, cell("whisper-tiny", language_accuracy=0.5, **found)]
    assert "correctly in 50.0\u2009–\u200996.0\u202f% of" in line(*both)
    assert line(cell(language="en, fr, hi, ru")).startswith("English (en), French (fr), Hindi (hi), and 1 more")
    assert line(cell(language=None)) == "" and line() == ""


def test_models_that_take_speech_for_another_language_are_named() -> None:
    found = {"language_told": "detected", "n_segments": 100}
    at = [cell(model, language_accuracy=right, **found) for model, right in (("a", 0.95), ("b", 0.9), ("c", 0.5))]
    assert detection_caveat(at[:1], WORDS) is None
    said = detection_caveat(at, WORDS)
    assert said is not None and "<b>c</b> in 50.0\u202f%, <b>b</b> in 10.0\u202f% of segments" in said
    assert "<b>a</b>" not in said and "corpus.language" in said


def test_the_answer_itself_says_that_it_takes_speech_for_another() -> None:
    row = {"language": "ru", "language_told": "detected", "language_accuracy": 0.8}
    first = re.search('<div class="pick">.*?</div>', rendered([cell("whisper-tiny.en", **row)]), re.DOTALL)
    assert first and "detects the wrong one in 20.0\u202f% of segments" in first[0]


@pytest.mark.parametrize(
    ("language", "codes", "said", "not_said"),
    [("ru", ["ru"], "WER", r"\bCER ≤"), ("en", ["zh", "th"], "CER", r"\bWER\b")],
)
def test_error_rate_is_called_by_what_it_counts(language: str, codes: list[str], said: str, not_said: str) -> None:
    html = page_of(*codes, language=language, drawn=True)
    shown = re.sub(r"<style>.*?</style>|<pre.*?</pre>", "", html, flags=re.DOTALL)
    # What columns mean is said of both.
    shown = re.sub(r' title="[^"]*"', "", shown)
    assert f"{said}\u00a0≤" in shown and f"{said} (%)" in shown
    assert not re.search(not_said, shown)


def test_where_both_are_counted_both_are_named() -> None:
    text = text_of(page_of("ru", "zh"))
    assert "WER/CER ≤" in text and "Error rate (WER/CER)" in text


def test_one_language_that_was_told_has_no_table_of_its_own() -> None:
    assert "table-languages" not in page_of("ru")
    assert "table-languages" in page_of("ru", "en")
    assert "table-languages" in page_of("ru", told=False)


def test_errors_by_language_have_intervals_and_what_was_found() -> None:
    html = page_of("ru", "zh", told=False)
    (table,) = re.findall('<table id="table-languages".*?</table>', html, re.DOTALL)
    rows = [[text_of(part) for part in re.split("<t[hd][^>]*>", row)[1:]] for row in table.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["Chinese (zh)"] * 2 + ["Russian (ru)"] * 2
    assert [row[1] for row in rows] == ["whisper-base", "whisper-tiny"] * 2
    # Of two of twelve segments whisper-tiny made an English text.
    assert [row[6].strip() for row in rows] == ["100", "83.3"] * 2
    assert [row[4].strip() for row in rows] == ["CER", "CER", "WER", "WER"]
    # A share of characters is not held against a share of words.
    assert "No model makes" not in html and "makes more errors in" not in html


def test_languages_that_differ_beyond_intervals_are_told() -> None:
    text = text_of(page_of("ru", "hi", "en"))
    assert "whisper-base makes more errors in Russian (ru) (WER 50.0 %) than in English (en) (WER 14.3 %)" in text
    russian = text_of(page_of("ru", "hi", language="ru"))
    assert "У whisper-base ошибок больше на языке «русский (ru)»" in russian


def test_texts_say_their_language_and_direction() -> None:
    html = page_of(*scripts.SPOKEN, told=False)
    Page(html)
    assert '<p lang="ar" dir="auto">' in html and '<p lang="zh" dir="auto">' in html
    # Where another language was found, the text as it was written is of that.
    assert '<bdi lang="en" dir="auto">The confidants' in html
    unknown = [row | {"language": None, "language_found": None} for row in scripts.tables("ru")[1]]
    assert '<p dir="auto">' in rendered([cell()], unknown)


@pytest.mark.parametrize(
    ("code", "marked"),
    [
        ("ru", 'быть <span class="sub"><del>продлена</del> <ins>подлена</ins></span> ваше время <ins>стекло еще</ins>'),
        ("ar", 'يمكن <span class="sub"><del>تمديد</del> <ins>تجديد</ins></span> المؤتمر'),
        ("ja", '会議は延長<span class="sub"><del>でき</del> <ins>出来</ins></span>ません時間になりま'),
        # A vowel sign stays with its letter.
        ("th", '<span class="sub"><del>ไ</del> <ins>ใ</ins></span>ด้เพราะ'),
        ("hi", 'समय <span class="sub"><del>समाप्त</del> <ins>खत्म</ins></span> हो'),
    ],
)
def test_errors_are_marked_as_each_script_is_written(code: str, marked: str) -> None:
    assert marked in page_of(code)


def test_characters_stand_together_words_among_them_apart() -> None:
    row = scripts.tables("zh")[1][0]
    row |= {"reference_normalised": "我 用 ok 2024 google play", "hypothesis_normalised": "我 用 ok 2024 google pay"}
    (segment,) = transcripts_section([row], {}, {}, WORDS).segments
    assert [run[1] for run in segment.texts[0].runs] == ["我用ok 2024 google", "play"]
    assert "characters" in segment.texts[0].errors


def test_a_row_without_support_for_the_language_has_its_reason() -> None:
    why = "whisper-tiny.en knows English only, and the speech is Russian (ru)"
    text = text_of(
        rendered([cell(language="ru", language_told="ru"), failed(cell("whisper-tiny.en"), "unsupported", why)])
    )
    assert text.count(why) >= 2


def test_exported_tables_name_what_is_counted() -> None:
    cells, _, by_language = scripts.tables("zh", "th")
    accuracy, languages = (one for one in main_tables(cells, [], by_language) if one.name in ("accuracy", "languages"))
    assert "CER (%)" in accuracy.headings and "Said (characters)" in accuracy.headings
    assert not {"WER (%)", "Counted"} & {*accuracy.headings, *languages.headings}
    assert accuracy.headings.count("CER (%)") == 1
    assert [line[5] for line in languages.lines] == ["th", "zh"] * 2
    mixed = main_tables(*scripts.tables("zh", "ru")[:1], [], scripts.tables("zh", "ru")[2])
    assert "Counted" in next(one for one in mixed if one.name == "languages").headings
    assert "languages" not in [one.name for one in main_tables([cell()], [], scripts.tables("ru")[2])]


def test_what_is_counted_is_known_of_older_tables_too() -> None:
    assert error_unit_of([]) == error_unit_of([{}]) == error_unit_of([{"error_unit": None}]) == "words"
    assert error_unit_of([{"error_unit": "characters"}, {"error_unit": "words"}]) == "words and characters"
    for language in ("en", "ru"):
        for unit in ("words", "characters", "words and characters"):
            texts = load_texts(TEMPLATES, language, unit)
            left = [
                text
                for section in texts.values()
                for text in section.values()
                if re.search("{[Eu]?.?error_|{unit_", text, re.I)
            ]
            assert left == []


def test_figures_keep_texts_that_their_font_lacks() -> None:
    why = "会议不能延长 हिन्दी عربي"
    cells = [cell(wer=None, wer_note=why)]
    context = FigureContext.of(example_study(), cells, [], example_bottlenecks(cells), load_texts(TEMPLATES, "en"))
    with pytest.warns(UserWarning, match="Glyph"):
        drawn = figure_svg("wer", context)
    # As text, which a browser shows in whichever font has it.
    assert re.search(f"<text[^>]*>[^<]*{why}", drawn)
