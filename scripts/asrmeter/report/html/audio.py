"""Audio inside of the report, for studies that ask for it."""

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.regular_files import below, read_regular
from asrmeter.common.table_types import Row

# Of the file, base64 included; with all else the report stays below 5 MB.
MOST_BYTES = 3_000_000


# A segment, and what is heard of it: several times as much as the longest class of any study of ours has.
_MOST_FILE_BYTES, _LONGEST_S = 100_000_000, 3600


@dataclass(frozen=True)
class Audio:
    """A segment as MP3 in a data URI; or "", and why there is none."""

    uri: str = ""
    why_none: str = ""


def embedded(names: Iterable[str], segments: Mapping[str, Row], corpus: Path) -> dict[str, Audio]:
    """Return the audio of segments in the order of `names`, as long as it fits into 3 MB together.

    `segments` are the rows of the corpus by their id; their paths are relative to the folder `corpus`, and nothing is
    read that does not lie there.
    """
    # Only here: a report without audio needs no decoder.
    import soundfile

    made: dict[str, Audio] = {}
    n_bytes = 0
    for name in names:
        if name not in segments:
            made[name] = Audio(why_none="the corpus has no such segment; make the tables again")
            continue
        try:
            stream = io.BytesIO(read_regular(below(corpus, segments[name]["path"]), _MOST_FILE_BYTES))
            if soundfile.info(stream).duration > _LONGEST_S:
                raise AsrmeterError(f"{segments[name]['path']}: is longer than {_LONGEST_S} s")
            stream.seek(0)
            samples, rate_hz = soundfile.read(stream, dtype="float32")
            stream = io.BytesIO()
            soundfile.write(stream, samples, rate_hz, format="MP3")
        except AsrmeterError as error:
            made[name] = Audio(why_none=str(error))
            continue
        except (OSError, ValueError, TypeError, soundfile.SoundFileError) as error:
            why = one_line(error)
            made[name] = Audio(why_none=f"{segments[name]['path']}: cannot be read as audio ({why})")
            continue
        uri = "data:audio/mpeg;base64," + base64.b64encode(stream.getvalue()).decode()
        n_bytes += len(uri)
        if n_bytes > MOST_BYTES:
            break
        made[name] = Audio(uri)
    return made
