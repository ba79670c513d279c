"""What has to be said of a variant wherever it is recommended: that it decodes otherwise than the baseline."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from asrmeter.analysis.results import BASELINE, CellResult
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import join


def spelled_out(differences: Iterable[str] | None, words: Words) -> Markup:
    """Return what differs by nature between a variant and the baseline, in words; "" if nothing does."""
    return join(words["difference"].get(one, one) for one in differences or ())


def unequal(result: CellResult, words: Words) -> list[Markup]:
    """Return a sentence if the settings of a result are not those of the baseline."""
    if result.equal_settings:
        return []
    say, told = words["answer"], spelled_out(result.differences, words)
    return [say["unequal" if told else "unequal_bare"].format(baseline=BASELINE, differences=told)]


def unequal_variants(results: Sequence[CellResult]) -> dict[str, tuple[str, ...]]:
    """Return the variants whose settings are not those of the baseline, with what differs by nature."""
    return {one.variant: one.differences for one in results if not one.equal_settings}
