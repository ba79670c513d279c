"""Any dataset on the Hub that has a column of audio and a column of texts."""

from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.kinds.base import CorpusKind, Speech, corpus_name


class HubCorpus(CorpusKind):
    """A split of a dataset on the Hub. Only the Hub knows whether it exists."""

    def default_name(self, options: dict[str, Any]) -> str:
        """Return a name made of repository, configuration and split."""
        parts = (options["id"].rpartition("/")[2], options["config"], options["split"])
        return corpus_name("-".join(part for part in parts if part))

    def check(self, options: dict[str, Any]) -> None:
        """Raise AsrmeterError if text and audio are to come from the same column."""
        if options["text"] == options["audio"]:
            raise AsrmeterError(f"corpus.text and corpus.audio are both {options['text']}; give the column of each")

    def load(self, options: dict[str, Any], downloads: Path) -> Speech:
        """Return the speech of the split. All audio is read, since only the audio shows the length of an utterance.

        Raises:
            AsrmeterError: the dataset cannot be read, or lacks a column.
        """
        from asrmeter.common.constants import SAMPLE_RATE_HZ
        from asrmeter.corpora.hub_stream import HubStream
        from asrmeter.corpora.segments import JoinPolicy, Utterance

        stream = HubStream(options, options["audio"], downloads)
        utterances: list[Utterance] = []
        skipped: dict[str, str] = {}
        for row in stream.read_all(options["text"]):
            if "unfit" in row:
                skipped[row["id"]] = row["unfit"]
            else:
                end = round(row["seconds"] * SAMPLE_RATE_HZ)
                utterances.append(
                    Utterance(row["id"], row["id"], 0, end, row["text"].strip(), options["id"], options["licence"])
                )
        natural = options["durations"] == "natural"
        return Speech(
            utterances,
            lambda _: (lambda utterance: stream.clips.samples(utterance.id), {}),
            JoinPolicy.NONE if natural else JoinPolicy.ANY,
            skipped=skipped,
            origin=stream.origin,
        )
