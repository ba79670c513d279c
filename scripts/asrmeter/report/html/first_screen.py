"""The first screen of the report: the answer for the first purpose with its figures, and a line for each other one."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.analysis.alternatives import Standing, alternatives
from asrmeter.analysis.limits import LIMITS
from asrmeter.analysis.preferences import VALUES
from asrmeter.analysis.results import BASELINE, CellResult
from asrmeter.analysis.scenarios import NoRecommendation, Recommendation
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NULL, display_name, join, number, percent, result_fields, truncate_list
from asrmeter.report.html.amounts import amount, limit_amount, span
from asrmeter.report.html.cards import nearest, title_of, why_none
from asrmeter.report.html.certainty import chance_of
from asrmeter.report.html.costs import cost_sentence
from asrmeter.report.html.languages import wrong_language
from asrmeter.report.html.silence import silence_sentence
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext
from asrmeter.report.html.tiles import Tile, row_of, tiles_of
from asrmeter.report.html.unknowns import names_of_unknown
from asrmeter.report.html.variants import unequal
from asrmeter.study.model import Tariff

# Of the other purposes so many have a line each; all have a card below.
MOST_OTHERS = 3


@dataclass(frozen=True)
class OtherPurpose:
    """The result of another purpose in a line: `pick` is a setting, or the reason why there is none."""

    name: str
    title: str
    pick: Markup
    value: Markup
    chance: Markup


@dataclass(frozen=True)
class FirstScreen:
    """The answer for the first purpose.

    `tiles` are the figures of the pick, or of what `nearest` names where there is none, and `cost` its money.
    `silence` says
    what is written where nobody speaks. `others` are the next purposes of the `n_purposes` that the study states.
    """

    name: str
    asked: Markup
    headline: Markup
    is_answered: bool
    setting: Markup
    chance: Markup
    silence: Markup
    nearest: Markup
    tiles: tuple[Tile, ...]
    cost: Markup
    unknown: Markup
    others: tuple[OtherPurpose, ...]
    n_purposes: int


def first_screen(
    recommendations: Sequence[Recommendation],
    cells: Sequence[Row],
    tariff: Tariff,
    words: Words,
    silence: Sequence[Row] = (),
) -> FirstScreen | None:
    """Return the content of the first screen; None if the study defines no purpose.

    `silence` are the rows of the table `silence_models`.
    """
    if not recommendations:
        return None
    first, *others = recommendations
    pick = first.ranking.first if first.ranking else None
    shown, checks = (pick, first.checks) if pick else first.nearest or (None, ())
    row = row_of(shown, cells) if shown else {}
    return FirstScreen(
        name=first.name,
        asked=_asked(first, shown, words),
        headline=_headline(first, words),
        is_answered=pick is not None,
        setting=_setting(first, pick, row, cells, words) if pick else Markup(),
        chance=_chance(first, words),
        silence=silence_sentence(shown.candidate, silence, words) if shown else Markup(),
        nearest=nearest(*first.nearest, words) if first.nearest and not pick else Markup(),
        tiles=tuple(tiles_of(first, shown, checks, row, words)) if shown else (),
        cost=cost_sentence(shown, tariff, words) if shown else Markup(),
        unknown=_unknown(first, words),
        others=tuple(_other(other, words) for other in others[:MOST_OTHERS]),
        n_purposes=len(recommendations),
    )


def alternatives_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Explain the marks of the small picture; None without alternatives."""
    drawn = alternatives(of.recommendation) if of.recommendation else []
    if of.recommendation is None or not drawn:
        return None
    say = of.words["legend"]
    told = (Standing.MISSES, Standing.UNKNOWN)
    standings = [standing for standing in told if any(one.standing is standing for one in drawn)]
    legend = join([*(say[standing] for standing in standings), say["lines"]])
    return Markup(legend[:1].upper() + legend[1:] + "."), [one.result.cell for one in drawn]


def _asked(recommendation: Recommendation, shown: CellResult | None, words: Words) -> Markup:
    """Return the limits and preference in a line, with the length of the audio of `shown`."""
    say, asked = words["first"], recommendation.asked
    limits = [
        words["asked_limit"][key].format(limit=limit_amount(key, limit, words))
        for key in LIMITS
        if (limit := getattr(asked, key)) is not None
    ]
    if asked.devices:
        limits.append(words["constraint"]["devices"].format(devices=join(asked.devices)))
    return say["asked"].format(
        title=title_of(recommendation, words),
        limits=join(limits) if limits else words["constraint"]["none"],
        prefer=words["asked_prefer"][asked.prefer],
        audio=say["asked_audio"].format(audio=number(shown.audio_s))
        if shown
        else say["asked_class"].format(duration=recommendation.duration_s),
    )


