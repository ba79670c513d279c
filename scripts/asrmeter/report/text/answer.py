"""The first screen of the report as a few lines of text: what to run, what was asked for, how sure that is."""

from markupsafe import Markup

from asrmeter.common.printable import printable
from asrmeter.report.catalogue import Words
from asrmeter.report.html.first_screen import FirstScreen


def answer_text(first: FirstScreen | None, words: Words) -> str:
    """Return the answer, a line each; why there is none, where the study states no purpose or nothing is known."""
    if first is None:
        return f"{_plain(words['answer']['no_scenarios'])}\n"
    # An en space parts the setting and its figure, which are of different sizes on the page.
    headline = _plain(first.headline.replace("\u2002", ": "))
    said = (
        " ".join(filter(None, [headline if first.is_answered is False else f"{headline}.", _plain(first.setting)])),
        _plain(first.asked),
        " ".join(filter(None, map(_plain, (first.chance, first.nearest, first.unknown, first.silence)))),
    )
    return "".join(f"{line}\n" for line in said if line)


def _plain(text: Markup) -> str:
    return printable(Markup(text).striptags())
