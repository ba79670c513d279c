"""The section of provenance: how to reproduce the run, its study, its speech, and its machines."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import LARGE, MOST_PLAIN, NULL, join, number, percent, plain, shorten, truncate_list
from asrmeter.report.html.noise import noise_facts
from asrmeter.study.model import Study

COMMAND = "make run STUDY=study.json"
# Far longer than any study; who wrote a longer one has it.
_MOST_OF_STUDY = 200_000


def provenance_section(
    study: Study, cells: Sequence[Row], sittings: Sequence[Row], selection: Mapping[str, Any], words: Words
) -> dict[str, Any]:
    """Return the section; `selection` is the record of which speech was chosen."""
    written = study.as_json()
    del written["device_note"]
    return {
        "command": _command(cells),
        "study_text": json.dumps(written, indent=1, ensure_ascii=False)[:_MOST_OF_STUDY],
        "study": _study_facts(written, cells, words),
        "corpus": _corpus_facts(selection, words),
        "machines": _machines(cells, sittings, words),
    }


def _study_facts(study: Mapping[str, Any], cells: Sequence[Row], words: Words) -> list[tuple[Markup, str]]:
    report = study["report"]
    withheld = [key for key in ("worst", "none") if key == report["transcripts"]] + ["paths"] * (not report["paths"])
    keys = ("name", "seed", "corpus", "models", "variants", "devices", "durations_s", "batch_sizes", "protocol")
    facts = [(words["setting"][key], plain(study[key])) for key in keys]
    facts += [(words["setting"]["withheld"], join(words["withheld"][key] for key in withheld))] if withheld else []
    used = ("decoding", "normaliser", "normaliser_plain", "normaliser_corpus")
    return facts + [(words["setting"][key], _distinct(cells, key)) for key in used]


def _corpus_facts(selection: Mapping[str, Any], words: Words) -> list[tuple[Markup, str]]:
    """Return the source of the speech and the selection."""
    say = words["provenance"]
    classes = [say["class"].format(**entry) for entry in selection["classes"]]
    facts = [
        (words["setting"]["origin"], plain(selection["origin"])),
        (words["setting"]["segments"], truncate_list(classes, words, LARGE)),
        (words["setting"]["selection_sha256"], shorten(selection["selection_sha256"])),
    ]
    return [*facts, (words["setting"]["dropped"], plain(selection["dropped"]))] if selection["dropped"] else facts


def _machines(cells: Sequence[Row], sittings: Sequence[Row], words: Words) -> list[dict[str, Any]]:
    """Return each machine with the values recorded by its cells, all of them if they differ."""
    keys = (
        "device_name", "cpu_name", "n_cpus", "memory_bytes", "os", "gpu_name", "driver_version", "threads",
        "python_version", "torch_version", "transformers_version", "protocol", "corpus_sha256", "commit",
    )  # fmt: skip
    machines = sorted({row["machine_id"] for row in cells if row["machine_id"] is not None})
    described = []
    for machine_id in machines:
        rows, own = ([row for row in table if row["machine_id"] == machine_id] for table in (cells, sittings))
        facts = [(words["setting"][key], _distinct(rows, key)) for key in keys]
        facts.append((words["setting"]["measured_at"], _span(rows)))
        facts.append((words["setting"]["took"], _took(rows, own, words)))
        facts += noise_facts(rows, own, words)
        described.append({"title": words["provenance"]["machine"].format(machine_id=machine_id), "facts": facts})
    return described


def _distinct(rows: Sequence[Row], key: str) -> str:
    values = {row[key] for row in rows if row[key] is not None}
    shown = sorted(number(value * 1e-9) if key == "memory_bytes" else plain(value) for value in values)
    return shorten(", ".join(shown), MOST_PLAIN) or NULL


def _span(rows: Sequence[Row]) -> str:
    """Return when the first cell was begun and the last one was done."""
    begun, done = (sorted(str(row[name]) for row in rows if row[name]) for name in ("started_at", "measured_at"))
    return " – ".join(dict.fromkeys([*begun[:1], *done[-1:]])) or NULL


def _took(cells: Sequence[Row], sittings: Sequence[Row], words: Words) -> str:
    """Return how long it took from the first job to the last, all of them together, and how much was timed passes."""
    begun, done = (
        [datetime.datetime.fromisoformat(row[name]) for row in cells if row[name]]
        for name in ("started_at", "measured_at")
    )
    jobs_s, timed_s = (sum(row[name] or 0.0 for row in sittings) for name in ("job_s", "timed_s"))
    if not begun or not done or not jobs_s:
        return NULL
    whole_s = (max(done) - min(begun)).total_seconds()
    # Less than its parts only if somebody set the clock back meanwhile.
    whole = NULL if whole_s < jobs_s else _clock(whole_s)
    return words["provenance"]["took"].format(whole=whole, jobs=_clock(jobs_s), share=percent(timed_s / jobs_s))


def _clock(seconds: float) -> str:
    """Return a time as h:min:s, without days: their name would be in one language."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _command(cells: Sequence[Row]) -> str:
    """Return the instructions to reproduce the run: the same code, and the study shown in the report."""
    commits = sorted({row["commit"] for row in cells if row["commit"]})
    # Changes that were never committed cannot be checked out.
    checkout = [f"git checkout {commits[0]}"] if len(commits) == 1 and commits[0].isalnum() else []
    return "\n".join([*checkout, COMMAND])
