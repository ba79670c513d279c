"""What the report says of models that write where nobody speaks."""

from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from test_report import TEMPLATES, rendered, text_of

from asrmeter.analysis.silence import model_rows
from asrmeter.report.catalogue import load_words
from asrmeter.report.formatting import NARROW_SPACE
from asrmeter.report.html.silence import silence_section, silence_sentence, silence_takeaway
from helpers.silence import clips_of, example_silence
from helpers.tables import example_cells

WORDS = load_words(Path(TEMPLATES), "en")
LACKS = {"text": None, "n_words": None, "status": "oom", "reason": "no memory"}


def plain(markup: str) -> str:
    """Return a text with plain spaces."""
    return " ".join(Markup(markup).striptags().replace(NARROW_SPACE, " ").split())


def said(candidate: tuple[str, str], clips: list[dict[str, Any]]) -> str:
    return plain(silence_sentence(candidate, model_rows(clips), WORDS))


class Of:
    """What a takeaway is made of."""

    def __init__(self, clips: list[dict[str, Any]]) -> None:
        self.words, self.silence = WORDS, model_rows(clips)


def takeaway(clips: list[dict[str, Any]]) -> str:
    found = silence_takeaway(Of(clips))  # type: ignore[arg-type]  # takes nothing else
    return plain(found[0]) if found else ""


def test_the_answer_warns_of_a_model_that_invents_much() -> None:
    clips = example_silence()
    first = said(("whisper-tiny.en", "fp32"), clips)
    assert first == "Caution: invents text in 75.0 % of silent clips."
    one = clips_of("m", {}) + clips_of("m", {"hum": "you"})
    one = [row | {"clip": f"{n}"} for n, row in enumerate([*one[:16], one[24]])]
    assert said(("m", "fp32"), one) == "Invents text in 5.88 % of silent clips."
    assert said(("m", "fp32"), clips_of("m", {})) == "Writes nothing for any of the 16 clips without speech."


def test_nothing_is_said_of_who_heard_nothing() -> None:
    assert said(("other", "fp32"), example_silence()) == said(("m", "fp32"), clips_of("m", {}, **LACKS)) == ""
    assert silence_section(model_rows(clips_of("m", {}, **LACKS)), WORDS) is None
    assert takeaway([]) == takeaway(clips_of("m", {}, **LACKS)) == ""


def test_who_writes_most_and_least_is_named_and_ties_too() -> None:
    tied = clips_of("a", {"hum": "you"}) + clips_of("b", {"room_tone": "so"}) + clips_of("c", {}, "int8")
    assert takeaway(tied) == (
        "Most frequent text in clips without speech: a, b, 25.0 % of the clips. Least often: c (int8), 0 %."
    )
    assert takeaway(tied[:32]) == "All models write text for the same share of the clips without speech, 25.0 %."
    assert takeaway(tied[:16]) == "a writes text for 25.0 % of the clips without speech (4 of 16)."


def test_the_table_has_shares_texts_and_reasons() -> None:
    clips = example_silence() + clips_of("failed", {}, **LACKS)
    section = silence_section(model_rows(clips), WORDS)
    assert section is not None
    lines = {line.entries[0].text: line.entries for line in section.table.lines}
    assert [entry.sort for entry in lines["whisper-tiny.en"][3:7]][0::3] == ["16", "4"]
    written = plain(lines["whisper-tiny.en"][7].text)
    assert written == "“you” × 4, “thank you” × 4, “thank you for watching” × 4"
    assert lines["failed"][4].note == "no memory" and lines["failed"][4].sort == ""


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_has_a_section_only_where_silence_was_heard(language: str) -> None:
    cells = example_cells()
    title = {"en": "Silence and noise", "ru": "Тишина и шум"}[language]
    heard = rendered(cells, silence=example_silence(), report={"language": language})
    assert '<section id="silence"' in heard and f'<h2 id="silence-title">{title}' in heard
    assert heard.count('href="#silence"') >= 3  # the contents, the first screen, a card
    without = rendered(cells, report={"language": language})
    assert 'id="silence"' not in without and title not in text_of(without)


def test_why_nothing_was_heard_is_told() -> None:
    failed = clips_of("whisper-base", {}, **LACKS)
    page = rendered(example_cells(), silence=failed)
    assert "Silence and noise: no memory" in text_of(page) and '<section id="silence"' not in page


def test_texts_are_withheld_and_counts_are_not() -> None:
    rows = [row | {"commonest": None} for row in model_rows(example_silence())]
    section = silence_section(rows, WORDS)
    assert section is not None
    assert all(line.entries[7].text == "withheld" and line.entries[3].sort == "16" for line in section.table.lines)
