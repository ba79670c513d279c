"""Any data set of the Hub that has a column of audio and one of texts."""

from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.kinds import Speech, fit_name


def name_of(options: dict[str, Any]) -> str:
    """Return a name of what is read: repository, configuration, split."""
    parts = (options["id"].rpartition("/")[2], options["config"], options["split"])
    return fit_name("-".join(part for part in parts if part))


def check(options: dict[str, Any]) -> None:
    """Raise AsrmeterError if one column is to be two; whether the Hub has the data set is found out there."""
    if options["text"] == options["audio"]:
        raise AsrmeterError(f"corpus.text and corpus.audio are both {options['text']}; give the column of each")


def archives(options: dict[str, Any]) -> list[str]:
    """Return no package: everything comes from the Hub."""
    return []


def made_of(options: dict[str, Any]) -> Any:
    """Return nothing beyond the options."""
    return None


def load(options: dict[str, Any], downloads: Path) -> Speech:
    """Return the speech of the split. All of it is read, since nothing but the audio says how long each piece is.

    Raises:
        AsrmeterError: the data set cannot be had, or lacks a column.
    """
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.hub_stream import Stream
    from asrmeter.corpora.segments import Joining, Utterance

    stream = Stream(options, options["audio"], downloads)
    utterances: list[Utterance] = []
    skipped: dict[str, str] = {}
    for row in stream.all(options["text"]):
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
        Joining.NONE if natural else Joining.ACROSS,
        skipped=skipped,
        origin=stream.origin,
    )
