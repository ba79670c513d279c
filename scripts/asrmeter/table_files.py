"""Tables as files: every one as Parquet and as CSV, whole or not there."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from asrmeter.errors import AsrmeterError
from asrmeter.files import atomic


def gathered(files: Sequence[Path], schema: pa.Schema) -> pa.Table:
    """Return the rows of all files as one table.

    Raises:
        AsrmeterError: a file is missing, broken or holds something else.
    """
    tables = [schema.empty_table()]
    for file in files:
        table = read(file)
        try:
            tables.append(table.select(schema.names).cast(schema))
        except (KeyError, ValueError, pa.ArrowException) as error:
            raise AsrmeterError(f"{file}: is another table ({error}); delete it and run again") from error
    return pa.concat_tables(tables)


def read(file: Path) -> pa.Table:
    """Return the table of a Parquet file.

    Raises:
        AsrmeterError: it is missing or broken.
    """
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise AsrmeterError(f"{file}: cannot be read ({error}); delete it and run again") from error


def write(tables: Mapping[str, pa.Table], folder: Path) -> None:
    """Write every table as Parquet and CSV; lists become JSON in CSV."""
    for name, table in tables.items():
        with atomic(folder / f"{name}.parquet") as part:
            pq.write_table(table, part)
        with atomic(folder / f"{name}.csv") as part:
            pa.csv.write_csv(_flat(table), part)


def _flat(table: pa.Table) -> pa.Table:
    for i, column in enumerate(table.schema):
        if pa.types.is_list(column.type):
            as_json = [
                None if value is None else json.dumps(value, ensure_ascii=False) for value in table[i].to_pylist()
            ]
            table = table.set_column(i, column.name, pa.array(as_json, pa.string()))
    return table
