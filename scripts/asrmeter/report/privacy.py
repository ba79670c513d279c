"""What a report withholds: `report.transcripts` and `report.paths`, in one place, before anything is made of the rows.

What the dictionary says that the texts of a column hold decides what becomes of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.analysis.comparison.runs import Run
from asrmeter.analysis.dictionary import TABLES, describe
from asrmeter.analysis.table_rows import TRANSCRIPT_KEY, with_columns
from asrmeter.common.table_types import Holds, Row
from asrmeter.report import private_names
from asrmeter.report.html.transcripts import worst_segments
from asrmeter.report.redaction import PATH, redactor
from asrmeter.study import validation
from asrmeter.study.model import Study

# A shorter name is part of too many words, and a shorter text is one of them.
_LEAST_OF_NAME, _LEAST_OF_TEXT = 3, 6
_TEXT = "…"
# A value that a key of the study allows: no sentence, and no path.
_WORD = re.compile(r"[a-z0-9_]+")
# Without its texts little is left of it.
_TRANSCRIPTS = "transcripts"

Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Privacy:
    """What is withheld of a run, and what stands for it.

    `study` says what. `segments` are the rows of the corpus, `selection` is the record of how they were chosen, and
    `tables` are the rows of the tables by name, those of a run to compare with among them.
    """

    study: Study
    segments: Sequence[Row] = ()
    selection: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[tuple[str, Sequence[Row]]] = ()

    @property
    def withholds(self) -> bool:
        """Whether anything is withheld."""
        return self.withholds_texts or self.withholds_paths

    @property
    def withholds_texts(self) -> bool:
        """Whether texts of speakers are withheld."""
        return self.study.report.transcripts != "all"

    @property
    def withholds_paths(self) -> bool:
        """Whether names of recordings, folders and machines are withheld."""
        return not self.study.report.paths

    def tables_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the tables that are not withheld as a whole."""
        return tuple(name for name in names if name != _TRANSCRIPTS or not self.withholds_texts)

    def columns_of(self, table: str) -> list[str]:
        """Return the columns of a table that are not withheld as a whole."""
        return [name for name in TABLES[table][1].names if self._change(table, name) is not _nothing]

    def values(self, table: str, column: str, values: Iterable[Any]) -> list[Any]:
        """Return the values of a column, with what stands for what is withheld."""
        change = self._change(table, column)
        return [change(value) if change and value is not None else value for value in values]

    def rows(self, table: str, rows: Iterable[Row]) -> list[Row]:
        """Return rows of a table: what is withheld is null, or something stands for it."""
        changes = {name: change for name in TABLES[table][1].names if (change := self._change(table, name))}
        return [
            row
            if table == _TRANSCRIPTS and self._place(row) in self._shown
            else with_columns(row, {name: change(row[name]) for name, change in changes.items() if row.get(name)})
            for row in rows
        ]

    def bottlenecks(self, tables: Bottlenecks) -> Bottlenecks:
        """Return the tables of what holds cells back without what is withheld."""
        return Bottlenecks(**{name: self.rows(name, rows) for name, rows in vars(tables).items()})

    def run(self, run: Run) -> Run:
        """Return a run to compare with. Its texts stay: they are compared, and never shown."""
        rows = self.rows("cells", run.cells.values())
        return replace(run, name=self._run_name(run.name), cells=dict(zip(run.cells, rows, strict=True)))

    def text(self, text: str) -> str:
        """Return what a program says without what is withheld."""
        return self._redacted(text)

    def chosen(self) -> dict[str, Any]:
        """Return the record of how speech was chosen without what is withheld."""
        return {key: self._written(value, key) for key, value in self.selection.items()}

    def corpus(self, segments: Mapping[str, Row]) -> dict[str, Row]:
        """Return the rows of the corpus by segment, without where each comes from if that is withheld."""
        nowhere = {"source": "", "utterances": []} if self.withholds_paths else {}
        return {name: {**row, **nowhere} for name, row in segments.items()}

    @cached_property
    def shown_study(self) -> Study:
        """The study without what is withheld: a study still, into which somebody puts the folders again."""
        if not self.withholds:
            return self.study
        written = self._written(self.study.as_json()) | {"name": self.study.name}
        if self.withholds_paths:
            written["results"] = private_names.RESULTS
            compared = {key: run for key, run in written["compare"].items() if isinstance(run, str)}
            written["compare"] |= {key: self._run_name(run) for key, run in compared.items()}
        return validation.from_json(written, "study.json")

    def _run_name(self, name: str) -> str:
        return private_names.OTHER_RUN if self.withholds_paths and private_names.is_folder(name) else name

    def _change(self, table: str, column: str) -> Change | None:
        """Return what becomes of the texts of a column; None if they stay."""
        told = describe(table, column)
        holds = told.holds if told else None
        if holds is Holds.SPEECH and self.withholds_texts:
            return _nothing
        if holds is Holds.HOST and self.withholds_paths:
            return self._hosts.get
        return self._redacted if holds is Holds.MESSAGE and self.withholds else None

    @staticmethod
    def _place(transcript: Row) -> tuple[Any, ...]:
        return tuple(transcript[name] for name in TRANSCRIPT_KEY[:-1])

    @cached_property
    def _shown(self) -> frozenset[tuple[Any, ...]]:
        """The transcripts whose texts are shown where others are withheld."""
        if self.study.report.transcripts != "worst":
            return frozenset()
        transcripts = [row for table, rows in self.tables if table == _TRANSCRIPTS for row in rows]
        return frozenset(self._place(row) for rows in worst_segments(transcripts).values() for row in rows)

    @cached_property
    def _redacted(self) -> Callable[[str], str]:
        known = {text: _TEXT for text in self._texts() if len(text) >= _LEAST_OF_TEXT} if self.withholds_texts else {}
        if self.withholds_paths:
            names = dict(private_names.of_this_machine())
            # A number of a job is part of too many others.
            names |= {name: placeholder for name, placeholder in self._hosts.items() if not name.isdigit()}
            names |= private_names.of_places(self.study) | self._recordings
            known |= {name: placeholder for name, placeholder in names.items() if len(name) >= _LEAST_OF_NAME}
        return redactor(known, paths=not self.withholds_paths)

    @cached_property
    def _recordings(self) -> dict[str, str]:
        return private_names.of_recordings(self.segments, self.selection)

    @cached_property
    def _hosts(self) -> dict[str, str]:
        found = {value for values in self._held(Holds.HOST) for value in values}
        return {name: f"ID-{number}" for number, name in enumerate(sorted(found), 1)}

    def _texts(self) -> Iterator[str]:
        yield from (row["text"] for row in self.segments if row.get("text"))
        for values in self._held(Holds.SPEECH):
            yield from (text for value in values for text in ([value] if isinstance(value, str) else value) if text)

    def _held(self, holds: Holds) -> Iterator[list[Any]]:
        """Yield all values of each column that holds something."""
        for table, rows in self.tables:
            for name in TABLES[table][1].names:
                if (told := describe(table, name)) and told.holds is holds:
                    yield [row[name] for row in rows if row.get(name)]

    def _written(self, value: Any, key: str = "") -> Any:
        """Return JSON of the study or the corpus without what is withheld."""
        if isinstance(value, Mapping):
            return {name: self._written(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._written(inner, key) for inner in value]
        if not isinstance(value, str) or not self.withholds:
            return value
        if self.withholds_paths and key == "path":
            return private_names.places(self.study).get(value, PATH)
        if self.withholds_paths and key == "name" and value in self._recordings:
            return self._recordings[value]
        return value if _WORD.fullmatch(value) and key != "name" else self._redacted(value)


def _nothing(_: object) -> None:
    return None
