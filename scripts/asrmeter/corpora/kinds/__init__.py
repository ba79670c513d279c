"""Where speech comes from: one module a kind of corpus, named as the study's `corpus.kind`.

A module of a kind has

- `name_of(options)`: the corpus' name where the study gives none,
- `check(options)`: raises AsrmeterError where it can be told without the network that there is no such corpus,
- `archives(options)`: the names of the pinned packages that it is made from,
- `made_of(options)`: what decides, besides the options, which speech it is; as JSON would have it,
- `load(options, downloads)`: the `Speech`; `downloads` is the folder of archives, and of what else is worth keeping.

`options` are the study's `corpus`, complete. All but `load` are asked by the planner: standard library only.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrmeter.corpora.segments import Clip, Joining, Utterance


@dataclass(frozen=True)
class Speech:
    """What can be heard in a corpus.

    `fetch` is told all utterances that will be heard; it returns a function that gives the samples of each, and why
    some turned out not to be fit for use, by their ids. What was known not to be is in `skipped` (name: why) or, where
    nobody would look for a single one, counted in `dropped` (why: how many). With `keep_all`, whatever fits into a
    class is in some segment. `origin` says where the speech comes from, for the record.
    """

    utterances: "list[Utterance]"
    fetch: "Callable[[Sequence[Utterance]], tuple[Clip, dict[str, str]]]"
    joining: "Joining"
    keep_all: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


# Named here, and not found by their names, so that what is imported can be told from the code.
_KINDS = {
    "packages": "asrmeter.corpora.kinds.packages",
    "folder": "asrmeter.corpora.kinds.folder",
    "hub": "asrmeter.corpora.kinds.hub",
    "gigaspeech": "asrmeter.corpora.kinds.gigaspeech",
}


def kind(name: str) -> ModuleType:
    """Return the module of a kind of corpus; it is a name of the study's schema."""
    return importlib.import_module(_KINDS[name])


def fit_name(text: str) -> str:
    """Return a name made of `text` that may name a corpus and its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:100] or "corpus"
