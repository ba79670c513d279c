"""How sure a recommendation is, in words: its probability, and the number that would change it."""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from asrmeter.analysis.certainty import Certainty, TurningPoint
from asrmeter.analysis.limits import Outcome
from asrmeter.analysis.results import CellResult
from asrmeter.analysis.scenarios import Recommendation
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    NARROW_SPACE,
    NULL,
    cell_link,
    display_name,
    interval,
    result_fields,
    truncate_list,
)
from asrmeter.report.html.amounts import exact_amount, span
from asrmeter.report.html.variants import unequal

# Draws say no more: beyond these a probability is only near to 1 or to 0.
_LIKELIEST, _UNLIKELIEST = 0.99, 0.01


def how_sure(recommendation: Recommendation, words: Words) -> Iterator[Markup]:
    """Yield the probability of a recommendation, its turning points, and the settings that tie with it."""
    say, ranking, found = words["sure"], recommendation.ranking, recommendation.certainty
    assert ranking is not None and found is not None  # both are there where something is recommended

    def cells_of(results: Sequence[CellResult]) -> Markup:
        return truncate_list([cell_link(result.cell) for result in results], words)

    sentence = say["probability" if found.probability is not None else "no_probability"]
    if found.probability is not None and recommendation.unknowns:
        sentence = words["unknown"]["probability"]
    yield sentence.format(name=display_name(ranking.first.candidate), chance=chance_of(found, words))
    if found.of_setting is not None and found.of_setting != found.probability:
        yield say["of_setting"].format(chance=chance(found.of_setting, words))
    if found.turning_point:
        yield what_would_change(found.turning_point, ranking.first, words)
    if ranking.ties:
        key = "wer_ties" if recommendation.asked.prefer == "accuracy" else "ties"
        yield say[key].format(cells=cells_of(ranking.ties))
    if undecided := [other for other in ranking.undecided if other.candidate != ranking.first.candidate]:
        yield say["unclear"].format(cells=cells_of(undecided))
    if ranking.runner_up and ranking.runner_up.hardware[0] != ranking.first.hardware[0]:
        yield say["machines"]
    for check in recommendation.checks:
        if check.outcome is Outcome.LIKELY and check.value:
            key = "no_interval" if check.value.low is None else "likely"
            yield say[key].format(limit=words["figure_of"][check.key], interval=span(check.key, check.value, words))
    yield from doubts(ranking.first, words)


def doubts(result: CellResult, words: Words) -> list[Markup]:
    """Return a sentence if a latency is not known within the target, and one if settings are not the baseline's."""
    latency, found = result.latency, unequal(result, words)
    if latency.low is None:
        return [words["answer"]["no_interval"], *found]
    if not result.converged:
        return [words["answer"]["unconverged"].format(interval=interval(latency.low, latency.high)), *found]
    return found


def chance(probability: float, words: Words) -> Markup:
    """Return a probability in whole per cent, never more than it is."""
    if probability > _LIKELIEST:
        return words["sure"]["more_than"].format(chance=_per_cent(_LIKELIEST))
    if probability < _UNLIKELIEST:
        return words["sure"]["less_than"].format(chance=_per_cent(_UNLIKELIEST))
    return Markup(_per_cent(probability))


def chance_of(found: Certainty | None, words: Words) -> Markup:
    """Return the probability that an answer is right, or that it is not known."""
    return (
        words["sure"]["not_known"] if found is None or found.probability is None else chance(found.probability, words)
    )


def _per_cent(probability: float) -> str:
    # A little more than nothing, as 0.29 * 100 is less than 29.
    return f"{math.floor(100 * probability + 1e-9)}{NARROW_SPACE}%"


def what_would_change(point: TurningPoint, first: CellResult, words: Words) -> Markup:
    """Name the number whose change would change the recommendation."""
    say = words["turning_point"]
    told = {
        **result_fields(point.result),
        "what": words["figure_of"][point.measure],
        "value": NULL if math.isnan(point.value) else exact_amount(point.measure, point.value, words),
    }
    if point.becomes is None:
        return say["no_worse"].format(**told)
    told["becomes"] = exact_amount(point.measure, point.becomes, words)
    if point.result.candidate != first.candidate:
        return say["rival"].format(**told)
    if point.answer is None:
        return say["limit_nobody"].format(**told)
    return say["limit"].format(**told, answer=display_name(point.answer.candidate))
