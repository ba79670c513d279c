"""What page and text exports of errors by language have in common: rows of the table `languages`."""

from collections.abc import Sequence

from asrmeter.common.table_types import Row


def worth_telling(rows: Sequence[Row]) -> bool:
    """Whether errors by language say more than those of all speech: of several languages, or of one that was found."""
    return len({row["language"] for row in rows}) > 1 or any(row["language_accuracy"] is not None for row in rows)
