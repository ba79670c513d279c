"""The top of the report: what to run in each scenario, why, how sure that is, and what it costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.costs import per_audio_hour
from asrmeter.analysis.ranking import LEAST_SEGMENTS, Pick, Recommendation, same_segments
from asrmeter.analysis.results import BASELINE, Candidate, Setting
from asrmeter.analysis.scenarios import GATE, LIMITS, Advice, Check, Missing, Outcome
from asrmeter.common.stats import Estimate
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    NULL,
    cell_link,
    cell_links,
    energy_basis,
    enumerated,
    first_few,
    interval,
    listed,
    name_of,
    number,
    percent,
    place_of,
)
from asrmeter.report.html.table_model import Entry, Table, table_from, text_entry, with_note

# What decides in a scenario, as a number that people know.
_VALUES: dict[str, Callable[[Setting], Estimate | None]] = {
    "throughput": lambda setting: setting.rtfx,
    "latency": lambda setting: setting.latency,
    "energy": lambda setting: setting.energy,
    "accuracy": lambda setting: setting.wer,
}
_SHARES = ("max_wer", GATE, "accuracy")


@dataclass(frozen=True)
class Card:
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
class Fact:
    """A figure that stands out beside the recommendation, with its sentences and the cells that it rests on."""

    title: str
    value: str
    unit: str
    sentences: tuple[str, ...]
    evidence: list[Markup]


def answer(advices: Sequence[Advice], tariff: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """Return the headline over all scenarios, and a card for each."""
    return {
        "headline": _headline(advices, words),
        "lead": _lead(advices, words),
        "cards": [_card(advice, tariff, words) for advice in advices],
    }


def facts(found: Recommendation, words: Words) -> list[Fact]:
    """Return what is named beside the recommendation; what was not measured is left out."""
    facts = [
        _fact("interactive", found.interactive, lambda setting: setting.latency, found, words),
        _fact("fastest", found.fastest, lambda setting: setting.rtfx, found, words),
        _fact("frugal", found.frugal, lambda setting: setting.energy, found, words),
    ]
    return [fact for fact in facts if fact]


def _doubts(setting: Setting, words: Words) -> list[Markup]:
    """Return a sentence if the cell was disturbed, and one if it did not converge."""
    found = [words["answer"]["disturbed"].format(reason=setting.disturbance)] if setting.disturbance else []
    latency = setting.latency
    if latency.low is None:
        found.append(words["answer"]["no_interval"])
    elif not setting.converged:
        found.append(words["answer"]["unconverged"].format(interval=interval(latency.low, latency.high)))
    return found


def _beaten(pick: Pick, tie: Markup, unclear: Markup) -> str:
    """Return what has to be said of a runner-up that is not clearly beaten."""
    if pick.runner_up_ties:
        return tie
    return unclear if pick.runner_up_unclear else ""


def _headline(advices: Sequence[Advice], words: Words) -> Markup:
    say = words["answer"]
    chosen: dict[Candidate, list[str]] = {}
    nobody: list[str] = []
    for advice in advices:
        of_candidate = chosen.setdefault(advice.pick.setting.candidate, []) if advice.pick else nobody
        of_candidate.append(words["scenario_short"].get(advice.name, advice.name))
    if not chosen:
        return say["none_headline"]
    is_sure = any(advice.is_sure for advice in advices)
    if len(chosen) == 1 and not nobody:
        return say["headline" if is_sure else "headline_unsure"].format(name=name_of(next(iter(chosen))))
    parts = [
        say["headline_part"].format(name=name_of(one), scenarios=enumerated(names, words))
        for one, names in chosen.items()
    ]
    if nobody:
        parts.append(say["headline_nobody"].format(scenarios=enumerated(nobody, words)))
    return say["headline_several" if is_sure else "headline_several_unsure"].format(parts=Markup("; ").join(parts))


def _lead(advices: Sequence[Advice], words: Words) -> Markup | str:
    """Say how many of the recommendations are sure; nothing where there is none."""
    given = [advice for advice in advices if advice.pick]
    n_sure = sum(advice.is_sure for advice in given)
    if not given:
        return ""
    key = "all" if n_sure == len(given) else "some" if n_sure else "nobody"
    return words["sure"][key].format(n=n_sure, total=len(given))


def _title(advice: Advice, words: Words) -> str:
    return words["scenario"].get(advice.name, advice.name)


def _card(advice: Advice, tariff: Mapping[str, Any], words: Words) -> Card:
    say = words["answer"]
    cells = []
    if advice.pick is None:
        headline, sentences = say["none"], [_why_none(advice, words), *_ruled_out(advice, words)]
    else:
        setting, runner_up = advice.pick.setting, advice.pick.runner_up
        cells = [setting.cell, *([runner_up.cell] if runner_up else [])]
        others = dict.fromkeys(tied.candidate for tied in advice.pick.ties if tied.candidate != setting.candidate)
        key = "run_tied" if others else "run"
        headline = say[key].format(**place_of(setting), others=first_few(list(map(name_of, others)), words))
        sentences = [_why(advice, advice.pick, words), *_ruled_out(advice, words)]
        sentences += [*_runner_up(advice, advice.pick, words), *_how_sure(advice, advice.pick, words)]
    sentences += _left_out(advice, words)
    if advice.nearest and not (advice.pick and advice.pick.runner_up):
        sentences.append(_nearest(*advice.nearest, words))
        cells.append(advice.nearest[0].cell)
    return Card(
        name=advice.name,
        title=_title(advice, words),
        purpose=advice.asked["description"] or words["scenario_for"].get(advice.name, ""),
        asked=_asked(advice, words),
        headline=headline,
        sentences=tuple(sentences),
        figures=_figures(advice, advice.pick.setting, tariff, words) if advice.pick else None,
        evidence=cell_links(cells),
    )


def _asked(advice: Advice, words: Words) -> Markup:
    """Return the constraints of a scenario in a sentence."""
    say = words["constraint"]
    limits = [
        say[key].format(limit=_limit(key, advice.asked[key], words)) for key in LIMITS if advice.asked[key] is not None
    ]
    if advice.asked["devices"]:
        limits.append(say["devices"].format(devices=listed(advice.asked["devices"])))
    return words["answer"]["asked"].format(
        limits=listed(limits) if limits else say["none"],
        prefer=words["preference"][advice.asked["prefer"]],
        duration=NULL if advice.duration_s is None else advice.duration_s,
    )


def _shown(key: str, value: float, words: Words) -> Markup:
    """Return a measured value of what is limited or preferred with its unit."""
    return words["amount"][key].format(value=number(value * _scale(key)))


def _limit(key: str, value: float, words: Words, digits: str = ".10g") -> Markup:
    """Return a limit as the study has it, with its unit."""
    return words["amount"][key].format(value=f"{value * _scale(key):{digits}}")


def _span(key: str, estimate: Estimate, words: Words) -> str:
    """Return an interval with the unit of its value."""
    span = interval(estimate.low, estimate.high, _scale(key))
    return span if span == NULL else words["amount"][key].format(value=span)


def _scale(key: str) -> float:
    return 100.0 if key in _SHARES else 1.0


def _why(advice: Advice, pick: Pick, words: Words) -> Markup:
    prefer = advice.asked["prefer"]
    value = _VALUES[prefer](pick.setting)
    assert value is not None  # who comes first by something has it
    return words["why"][prefer].format(
        value=_shown(prefer, value.value, words),
        interval=_span(prefer, value, words),
        basis=energy_basis(pick.setting.energy_method, words),
        count=words["answer"]["count"].format(n=advice.n_meeting, total=advice.n_considered),
    )


def _ruled_out(advice: Advice, words: Words) -> list[Markup]:
    """Return how many settings each limit rules out, if any does."""
    say = words["answer"]
    if not advice.ruled_out:
        return []
    counts = [say["by_limit"].format(n=n, limit=words["figure_of"][key]) for key, n in advice.ruled_out.items()]
    return [say["ruled_out"].format(counts=listed(counts))]


def _runner_up(advice: Advice, pick: Pick, words: Words) -> list[Markup]:
    say = words["answer"]
    if pick.runner_up is None:
        return [] if advice.n_unranked or advice.left_out else [say["no_runner_up"]]
    prefer = advice.asked["prefer"]
    shown = [
        words["value_of"][key].format(value=_shown(key, value.value, words))
        for key in dict.fromkeys((prefer, "throughput", "accuracy"))
        if (value := _VALUES[key](pick.runner_up))
    ]
    return [say["runner_up"].format(**place_of(pick.runner_up), values=listed(shown))]


def _left_out(advice: Advice, words: Words) -> list[Markup]:
    """Say what could not be ranked, and which models were not looked at."""
    say, found = words["answer"], []
    if advice.n_unranked:
        found.append(say["unranked"].format(n=advice.n_unranked))
    if advice.left_out:
        names = first_few(list(map(name_of, advice.left_out)), words)
        found.append(say["left_out"].format(names=names, duration=advice.duration_s))
    return found


def _how_sure(advice: Advice, pick: Pick, words: Words) -> list[Markup]:
    """Return what is known of the lead over others, of limits that are only just met, and of the cells."""
    say = words["sure"]
    found: list[Markup] = []

    def cells_of(settings: Sequence[Setting]) -> Markup:
        return first_few([cell_link(setting.cell) for setting in settings], words)

    if pick.ties:
        key = "wer_ties" if advice.asked["prefer"] == "accuracy" else "ties"
        found.append(say[key].format(cells=cells_of(pick.ties)))
    if unclear := [other for other in pick.unclear if other.candidate != pick.setting.candidate]:
        found.append(say["unclear"].format(cells=cells_of(unclear)))
    runner_up = pick.runner_up
    if runner_up and not pick.runner_up_ties and not pick.runner_up_unclear:
        found.append(_lead_over(advice, pick.setting, runner_up, words))
    if runner_up and runner_up.disturbance:
        found.append(say["disturbed"].format(reason=runner_up.disturbance))
    if runner_up and runner_up.hardware[0] != pick.setting.hardware[0]:
        found.append(say["machines"])
    for check in advice.checks:
        if check.outcome is Outcome.LIKELY and check.value:
            key = "no_interval" if check.value.low is None else "likely"
            value = {"limit": words["figure_of"][check.key], "interval": _span(check.key, check.value, words)}
            found.append(say[key].format(**value))
    return [*found, *_doubts(pick.setting, words)]


def _lead_over(advice: Advice, setting: Setting, runner_up: Setting, words: Words) -> Markup:
    """Say by what the lead over a runner-up that is clearly beaten is known."""
    say, prefer = words["sure"], advice.asked["prefer"]
    if prefer == "accuracy":
        return say["accuracy" if same_segments(setting, runner_up) else "accuracy_unpaired"]
    values = [_VALUES[prefer](one) for one in (setting, runner_up)]
    floor = max((value.floor for value in values if value and value.floor is not None), default=None)
    if prefer == "energy":
        return say["energy"].format(floor=percent(floor))
    return say["clear" if floor is not None else "clear_no_floor"].format(floor=percent(floor))


def _nearest(setting: Setting, checks: Sequence[Check], words: Words) -> Markup:
    """Say which other setting comes nearest, and what it fails."""
    failed = [check for check in checks if check.outcome in (Outcome.MISSED, Outcome.UNKNOWN)]
    reasons = [
        words["answer"][_failure(check)].format(
            what=words["figure_of"][check.key],
            # With all digits: rounded it may look like the limit.
            value=NULL if check.value is None else _limit(check.key, check.value.value, words, ".4g"),
            limit=_limit(check.key, check.limit, words),
        )
        for check in failed
    ]
    return words["answer"]["nearest"].format(**place_of(setting), reasons=listed(reasons))


def _failure(check: Check) -> str:
    """Return the key of what is said of a limit that is not met."""
    if check.value is not None:
        return "missed"
    return "unknown_p95" if check.key == "max_latency_s_p95" else "unknown"


def _why_none(advice: Advice, words: Words) -> Markup:
    missing = advice.missing or Missing.NOTHING_MEASURED
    return words["missing"][missing].format(
        n=advice.n_segments,
        least=LEAST_SEGMENTS,
        duration=NULL if advice.duration_s is None else advice.duration_s,
        total=advice.n_considered,
    )


def _figures(advice: Advice, setting: Setting, tariff: Mapping[str, Any], words: Words) -> Table:
    """Return the figures of a recommended setting with their intervals and limits, then what an hour of audio costs."""
    checks = {check.key: check for check in advice.checks}
    values = {key: limit.value(setting) for key, limit in LIMITS.items()}
    if GATE in checks and setting.variant != BASELINE:
        values[GATE] = checks[GATE].value

    def line(key: str, value: Estimate | None) -> list[Entry]:
        check = checks.get(key)
        limit = words["outcome"][check.outcome].format(limit=_limit(key, check.limit, words)) if check else ""
        why = words["why_null"]["p95" if key == "max_latency_s_p95" else "not_measured"]
        return [text_entry(words["figure_of"][key]), *_value(key, value, why, words), text_entry(limit)]

    return table_from(
        f"scenario-{advice.name}",
        words["answer"]["figures_caption"].format(duration=setting.duration_s, audio=number(setting.audio_s)),
        ["figure", "value", "interval", "limit_asked"],
        [*(line(key, value) for key, value in values.items()), *_cost_lines(setting, tariff, words)],
        words,
        "value interval",
    )


def _cost_lines(setting: Setting, tariff: Mapping[str, Any], words: Words) -> list[list[Entry]]:
    """Return what an hour of audio costs, as far as the study has a tariff; what is not known says why."""
    costs = per_audio_hour(setting, tariff)
    basis = energy_basis(setting.energy_method, words) if setting.energy else ""
    rows = [("cost_seconds", costs.seconds, ""), ("cost_energy_j", _exactly(costs.energy_j), basis)]
    if tariff["co2_g_per_kwh"] is not None:
        note = words["cost"]["co2_note"].format(co2_g_per_kwh=f"{tariff['co2_g_per_kwh']:g}")
        rows.append(("cost_co2_g", _exactly(costs.co2_g), note))
    if tariff["currency"] is not None:
        rows.append(("cost_money", _exactly(costs.money), ""))
    whys = {"cost_money": words["why_null"]["no_price" if setting.energy else "not_measured"]}
    return [
        [
            text_entry(words["cost"][key].format(currency=tariff["currency"])),
            *_value(key, value, whys.get(key, words["why_null"]["not_measured"]), words),
            text_entry(note),
        ]
        for key, value, note in rows
    ]


def _value(key: str, value: Estimate | None, why: str, words: Words) -> tuple[Entry, Entry]:
    """Return a value and its interval, or a dash with the reason; what does not scatter has no interval."""
    if value is None:
        return Entry(with_note(NULL, why), ""), text_entry("")
    span = "" if value.low == value.high else _span(key, value, words)
    return Entry(_shown(key, value.value, words), repr(value.value)), text_entry(span)


def _exactly(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(value)


def _fact(
    key: str, pick: Pick | None, estimate: Callable[[Setting], Estimate | None], found: Recommendation, words: Words
) -> Fact | None:
    if pick is None:
        return None

    def value(setting: Setting) -> str:
        known = estimate(setting)
        return number(known.value if known else None)

    setting = pick.setting
    sentences = [words["fact"][f"{key}_text"].format(**place_of(setting))]
    if key == "frugal":
        basis = "modelled" if setting.energy_is_modelled else "measured"
        sentences.append(words["fact"][basis].format(method=setting.energy_method))
    sentences += _doubts(setting, words)
    if setting.weights == "random":
        sentences.append(words["answer"]["speed_only"])
    elif setting.wer:
        sentences.append(words["fact"]["wer"].format(wer=percent(setting.wer.value)))
    if pick.runner_up:
        sentences.append(
            words["fact"]["next"].format(
                name=name_of(pick.runner_up.candidate),
                value=value(pick.runner_up),
                unit=words["fact"][f"{key}_unit"],
                tie=_beaten(pick, words["fact"]["next_tie"], words["fact"]["next_unclear"]),
            )
        )
    cells = [setting.cell, *([pick.runner_up.cell] if pick.runner_up else [])]
    return Fact(
        title=words["fact"][key],
        value=value(setting),
        unit=words["fact"][f"{key}_unit"],
        sentences=tuple(sentences),
        evidence=cell_links(cells),
    )
