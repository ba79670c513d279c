"""The page of normalisers: its lines score the table of transcripts as they are printed."""

import re
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.paths import ROOT
from helpers.tables import cell, example_transcripts, write_tables

PAGE = ROOT / "docs" / "normalisers.md"


def test_the_lines_score_raw_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [cell("whisper-base", duration_s=5), cell("whisper-tiny.en", duration_s=5)]
    transcripts = example_transcripts(cells)
    # What only the page's own rules take for the same: spelling, capitals, punctuation.
    for row in transcripts:
        row["reference"] = f"{row['reference']} Okay, by e mail?"
        row["hypothesis"] = f"{row['hypothesis']} OK by EMAIL!"
    write_tables(tmp_path / "results" / "tables", cells, transcripts)
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(lines, found)
    for model in ("whisper-base", "whisper-tiny.en"):
        own = [row for row in transcripts if row["model"] == model]
        n_errors, n_words = (sum(row[name] for row in own) for name in ("n_errors", "n_words"))
        assert n_errors
        assert found["wer"][model].item() == pytest.approx(n_errors / (n_words + 3 * len(own)))
