"""What tables are made of: the type of a row, and the types of columns."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

# A row by column name; a value that was not measured is None.
Row = Mapping[str, Any]
TEXT, INTEGER, NUMBER, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
