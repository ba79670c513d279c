"""A finished run whose texts, names and folders are words that are nowhere else: what leaks is found by searching."""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pyarrow as pa

from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.analysis.columns import PASSES
from asrmeter.common import parquet
from asrmeter.report.figure_registry import FIGURES
from asrmeter.study import validation
from asrmeter.study.model import Study
from helpers.bottlenecks import example_bottlenecks, failed_profile, write_bottlenecks
from helpers.optimisations import optimisation
from helpers.silence import clips_of
from helpers.tables import Cell, cell, example_segments, example_selection, example_study, failed, transcripts_of
from helpers.tables import write_tables as write_cells

RESULTS, OTHER = "results-zulukappa", "results-yakclient"
# What speakers said, and what a model made of it. Segment 0 is the worst, and segment 3 has no error.
SAID = {n: f"{name} whispered \"{name}s & <b>{name}</b>\" to their grüße" for n, name in
        enumerate(("zebrafalcon", "quaggaheron", "ibisbadger", "newtlemming"))}  # fmt: skip
HEARD = {0: "axolotlgnu", 1: "axolotlgnu grebeotter to their grüße", 2: "ibisbadger whispered grebeotter", 3: SAID[3]}
WORST, ELSE = ("zebrafalcon", "axolotlgnu", "quaggaheron", "ibisbadger", "grebeotter"), ("newtlemming", "dodowarbler")
# Names of recordings, folders, machines, users: words, such that any spelling of them is found.
PLACES = (
    *("oktoberzwo", "anruferin", "öttilie", "wallabylist", "brokenquokka", "tapirtake", "zulukappa", "yakclient"),
    *("ocelotnet", "lemurengine", "nodenarwhal", "gpu-lynx", "77123456", "puffinlib", "ibexlicence", "mothcache"),
    *("wombatuser", "geckocache", "spacedgibbon"),
)
NAMES = ["Anruferin/Ruf an Öttilie 7.wav", 'wallabylist/it\'s "b" & <i>.flac', "brokenquokka 12.mp3", "tapirtake.wav"]


def study(folder: Path, **report: Any) -> Study:
    """Return the study of the run, whose recordings are in `folder`."""
    written = example_study(report).as_json() | {"name": "shared", "results": RESULTS, "batch_sizes": [1, 2]}
    written |= {"durations_s": [30], "device_note": "no /usr/lib/puffinlib/libcuda.so: it was not found"}
    written["corpus"] = {"kind": "folder", "path": str(folder), "licence": "see ~/ibexlicence/terms.txt"}
    written["models"] = {"whisper-base": {"path": "/srv/models/ocelotnet"}, "whisper-tiny.en": {"weights": "packaged"}}
    own = {"runtime": {"path": "engines/lemurengine.py", "sha256": "0" * 64, "options": {"cache": "/var/mothcache/x"}}}
    written["variants"] = {"fp32": {"runtime": "transformers"}, "own": own}
    written["compare"] = {"first": OTHER}
    written["robustness"] = {"silence": True}
    return validation.from_json(written, "a test")


def make(here: Path, drawn: str, **report: Any) -> Path:
    """Make the run's results folder in `here`, the current one, with figures that are drawings as `drawn`."""
    recordings = here / "Kundenrufe Oktoberzwo"
    made = study(recordings, **report)
    results = here / RESULTS
    cells = _cells(recordings)
    transcripts = [row for one in cells for row in _transcripts(one)]
    reason = f"{recordings / NAMES[0]}: /opt/geckocache/bin has no {SAID[2]}"
    proposed = [optimisation("fp16", None, reason=reason), optimisation()]
    heard = clips_of("whisper-base", {"hum": f"dodowarbler {SAID[3]}"})
    heard += clips_of("whisper-tiny.en", {}, status="error", reason=reason, text=None, n_words=None)
    write_cells(results / "tables", cells, transcripts, proposed, heard)
    other = [row | {"node": "nodenarwhal9", "latency_s_median": 50.0} for row in cells]
    write_cells(here / OTHER / "tables", other, transcripts)
    write_bottlenecks(results / "tables", _bottlenecks(cells, recordings))
    passes = [_pass(one) for one in cells]
    parquet.save(results / "tables" / "passes.parquet", pa.Table.from_pylist(passes, schema=PASSES))
    for name, content in {
        "study.json": made.as_json(),
        f"corpus/{made.corpus.name}/selection.json": _selection(recordings),
        f"corpus/{made.corpus.name}/segments.json": _segments(),
        "report.html": {},
    }.items():
        path = results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    (results / "figures").mkdir()
    for name in FIGURES:
        (results / "figures" / f"{name}.svg").write_text(drawn)
    return results


