"""The top of the report: for each scenario the recommended model, the reasons, their certainty, and the costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.costs import per_audio_hour
from asrmeter.analysis.limits import GATE, LIMITS, Check, Outcome
from asrmeter.analysis.ranking import LEAST_SEGMENTS, Ranking, StudyRankings
from asrmeter.analysis.results import BASELINE, Candidate, CellResult
from asrmeter.analysis.scenarios import VALUES, NoRecommendation, Recommendation
from asrmeter.common.stats import Estimate
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    NULL,
    cell_links,
    display_name,
    energy_basis,
    join,
    join_and,
    number,
    percent,
    result_fields,
    truncate_list,
)
from asrmeter.report.html.amounts import amount, exact_amount, limit_amount, span
from asrmeter.report.html.certainty import doubts, how_sure, lead
from asrmeter.report.html.table_model import Entry, Table, entry_columns, table_of, text_entry, with_note
from asrmeter.study.model import Tariff


@dataclass(frozen=True)
class ScenarioCard:
    """What a scenario comes to, for the page: `figures` is None where nothing is recommended."""

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


def answer(recommendations: Sequence[Recommendation], tariff: Tariff, words: Words) -> dict[str, Any]:
    """Return the headline over all scenarios, and a card for each."""
    return {
        "headline": _headline(recommendations, words),
        "lead": lead(recommendations, words),
        "cards": [_scenario_card(recommendation, tariff, words) for recommendation in recommendations],
    }


def key_figures(found: StudyRankings, words: Words) -> list[KeyFigure]:
    """Return what is named beside the recommendation; what was not measured is left out."""
    key_figures = [
        _key_figure("interactive", found.interactive, lambda result: result.latency, found, words),
        _key_figure("fastest", found.fastest, lambda result: result.rtfx, found, words),
        _key_figure("frugal", found.frugal, lambda result: result.energy, found, words),
    ]
    return [fact for fact in key_figures if fact]


def _beaten(ranking: Ranking, tie: Markup, undecided: Markup) -> str:
    """Return what has to be said of a runner-up that is not clearly beaten."""
    if ranking.runner_up_ties:
        return tie
    return undecided if ranking.runner_up_undecided else ""


def _headline(recommendations: Sequence[Recommendation], words: Words) -> Markup:
    say = words["answer"]
    chosen: dict[Candidate, list[str]] = {}
    nobody: list[str] = []
    for recommendation in recommendations:
        of_candidate = (
            chosen.setdefault(recommendation.ranking.first.candidate, []) if recommendation.ranking else nobody
        )
        of_candidate.append(words["scenario_short"].get(recommendation.name, recommendation.name))
    if not chosen:
        return say["none_headline"]
    is_sure = all(recommendation.is_sure for recommendation in recommendations if recommendation.ranking)
    if len(chosen) == 1 and not nobody:
        return say["headline" if is_sure else "headline_unsure"].format(name=display_name(next(iter(chosen))))
    parts = [
        say["headline_part"].format(name=display_name(one), scenarios=join_and(names, words))
        for one, names in chosen.items()
    ]
    if nobody:
        parts.append(say["headline_nobody"].format(scenarios=join_and(nobody, words)))
    return say["headline_several" if is_sure else "headline_several_unsure"].format(parts=Markup("; ").join(parts))


def _title(recommendation: Recommendation, words: Words) -> str:
    return words["scenario"].get(recommendation.name, recommendation.name)


def _scenario_card(recommendation: Recommendation, tariff: Tariff, words: Words) -> ScenarioCard:
    say = words["answer"]
    cells = []
    if recommendation.ranking is None:
        headline, sentences = say["none"], [_why_none(recommendation, words), *_ruled_out(recommendation, words)]
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
    sentences += _left_out(recommendation, words)
    if recommendation.nearest and not (recommendation.ranking and recommendation.ranking.runner_up):
        sentences.append(_nearest(*recommendation.nearest, words))
        cells.append(recommendation.nearest[0].cell)
    return ScenarioCard(
        name=recommendation.name,
        title=_title(recommendation, words),
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
        return [] if recommendation.n_unranked or recommendation.left_out else [say["no_runner_up"]]
    prefer = recommendation.asked.prefer
    shown = [
        words["value_of"][key].format(value=amount(key, value.value, words))
        for key in dict.fromkeys((prefer, "throughput", "accuracy"))
        if (value := VALUES[key](ranking.runner_up))
    ]
    return [say["runner_up"].format(**result_fields(ranking.runner_up), values=join(shown))]


def _left_out(recommendation: Recommendation, words: Words) -> list[Markup]:
    """Say what could not be ranked, and which models were not looked at."""
    say, found = words["answer"], []
    if recommendation.n_unranked:
        found.append(say["unranked"].format(n=recommendation.n_unranked))
    if recommendation.left_out:
        names = truncate_list(list(map(display_name, recommendation.left_out)), words)
        found.append(say["left_out"].format(names=names, duration=recommendation.duration_s))
    return found


def _nearest(result: CellResult, checks: Sequence[Check], words: Words) -> Markup:
    """Say which other setting comes nearest, and what it fails."""
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
    """Return the key of what is said of a limit that is not met."""
    if check.value is not None:
        return "missed"
    return "unknown_p95" if check.key == "max_latency_s_p95" else "unknown"


def _why_none(recommendation: Recommendation, words: Words) -> Markup:
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
        [*(line(key, value) for key, value in values.items()), *_cost_lines(result, tariff, words)],
        words,
    )


def _cost_lines(result: CellResult, tariff: Tariff, words: Words) -> list[list[Entry]]:
    """Return what an hour of audio costs, as far as the study has a tariff; what is not known says why."""
    costs = per_audio_hour(result, tariff)
    basis = energy_basis(result.energy_method, words) if result.energy else ""
    rows = [("cost_seconds", costs.seconds, ""), ("cost_energy_j", _exactly(costs.energy_j), basis)]
    if tariff.co2_g_per_kwh is not None:
        note = words["cost"]["co2_note"].format(co2_g_per_kwh=f"{tariff.co2_g_per_kwh:g}")
        rows.append(("cost_co2_g", _exactly(costs.co2_g), note))
    if tariff.currency is not None:
        rows.append(("cost_money", _exactly(costs.money), ""))
    whys = {"cost_money": words["why_null"]["no_price" if result.energy else "not_measured"]}
    return [
        [
            text_entry(words["cost"][key].format(currency=tariff.currency)),
            *_value(key, value, whys.get(key, words["why_null"]["not_measured"]), words),
            text_entry(note),
        ]
        for key, value, note in rows
    ]


def _value(key: str, value: Estimate | None, why: str, words: Words) -> tuple[Entry, Entry]:
    """Return a value and its interval, or a dash with the reason; what does not scatter has no interval."""
    if value is None:
        return Entry(with_note(NULL, why), ""), text_entry("")
    ends = "" if value.low == value.high else span(key, value, words)
    return Entry(amount(key, value.value, words), repr(value.value)), text_entry(ends)


def _exactly(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(value)


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
    sentences += doubts(result, words)
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
