"""The languages that a model hears, and why it hears those of some speech not. Standard library only.

Where its languages are not known, as of most CTC models, the letters that it can write tell: a model with Latin letters
alone cannot write Russian.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.languages import languages
from asrmeter.common.typed_json import JsonObject

if TYPE_CHECKING:
    from asrmeter.runtimes.families.base import Family

# Of a model with more, their number is told.
_MOST_NAMED = 3


def facts(family: "Family", folder: Path, told: Sequence[str] | None) -> dict[str, Any]:
    """Return what the record of a model folder says: its `languages` (codes), and the `scripts` that it can write.

    Either is None where it is not known. `told` are the languages that the study or resources/models.toml names.
    """
    found = told or family.languages(folder)
    return {"languages": None if found is None else [*found], "scripts": family.scripts(folder)}


def why_not(model: str, record: Mapping[str, Any], segments: Sequence[JsonObject]) -> str | None:
    """Return why a model does not hear the languages of some segments, None if it does, or nobody knows.

    `record` is that of the model's folder, `segments` are rows of a corpus' manifest. Random weights hear nothing, and
    are as fast in any language.
    """
    if record["weights"] == "random":
        return None
    codes = (row.get("language_told") or row.get("language") for row in segments)
    spoken = Counter(code for code in codes if code is not None)
    return _why(model, record.get("languages"), record.get("scripts"), spoken, len(segments))


def why_not_language(model: str, known: Collection[str], language: str) -> str | None:
    """Return why a model that hears the languages `known` does not hear a corpus in another one; None if it does."""
    return _why(model, known, None, {language: 1}, 1)


def _why(
    model: str,
    known: Collection[str] | None,
    scripts: Collection[str] | None,
    spoken: Mapping[str, int],
    n_segments: int,
) -> str | None:
    """Return why a model does not hear what is spoken: so many segments of each language, of `n_segments` in all."""
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
            return f"{model} hears {len(known)} languages, and {has} another: {theirs}"
        return f"{model} hears {_listed(languages()[code].name for code in known)} only, and {has} {theirs}"
    assert scripts is not None
    written = _listed(dict.fromkeys(_script_name(languages()[code].scripts[0]) for code in foreign))
    return f"the letters of {model} are {_listed(map(_script_name, scripts))}, and {has} {theirs}, written in {written}"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _script_name(script: str) -> str:
    return "Chinese characters" if script == "CJK" else script.capitalize()
