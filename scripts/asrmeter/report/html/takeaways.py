"""A sentence for each figure, with the cells that it rests on; none where the figure would show nothing.

The catalogue `words.<language>.toml` has the sentences. Where values were measured and none of them is known, as all
are disturbed, the figure is drawn and its sentence says so.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from asrmeter.analysis.bottlenecks import Bottlenecks, over_cpu
from asrmeter.analysis.pareto import front
from asrmeter.analysis.ranking import StudyRankings
from asrmeter.analysis.results import Candidate, CellResult, comparable_energy, results_of, undisturbed
from asrmeter.analysis.scenarios import Recommendation
from asrmeter.analysis.table_rows import cell_name
from asrmeter.analysis.unmeasured import Unmeasured, unmeasured_of
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    FEW,
    display_name,
    join,
    number,
    percent,
    result_fields,
    short_basis,
    truncate_list,
)
from asrmeter.report.html.unknowns import not_known
from asrmeter.study.grid import reference_duration

Takeaway = tuple[Markup, list[str]]


@dataclass(frozen=True)
class TakeawayContext:
    """What a figure's sentence is made from: the comparable cells, their rankings, the other tables, and the words.

    `recommendation` is that of the study's first purpose, None if it states none. `optimisations`, `capacities`,
    `loads` and `layouts` are the rows of the tables of these names, `silence` those of `silence_models`.
    """

    cells: Sequence[Row]
    rankings: StudyRankings
    tables: Bottlenecks
    words: Words
    recommendation: Recommendation | None = None
    optimisations: Sequence[Row] = ()
    silence: Sequence[Row] = ()
    capacities: Sequence[Row] = ()
    loads: Sequence[Row] = ()
    layouts: Sequence[Row] = ()

    @cached_property
    def everything(self) -> list[CellResult]:
        """The cells that have a latency, disturbed or not."""
        return results_of(self.cells)

    @cached_property
    def results(self) -> list[CellResult]:
        """The cells whose latency is known."""
        return undisturbed(self.everything)

    @cached_property
    def unmeasured(self) -> list[Unmeasured]:
        """The other cells, but for those that are known not to run."""
        return [one for one in unmeasured_of(self.cells) if not one.does_not_run]

    @cached_property
    def unknown(self) -> list[str]:
        """The names of the cells whose latency is not known."""
        return [*(one.cell for one in self.everything if one.disturbance), *(one.cell for one in self.unmeasured)]

    @cached_property
    def has_batches(self) -> bool:
        """Whether several batch sizes were measured on a device, with segments of one class."""
        return has_batches((one.device, one.duration_s, one.batch_size) for one in self.everything)

    @cached_property
    def all_disturbed(self) -> Takeaway | None:
        """What is said where no latency is known; nothing where none was measured."""
        if not self.everything:
            return None
        return self.beside(self.words["missing"]["all_disturbed"], self.unknown), []

    def beside(self, sentence: Markup, unknown: Sequence[str]) -> Markup:
        """Return a sentence, and what it does not speak of, since it is not known."""
        return Markup(" ").join([sentence, *not_known(unknown, self.words)])


def has_batches(places: Iterable[tuple[str, int, int]]) -> bool:
    """Whether there are several batch sizes of a device and a duration class, in that order."""
    known = set(places)
    return len({place[:2] for place in known}) < len(known)


def latency_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say how latency grows from the shortest to the longest class that all models have, at the smallest batch."""
    if of.rankings.interactive is None:
        return of.all_disturbed
    quickest = of.rankings.interactive.first
    batch = min(result.batch_size for result in of.results if result.device == quickest.device)
    of_candidate: dict[Candidate, dict[int, CellResult]] = {}
    for result in of.results:
        if (result.device, result.batch_size) == (quickest.device, batch):
            of_candidate.setdefault(result.candidate, {})[result.duration_s] = result
    common = sorted(set.intersection(*map(set, of_candidate.values())))
    if len(common) < 2:
        shortest = min(of.results, key=lambda result: result.latency.value)
        sentence = of.words["takeaway"]["latency_single"]
        said = sentence.format(**result_fields(shortest), value=number(shortest.latency.value))
        return of.beside(said, of.unknown), [shortest.cell]
    ends = [(of_class[common[0]], of_class[common[-1]]) for of_class in of_candidate.values()]
    growth = [
        of.words["takeaway"]["latency_growth"].format(
            name=display_name(short.candidate), ratio=number(long.latency.value / short.latency.value)
        )
        for short, long in ends
    ]
    # The segments of a class are shorter than its name says, and not all by the same share.
    first_s, last_s = (statistics.fmean(pair[end].audio_s for pair in ends) for end in (0, 1))
    sentence = of.words["takeaway"]["latency"].format(
        first=number(first_s),
        last=number(last_s),
        ratio=number(last_s / first_s),
        batch=batch,
        device=quickest.device,
        growth=truncate_list(growth, of.words),
    )
    return of.beside(sentence, of.unknown), [result.cell for pair in ends for result in pair]


