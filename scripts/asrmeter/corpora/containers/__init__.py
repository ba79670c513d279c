"""The content of an audio file by its container's arithmetic: streams, lengths, damage. Standard library only.

libsndfile reads the first stream of a file and believes its header. Here the file is gone through to its end: several
streams may follow one another (as `cat` joins files), tags may stand before, between and after them, a header may
promise too few, too many or no samples, and a hole shows in numbers and checksums. What comes out are streams as
libsndfile reads them right, each with the length that it must then have.
"""

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.containers import chunks, counted, flac, mpeg, ogg, older, tags
from asrmeter.corpora.containers.base import Stream

# Each has `recognises(data, at)`, and `read(data, at)`, which returns the stream that begins there and where it ends.
_CONTAINERS = (chunks, flac, ogg, counted, older, mpeg)
# Less than this may follow the last stream unexplained: no word fits in.
_STRAY_BYTES = 640


def length_s(data: bytes) -> float | None:
    """Return the length (s) of all streams of a file; None if one length is unknown.

    Raises:
        AsrmeterError: see `streams`; or the header is invalid.
    """
    try:
        lengths = [stream.length_s for stream in streams(data)]
    except (ArithmeticError, LookupError, ValueError) as error:
        raise AsrmeterError("cannot be decoded (its header is invalid)") from error
    return None if None in lengths else sum(length for length in lengths if length is not None)


def streams(data: bytes) -> list[Stream]:
    """Return the streams of a file in order; one stream of unknown length if the container is not known here.

    Raises:
        AsrmeterError: the file is cut off or damaged, or goes on after its end with something else.
    """
    found: list[Stream] = []
    at = tags.skip(data, 0, zeros=False)  # a format may begin with zeros
    while at < len(data):
        container = next((container for container in _CONTAINERS if container.recognises(data, at)), None)
        if container is None:
            if not found:
                return [Stream(data[at:])]
            if len(data) - at > _STRAY_BYTES:
                raise AsrmeterError(f"continues after its end with {len(data) - at:,} bytes that are not audio")
            break
        stream, at = container.read(data, at)
        found.append(stream)
        at = tags.skip(data, at)
    return found or [Stream(data)]
