"""Any dataset on the Hub that has a column of audio, and a column of texts if there are any."""

import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.languages import language_of_tag
from asrmeter.common.options import HUB_ID, TEXT
from asrmeter.corpora.kinds.base import (
    DURATIONS,
    KIND,
    LICENCE,
    MOST_SILENT,
    REVISION,
    SEGMENTS_PER_CLASS,
    SELECTION_SHA256,
    CorpusKind,
    Speech,
    corpus_name,
    kind_config,
)
from asrmeter.corpora.text_language import are_near

if TYPE_CHECKING:
    import numpy as np

    from asrmeter.corpora.hub_stream import HubStream
    from asrmeter.corpora.segments import Sound


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
    configs: tuple[str, ...] | None = field(
        default=None,
        metadata={
            "description": "Several configurations instead of one, such as one for each language.",
            "min_length": 1,
        },
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

    def __post_init__(self) -> None:
        """Have the configurations of JSON as a tuple."""
        if self.configs is not None:
            object.__setattr__(self, "configs", tuple(self.configs))
        super().__post_init__()

    @property
    def all_configs(self) -> tuple[str | None, ...]:
        """The configurations to read; None: the default one."""
        return self.configs or (self.config,)

    @property
    def place(self) -> str:
        """The dataset."""
        return f"dataset {self.id}"

    def default_name(self) -> str:
        """Return a name made of repository, configurations and split."""
        parts = (self.id.rpartition("/")[2], *self.all_configs, self.split)
        return corpus_name("-".join(part for part in parts if part))

    def check(self) -> None:
        """Raise AsrmeterError if keys contradict each other, or there is no such language."""
        super().check()
        if self.text == self.audio:
            raise AsrmeterError(f"corpus.text and corpus.audio are both {self.text}; give the column of each")
        if self.config and self.configs:
            raise AsrmeterError("corpus.config and corpus.configs are both given; keep one")
        if self.configs and len(set(self.configs)) < len(self.configs):
            raise AsrmeterError("corpus.configs: names a configuration twice; keep one")


def load(corpus: HubCorpus, downloads: Path) -> Speech:
    """Return the speech of the split. All audio is read, since only the audio shows the length of an utterance.

    Raises:
        AsrmeterError: the dataset cannot be read, or lacks a column.
    """
    from asrmeter.corpora.segments import JoinPolicy

    parts = [_load_config(corpus, config, downloads) for config in corpus.all_configs]
    clip_of = {one.id: clips for clips, part in parts for one in part.utterances}
    natural = corpus.durations == "natural"
    return Speech(
        [one for _, part in parts for one in part.utterances],
        lambda _: (lambda utterance: clip_of[utterance.id](utterance.recording), {}),
        JoinPolicy.NONE if natural else JoinPolicy.ANY,
        skipped={name: why for _, part in parts for name, why in part.skipped.items()},
        origin=parts[0][1].origin | ({"config": [*corpus.configs]} if corpus.configs else {}),
        language_told_by=", ".join(dict.fromkeys(part.language_told_by for _, part in parts if part.language_told_by)),
        warnings={name: why for _, part in parts for name, why in part.warnings.items()},
        silent=dict(
            itertools.islice(((name, of) for _, part in parts for name, of in part.silent.items()), MOST_SILENT)
        ),
    )


def _load_config(corpus: HubCorpus, config: str | None, downloads: Path) -> "tuple[Callable[[str], Sound], Speech]":
    """Return the function that gives the sound of a recording, and the speech of one configuration."""
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.hub_stream import HubStream
    from asrmeter.corpora.segments import JoinPolicy, Utterance

    stream = HubStream(dataclasses.replace(corpus, config=config, configs=None), corpus.audio, downloads)
    language, told_by, warnings = _language(corpus, config, stream)
    utterances: list[Utterance] = []
    skipped: dict[str, str] = {}
    silent: dict[str, Callable[[], np.ndarray]] = {}
    source = f"{corpus.id} {config}" if corpus.configs else corpus.id
    for row in stream.read_all(corpus.text):
        name = f"{config}/{row['id']}" if corpus.configs else row["id"]
        if "silent" in row and len(silent) < MOST_SILENT:
            silent[name] = functools.partial(lambda clip_id: stream.clips.sound(clip_id).samples, row["id"])
        elif "unfit" in row:
            skipped[name] = row["unfit"]
        else:
            end = round(row["seconds"] * SAMPLE_RATE_HZ)
            utterances.append(Utterance(name, row["id"], 0, end, row["text"].strip(), source, corpus.licence, language))
    speech = Speech(
        utterances,
        lambda _: (lambda utterance: stream.clips.sound(utterance.recording), {}),
        JoinPolicy.ANY,
        skipped=skipped,
        origin=stream.origin,
        language_told_by=told_by,
        warnings=warnings,
        silent=silent,
    )
    return stream.clips.sound, speech


def _language(corpus: HubCorpus, config: str | None, stream: "HubStream") -> tuple[str | None, str, dict[str, str]]:
    """Return the language of a configuration, None where it shows in the texts alone; what told it; what is odd."""
    of_config = language_of_tag(config or "")
    if told := corpus.told_language:
        odd = of_config not in (None, told) and not are_near(str(of_config), told)
        why = f"corpus.language: {told} is told, and the configuration {config} names {of_config}"
        return told, "", {f"{corpus.id} {config}": why} if odd else {}
    if of_config:
        logging.info("the language is %s, by the configuration %s", of_config, config)
        return of_config, f"the configuration {config}", {}
    languages = {language_of_tag(one) for one in stream.card_languages()}
    if len(languages) == 1 and (of_card := languages.pop()):
        logging.info("the language is %s, by the card of the dataset", of_card)
        return of_card, "the card of the dataset", {}
    return None, "", {}