def _headline(recommendation: Recommendation, words: Words) -> Markup:
    if recommendation.ranking is None:
        return why_none(recommendation, words)
    key = "headline" if recommendation.is_sure else "headline_unsure"
    result = recommendation.ranking.first
    return words["first"][key].format(
        name=display_name(result.candidate), value=_decisive(recommendation, result, words)
    )


def _decisive(recommendation: Recommendation, result: CellResult, words: Words) -> Markup:
    """Return the number that decided, in words."""
    prefer = recommendation.asked.prefer
    value = VALUES[prefer](result)
    assert value is not None  # who comes first by something has it
    return words["decisive"][prefer].format(value=amount(prefer, value.value, words))


def _setting(
    recommendation: Recommendation, result: CellResult, row: Row, cells: Sequence[Row], words: Words
) -> Markup:
    """Return how to run it: the engine, the device and the batch size, what is unusual of it, and what is as good.

    The baseline is named where the model has other variants.
    """
    say, runtime = words["first"], row["runtime"]
    others = {one["variant"] for one in cells if one["model"] == result.model} - {result.variant}
    key = "setting_baseline" if others and result.variant == BASELINE else "setting"
    fields = result_fields(result) | {"runtime": words["runtime"].get(runtime, runtime), "variant": result.variant}
    said = [say[key if runtime else "setting_bare"].format(**fields), *unequal(result, words)]
    if share := wrong_language(row):
        said.append(say["language_wrong"].format(share=percent(share)))
    ties = recommendation.ranking.ties if recommendation.ranking else ()
    tied = dict.fromkeys(one.candidate for one in ties if one.candidate != result.candidate)
    if tied:
        said.append(say["tied"].format(others=truncate_list(list(map(display_name, tied)), words)))
    return Markup(" ").join(said)


def _chance(recommendation: Recommendation, words: Words) -> Markup:
    """Return the probability that the pick is the best; nothing without a pick."""
    found = recommendation.certainty
    if found is None:
        return Markup()
    if found.probability is None:
        return words["first"]["best_not_known"]
    key = "best_of_known" if recommendation.unknowns else "best_sure" if recommendation.is_sure else "best"
    return words["first"][key].format(chance=chance_of(found, words))


def _unknown(recommendation: Recommendation, words: Words) -> Markup:
    """Name settings that could be better if they were known, and those that were not compared."""
    say, found = words["first"], []
    if recommendation.unknowns:
        found.append(say["could_win"].format(names=names_of_unknown(recommendation.unknowns, words)))
    if recommendation.left_out:
        names = truncate_list(list(map(display_name, recommendation.left_out)), words)
        found.append(words["answer"]["left_out"].format(names=names, duration=recommendation.duration_s))
    return Markup(" ").join(found)


def _other(recommendation: Recommendation, words: Words) -> OtherPurpose:
    say, ranking, certainty = words["first"], recommendation.ranking, recommendation.certainty
    title = title_of(recommendation, words)
    if ranking is None or certainty is None:
        why = {NoRecommendation.NONE_MEETS: say["nothing"], NoRecommendation.NOT_KNOWN: say["not_known"]}
        pick = why.get(recommendation.missing or NoRecommendation.NOTHING_MEASURED, words["answer"]["none"])
        return OtherPurpose(recommendation.name, title, pick, Markup(), Markup())
    prefer = recommendation.asked.prefer
    value = VALUES[prefer](ranking.first)
    assert value is not None  # who comes first by something has it
    decisive = words["value_of"][prefer].format(value=amount(prefer, value.value, words))
    ends = span(prefer, value, words)
    key = "likely_of_known" if recommendation.unknowns else "likely"
    return OtherPurpose(
        name=recommendation.name,
        title=title,
        pick=say["other" if ranking.first.equal_settings else "other_unequal"].format(**result_fields(ranking.first)),
        value=decisive if ends == NULL else say["with_interval"].format(value=decisive, interval=ends),
        chance=say["no_chance" if certainty.probability is None else key].format(chance=chance_of(certainty, words)),
    )
