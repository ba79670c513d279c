"""Any dataset on the Hub that has a column of audio, and a column of texts if there are any."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.options import HUB_ID, TEXT
from asrmeter.corpora.kinds.base import (
    DURATIONS,
    KIND,
    LICENCE,
    REVISION,
    SEGMENTS_PER_CLASS,
    SELECTION_SHA256,
    CorpusKind,
    Speech,
    corpus_name,
    kind_config,
)


@dataclass(frozen=True, kw_only=True)
class HubCorpus(CorpusKind):
    """A split of a dataset on the Hub. Only the Hub knows whether it exists."""

    __pydantic_config__: ClassVar = kind_config(
        "hub",
        "Any dataset on the Hub with a column of audio and one of texts, if there are any. The whole split is read.",
    )

    kind: Literal["hub"] = field(metadata=KIND)
    id: str = field(metadata=HUB_ID | {"description": "Dataset on the Hub, owner/name."})
    config: str | None = field(
        default=None, metadata=TEXT | {"description": "Configuration of the dataset; null: its default."}
    )
    split: str = field(default="test", metadata=TEXT | {"description": "Split of the dataset."})
    revision: str = field(default="main", metadata=REVISION)
    text: str | None = field(
        default="text", metadata=TEXT | {"description": "Column of the reference text; null: there are no texts."}
    )
    audio: str = field(default="audio", metadata=TEXT | {"description": "Column of the audio."})
    durations: Literal["joined", "natural"] = field(default="joined", metadata=DURATIONS)
    licence: str = field(default="not stated", metadata=LICENCE)
    segments_per_class: int | None = field(default=32, metadata=SEGMENTS_PER_CLASS)
    selection_sha256: str | None = field(default=None, metadata=SELECTION_SHA256)

    def default_name(self) -> str:
        """Return a name made of repository, configuration and split."""
        parts = (self.id.rpartition("/")[2], self.config, self.split)
        return corpus_name("-".join(part for part in parts if part))

    def check(self) -> None:
        """Raise AsrmeterError if text and audio are to come from the same column."""
        if self.text == self.audio:
            raise AsrmeterError(f"corpus.text and corpus.audio are both {self.text}; give the column of each")


def load(corpus: HubCorpus, downloads: Path) -> Speech:
    """Return the speech of the split. All audio is read, since only the audio shows the length of an utterance.

    Raises:
        AsrmeterError: the dataset cannot be read, or lacks a column.
    """
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.hub_stream import HubStream
    from asrmeter.corpora.segments import JoinPolicy, Utterance

    stream = HubStream(corpus, corpus.audio, downloads)
    utterances: list[Utterance] = []
    skipped: dict[str, str] = {}
    for row in stream.read_all(corpus.text):
        if "unfit" in row:
            skipped[row["id"]] = row["unfit"]
        else:
            end = round(row["seconds"] * SAMPLE_RATE_HZ)
            utterances.append(
                Utterance(row["id"], row["id"], 0, end, row["text"].strip(), corpus.id, corpus.licence, "en")
            )
    natural = corpus.durations == "natural"
    return Speech(
        utterances,
        lambda _: (lambda utterance: stream.clips.sound(utterance.id), {}),
        JoinPolicy.NONE if natural else JoinPolicy.ANY,
        skipped=skipped,
        origin=stream.origin,
    )
