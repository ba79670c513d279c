"""Parts that the report does not show although a reader would expect them, with the reasons.

What the study never asked for is left out without a word: a GPU beside the CPU, a second batch size, profiles.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.analysis.results import energy_method, is_measured
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import join, shorten, truncate_list
from asrmeter.report.html.bottlenecks import judged_cells, why_no_bound
from asrmeter.report.html.takeaways import TakeawayContext, has_batches


@dataclass(frozen=True)
class NotShown:
    """Parts of the report that are left out for one reason."""

    what: Markup
    why: Markup


def not_shown(of: TakeawayContext, figures: Collection[str], has_texts: bool, is_withheld: bool) -> list[NotShown]:
    """Return the parts that are left out, with reasons.

    `figures` are the names of those that are shown. `has_texts` says whether transcripts are, `is_withheld` whether the
    study withholds them all.
    """
    words = of.words
    if not of.everything:
        nothing = words["not_shown"]["no_latency"].format(reasons=_reasons(of.cells, _why_not, words))
        return [NotShown(words["not_shown"]["everything"], nothing)] if of.cells else []
    found: dict[str, list[str]] = {}

    def add(what: str, why: str) -> None:
        found.setdefault(why, []).append(what)

    for name, why in _WHY_NO_FIGURE.items():
        if name not in figures and (reason := why(of)):
            add(words["figure"][name], reason)
    if is_withheld:
        add(words["sections"]["transcripts"], words["not_shown"]["texts"])
    elif "wer" not in figures and not has_texts:
        add(words["sections"]["transcripts"], _why_no_wer(of))
    if of.silence and not any(row["n_clips"] for row in of.silence):
        add(words["sections"]["silence"], _reasons(of.silence, _why_not, words))
    judged = judged_cells(of.cells, of.tables.roofline)
    if not any(row["bound"] for row in judged):
        add(words["not_shown"]["verdicts"], _listed(why_no_bound(judged, words), words))
    notes = [row["note"] for row in of.tables.flops if row["encoder_gflop"] is None and row["note"]]
    if notes and len(notes) == len(of.tables.flops):
        add(words["bottlenecks"]["flops"], _listed(notes, words))
    return [NotShown(join(what), Markup(why)) for why, what in found.items()]


def _why_no_front(of: TakeawayContext) -> Markup:
    has_wer = any(result.wer for result in of.everything)
    return of.words["not_shown"]["no_front"] if has_wer else _why_no_wer(of)


def _why_no_batches(of: TakeawayContext) -> Markup | str:
    planned = [(row["device"], row["duration_s"], row["batch_size"]) for row in of.cells]
    return of.words["not_shown"]["one_batch"] if has_batches(planned) else ""


def _why_no_energy(of: TakeawayContext) -> Markup:
    def why(row: Row, words: Words) -> str:
        return row["energy_note"] or words["why_null"]["method"].format(method=energy_method(row))

    return _reasons(filter(is_measured, of.cells), why, of.words)


def _not_measured(of: TakeawayContext) -> Markup:
    return of.words["why_null"]["not_measured"]


def _why_no_pair(of: TakeawayContext) -> Markup | str:
    return of.words["not_shown"]["no_pair"] if len({row["device"] for row in of.cells}) > 1 else ""


def _why_no_wer(of: TakeawayContext) -> Markup:
    def why(row: Row, words: Words) -> str:
        missing = words["why_null"]
        return missing["random"] if row["weights"] == "random" else row.get("wer_note") or missing["not_scored"]

    return _reasons(filter(is_measured, of.cells), why, of.words)


# The figures that a reader would look for. Those of speed are there wherever a latency is.
_WHY_NO_FIGURE: dict[str, Callable[[TakeawayContext], Markup | str]] = {
    "pareto": _why_no_front,
    "latency_batch": _why_no_batches,
    "throughput": _why_no_batches,
    "energy": _why_no_energy,
    "memory": _not_measured,
    "gpu_over_cpu": _why_no_pair,
    "wer": _why_no_wer,
    "stages": _not_measured,
}


def _why_not(row: Row, words: Words) -> str:
    return row["reason"] or words["why_null"]["not_measured"]


def _reasons(rows: Iterable[Row], why: Callable[[Row, Words], str], words: Words) -> Markup:
    return _listed([why(row, words) for row in rows], words)


def _listed(reasons: Sequence[str], words: Words) -> Markup:
    """Return reasons, each once."""
    return truncate_list([shorten(reason) for reason in dict.fromkeys(reasons)], words)
