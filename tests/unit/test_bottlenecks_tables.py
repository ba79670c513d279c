"""The tables that figures and report read."""

from pathlib import Path

import pytest

from asrmeter.analysis.bottlenecks import KEYS, Bottlenecks
from helpers.bottlenecks import SCHEMAS, write_bottlenecks


def test_device_without_ceilings_has_a_row_that_is_read(tmp_path: Path) -> None:
    failed = dict.fromkeys(SCHEMAS["ceilings"].names) | {
        "machine_id": "m",
        "device": "cuda",
        "status": "unsupported",
        "reason": "no CUDA device on this machine",
    }
    paths = write_bottlenecks(tmp_path, Bottlenecks(ceilings=[failed]))
    (row,) = Bottlenecks.read(paths).ceilings
    assert (row["kind"], row["reason"]) == (None, "no CUDA device on this machine")


@pytest.mark.parametrize("table", KEYS)
def test_keys_are_columns_of_their_table(table: str) -> None:
    assert set(KEYS[table]) <= set(SCHEMAS[table].names)