def throughput_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say where a larger batch gains most over the smallest one, if it gains anything beyond the intervals."""
    if not of.has_batches:
        return None
    if not of.results:
        return of.all_disturbed
    base = min(result.batch_size for result in of.results)
    firsts = {(one.candidate, one.device, one.duration_s): one for one in of.results if one.batch_size == base}
    pairs = [
        (firsts[more.candidate, more.device, more.duration_s], more)
        for more in of.results
        if more.batch_size > base and (more.candidate, more.device, more.duration_s) in firsts
    ]
    if not pairs:
        return of.beside(of.words["takeaway"]["batches_unknown"], of.unknown), []
    gains = [
        (one, more) for one, more in pairs if more.rtfx.value > one.rtfx.value and more.rtfx.differs_from(one.rtfx)
    ]
    undecided = [
        (one, more)
        for one, more in pairs
        if more.rtfx.value > one.rtfx.value
        and not more.rtfx.ties_with(one.rtfx)
        and None in (one.rtfx.low, more.rtfx.low)
    ]
    if not gains and not undecided:
        said = of.words["takeaway"]["throughput_flat"].format(batch=base)
        return of.beside(said, of.unknown), [one.cell for one, _ in pairs]

    def gain(pair: tuple[CellResult, CellResult]) -> float:
        return pair[1].rtfx.value / pair[0].rtfx.value

    one, more = max(gains or undecided, key=gain)
    if not gains:
        key = "throughput_unclear"
    else:
        key = "throughput" if gain((one, more)) >= max(map(gain, undecided), default=0) else "throughput_known"
    sentence = of.words["takeaway"][key].format(
        **result_fields(more), from_batch=one.batch_size, to_batch=more.batch_size, ratio=number(gain((one, more)))
    )
    return of.beside(sentence, of.unknown), [one.cell, more.cell]


def energy_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say between which watt-hours an hour of audio lies, and whether they were measured."""
    if not any(result.energy for result in of.everything):
        return None
    energies = comparable_energy(of.results)
    if not energies:
        return of.beside(of.words["takeaway"]["energy_unknown"], [one.cell for one in of.everything]), []
    low, high = (choose(energies, key=lambda result: energies[result].value) for choose in (min, max))
    tied = energies[low].ties_with(energies[high])
    sentence = of.words["takeaway"]["energy_same" if tied else "energy"].format(
        low=number(energies[low].value),
        low_name=display_name(low.candidate),
        low_device=low.device,
        high=number(energies[high].value),
        high_name=display_name(high.candidate),
        high_device=high.device,
        basis=short_basis(low, of.words),
    )
    lacking = [one.cell for one in of.results if one not in energies]
    return of.beside(sentence, [*of.unknown, *lacking]), [low.cell, high.cell]


def wer_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Name the model with the lowest pooled WER, and those that cannot be told from it."""
    if not any(result.wer for result in of.everything):
        return None
    if not of.rankings.accuracies:
        return of.words["missing"]["nothing_to_compare"], []
    first = of.rankings.accuracies[0]
    assert first.wer is not None  # it is among the scored ones
    tied = [display_name(one) for one in of.rankings.as_accurate if one != first.candidate]
    sentence = of.words["takeaway"]["wer"].format(
        name=display_name(first.candidate),
        wer=percent(first.wer.value),
        others=of.words["takeaway"]["wer_tied"].format(names=join(tied)) if tied else of.words["takeaway"]["wer_clear"],
    )
    evidence = [result.cell for result in of.rankings.accuracies]
    if not of.rankings.unscored:
        return sentence, evidence
    names = truncate_list(list(map(display_name, of.rankings.unscored)), of.words)
    return Markup(" ").join([sentence, of.words["unknown"]["wer"].format(names=names)]), evidence


def pareto_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say who is on the Pareto front, and of what it is one."""
    say, found_front = of.words["takeaway"], front(of.everything, of.unmeasured)
    members = found_front.members
    if not members:
        return None
    sentence = say["pareto"].format(
        n=len(members),
        total=len(members) + len(found_front.dominated),
        duration=found_front.duration_s,
        objectives=say["objectives" if found_front.with_energy else "objectives_no_energy"],
        names=truncate_list(list(map(display_name, dict.fromkeys(one.candidate for one in members))), of.words),
    )
    unknown = [*(one.cell for one in found_front.unknown), *found_front.unplaced]
    return of.beside(sentence, unknown), [result.cell for result in members]


