"""Values of limited or preferred figures of a scenario, with their units."""

from markupsafe import Markup

from asrmeter.analysis.limits import GATE
from asrmeter.common.stats import Estimate
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NULL, interval, number

_SHARES = ("max_wer", GATE, "accuracy")


def amount(key: str, value: float, words: Words) -> Markup:
    """Return a measured value with its unit; `key` is a limit or a preference."""
    return words["amount"][key].format(value=number(value * _scale(key)))


def exact_amount(key: str, value: float, words: Words, digits: str = ".4g") -> Markup:
    """Return a value that stands beside a limit: rounded further, it may look like the limit."""
    return words["amount"][key].format(value=f"{value * _scale(key):{digits}}")


def limit_amount(key: str, value: float, words: Words) -> Markup:
    """Return a limit as the study has it, with its unit."""
    return exact_amount(key, value, words, ".10g")


def span(key: str, estimate: Estimate, words: Words) -> str:
    """Return an interval with the unit of its value."""
    ends = interval(estimate.low, estimate.high, _scale(key))
    return ends if ends == NULL else words["amount"][key].format(value=ends)


def _scale(key: str) -> float:
    return 100.0 if key in _SHARES else 1.0
