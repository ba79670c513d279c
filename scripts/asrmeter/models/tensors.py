"""The header of a safetensors file: its tensors with format and shape. Standard library only.

The file is 8 bytes with the length of the header, the header as JSON, and the numbers of all tensors.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.first_bytes import N_BYTES, kind_of
from asrmeter.common.printable import printable
from asrmeter.common.regular_files import open_regular

# The limit of the library.
_MOST_HEADER_BYTES = 100_000_000
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_AGAIN = "copy or fetch it again"


class Tensor(NamedTuple):
    """A tensor in a header: its number format in safetensors' notation, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def n_numbers(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


def read_header(path: Path, name: str) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without reading their values. Messages call the file `name`.

    Raises:
        AsrmeterError: the file is not in safetensors format, or is damaged or cut off.
        OSError: the file cannot be read.
    """
    with open_regular(path) as stream:
        n_bytes = os.fstat(stream.fileno()).st_size
        head = stream.read(N_BYTES)
        if not head:
            raise AsrmeterError(f"{name} is empty; {_AGAIN}")
        length = int.from_bytes(head[:8], "little")
        if head[8:9] != b"{" or length > _MOST_HEADER_BYTES:
            raise AsrmeterError(
                f"{name} {kind_of(head) or f'is not a safetensors file, or its beginning is damaged; {_AGAIN}'}"
            )
        if n_bytes < 8 + length:
            raise AsrmeterError(
                f"{name} is cut off: it has {n_bytes:,} bytes, but more than {length:,} by its header; {_AGAIN}"
            )
        stream.seek(8)
        raw = stream.read(length)
    try:
        content = json.loads(raw)
        described = {key: value for key, value in content.items() if key != "__metadata__"}
        ends = [_end(key, value, name) for key, value in described.items()]
        tensors = {key: Tensor(value["dtype"], tuple(value["shape"])) for key, value in described.items()}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise AsrmeterError(
            f"{name} has a damaged header ({type(error).__name__}: {printable(one_line(error), 100)}); {_AGAIN}"
        ) from error
    expected = 8 + length + max(ends, default=0)
    if n_bytes != expected:
        what = "is cut off" if n_bytes < expected else "continues after its last tensor"
        raise AsrmeterError(f"{name} {what}: it has {n_bytes:,} bytes, but {expected:,} by its header; {_AGAIN}")
    return tensors


def _end(key: str, value: Mapping[str, Any], name: str) -> int:
    """Return where the numbers of a tensor end.

    Raises:
        AsrmeterError: its number format is unknown, or its place does not fit its shape.
        KeyError, TypeError, ValueError: something else is described.
    """
    dtype, shape = value["dtype"], value["shape"]
    begin, end = value["data_offsets"]
    if dtype not in _BITS:
        raise AsrmeterError(
            f"{name}: {printable(key, 100)} has the number format {printable(str(dtype), 30)}, which is unknown; "
            "save the model in float32, float16 or bfloat16"
        )
    if not all(type(size) is int and size >= 0 for size in (begin, end, *shape)):
        raise ValueError(f"sizes of {key} are not whole numbers")
    if (end - begin) * 8 != math.prod(shape) * _BITS[dtype]:
        raise ValueError(f"{key} has {end - begin} bytes, which do not fit its shape {shape}")
    return int(end)
