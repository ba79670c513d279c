"""The answer of a finished run, printed."""

from pathlib import Path

import pytest

import answer
from asrmeter.common.errors import AsrmeterError


def test_the_answer_is_printed_with_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "answer.txt").write_text("Запускайте quick\x1b[2J\nProduction service\nSure\n", encoding="utf-8")
    answer.main([str(tmp_path)])
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("Запускайте quick") and "\x1b" not in first
    assert others == ["Production service", "Sure", f"Report: {tmp_path / 'report.html'}"]


def test_a_run_without_a_report_has_no_answer(tmp_path: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"answer\.txt: cannot be read .*; finish the run first"):
        answer.main([str(tmp_path)])
