"""Results and errors of the modules for containers."""

import re
from typing import NamedTuple

from asrmeter.common.errors import AsrmeterError

# How far a decoded length may be from that of the container: less than any word.
TOLERANCE_S = 0.05
W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
# How another file begins, behind a stream that does not say where it ends. (MPEG has no mark that would be one.)
_BEGIN = re.compile(
    rb"(?:RIFF|RIFX|RF64|BW64)....WAVE|FORM....(?:AIF[FC]|8SVX|16SV)|caff\x00\x01|fLaC[\x00\x80]\x00\x00\x22|"
    rb"OggS\x00\x02|\.snd\x00\x00......\x00\x00\x00|NIST_1A\n|" + re.escape(W64_RIFF),
    re.DOTALL,
)
# A part of each, and where it stands: to look for these first is fifty times as quick.
_FORMS = tuple((form, 8) for form in (b"WAVE", b"AIFF", b"AIFC", b"8SVX", b"16SV"))
_MARKS = (*_FORMS, *((mark, 0) for mark in (b"caff", b"fLaC", b"OggS", b".snd", b"NIST_1A\n", W64_RIFF)))


def next_file(data: bytes, begin: int, end: int, mark: bytes = b"") -> int:
    """Return the begin of the next file between two places, with the given `mark` if any; `end` if there is none."""
    for own, offset in _MARKS:
        place = begin + offset
        while mark in (b"", own) and (place := data.find(own, place, end)) >= 0:
            if _BEGIN.match(data, place - offset):
                end = place - offset
                break
            place += 1
    return end


class Stream(NamedTuple):
    """One stream of a file: bytes that libsndfile reads as a whole file.

    `length_s` is its length (seconds) by the container's own arithmetic; None where that cannot be told.
    """

    data: bytes
    length_s: float | None = None


def truncated(read_s: float, whole_s: float | None = None) -> AsrmeterError:
    """Return the error of a stream that lacks its end; `whole_s` is its declared length, if any."""
    of_s = "" if whole_s is None else f" of {whole_s:.2f}"
    return AsrmeterError(f"truncated: only {max(read_s, 0):.2f}{of_s} s can be read")


def hole(at_s: float, why: str) -> AsrmeterError:
    """Return the error of a stream that is damaged in its middle."""
    return AsrmeterError(f"is damaged at {max(at_s, 0):.2f} s: {why}")


class Block(NamedTuple):
    """The size of samples in an encoding: `n_bytes` contain `n_samples` of every channel."""

    n_bytes: int
    n_samples: int
    rate_hz: float

    def seconds(self, n_bytes: int) -> float:
        """Return the length of a number of bytes; an incomplete block at the end counts as one."""
        return -(-n_bytes // self.n_bytes) * self.n_samples / self.rate_hz


def truncated_bytes(there: int, announced: int, block: Block | None) -> AsrmeterError:
    """Return the error of a stream with fewer bytes of samples than its header declares."""
    if block is None:
        return AsrmeterError(f"truncated: only {there:,} of {announced:,} bytes of its samples are there")
    return truncated(there // block.n_bytes * block.n_samples / block.rate_hz, block.seconds(announced))
