"""Files that carry a hash of their own bytes, so that damage anywhere in them is found. Standard library only.

The sha256 is a text in the footer of a Parquet file, under `KEY`: that of all bytes, with `BLANK` in its own place.
"""

import hashlib
import re

KEY, BLANK = "asrmeter.sha256", "0" * 64
# Between the two stand the type and the length of a text in Thrift's compact form.
_SEAL = re.compile(re.escape(KEY.encode()) + rb"\x18\x40")


def seal(content: bytes) -> bytes:
    """Return the bytes with their hash in the place that their writer has left blank."""
    begin, end = _place(content) or (0, 0)
    assert content[begin:end] == BLANK.encode()
    return content[:begin] + hashlib.sha256(content).hexdigest().encode() + content[end:]


def is_damaged(content: bytes) -> bool:
    """Return whether the bytes are others than were sealed. Of what was never sealed nobody knows: False."""
    place = _place(content)
    if place is None:
        return False
    begin, end = place
    blank = content[:begin] + BLANK.encode() + content[end:]
    return content[begin:end] != hashlib.sha256(blank).hexdigest().encode()


def _place(content: bytes) -> tuple[int, int] | None:
    found = _SEAL.search(content, max(0, content.rfind(KEY.encode())))
    return (found.end(), found.end() + len(BLANK)) if found else None
