"""The languages of a model, and the reason if it does not know those of some speech. Standard library only.

If its languages are unknown, as for most CTC models, its letters decide: a model with only Latin letters cannot write
Russian.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.languages import languages
from asrmeter.common.typed_json import JsonObject

if TYPE_CHECKING:
    from asrmeter.runtimes.families.base import Family

# A message about a model with more languages gives only their number.
_MOST_NAMED = 3


def facts(family: "Family", folder: Path, told: Sequence[str] | None) -> dict[str, Any]:
    """Return the entries for the record of a model folder: its `languages` (codes) and the `scripts` that it can write.

    Each is None if unknown. `told` are the languages from the study or resources/models.toml.
    """
    found = told or family.languages(folder)
    return {"languages": None if found is None else [*found], "scripts": family.scripts(folder)}


def why_not(model: str, record: Mapping[str, Any], segments: Sequence[JsonObject]) -> str | None:
    """Return why a model does not know the languages of some segments, None if it does or this is unknown.

    `record` is that of the model's folder, `segments` are rows of a corpus' manifest. Random weights know no language,
    and their speed is the same in any.
    """
    if record["weights"] == "random":
        return None
    codes = (row.get("language_told") or row.get("language") for row in segments)
    spoken = Counter(code for code in codes if code is not None)
    return _why(model, record.get("languages"), record.get("scripts"), spoken, len(segments))


def why_not_language(model: str, known: Collection[str], language: str) -> str | None:
    """Return why a model with the languages `known` cannot transcribe a corpus in another one; None if it can."""
    return _why(model, known, None, {language: 1}, 1)


def _why(
    model: str,
    known: Collection[str] | None,
    scripts: Collection[str] | None,
    spoken: Mapping[str, int],
    n_segments: int,
) -> str | None:
    """Return why a model does not know the spoken languages, with their segments out of `n_segments`."""
    if known is not None:
        foreign = sorted(code for code in spoken if code not in known)
    elif scripts is not None:
        foreign = sorted(code for code in spoken if set(scripts).isdisjoint(languages()[code].scripts))
    else:
        foreign = []
    if not foreign:
        return None
    n_foreign = sum(spoken[code] for code in foreign)
    has = "the corpus has" if n_foreign == n_segments else f"{n_foreign} of {n_segments} segments are in"
    theirs = _listed(f"{languages()[code].name} ({code})" for code in foreign)
    if known is not None:
        if len(known) > _MOST_NAMED:
            return f"{model} knows {len(known)} languages, and {has} another: {theirs}"
        return f"{model} knows {_listed(languages()[code].name for code in known)} only, and {has} {theirs}"
    assert scripts is not None
    written = _listed(dict.fromkeys(_script_name(languages()[code].scripts[0]) for code in foreign))
    return f"the letters of {model} are {_listed(map(_script_name, scripts))}, and {has} {theirs}, written in {written}"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _script_name(script: str) -> str:
    return "Chinese characters" if script == "CJK" else script.capitalize()
