"""The catalogues of words: the same in every language but for the words, and all that the report says."""

import datetime
import json
import re
import string
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from test_report import LATENCIES, rendered

import make_figures
from asrmeter.analysis.comparison.metrics import METRICS
from asrmeter.analysis.comparison.possible_causes import NAMES as NAMES_OF_RECORDS
from asrmeter.analysis.comparison.runs import Run, compare
from asrmeter.analysis.dictionary import TABLES
from asrmeter.analysis.silence import model_rows
from asrmeter.common.errors import AsrmeterError
from asrmeter.report.catalogue import load_texts, load_words
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.figures.bottlenecks import roofline_figure
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.render import figure_svg
from asrmeter.report.formatting import size, unit_2025
from asrmeter.report.html.provenance import COMMAND, provenance_section
from asrmeter.study.validation import with_defaults
from helpers.bottlenecks import example_bottlenecks, write_bottlenecks
from helpers.capacity import known_capacities
from helpers.layouts import example_layouts
from helpers.optimisations import example_optimisations
from helpers.silence import example_silence
from helpers.tables import (
    all_sittings,
    cell,
    example_cells,
    example_selection,
    example_study,
    example_transcripts,
    measured_again,
    write_tables,
)

TEMPLATES = Path(__file__).parents[2] / "report"
LANGUAGES = sorted(path.name.split(".")[1] for path in TEMPLATES.glob("words.*.toml"))
OTHERS = [language for language in LANGUAGES if language != "en"]
ENGLISH, RUSSIAN = load_texts(TEMPLATES, "en"), load_texts(TEMPLATES, "ru")
# What reads the same in both: names, and what has no words.
SAME_IN_RUSSIAN: set[tuple[str, str]] = set()
# Words of sentences; none of them is in a name, a unit or a command.
TELLTALE = (
    "the", "and", "of", "is", "are", "was", "were", "has", "have", "not", "with", "without", "from", "to", "for", "by",
    "than", "latency", "batch", "cell", "cells", "segment", "segments", "audio", "pass", "passes", "energy", "memory",
    "accuracy", "throughput", "encoder", "decoder", "measured", "modelled", "weights", "device", "model", "interval",
    "per", "share", "stage", "slower", "faster", "same", "better", "worse", "day", "days", "yes", "no", "none", "other",
    "others", "all", "more", "times", "stars", "noise", "run", "figures", "tables", "errors", "words", "hour",
)  # fmt: skip
# Data, whatever the language: file names, commands, and columns that are named as in the tables.
NAMES = (
    r"\((cells|sittings|roofline|scaling|flops|edlm2025)\.\w+\)|[\w./<>-]+\.(csv|json|py|wav|flac|gz)\b|"
    r"\b\w+_\w+(\.\w+)*|whisper-\w[\w.-]*|wav2vec2[\w-]*|whisper-english|faster-whisper|no-cache"
)


