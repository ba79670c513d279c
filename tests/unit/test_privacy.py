"""What stands for what is withheld: in messages, in rows of tables, in a study."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.analysis.dictionary import TABLES
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.table_types import Holds, description
from asrmeter.report.privacy import Privacy
from asrmeter.report.redaction import redactor
from asrmeter.study import validation
from helpers.tables import cell, example_segments, example_selection, example_study, transcripts_of

PART = st.text("abcdefghiäöüß0123456789._+@-", min_size=2, max_size=12).filter(lambda text: text.strip("."))
PATHS = st.lists(PART, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))
AROUND = st.sampled_from(["", "'", '"', "(", "x: ", "error:", "PATH=", "cannot open ", "[", "a, "])


@given(st.lists(st.tuples(AROUND, st.sampled_from(["", "~", "..", "file://"]), PATHS), min_size=1, max_size=4))
def test_no_path_stays_in_a_message(told: list[tuple[str, str, str]]) -> None:
    message = "; ".join(f"{before}{start}{path}" for before, start, path in told)
    found = redactor({}, paths=False)(message)
    assert not re.search(r"/[^\s;]{2,}", found), (message, found)
    assert "PATH" in found


@pytest.mark.parametrize(
    "message",
    [
        "the interval is 7 % wide to a side, the target is 5 %",
        "RAPL: no processor package in /sys/class/powercap",
        "3 GB/s, and/or 5 passes/s; GNU/Linux",
        "whisper-base/fp32/cpu/30s-b4: killed",
        "see https://ui.perfetto.dev/x or hf://models",
        "python scripts/list_cells.py RESULTS --status failed",
        "1 / 3",
    ],
)
def test_what_is_no_path_stays(message: str) -> None:
    assert redactor({}, paths=False)(message) == message


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("/home/anna/My Calls/a b.wav is broken", "FOLDER/FILE-1 is broken"),
        ("'/home/anna/My Calls/unknown one.wav': no such file", "'FOLDER': no such file"),
        ("FOLDER/unknown one.wav: is empty", "FOLDER: is empty"),
        ("'/srv/one two three.wav': it", "'PATH': it"),
        ("/srv/My Music/x.wav", "PATH"),
        ("a b.wav, ca b.wav, a b.wave", "FILE-1, ca FILE-2, a b.wave"),
        ("/sys/../home/anna", "PATH"),
    ],
)
def test_known_names_are_replaced_whole(message: str, shown: str) -> None:
    known = {"/home/anna/My Calls": "FOLDER", "a b.wav": "FILE-1", "b.wav": "FILE-2"}
    assert redactor(known, paths=False)(message) == shown


def test_paths_stay_where_texts_alone_are_withheld() -> None:
    assert redactor({"so it goes": "…"}, paths=True)("/a/b: 'so it goes'") == "/a/b: '…'"


def privacy(cells: list[dict[str, Any]] | None = None, **report: Any) -> tuple[Privacy, list[dict[str, Any]]]:
    """Return what is withheld of a small run, and its transcripts."""
    transcripts = [row for one in cells or [cell()] for row in transcripts_of(one)]
    tables = [("transcripts", transcripts), ("cells", cells or [cell()])]
    return Privacy(example_study(report), [*example_segments().values()], example_selection(), tables), transcripts


SPEECH = [name for name in TABLES["transcripts"][1].names
          if description(TABLES["transcripts"][1].field(name)).holds is Holds.SPEECH]  # fmt: skip


@pytest.mark.parametrize(("transcripts", "n_with_texts"), [("all", 8), ("worst", 3), ("none", 0)])
def test_texts_stay_as_the_study_asks(transcripts: str, n_with_texts: int) -> None:
    withheld, rows = privacy(transcripts=transcripts)
    shown = withheld.rows("transcripts", rows)
    kept = [row for row in shown if row["hypothesis"] is not None]
    assert len(kept) == n_with_texts and [row["n_words"] for row in shown] == [row["n_words"] for row in rows]
    assert all(row in rows for row in kept)
    assert all(row.get(name) is None for row in shown if row not in kept for name in SPEECH)


def test_the_worst_are_worse_than_the_others_and_have_errors() -> None:
    rate = 0.2
    withheld, rows = privacy([cell(), cell(wer=rate, model="whisper-tiny.en")], transcripts="worst")
    shown = withheld.rows("transcripts", rows)
    by_segment: dict[str, float] = {}
    for row in rows:
        share = row["n_substitutions"] / row["n_words"]
        by_segment[row["segment_id"]] = max(share, by_segment.get(row["segment_id"], 0.0))
    told = {row["segment_id"] for row in shown if row["hypothesis"] is not None}
    assert len(told) == 3
    assert min(by_segment[name] for name in told) >= max(by_segment[name] for name in by_segment.keys() - told)
    without_errors = [row | {"n_substitutions": 0} for row in rows]
    none = Privacy(withheld.study, tables=[("transcripts", without_errors)])
    assert all(row["hypothesis"] is None for row in none.rows("transcripts", without_errors))


def test_a_machine_is_the_same_one_wherever_it_is() -> None:
    cells = [cell(node=node, gpu_uuid=None, slurm_job_id="12") for node in ("n7", "n3", "n7")]
    withheld, _ = privacy(cells, paths=False)
    shown = withheld.rows("cells", cells)
    assert [row["node"] for row in shown] == ["ID-3", "ID-2", "ID-3"]
    assert {row["slurm_job_id"] for row in shown} == {"ID-1"} and {row["gpu_uuid"] for row in shown} == {None}
    # Of one that is in none of the tables nothing is told.
    assert withheld.rows("cells", [cell(node="n9")])[0]["node"] is None


def test_nothing_changes_where_nothing_is_withheld() -> None:
    withheld, rows = privacy()
    assert not withheld.withholds
    assert withheld.rows("transcripts", rows) == rows
    assert withheld.shown_study is withheld.study and withheld.chosen() == example_selection()
    assert withheld.columns_of("passes") == TABLES["passes"][1].names


def test_figures_never_change() -> None:
    """Whatever is withheld, a number stays: nothing is decided otherwise for it."""
    cells = [cell(node="n7", reason="see /home/anna/x")]
    withheld, _ = privacy(cells, transcripts="none", paths=False)
    (shown,) = withheld.rows("cells", cells)
    assert {name for name in shown if shown[name] != cells[0][name]} == {"node", "reason"}


def test_recordings_are_numbered_alike_everywhere() -> None:
    selection = example_selection(
        skipped=[{"name": "b c.wav", "reason": "b c.wav is broken"}, {"name": "a", "reason": "too short"}],
        mended=[{"name": "b c.wav", "how": "the header of b c.wav"}],
    )
    shown = Privacy(example_study({"paths": False}), [], selection).chosen()
    assert shown["skipped"] == [
        {"name": "FILE-2", "reason": "FILE-2 is broken"},
        {"name": "FILE-1", "reason": "too short"},
    ]
    assert shown["mended"] == [{"name": "FILE-2", "how": "the header of FILE-2"}]


@pytest.mark.parametrize("folder", ["/data/folder", "calls", "~/My Calls"])
def test_a_study_keeps_what_its_keys_allow(folder: str) -> None:
    """A folder may be called as a value of a key; a study without its folders is a study still."""
    written = example_study({"paths": False}).as_json()
    written["corpus"] = {"kind": "folder", "path": folder}
    shown = Privacy(validation.from_json(written, "a test")).shown_study
    assert (shown.corpus.kind, shown.corpus.name, shown.results) == ("folder", "FOLDER", "RESULTS")
    assert shown.as_json()["corpus"]["path"] == "FOLDER"
    assert shown.name == "quickstart" and shown.models == example_study().models


def test_audio_of_withheld_words_is_refused() -> None:
    with pytest.raises(AsrmeterError, match=r"report.embed_audio: true puts speech .* report.transcripts: none"):
        example_study({"embed_audio": True, "transcripts": "none"})
    assert example_study({"embed_audio": True, "transcripts": "worst", "paths": False}).report.embed_audio
