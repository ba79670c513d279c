"""Caveats for readers who act on the answer. Those on noise are in `noise`."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.ranking import StudyRankings
from asrmeter.analysis.results import CellResult, energy_method, results_of
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS, MODELLED_METHODS
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import display_name, format_count, join, shorten, truncate_list
from asrmeter.report.html.languages import detection_caveat
from asrmeter.report.html.variants import spelled_out, unequal_variants
from asrmeter.study.model import Study


def caveats(
    study: Study,
    selection: Mapping[str, Any],
    cells: Sequence[Row],
    elsewhere: Sequence[Row],
    found: StudyRankings,
    words: Words,
) -> list[str]:
    """Return the caveats for readers who act on the answer."""
    say = words["caveat"]
    total = len(cells)
    modelled = [
        row for row in cells if row["energy_j_per_sample"] is not None and energy_method(row) in MODELLED_METHODS
    ]
    with_energy = [row for row in cells if row["energy_j_per_sample"] is not None]
    random = sorted({row["model"] for row in cells if row["weights"] == "random"})
    failed = [row for row in cells if row["status"] not in MEASURED_STATUS]
    machines = {row["machine_id"] for row in cells if row["machine_id"] is not None}
    padded = [
        row for row in cells if row["has_decoder"] is False and row["weights"] == "pretrained" and row["batch_size"] > 1
    ]
    caveats: list[str] = []
    if language := detection_caveat(cells, words):
        caveats.append(language)
    if skipped := [shorten(entry["name"]) for entry in selection["skipped"]]:
        caveats.append(say["skipped"].format(n=len(skipped), names=truncate_list(skipped, words)))
    if mended := [shorten(entry["name"]) for entry in selection["mended"]]:
        caveats.append(say["mended"].format(n=len(mended), names=truncate_list(mended, words)))
    if found.accuracies:
        caveats.append(_accuracy_caveat(found.accuracies[0], words))
    if others := _other_classes(cells, found, words):
        caveats.append(say["other_classes"].format(classes=join(others)))
    for variant, differences in unequal_variants(results_of(cells)).items():
        caveats.append(say["unequal"].format(names=variant, differences=spelled_out(differences, words)))
    if modelled:
        devices = sorted({row["device"] for row in modelled})
        methods = sorted({energy_method(row) for row in modelled})
        caveats.append(say["modelled"].format(devices=join(devices), methods=join(methods)))
    if with_energy:
        caveats.append(say["own_component"])
    if random:
        caveats.append(say["random"].format(models=join(random)))
    if failed:
        caveats.append(say["failed"].format(n=len(failed), total=total))
    if padded:
        caveats.append(say["padding"])
    if elsewhere:
        caveats.append(say["elsewhere"].format(n=len(elsewhere), total=total + len(elsewhere)))
    if len(machines) > 1:
        caveats.append(say["machines"].format(n=len(machines)))
    if study.device_note:
        caveats.append(say["no_gpu"].format(reason=study.device_note))
    return caveats


def _accuracy_caveat(result: CellResult, words: Words) -> Markup:
    return words["caveat"]["accuracy"].format(
        n_segments=result.n_segments,
        n_words=format_count(result.n_words),
        duration=result.duration_s,
        batch=result.batch_size,
    )


def _other_classes(cells: Sequence[Row], found: StudyRankings, words: Words) -> list[Markup]:
    """Return the classes in which another model makes the fewest errors by value, each with that model."""
    if not found.accuracies:
        return []
    best: dict[int, CellResult] = {}
    for result in results_of(cells):
        if result.wer and result.batch_size == found.accuracies[0].batch_size:
            known = best.get(result.duration_s)
            if known is None or known.wer is None or result.wer.value < known.wer.value:
                best[result.duration_s] = result
    return [
        words["caveat"]["other_class"].format(name=display_name(result.candidate), duration=duration_s)
        for duration_s, result in sorted(best.items())
        if result.candidate != found.accuracies[0].candidate
    ]
