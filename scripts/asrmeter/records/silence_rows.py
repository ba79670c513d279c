"""Transcripts of clips without speech: the record of a model and variant, one row per clip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import LABEL, NUMBER, SPEECH, Source, column
from asrmeter.common.typed_json import JsonObject
from asrmeter.records.events import Event, Heard

_NOT_HEARD = "it was not transcribed; `reason` says why"
_UNREADABLE = "the record cannot be read"

CLIPS = (
    shared("model"),
    shared("variant"),
    shared("device"),
    column(
        "kind",
        LABEL,
        "`digital_silence`, `white_noise`, `hum`, `room_tone`, or `recording`: a silent one of the corpus.",
        Source.STUDY,
        null_when=_UNREADABLE,
    ),
    column(
        "clip",
        LABEL,
        "Name of the clip; for a recording its number in the list `silent` of the corpus' selection.json.",
        Source.STUDY,
        null_when=_UNREADABLE,
    ),
    column("audio_s", NUMBER, "The length of the clip.", Source.STUDY, unit="s", null_when=_UNREADABLE),
    column("sha256", LABEL, "The sha256 of the samples, as float32.", Source.RECORDED, null_when=_NOT_HEARD),
    shared("status"),
    shared("reason"),
    column("text", SPEECH, "The transcript, although there is no speech.", Source.MEASURED, null_when=_NOT_HEARD),
)
RECORD = pa.schema(
    [
        *CLIPS,
        column(
            "spoken_language",
            LABEL,
            "The language that was given to the model or else detected. It decides whether spaces separate words.",
            Source.RECORDED,
            null_when="neither",
        ),
    ]
)


@dataclass(frozen=True, kw_only=True)
class SilenceHeader:
    """The header of a record; see `records.cell_settings.CellSettings`. `silence_version` is that of the clips."""

    model: str | None = None
    model_key: str | None = None
    corpus: str | None = None
    corpus_key: str | None = None
    conversion_key: str | None = None
    variant: str | None = None
    options: JsonObject | None = None
    device: str | None = None
    threads: int | None = None
    seed: int | None = None
    silence_version: int | None = None
    language_told: str | None = None
    machine_id: str | None = None
    measured_at: str | None = None
    decoding: JsonObject | None = None
    versions: JsonObject | None = None


def rows_of(
    who: JsonObject, clips: Sequence[JsonObject], told: str | None, outcome: JsonObject, events: Iterable[Event]
) -> list[dict[str, Any]]:
    """Return the rows of a record.

    `who` has model, variant and device, `outcome` status and reason of the worker: a clip that it did not come to has
    them, one that it heard is `ok`. `told` is the language that the model was told.
    """
    heard = {event.clip: event for event in events if isinstance(event, Heard)}
    return [dict(who) | _row(clip, told, outcome, heard.get(clip["name"])) for clip in clips]


def _row(clip: JsonObject, told: str | None, outcome: JsonObject, heard: Heard | None) -> dict[str, Any]:
    of_clip = {"kind": clip["kind"], "clip": clip["name"], "audio_s": float(clip["audio_s"])}
    if heard is None:
        return of_clip | dict(outcome) | dict.fromkeys(("sha256", "text", "spoken_language"))
    found = {"sha256": heard.sha256, "text": heard.text, "spoken_language": told or heard.language}
    return of_clip | {"status": "ok", "reason": None} | found
