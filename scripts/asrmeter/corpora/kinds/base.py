"""The interface of a kind of corpus, and the speech that it returns.

Its module has a class, the study's options with what the planner asks of them, and a function `load(corpus, downloads)`
that returns the speech: only the job that makes the corpus needs what that imports.
"""

import abc
import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.languages import languages, unknown_language
from asrmeter.common.options import FORBID_OTHERS, NAME, TEXT, derived

if TYPE_CHECKING:
    import numpy as np

    from asrmeter.corpora.segments import Clip, JoinPolicy, Utterance

# As `corpus.language`: models find out by themselves.
AUTO = "auto"
# Silent recordings that are kept of a corpus.
MOST_SILENT = 100


@dataclass(frozen=True)
class Speech:
    """The utterances of a corpus, and how to get their samples.

    `fetch` gets all utterances that will be used. It returns a function that gives the samples of each, and the
    utterances that turned out to be unusable: their ids with the reasons. Entries that were known to be unusable are in
    `skipped` (name: reason) or, where names do not matter, counted in `dropped` (reason: count). With `keep_all`, every
    utterance that fits into a duration class is in some segment. `origin` records the source.

    `language_told_by` says what told the languages of utterances that the study did not. `warnings` has what is odd, by
    names. `silent` has the recordings in which nothing can be heard and nothing is said, by name: a function that
    returns their samples, shape (n,), float32, 16 kHz.
    """

    utterances: "list[Utterance]"
    fetch: "Callable[[Sequence[Utterance]], tuple[Clip, dict[str, str]]]"
    join_policy: "JoinPolicy"
    keep_all: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    language_told_by: str = ""
    warnings: dict[str, str] = field(default_factory=dict)
    silent: "dict[str, Callable[[], np.ndarray]]" = field(default_factory=dict)


# Options of several kinds, as pydantic's `Field` takes them.
KIND = {"description": "Source of the speech."}
LANGUAGE = TEXT | {
    "description": "Language of the speech: an ISO 639-1 code such as ru. Models are given it, and texts are compared "
    "by its rules. auto: models detect it within the timed pass. null: packages and gigaspeech are English; for "
    "others it comes from a folder's metadata (column language) or the dataset's configuration or card, else from the "
    "texts: certainly English texts continue as en, anything else is an error."
}
NAMED = {"description": "Name of the corpus; its folder under results/corpus/."} | NAME
REVISION = TEXT | {
    "description": "Branch, tag or commit of the dataset. The record contains the used commit; give it here to pin it."
}
DURATIONS = {
    "description": "joined: short utterances are joined, with 0.4 s of silence in between, to fill a duration class. "
    "natural: each utterance is one segment, in the shortest class into which it fits."
}
LICENCE = TEXT | {"description": "Licence of the audio, for the record."}
SEGMENTS_PER_CLASS = {
    "description": "Maximum number of segments in a duration class; if there are more, a seeded sample is drawn evenly "
    "over the sources. null: all.",
    "ge": 1,
    "le": 1_000_000,
}
SELECTION_SHA256 = {
    "description": "sha256 of the selection, as in results/corpus/<name>/selection.json; any other selection is "
    "refused. null: not pinned.",
    "pattern": "^[0-9a-f]{64}$",
}


def kind_config(kind: str, description: str) -> dict[str, Any]:
    """Return pydantic's configuration of a kind; the schema of a study shows the description."""
    return FORBID_OTHERS | {"title": kind, "json_schema_extra": {"description": description}}


@dataclass(frozen=True, kw_only=True)
class CorpusKind(abc.ABC):
    """A kind of corpus. The fields of its class are the study's options of `corpus`."""

    kind: str = field(metadata=KIND)
    name: str = field(default_factory=derived, metadata=NAMED)
    language: str | None = field(default=None, metadata=LANGUAGE)

    @property
    @abc.abstractmethod
    def segments_per_class(self) -> int | None:
        """The maximum number of segments in a duration class; None: all."""

    @property
    @abc.abstractmethod
    def selection_sha256(self) -> str | None:
        """The sha256 that the selection must have, if it is pinned."""

    def __post_init__(self) -> None:
        """Set the name of the corpus if the study gives none."""
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
        """Return the name of the corpus if the study gives none."""

    @property
    def told_language(self) -> str | None:
        """The language in the study; None if there is none, or models detect it."""
        return None if self.language == AUTO else self.language

    @property
    def place(self) -> str:
        """The name of the corpus in messages about its texts."""
        return str(self.name)

    def natural_language(self) -> str | None:
        """Return the known language of the corpus; None if the study must give it."""
        return None

    def check(self) -> None:
        """Raise AsrmeterError if there is no such corpus or language, as far as that shows without the network."""
        natural = self.natural_language()
        if self.language in (None, AUTO, natural):
            return
        if self.language not in languages():
            raise AsrmeterError(f"corpus.language: {unknown_language(self.language)}, or {AUTO}")
        if natural:
            raise AsrmeterError(
                f"corpus.language: {self.name} is {languages()[natural].name}, not {languages()[self.language].name}; "
                f"write {natural}, or {AUTO} to let models detect it"
            )

    def archives(self) -> list[str]:
        """Return the names of the pinned packages from which the corpus is made."""
        return []

    def foreseen(self) -> Speech | None:
        """Return the speech as far as it is known at once, without samples; None if only the job can find out."""
        return None

    def fingerprint_inputs(self) -> Any:
        """Return everything that determines the speech besides the options, as JSON values."""
        return None


def corpus_name(text: str) -> str:
    """Return `text` as a valid name of a corpus and its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:100] or "corpus"