def entries(texts: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    for section, said in texts.items():
        for key, text in said.items():
            yield section, key, text


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def tags(text: str) -> list[str]:
    return sorted(re.findall(r"<[^>]+>", text))


class Shown(HTMLParser):
    """What a reader sees or hears of a page, but commands, data of the study, and transcripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.hidden, self.texts, self.headings, self.language = [], [], [], ""
        self.in_heading = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.language = attributes["lang"] or "" if tag == "html" else self.language
        if tag in ("style", "script", "pre", "code", "dd") or attributes.get("class") == "segment":
            self.hidden.append(tag)
        self.in_heading = tag in ("h2", "h3")
        if not self.hidden:
            said = [value for name, value in attrs if name in ("title", "aria-label") or name.startswith("data-")]
            self.texts += [value for value in said if value]

    def handle_endtag(self, tag: str) -> None:
        if self.hidden and self.hidden[-1] == tag:
            self.hidden.pop()
        self.in_heading = False

    def handle_data(self, data: str) -> None:
        if not self.hidden and data.strip():
            self.texts.append(data)
            self.headings += [data.strip()] if self.in_heading else []


def strings_in(rows: Iterable[Mapping[str, object]]) -> set[str]:
    return {value for row in rows for value in row.values() if isinstance(value, str)}


@pytest.mark.parametrize("language", OTHERS)
def test_catalogues_have_the_same_sections_and_keys(language: str) -> None:
    texts = load_texts(TEMPLATES, language)
    assert {(section, key) for section, key, _ in entries(texts)} == {(s, key) for s, key, _ in entries(ENGLISH)}


@pytest.mark.parametrize("language", OTHERS)
def test_texts_have_the_same_placeholders_and_tags(language: str) -> None:
    texts = load_texts(TEMPLATES, language)
    differing = [
        f"{section}.{key}"
        for section, key, text in entries(ENGLISH)
        if placeholders(text) != placeholders(texts[section][key]) or tags(text) != tags(texts[section][key])
    ]
    assert differing == []


def test_catalogues_load_as_markup() -> None:
    assert LANGUAGES == ["en", "ru"]
    for language in LANGUAGES:
        assert all(isinstance(text, Markup) for *_, text in entries(load_words(TEMPLATES, language)))


def test_no_sentence_is_left_in_english() -> None:
    left = {
        (section, key)
        for section, key, text in entries(RUSSIAN)
        if text == ENGLISH[section][key] and len(re.findall("[A-Za-z]{2,}", re.sub(r"<[^>]+>|{.*?}", "", text))) > 3
    }
    assert left == SAME_IN_RUSSIAN
    latin = [
        f"{section}.{key}"
        for section, key, text in entries(RUSSIAN)
        if re.search(r"\b(the|and|with|which|that|from|is|are|not)\b", re.sub(r"<[^>]+>|{.*?}", "", text))
    ]
    assert latin == []


def test_russian_has_its_own_spaces_and_quotes() -> None:
    loose = [
        f"{section}.{key}"
        for section, key, text in entries(RUSSIAN)
        if re.search(r"[\d}] (%|ГБ|Дж|Вт|кГц)|\w - \w|[“”„]", re.sub(r"<[^>]+>", "", text))
    ]
    assert loose == []


def test_a_russian_report_says_nothing_in_english() -> None:
    cells = example_cells(("cpu", "cuda"))
    changed = [row | {key: row[key] and row[key] * 1.2 for key in LATENCIES} for row in cells]
    changed[0] |= {"latency_s_median": 100.0, "threads": 1, "os": "Linux 7", "library_versions": "{}"}
    comparison = compare(
        Run.of("before", [*changed, cell("whisper-old")], example_transcripts(cells)),
        Run.of("results", measured_again(cells), example_transcripts(cells)),
    )
    bottlenecks = example_bottlenecks(cells)
    report = {"language": "ru", "study_2025": True}
    optimisations, silence = example_optimisations(), example_silence()
    loads, capacities = known_capacities()
    made = {"optimisations": optimisations, "loads": loads, "capacities": capacities}
    made |= {"layouts_measured": example_layouts()}
    shown = Shown(rendered(cells, drawn=True, comparison=comparison, report=report, silence=silence, **made))
    assert shown.language == "ru"
    for heading in (*RUSSIAN["sections"].values(), *RUSSIAN["scenario"].values(), *RUSSIAN["figure"].values()):
        assert heading in shown.headings
    tables = (
        cells,
        all_sittings(cells),
        *vars(bottlenecks).values(),
        *made.values(),
        [{"text": text} for row in model_rows(silence) for text in row["commonest"]],
        [{"origin": str(example_selection()["origin"])}],
    )
    data = {text for rows in tables for text in strings_in(rows)} | {pair.reason for pair in pairs_of(comparison)}
    known = sorted((text for text in data if " " in text), key=len, reverse=True)
    left = []
    for text in shown.texts:
        for one in known:
            text = text.replace(one, "")
        words = re.findall("[A-Za-z]+", re.sub(NAMES, "", text).lower())
        left += [text for word in words if word in TELLTALE]
    assert left == []


def pairs_of(comparison):
    return [pair for part in comparison.by_metric for pair in part.pairs]


def test_every_possible_cause_and_metric_has_its_words() -> None:
    assert {*ENGLISH["possible_cause"]} == NAMES_OF_RECORDS
    assert {metric.name for metric in METRICS if metric.guarded} <= {*ENGLISH["large_change"]}


def test_counts_of_a_comparison_come_from_the_catalogue() -> None:
    cells = [cell(), cell(batch_size=2)]
    comparison = compare(Run.of("a", cells, []), Run.of("b", measured_again(cells), []))
    assert "2 cells: 2 same" in rendered(cells, comparison=comparison)
    russian = rendered(cells, comparison=comparison, report={"language": "ru"})
    assert "Ячеек: 2 (без изменений —\u00a02)" in russian


def test_figures_drawn_in_russian_are_in_russian(tmp_path: Path) -> None:
    cells = example_cells(("cpu", "cuda"))
    paths = write_tables(tmp_path, cells, [], example_optimisations(), example_silence(), example_layouts())
    bottlenecks = write_bottlenecks(tmp_path, example_bottlenecks(cells))
    options = {name: bottlenecks[name] for name in make_figures.TABLES}
    study = tmp_path / "study.json"
    study.write_text(json.dumps(example_study({"language": "ru"}).as_json()))
    options |= {"study": study, "cells": paths[0], "transcripts": paths[1]}
    further = ("optimisations", "silence", "loads", "capacities", "layouts")
    options |= {name: tmp_path / f"{name}.parquet" for name in further}
    options |= {"template-folder": TEMPLATES, "output-folder": tmp_path}
    with warnings.catch_warnings():
        # A glyph that DejaVu Sans lacks.
        warnings.simplefilter("error")
        make_figures.main([part for key, value in options.items() for part in (f"--{key}", str(value))])
    for name in FIGURES:
        said = re.findall("<text[^>]*>(.*?)</text>", (tmp_path / f"{name}.svg").read_text(encoding="utf-8"))
        assert re.search("[а-яё]{4}", " ".join(said)), name
        words = {word for text in said for word in re.findall("[a-z]+", re.sub(NAMES, "", text.lower()))}
        assert not words & set(TELLTALE), name


def test_every_word_of_figures_has_its_glyphs() -> None:
    glyphs = FT2Font(findfont(FontProperties(family="DejaVu Sans"), fallback_to_default=False)).get_charmap()
    parts = ("drawing", "group", "stage", "bound_why", "basis", "size", "why_null")
    signs = {sign for part in parts for text in RUSSIAN[part].values() for sign in text}
    assert {sign for sign in signs if ord(sign) not in glyphs} == set()


def test_thousands_are_set_apart_as_the_language_does() -> None:
    cells = example_cells(("cuda",))
    for texts, apart in ((ENGLISH, "48,000"), (RUSSIAN, "48\u202f000")):
        context = FigureContext(cells, example_bottlenecks(cells), texts)
        assert any(apart in text.get_text() for axes in roofline_figure(context).axes for text in axes.texts)
        assert (context.tick(0.5), context.tick(20.0)) == ("0.5", "20")
    assert figure_svg("roofline", FigureContext(cells, example_bottlenecks(cells), RUSSIAN))


def test_sizes_and_units_come_from_the_catalogue() -> None:
    english, russian = load_words(TEMPLATES, "en"), load_words(TEMPLATES, "ru")
    values = (2.5e9, 1_048_576, 2000, 12)
    assert [size(n_bytes, english) for n_bytes in values] == ["2.5 GB", "1.05 MB", "2 kB", "12 B"]
    assert size(1_048_576, russian) == "1.05\u00a0МБ"
    assert unit_2025("ms", russian) == "мс"
    # A unit that there is no word for, and none.
    assert (unit_2025("<b>", russian), unit_2025(None, russian)) == ("<b>", "")


def test_a_run_of_days_is_told_in_hours() -> None:
    begun = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    done = begun + datetime.timedelta(days=2, minutes=3, seconds=4.6)
    row = cell(started_at=begun.isoformat(), measured_at=done.isoformat())
    study = with_defaults({"name": "long", "models": {"whisper-base": {"weights": "packaged"}}}, "a test")
    for language in LANGUAGES:
        section = provenance_section(
            study, [row], all_sittings([row]), example_selection(), load_words(TEMPLATES, language)
        )
        assert section["command"].endswith(COMMAND)
        assert "48:03:04" in str(section["machines"])
        assert "day" not in str(section["machines"])


def test_run_with_clock_set_back_is_not_shorter_than_its_cells() -> None:
    begun = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    minute, hour = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
    rows = [
        cell(started_at=at.isoformat(), measured_at=(at + minute).isoformat(), job_s=60.0)
        for at in (begun, begun + minute - hour / 60)
    ]
    study = with_defaults({"name": "set", "models": {"whisper-base": {"weights": "packaged"}}}, "a test")
    section = provenance_section(study, rows, all_sittings(rows), example_selection(), load_words(TEMPLATES, "en"))
    assert "0:01:00" not in str(section["machines"])
    assert "0:02:00" in str(section["machines"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[page", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"page = 1", "page must be a section of texts"),
        (b"[page]\ntitle = 1", "page must be a section of texts"),
        (b"[counted_words]\n[page]", "lacks page.title"),
        (b"[counted_words]", "lacks page"),
        (b"[page]", "lacks counted_words"),
    ],
)
def test_words_that_are_broken_or_lacking_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "words.xx.toml").write_bytes(content)
    for load in (load_words, load_texts):
        with pytest.raises(AsrmeterError) as caught:
            load(tmp_path, "xx")["page"]["title"]
        assert str(caught.value).startswith(f"{tmp_path / 'words.xx.toml'}: {message}")
        assert str(caught.value).isprintable()


def test_headings_say_what_their_columns_mean_in_either_language() -> None:
    cells = example_cells(("cpu", "cuda"))
    english, russian = (
        re.findall(r'<th scope="col"[^>]*? title="([^"]+)"', rendered(cells, report={"language": language}))
        for language in ("en", "ru")
    )
    places = [re.findall(r"\((\w+\.\w+)\)", said) for said in english]
    assert len(places) > 100
    # A column that several tables have is translated once.
    assert [[place.split(".")[1] for place in re.findall(r"\((\w+\.\w+)\)", said)] for said in russian] == [
        [place.split(".")[1] for place in said] for said in places
    ]
    assert english[0].endswith("(cells.model)") and not set(english) & set(russian)


def test_only_columns_that_are_there_are_translated() -> None:
    of_tables = {
        f"{table}.{name}": bool(re.search("[А-Яа-я]", meaning))
        for table, columns in tomllib.loads((TEMPLATES / "columns.ru.toml").read_text(encoding="utf-8")).items()
        for name, meaning in columns.items()
    }
    known = {f"{table}.{name}" for table, (_, schema) in TABLES.items() for name in schema.names}
    assert of_tables.keys() <= known
    assert all(of_tables.values())
