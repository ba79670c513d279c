"""The section of provenance: how to reproduce the run, its study, its speech, and its machines."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.hardware import noise_floors
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import LARGE, MOST_PLAIN, NULL, number, percent, plain, shorten, truncate_list
from asrmeter.study.model import Study

COMMAND = "make run STUDY=study.json"
# Far longer than any study; who wrote a longer one has it.
_MOST_OF_STUDY = 200_000


def provenance_section(
    study: Study, cells: Sequence[Row], selection: Mapping[str, Any], words: Words
) -> dict[str, Any]:
    """Return the section; `selection` is the record of which speech was chosen."""
    written = study.as_json()
    del written["device_note"]
    return {
        "command": _command(cells),
        "study_text": json.dumps(written, indent=1, ensure_ascii=False)[:_MOST_OF_STUDY],
        "study": _study_facts(written, cells, words),
        "corpus": _corpus_facts(selection, words),
        "machines": _machines(cells, words),
    }


def _study_facts(study: Mapping[str, Any], cells: Sequence[Row], words: Words) -> list[tuple[Markup, str]]:
    keys = ("name", "seed", "corpus", "models", "variants", "devices", "durations_s", "batch_sizes", "protocol")
    facts = [(words["setting"][key], plain(study[key])) for key in keys]
    used = ("decoding", "normaliser", "normaliser_plain", "normaliser_corpus")
    return facts + [(words["setting"][key], _distinct(cells, key)) for key in used]


def _corpus_facts(selection: Mapping[str, Any], words: Words) -> list[tuple[Markup, str]]:
    """Return where the speech comes from and which of it was chosen."""
    say = words["provenance"]
    classes = [say["class"].format(**entry) for entry in selection["classes"]]
    facts = [
        (words["setting"]["origin"], plain(selection["origin"])),
        (words["setting"]["segments"], truncate_list(classes, words, LARGE)),
        (words["setting"]["selection_sha256"], shorten(selection["selection_sha256"])),
    ]
    return [*facts, (words["setting"]["dropped"], plain(selection["dropped"]))] if selection["dropped"] else facts


def _machines(cells: Sequence[Row], words: Words) -> list[dict[str, Any]]:
    """Return each machine with the values that its cells recorded, all of them where they differ."""
    keys = (
        "device_name", "cpu_name", "n_cpus", "memory_bytes", "os", "gpu_name", "driver_version", "threads",
        "python_version", "torch_version", "transformers_version", "protocol", "corpus_sha256", "commit",
    )  # fmt: skip
    machines = sorted({row["machine_id"] for row in cells if row["machine_id"] is not None})
    described = []
    for machine_id in machines:
        rows = [row for row in cells if row["machine_id"] == machine_id]
        facts = [(words["setting"][key], _distinct(rows, key)) for key in keys]
        facts.append((words["setting"]["measured_at"], _span(rows)))
        facts.append((words["setting"]["took"], _took(rows, words)))
        n_disturbed = sum(bool(row["disturbed"]) for row in rows)
        facts.append((words["setting"]["disturbed"], f"{n_disturbed} / {len(rows)}"))
        facts += [
            (words["setting"]["noise_floor"].format(device=device), _floor(row, words))
            for device, row in noise_floors(rows).items()
        ]
        described.append({"title": words["provenance"]["machine"].format(machine_id=machine_id), "facts": facts})
    return described


def _distinct(rows: Sequence[Row], key: str) -> str:
    values = {row[key] for row in rows if row[key] is not None}
    shown = sorted(number(value * 1e-9) if key == "memory_bytes" else plain(value) for value in values)
    return shorten(", ".join(shown), MOST_PLAIN) or NULL


def _floor(row: Row, words: Words) -> str:
    """Return the noise floor that a row tells, or why it tells none."""
    if row["noise_floor"] is not None:
        return percent(row["noise_floor"])
    reason = row["noise_floor_note"] or words["why_null"]["not_measured"]
    return words["provenance"]["no_noise_floor"].format(reason=reason)


def _span(rows: Sequence[Row]) -> str:
    """Return when the first cell was begun and the last one was done."""
    begun, done = (sorted(str(row[name]) for row in rows if row[name]) for name in ("started_at", "measured_at"))
    return " – ".join(dict.fromkeys([*begun[:1], *done[-1:]])) or NULL


def _took(rows: Sequence[Row], words: Words) -> str:
    """Return how long it took from the first cell to the last, and all cells together."""
    timed = [
        [datetime.datetime.fromisoformat(row[name]) for name in ("started_at", "measured_at")]
        for row in rows
        if row["started_at"] and row["measured_at"]
    ]
    if not timed:
        return NULL
    whole = max(done for _, done in timed) - min(begun for begun, _ in timed)
    cells = sum((done - begun for begun, done in timed), start=datetime.timedelta())
    # Less than its parts only if somebody set the clock back meanwhile.
    whole_told = NULL if whole < cells else _clock(whole)
    return words["provenance"]["took"].format(whole=whole_told, cells=_clock(cells))


def _clock(time: datetime.timedelta) -> str:
    """Return a time as h:min:s, without days: their name would be in one language."""
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _command(cells: Sequence[Row]) -> str:
    """Return what reproduces the run: the same code, and the study as it stands in the report."""
    commits = sorted({row["commit"] for row in cells if row["commit"]})
    # Changes that were never committed cannot be checked out.
    checkout = [f"git checkout {commits[0]}"] if len(commits) == 1 and commits[0].isalnum() else []
    return "\n".join([*checkout, COMMAND])
