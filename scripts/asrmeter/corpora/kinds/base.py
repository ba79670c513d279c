"""What a kind of corpus has to provide, and the speech that it returns.

Its module has a class, the study's options with what the planner asks of them, and a function `load(corpus, downloads)`
that returns the speech: only the job that makes the corpus needs what that imports.
"""

import abc
import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asrmeter.common.options import FORBID_OTHERS, NAME, TEXT, derived

if TYPE_CHECKING:
    from asrmeter.corpora.segments import Clip, JoinPolicy, Utterance


@dataclass(frozen=True)
class Speech:
    """The utterances of a corpus, and how to get their samples.

    `fetch` gets all utterances that will be used. It returns a function that gives the samples of each, and the
    utterances that turned out to be unusable: their ids with the reasons. Entries that were known to be unusable are in
    `skipped` (name: reason) or, where names do not matter, counted in `dropped` (reason: count). With `keep_all`, every
    utterance that fits into a duration class is in some segment. `origin` records the source.
    """

    utterances: "list[Utterance]"
    fetch: "Callable[[Sequence[Utterance]], tuple[Clip, dict[str, str]]]"
    join_policy: "JoinPolicy"
    keep_all: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


# Options of several kinds, as pydantic's `Field` takes them.
KIND = {"description": "Where the speech comes from."}
NAMED = {"description": "Name of the corpus; its folder under results/corpus/."} | NAME
REVISION = TEXT | {
    "description": "Branch, tag or commit of the dataset. The record has the commit that was used; give it here to pin "
    "it."
}
DURATIONS = {
    "description": "joined: short utterances are joined, with 0.4 s of silence between them, until they fill a "
    "duration class. natural: each utterance is one segment, in the shortest class into which it fits."
}
LICENCE = TEXT | {"description": "Licence of the audio, for the record."}
SEGMENTS_PER_CLASS = {
    "description": "Maximum number of segments in a duration class; if there are more, a seeded sample is drawn evenly "
    "over the sources. null: all.",
    "ge": 1,
    "le": 1_000_000,
}
SELECTION_SHA256 = {
    "description": "Pins the selection: its sha256, as in results/corpus/<name>/selection.json; any other selection is "
    "refused. null: not pinned.",
    "pattern": "^[0-9a-f]{64}$",
}


def kind_config(kind: str, description: str) -> dict[str, Any]:
    """Return pydantic's configuration of a kind; the schema of a study shows the description."""
    return FORBID_OTHERS | {"title": kind, "json_schema_extra": {"description": description}}


@dataclass(frozen=True, kw_only=True)
class CorpusKind(abc.ABC):
    """A kind of corpus: where its speech comes from. The fields of its class are the study's options of `corpus`."""

    kind: str = field(metadata=KIND)
    name: str = field(default_factory=derived, metadata=NAMED)

    @property
    @abc.abstractmethod
    def segments_per_class(self) -> int | None:
        """The most segments of a duration class; None: all."""

    @property
    @abc.abstractmethod
    def selection_sha256(self) -> str | None:
        """The sha256 that the selection must have, if it is pinned."""

    def __post_init__(self) -> None:
        """Give the corpus a name where the study gives none."""
        if self.name is None:
            object.__setattr__(self, "name", self.default_name())

    def as_json(self) -> dict[str, Any]:
        """Return the complete options as JSON has them. A name that follows from the others comes last."""
        options = dataclasses.asdict(self)
        if self.name == self.default_name():
            options["name"] = options.pop("name")
        return options

    @abc.abstractmethod
    def default_name(self) -> str | None:
        """Return the name of the corpus where the study gives none."""

    def check(self) -> None:  # noqa: B027 (a kind without a local check needs none)
        """Raise AsrmeterError if there is no such corpus, as far as that shows without the network."""

    def archives(self) -> list[str]:
        """Return the names of the pinned packages from which the corpus is made."""
        return []

    def foreseen(self) -> Speech | None:
        """Return the speech as far as it shows at once, without its samples; None where only the job can tell."""
        return None

    def fingerprint_inputs(self) -> Any:
        """Return what determines the speech besides the options; JSON can store it."""
        return None


def corpus_name(text: str) -> str:
    """Return `text` as a valid name of a corpus and its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:100] or "corpus"