def _cells(recordings: Path) -> list[Cell]:
    private: dict[str, Any] = {
        "study": "shared",
        "node": "nodenarwhal7",
        "slurm_job_id": "77123456",
        "gpu_uuid": "GPU-lynx-1",
        "visible_gpus": "GPU-lynx-1",
        "runtime": "engines/lemurengine.py",
        "decoding": '{"cache": "/var/mothcache/x"}',
        "wer_note": f"one text was not read: {SAID[3]}",
        "energy_note": "RAPL: no package in /sys/class/powercap, nor in /home/wombatuser/rapl",
    }
    cells = [
        cell(model, variant=variant, batch_size=batch_size, **private)
        for model in ("whisper-base", "whisper-tiny.en")
        for variant in ("fp32", "own")
        for batch_size in (1, 2)
    ]
    reason = f"{recordings / NAMES[0]}: not read by user wombatuser ('/srv/a b/spacedgibbon x.wav', ~/geckocache/y)"
    cells[-1] = failed(cells[-1], "error", reason) | {"study": "shared"}
    why = f"lap 1: /opt/geckocache/bin on nodenarwhal7 and {RESULTS}/corpus took 0.6 cores"
    cells[0] |= {"disturbed": True, "disturbance": why, "n_laps_disturbed": 3, "n_laps": 0, "laps": ""}
    return cells


def _transcripts(row: Cell) -> list[dict[str, Any]]:
    rows = transcripts_of(row, n_segments=len(SAID))
    for number, one in enumerate(rows):
        texts = {"reference": SAID[number], "hypothesis": HEARD[number]}
        normalised = {f"{name}_normalised{ending}": text for name, text in texts.items() for ending in ("", "_plain")}
        one |= texts | normalised | {"n_words": 6, "n_substitutions": (6, 5, 4, 0)[number]}
    return rows


def _pass(row: Cell) -> dict[str, Any]:
    said = {"segment_ids": ["house-30-3"], "texts": [f"dodowarbler {SAID[3]}"], "phase": "latency", "latency_s": 1.0}
    return {name: row.get(name) for name in PASSES.names} | said


def _bottlenecks(cells: list[Cell], recordings: Path) -> Bottlenecks:
    measured = [one for one in cells if one["status"] == "ok"]
    tables = example_bottlenecks(measured)
    rows = {name: [dict(row) for row in found] for name, found in vars(tables).items()}
    rows["roofline"][0]["note"] = f"{recordings}/tapirtake.wav was not read"
    rows["roofline"][1]["note"] = "nothing in wallabylist was read"
    rows["operators"].append(failed_profile(cells[-1], f"Traceback in {recordings / NAMES[1]}"))
    return Bottlenecks(**rows)


def _segments() -> list[dict[str, Any]]:
    rows = []
    for number, text in SAID.items():
        name = NAMES[number]
        source = str(Path(name).parent) if "/" in name else "Kundenrufe-Oktoberzwo"
        known = {"text": text, "source": source, "utterances": [name]}
        rows.append(example_segments()[f"house-30-{number}"] | known)
    return rows


def _selection(recordings: Path) -> dict[str, Any]:
    return example_selection(
        corpus={"kind": "folder", "path": str(recordings), "name": "Kundenrufe-Oktoberzwo"},
        origin={"metadata": "metadata.csv", "place": str(recordings)},
        skipped=[{"name": NAMES[2], "reason": f"{recordings / NAMES[2]}: cannot be decoded"}],
        mended=[{"name": NAMES[3], "how": f"the header of {NAMES[3]} was wrong"}],
    )


def spelled(word: str) -> Iterator[str]:
    """Yield a word as files may spell it: escaped for HTML, addresses and JSON."""
    for way in (word, word.capitalize(), word.upper()):
        yield from (way, html.escape(way), quote(way), json.dumps(way)[1:-1], way.encode("unicode_escape").decode())


def found_in(text: str, words: tuple[str, ...]) -> set[str]:
    """Return the words that a text has, however they are spelled."""
    lower = text.lower()
    return {word for word in words if any(one.lower() in lower for one in spelled(word))}


def tables_of(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the tables of a results folder."""
    return {path.stem: pd.read_parquet(path).to_dict("records") for path in (results / "tables").glob("*.parquet")}
