"""What a kind of corpus has to provide, and the speech that it returns."""

import abc
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


class CorpusKind(abc.ABC):
    """A kind of corpus: where its speech comes from. `options` are always the study's complete `corpus`."""

    @abc.abstractmethod
    def default_name(self, options: dict[str, Any]) -> str:
        """Return the name of the corpus where the study gives none."""

    def check(self, options: dict[str, Any]) -> None:  # noqa: B027 (a kind without a local check needs none)
        """Raise AsrmeterError if there is no such corpus, as far as that shows without the network."""

    def archives(self, options: dict[str, Any]) -> list[str]:
        """Return the names of the pinned packages from which the corpus is made."""
        return []

    def fingerprint_inputs(self, options: dict[str, Any]) -> Any:
        """Return what determines the speech besides the options; JSON can store it."""
        return None

    @abc.abstractmethod
    def load(self, options: dict[str, Any], downloads: Path) -> Speech:
        """Return the speech; `downloads` is the folder of the archives, and of anything worth keeping.

        Raises:
            AsrmeterError: the speech cannot be read.
        """


def corpus_name(text: str) -> str:
    """Return `text` as a valid name of a corpus and its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:100] or "corpus"
