"""Tables as Markdown and as LaTeX. Whatever is in them is shown as it is."""

import re
from collections.abc import Callable, Sequence

from asrmeter.report.formatting import NARROW_SPACE
from asrmeter.report.text.main_tables import MISSING, MainTable

_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "°": r"\textdegree{}",
    "€": r"\texteuro{}",
    MISSING: "--",
    NARROW_SPACE: r"\,",
}
# Signs that begin something in Markdown, or end a field of a table.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~])")


def as_markdown(tables: Sequence[MainTable]) -> str:
    """Return tables as those of GitHub's Markdown, each below its caption."""
    return "\n".join(map(_markdown, tables))


def as_latex(tables: Sequence[MainTable]) -> str:
    """Return tables as LaTeX; they need the package booktabs."""
    return "% \\usepackage{booktabs}\n" + "\n".join(map(_latex, tables))


FORMATS: dict[str, Callable[[Sequence[MainTable]], str]] = {"markdown": as_markdown, "latex": as_latex}


def _markdown(table: MainTable) -> str:
    rule = "|".join("---:" if numeric else "---" for numeric in table.numeric)
    lines = [_fields(table.headings), f"|{rule}|", *map(_fields, table.lines)]
    return f"**{_escaped(table.caption)}.** {_escaped(table.note)}\n\n" + "\n".join(lines) + "\n"


def _fields(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, texts))} |"


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _latex(table: MainTable) -> str:
    kinds = "".join("r" if numeric else "l" for numeric in table.numeric)
    lines = "\n".join(map(_latex_row, table.lines))
    return rf"""\begin{{table}}
\centering
\caption{{{_in_latex(table.caption)}. {_in_latex(table.note)}}}
\label{{tab:asrmeter-{table.name}}}
\begin{{tabular}}{{{kinds}}}
\toprule
{_latex_row(table.headings)}
\midrule
{lines}
\bottomrule
\end{{tabular}}
\end{{table}}
"""


def _latex_row(texts: Sequence[str]) -> str:
    return f"{' & '.join(map(_in_latex, texts))} \\\\"


def _in_latex(text: str) -> str:
    shown = "".join(_LATEX.get(sign, sign) for sign in text)
    # A bracket at the beginning of a row would be an argument of the line break before.
    return f"{{}}{shown}" if shown.startswith("[") else shown
