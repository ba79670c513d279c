"""How the report shows numbers, names and links: pure functions from values to text or markup."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.comparison.rules import Metric
from asrmeter.analysis.results import BASELINE, Candidate, CellResult
from asrmeter.common.printable import printable
from asrmeter.common.stats import Estimate
from asrmeter.common.vocabulary import MODELLED_METHODS
from asrmeter.report.catalogue import Texts, Words

NULL = "–"
FEW = 3
# A study of more cells, or a table of more rows, is large: only its first rows are shown, with how many there are.
LARGE = 200
# The same of links to the cells that a claim rests on.
MANY_LINKS, FIRST_LINKS = 60, 5
# The tables and JSON files of the run have the whole of a longer text; so much of settings, which are long.
MOST_CHARACTERS, MOST_PLAIN = 550, 5000
NARROW_SPACE = "\u202f"


def number(value: float | None) -> str:
    """Return three significant digits, thousands apart, or a dash for None."""
    if value is None:
        return NULL
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}".replace(",", NARROW_SPACE)


def format_count(value: float | None) -> str:
    """Return a count in full, thousands apart, or a dash for None."""
    return NULL if value is None else f"{value:,.0f}".replace(",", NARROW_SPACE)


def percent(share: float | None) -> str:
    """Return a share as per cent with its sign, or a dash for None."""
    return NULL if share is None else f"{number(share * 100)}{NARROW_SPACE}%"


def interval(low: float | None, high: float | None, scale: float = 1.0) -> str:
    """Return both ends of an interval, or a dash."""
    return NULL if low is None or high is None else f"{number(low * scale)}\u2009–\u2009{number(high * scale)}"


def effect_texts(effect: Estimate | None, metric: Metric) -> tuple[str, str]:
    """Return the effect of one run against another, and its interval: a ratio, or a difference in points."""
    if effect is None:
        return NULL, NULL
    show = _ratio if metric.effect == "ratio" else signed
    value, low, high = (
        NULL if part is None else show(part * metric.scale) for part in (effect.value, effect.low, effect.high)
    )
    return value, NULL if NULL in (low, high) else f"{low}\u2009–\u2009{high}"


def effect_text(effect: Estimate | None, metric: Metric) -> str:
    """Return the effect in one line, with its interval where it has one."""
    value, between = effect_texts(effect, metric)
    return value if between == NULL else f"{value} ({between})"


def scaled(value: float | None, scale: float) -> float | None:
    """Return a value in another unit; None stays None."""
    return None if value is None else value * scale


def size(n_bytes: float, words: Texts) -> str:
    """Return a size with its unit, in powers of 1000."""
    for unit, scale in (("gb", 1e9), ("mb", 1e6), ("kb", 1e3)):
        if n_bytes >= scale:
            return words["size"][unit].format(value=f"{n_bytes / scale:.3g}")
    return words["size"]["b"].format(value=f"{n_bytes:g}")


def unit_2025(unit: str | None, words: Words) -> str:
    """Return a unit of the table `edlm2025` in words; it may have more units than there are words for."""
    return words["edlm2025_unit"].get(unit, unit) if unit else ""


def shorten(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text in a line that anyone reads; of a longer one its beginning, and how long it is."""
    return printable(text, most)


def plain(value: Any) -> str:
    """Return a value of a study in words: lists with commas, mappings as `key: value` without unset keys."""
    return shorten(_plain(value), MOST_PLAIN)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        said = {key: item for key, item in value.items() if item is not None}
        return ", ".join(f"{key}: {_plain(item)}" if item != {} else str(key) for key, item in said.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return NULL if value is None else str(value)


def anchor(cell: str) -> str:
    """Return the id of a cell's row, no two alike."""
    name = "cell-" + re.sub(r"[^A-Za-z0-9._-]+", "-", cell)
    # Read from its end such a name has one meaning; a dash in the variant, or a character that is not kept, makes it
    # two.
    if re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._]+/[a-z]+/\d+s-b\d+", cell):
        return name
    return f"{name}_{hashlib.sha256(cell.encode()).hexdigest()[:8]}"


def cell_link(cell: str) -> Markup:
    """Return a link to a cell's row."""
    return Markup('<a class="cell" href="#{}">{}</a>').format(anchor(cell), cell)


class CellLinks(list[Markup]):
    """Links to cells, and how many more cells there are."""

    def __init__(self, cells: Sequence[str]) -> None:
        first = cells if len(cells) <= MANY_LINKS else cells[:FIRST_LINKS]
        super().__init__(map(cell_link, first))
        self.n_more = len(cells) - len(first)


def cell_links(cells: Iterable[str]) -> CellLinks:
    """Return a link to each cell, once; to the first if there are very many."""
    return CellLinks(list(dict.fromkeys(cells)))


def join(parts: Iterable[str]) -> Markup:
    """Return the parts with commas between them."""
    return Markup(", ").join(parts)


def join_and(parts: Sequence[str], words: Words) -> Markup:
    """Return the parts as a sentence lists them: a, b and c."""
    if len(parts) < 2:
        return join(parts)
    return words["answer"]["and"].format(first=join(parts[:-1]), last=parts[-1])


def truncate_list(parts: Sequence[str], words: Words, few: int = FEW) -> Markup:
    """Return a few of the parts with commas between them, and how many more there are."""
    n_more = len(parts) - few
    more = [words["answer"]["more"].format(n=n_more)] if n_more > 0 else []
    return join([*parts[:few], *more])


def display_name(candidate: Candidate) -> Markup:
    """Return a model's name, with its variant unless it is the baseline."""
    model, variant = candidate
    return Markup("<b>{}</b>").format(model) if variant == BASELINE else Markup("<b>{}</b> ({})").format(model, variant)


def result_fields(result: CellResult) -> dict[str, str]:
    """Return the values of a setting for sentences."""
    return {
        "name": display_name(result.candidate),
        "device": result.device,
        "batch": str(result.batch_size),
        "duration": str(result.duration_s),
        "audio": number(result.audio_s),
    }


def _ratio(value: float) -> str:
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Return a number with its sign."""
    return f"{'+' if value > 0 else ''}{number(value)}"


def energy_basis(method: str, words: Words) -> str:
    """Return whether a method measures or models energy, and its name; a dash for `none`."""
    if method == "none":
        return NULL
    return words["basis"]["modelled" if method in MODELLED_METHODS else "measured"].format(method=method)


def short_basis(result: CellResult, words: Words) -> Markup:
    """Return whether a setting's energy was measured or modelled, in a word."""
    return words["basis"]["modelled_short" if result.energy_is_modelled else "measured_short"]
