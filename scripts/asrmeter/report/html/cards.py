"""The cards below the first screen: for each scenario the recommended model, the reasons, and the costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.analysis.limits import GATE, LIMITS, Check, Outcome
from asrmeter.analysis.preferences import VALUES
from asrmeter.analysis.ranking import Ranking, StudyRankings
from asrmeter.analysis.results import BASELINE, CellResult
from asrmeter.analysis.scenarios import NoRecommendation, Recommendation
from asrmeter.common.constants import LEAST_SEGMENTS
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    NULL,
    cell_links,
    display_name,
    energy_basis,
    join,
    number,
    percent,
    result_fields,
    truncate_list,
)
from asrmeter.report.html.amounts import amount, exact_amount, limit_amount, span
from asrmeter.report.html.certainty import doubts, how_sure
from asrmeter.report.html.costs import cost_lines
from asrmeter.report.html.silence import silence_sentence
from asrmeter.report.html.table_model import Entry, Table, entry_columns, table_of, text_entry, with_note
from asrmeter.report.html.unknowns import could_win, not_known
from asrmeter.study.model import Tariff


@dataclass(frozen=True)
class ScenarioCard:
    """The result of a scenario for the page; `figures` is None without a recommendation."""

    name: str
    title: str
    purpose: str
    asked: Markup
    headline: Markup
    sentences: tuple[Markup, ...]
    figures: Table | None
    evidence: list[Markup]


@dataclass(frozen=True)
class KeyFigure:
    """A figure that stands out beside the recommendation, with its sentences and the cells that it rests on."""

    title: str
    value: str
    unit: str
    sentences: tuple[str, ...]
    evidence: list[Markup]


def cards(
    recommendations: Sequence[Recommendation], tariff: Tariff, words: Words, silence: Sequence[Row] = ()
) -> list[ScenarioCard]:
    """Return a card for each scenario; `silence` are the rows of the table `silence_models`."""
    return [_scenario_card(recommendation, tariff, words, silence) for recommendation in recommendations]


def key_figures(found: StudyRankings, words: Words) -> list[KeyFigure]:
    """Return the settings named beside the recommendation, without unmeasured ones."""
    key_figures = [
        _key_figure("interactive", found.interactive, lambda result: result.latency, found, words),
        _key_figure("fastest", found.fastest, lambda result: result.rtfx, found, words),
        _key_figure("frugal", found.frugal, lambda result: result.energy, found, words),
    ]
    return [fact for fact in key_figures if fact]


def _beaten(ranking: Ranking, tie: Markup, undecided: Markup) -> str:
    """Return the remark on a runner-up that is not clearly beaten."""
    if ranking.runner_up_ties:
        return tie
    return undecided if ranking.runner_up_undecided else ""


def title_of(recommendation: Recommendation, words: Words) -> str:
    """Return the title of a scenario in the report's language; the study's own scenarios keep their name."""
    return words["scenario"].get(recommendation.name, recommendation.name)


def _scenario_card(
    recommendation: Recommendation, tariff: Tariff, words: Words, silence: Sequence[Row]
) -> ScenarioCard:
    say = words["answer"]
    cells = []
    if recommendation.ranking is None:
        headline, sentences = say["none"], [why_none(recommendation, words), *_ruled_out(recommendation, words)]
    else:
        result, runner_up = recommendation.ranking.first, recommendation.ranking.runner_up
        cells = [result.cell, *([runner_up.cell] if runner_up else [])]
        others = dict.fromkeys(
            tied.candidate for tied in recommendation.ranking.ties if tied.candidate != result.candidate
        )
        key = "run_tied" if others else "run"
        headline = say[key].format(
            **result_fields(result), others=truncate_list(list(map(display_name, others)), words)
        )
        sentences = [_why(recommendation, recommendation.ranking, words), *_ruled_out(recommendation, words)]
        sentences += [*_runner_up(recommendation, recommendation.ranking, words), *how_sure(recommendation, words)]
        sentences += filter(None, [silence_sentence(result.candidate, silence, words)])
    sentences += [*could_win(recommendation, words), *_left_out(recommendation, words)]
    if recommendation.nearest and not (recommendation.ranking and recommendation.ranking.runner_up):
        sentences.append(nearest(*recommendation.nearest, words))
        cells.append(recommendation.nearest[0].cell)
    return ScenarioCard(
        name=recommendation.name,
        title=title_of(recommendation, words),
        purpose=recommendation.asked.description or words["scenario_for"].get(recommendation.name, Markup()),
        asked=_asked(recommendation, words),
        headline=headline,
        sentences=tuple(sentences),
        figures=_figures(recommendation, recommendation.ranking.first, tariff, words)
        if recommendation.ranking
        else None,
        evidence=cell_links(cells),
    )


def _asked(recommendation: Recommendation, words: Words) -> Markup:
    """Return the constraints of a scenario in a sentence."""
    say = words["constraint"]
    limits = [
        say[key].format(limit=limit_amount(key, limit, words))
        for key in LIMITS
        if (limit := getattr(recommendation.asked, key)) is not None
    ]
    if recommendation.asked.devices:
        limits.append(say["devices"].format(devices=join(recommendation.asked.devices)))
    return words["answer"]["asked"].format(
        limits=join(limits) if limits else say["none"],
        prefer=words["preference"][recommendation.asked.prefer],
        duration=NULL if recommendation.duration_s is None else recommendation.duration_s,
    )


def _why(recommendation: Recommendation, ranking: Ranking, words: Words) -> Markup:
    prefer = recommendation.asked.prefer
    value = VALUES[prefer](ranking.first)
    assert value is not None  # who comes first by something has it
    return words["why"][prefer].format(
        value=amount(prefer, value.value, words),
        interval=span(prefer, value, words),
        basis=energy_basis(ranking.first.energy_method, words),
        count=words["answer"]["count"].format(n=recommendation.n_meeting, total=recommendation.n_considered),
    )


def _ruled_out(recommendation: Recommendation, words: Words) -> list[Markup]:
    """Return how many settings each limit rules out, if any does."""
    say = words["answer"]
    if not recommendation.ruled_out:
        return []
    counts = [say["by_limit"].format(n=n, limit=words["figure_of"][key]) for key, n in recommendation.ruled_out.items()]
    return [say["ruled_out"].format(counts=join(counts))]


def _runner_up(recommendation: Recommendation, ranking: Ranking, words: Words) -> list[Markup]:
    say = words["answer"]
    if ranking.runner_up is None:
        return [] if recommendation.unknowns or recommendation.left_out else [say["no_runner_up"]]
    prefer = recommendation.asked.prefer
    shown = [
        words["value_of"][key].format(value=amount(key, value.value, words))
        for key in dict.fromkeys((prefer, "throughput", "accuracy"))
        if (value := VALUES[key](ranking.runner_up))
    ]
    return [say["runner_up"].format(**result_fields(ranking.runner_up), values=join(shown))]


def _left_out(recommendation: Recommendation, words: Words) -> list[Markup]:
    """Name settings that could not be ranked, and models that were not considered."""
    say, found = words["answer"], []
    if recommendation.n_unranked:
        found.append(say["unranked"].format(n=recommendation.n_unranked))
    if recommendation.left_out:
        names = truncate_list(list(map(display_name, recommendation.left_out)), words)
        found.append(say["left_out"].format(names=names, duration=recommendation.duration_s))
    return found


def nearest(result: CellResult, checks: Sequence[Check], words: Words) -> Markup:
    """Name the closest setting and the limits that it misses."""
    failed = [check for check in checks if check.outcome in (Outcome.MISSED, Outcome.UNKNOWN)]
    reasons = [
        words["answer"][_failure(check)].format(
            what=words["figure_of"][check.key],
            # With all digits: rounded it may look like the limit.
            value=NULL if check.value is None else exact_amount(check.key, check.value.value, words),
            limit=limit_amount(check.key, check.limit, words),
        )
        for check in failed
    ]
    return words["answer"]["nearest"].format(**result_fields(result), reasons=join(reasons))


def _failure(check: Check) -> str:
    """Return the key of the text about a missed limit."""
    if check.value is None:
        return "unknown"
    return "at_least" if check.is_bound else "missed"


def why_none(recommendation: Recommendation, words: Words) -> Markup:
    """Say why nothing is recommended."""
    missing = recommendation.missing or NoRecommendation.NOTHING_MEASURED
    return words["missing"][missing].format(
        n=recommendation.n_segments,
        least=LEAST_SEGMENTS,
        duration=NULL if recommendation.duration_s is None else recommendation.duration_s,
        total=recommendation.n_considered,
    )


def _figures(recommendation: Recommendation, result: CellResult, tariff: Tariff, words: Words) -> Table:
    """Return the figures of a recommended setting with their intervals and limits, then what an hour of audio costs."""
    checks = {check.key: check for check in recommendation.checks}
    values = {key: limit.value(result) for key, limit in LIMITS.items()}
    if GATE in checks and result.variant != BASELINE:
        values[GATE] = checks[GATE].value

    def line(key: str, value: Estimate | None) -> list[Entry]:
        check = checks.get(key)
        limit = words["outcome"][check.outcome].format(limit=limit_amount(key, check.limit, words)) if check else ""
        why = words["why_null"]["p95" if key == "max_latency_s_p95" else "not_measured"]
        return [text_entry(words["figure_of"][key]), *_value(key, value, why, words), text_entry(limit)]

    return table_of(
        f"scenario-{recommendation.name}",
        words["answer"]["figures_caption"].format(duration=result.duration_s, audio=number(result.audio_s)),
        entry_columns(["figure", "value", "interval", "limit_asked"], {"value", "interval"}),
        [*(line(key, value) for key, value in values.items()), *cost_lines(result, tariff, words)],
        words,
    )


def _value(key: str, value: Estimate | None, why: str, words: Words) -> tuple[Entry, Entry]:
    """Return a value and its interval, or a dash with the reason. Values without scatter have no interval."""
    if value is None:
        return Entry(with_note(NULL, why), ""), text_entry("")
    ends = "" if value.low == value.high else span(key, value, words)
    return Entry(amount(key, value.value, words), repr(value.value)), text_entry(ends)


def _key_figure(
    key: str,
    ranking: Ranking | None,
    estimate: Callable[[CellResult], Estimate | None],
    found: StudyRankings,
    words: Words,
) -> KeyFigure | None:
    if ranking is None:
        return None

    def value(result: CellResult) -> str:
        known = estimate(result)
        return number(known.value if known else None)

    result = ranking.first
    sentences = [words["fact"][f"{key}_text"].format(**result_fields(result))]
    if key == "frugal":
        basis = "modelled" if result.energy_is_modelled else "measured"
        sentences.append(words["fact"][basis].format(method=result.energy_method))
    sentences += [*doubts(result, words), *not_known(ranking.unknown, words)]
    if result.weights == "random":
        sentences.append(words["answer"]["speed_only"])
    elif result.wer:
        sentences.append(words["fact"]["wer"].format(wer=percent(result.wer.value)))
    if ranking.runner_up:
        sentences.append(
            words["fact"]["next"].format(
                name=display_name(ranking.runner_up.candidate),
                value=value(ranking.runner_up),
                unit=words["fact"][f"{key}_unit"],
                tie=_beaten(ranking, words["fact"]["next_tie"], words["fact"]["next_unclear"]),
            )
        )
    cells = [result.cell, *([ranking.runner_up.cell] if ranking.runner_up else [])]
    return KeyFigure(
        title=words["fact"][key],
        value=value(result),
        unit=words["fact"][f"{key}_unit"],
        sentences=tuple(sentences),
        evidence=cell_links(cells),
    )
