"""A study of ten thousand cells: its report is made in seconds, is no burden to send, and opens at once."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from asrmeter.report.figure_registry import FIGURES
from helpers.large_study import write_large_study
from helpers.pages import TEMPLATES, Open

ROOT = Path(__file__).parents[2]


def run(script: str, **options: object) -> float:
    """Run a script of the pipeline; return the CPU seconds that it took."""
    command = [sys.executable, f"scripts/{script}"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The report of the large study, and the CPU seconds that drawing and rendering took."""
    folder = tmp_path_factory.mktemp("large")
    tables = write_large_study(folder)
    report = folder / "report.html"
    needed = ("study", "cells", "transcripts", "optimisations", "silence", "loads", "capacities", "layouts")
    needed += ("roofline", "ceilings", "operators", "scaling")
    drawn_from = {name: tables[name] for name in needed}
    words = {"template_folder": TEMPLATES}
    drawn_s = run("make_figures.py", **drawn_from, **words, output_folder=folder / "figures")
    figures = [folder / "figures" / f"{name}.svg" for name in FIGURES]
    written = {"output": report, "answer": folder / "answer.txt"}
    rendered_s = run("make_report.py", **tables, **words, compare_with=[], figures=figures, **written)
    print(f"10,000 cells: drawn in {drawn_s:.1f}, rendered in {rendered_s:.1f} CPU s, {report.stat().st_size:,} bytes")
    return report, drawn_s + rendered_s


def test_large_report_takes_30_s_and_5_mb_at_most(large: tuple[Path, float]) -> None:
    report, cpu_s = large
    assert cpu_s <= 120
    assert report.stat().st_size <= 5_000_000


def test_it_opens_in_seconds(large: tuple[Path, float], open_page: Open) -> None:
    loads = []
    # The best of three: what a busy neighbour takes is not the page's.
    for _ in range(3):
        page = open_page(large[0].as_uri(), viewport={"width": 1440, "height": 900})
        loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
    print("load: " + ", ".join(f"{seconds:.2f} s" for seconds in loads))
    assert 0 < min(loads) <= 20


def test_all_cells_are_in_it_and_all_links_lead_somewhere(large: tuple[Path, float], open_page: Open) -> None:
    page = open_page(large[0].as_uri(), viewport={"width": 1440, "height": 900})
    assert page.locator("#table-overview tbody tr").count() == 10_000
    nowhere = """[...document.querySelectorAll("a[href^='#']")]
      .map((link) => decodeURIComponent(link.hash.slice(1))).filter((id) => !document.getElementById(id))"""
    assert page.evaluate(nowhere) == []
    assert "Shown: the first 30 of" in page.locator("#failures").text_content()
    # Which can be found among the ten thousand.
    page.locator("details:has(#table-overview) summary").click()
    page.locator("#cells").get_by_label("Filter").first.fill("whisper-tiny-v1 int8 cuda")
    assert page.locator("#cells").get_by_role("status").first.text_content() == "50 of 10000 rows"
    page.locator("#table-overview thead button").get_by_text("Latency (s)").click()
    shown = page.locator("#table-overview tbody tr:visible td:nth-child(9)").all_text_contents()
    assert list(map(float, filter(None, shown))) == sorted(map(float, filter(None, shown)))
