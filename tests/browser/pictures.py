"""Make the pictures of the documentation: `make pictures`, after the runs that docs/gallery.md names.

A picture whose report is not there, or lacks the section, stays as it is.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import sync_playwright

from helpers.pages import chromium


@dataclass(frozen=True)
class Picture:
    """A part of a report.

    Attributes:
        report: the file.
        top: the element, a CSS selector, whose top is the picture's.
        width, height: of the window, in pixels.
        scheme: the colours, `light` or `dark`.
    """

    report: str
    top: str
    width: int = 1200
    height: int = 800
    scheme: str = "light"


FIRST, OWN, CAPACITY = "results/report.html", "results-own/report.html", "results-capacity/report.html"
PICTURES = {
    "report-answer": Picture(FIRST, "header", 1440, 900),
    "report-figures": Picture(FIRST, "#figures", height=1150),
    "report-transcripts": Picture(FIRST, "#transcripts", scheme="dark"),
    "report-narrow": Picture(FIRST, "header", 390, 844),
    "report-own": Picture(OWN, "header", 1440, 900),
    "report-own-transcripts": Picture(OWN, "#transcripts"),
    "report-compared": Picture(OWN, "#comparison"),
    "report-capacity": Picture(CAPACITY, "#capacity"),
}


def main() -> None:
    """Write one PNG for each picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="the folder that holds the results folders")
    parser.add_argument("folder", type=Path, help="folder of the pictures")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        for name, picture in PICTURES.items():
            report = arguments.runs / picture.report
            if not report.exists():
                print(f"{name}: not made, as {report} is not there")
                continue
            page = browser.new_page(
                viewport={"width": picture.width, "height": picture.height},
                color_scheme="dark" if picture.scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            page.goto(report.resolve().as_uri())
            top = page.locator(picture.top)
            if top.count():
                top.evaluate("section => section.scrollIntoView()")
                page.screenshot(path=arguments.folder / f"{name}.png")
            else:
                print(f"{name}: not made, as {report} has no {picture.top}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