def latency_batch_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say how latency grows from the smallest to the largest batch, in the usual duration class."""
    if not of.has_batches:
        return None
    if of.rankings.interactive is None:
        return of.all_disturbed
    device = of.rankings.interactive.first.device
    several = {
        duration_s
        for duration_s in {result.duration_s for result in of.results}
        if len({one.batch_size for one in of.results if (one.device, one.duration_s) == (device, duration_s)}) > 1
    }
    if not several:
        return of.beside(of.words["takeaway"]["batches_unknown"], of.unknown), []
    duration_s = reference_duration(several)
    of_class = [one for one in of.results if (one.device, one.duration_s) == (device, duration_s)]
    batches = {one.batch_size for one in of_class}
    first, last = min(batches), max(batches)
    at = {(one.candidate, one.batch_size): one for one in of_class}
    pairs = [(at[one, first], at[one, last]) for one, batch in at if batch == first and (one, last) in at]
    ends = sorted(pairs, key=lambda pair: pair[0].latency.value / pair[1].latency.value)
    growth = [
        of.words["takeaway"]["latency_growth"].format(
            name=display_name(small.candidate), ratio=number(large.latency.value / small.latency.value)
        )
        for small, large in ends
    ]
    sentence = of.words["takeaway"]["latency_batch"].format(
        first=first, last=last, duration=duration_s, device=device, growth=truncate_list(growth, of.words)
    )
    return of.beside(sentence, of.unknown), [result.cell for pair in ends[:FEW] for result in pair]


def rtfx_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say between which values RTFx lies, and where."""
    if not of.results:
        return of.all_disturbed
    ends = {end: choose(of.results, key=lambda one: one.rtfx.value) for end, choose in (("low", min), ("high", max))}
    places = {f"{end}_{key}": value for end, one in ends.items() for key, value in result_fields(one).items()}
    values = {end: number(one.rtfx.value) for end, one in ends.items()}
    sentence = of.words["takeaway"]["rtfx"].format(**places, **values)
    return of.beside(sentence, of.unknown), [one.cell for one in ends.values()]


def memory_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say for each device which cells take the least and the most memory."""
    peaks = {result: result.memory_bytes for result in of.everything if result.memory_bytes is not None}
    sentences, evidence = [], []
    for device in sorted({result.device for result in peaks}):
        own = [result for result in peaks if result.device == device]
        low, high = (choose(own, key=lambda result: peaks[result]) for choose in (min, max))
        sentences.append(
            of.words["takeaway"]["memory"].format(
                device=device,
                low=number(peaks[low] / 1e9),
                low_name=display_name(low.candidate),
                high=number(peaks[high] / 1e9),
                high_name=display_name(high.candidate),
            )
        )
        evidence += [low.cell, high.cell]
    if not sentences:
        return None
    return of.beside(Markup(" ").join(sentences), [one.cell for one in of.unmeasured]), evidence


def gpu_over_cpu_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say how much faster the GPU is, and in how many pairs beyond intervals and noise floor."""
    everything = over_cpu(of.cells)
    if not everything:
        return None
    pairs = sorted((pair for pair in everything if not pair["disturbed"]), key=lambda pair: pair["over_cpu"])
    if not pairs:
        return of.beside(of.words["takeaway"]["pairs_unknown"], of.unknown), []
    low, high = pairs[0], pairs[-1]
    sentence = of.words["takeaway"]["gpu_over_cpu"].format(
        low=number(low["over_cpu"]),
        high=number(high["over_cpu"]),
        n=sum(pair["told_apart"] and pair["over_cpu"] > 1 for pair in pairs),
        total=len(pairs),
    )
    evidence = [cell_name({**pair, "device": device}) for pair in (low, high) for device in pair["devices"]]
    return of.beside(sentence, of.unknown), evidence
