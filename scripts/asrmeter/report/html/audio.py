"""Audio inside of the report, for studies that ask for it."""

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.table_types import Row

# Of the file, base64 included; with all else the report stays below 5 MB.
MOST_BYTES = 3_000_000


def data_uris(names: Iterable[str], segments: Mapping[str, Row], corpus: Path) -> dict[str, str]:
    """Return segments as MP3 in data URIs, in the order of `names` as long as they fit into 3 MB together.

    `segments` are the rows of the corpus by their id; their paths are relative to the folder `corpus`.

    Raises:
        AsrmeterError: a segment is not in the corpus, or its file cannot be read or made MP3 of.
    """
    # Only here: a report without audio needs no decoder.
    import soundfile

    made: dict[str, str] = {}
    n_bytes = 0
    for name in names:
        if name not in segments:
            raise AsrmeterError(f"{corpus}: has no segment {name}; make the tables again")
        path = corpus / segments[name]["path"]
        try:
            samples, rate_hz = soundfile.read(path, dtype="float32")
            stream = io.BytesIO()
            soundfile.write(stream, samples, rate_hz, format="MP3")
        except (OSError, ValueError, TypeError, soundfile.SoundFileError) as error:
            why = one_line(error)
            raise AsrmeterError(f"{path}: cannot be read as audio; delete {corpus} and run again ({why})") from error
        uri = "data:audio/mpeg;base64," + base64.b64encode(stream.getvalue()).decode()
        n_bytes += len(uri)
        if n_bytes > MOST_BYTES:
            break
        made[name] = uri
    return made
