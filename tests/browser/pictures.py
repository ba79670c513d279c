"""Make the README's pictures of a report: `make pictures`, after `make run`."""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from helpers.pages import chromium

# name: width and height of the window (px), colour scheme, and the element whose top stands at the window's top.
PICTURES = {
    "report-answer": (1440, 900, "light", "header"),
    "report-figures": (1200, 1150, "light", "#figures"),
    "report-transcripts": (1200, 800, "dark", "#transcripts"),
    "report-narrow": (390, 844, "light", "header"),
}


def main() -> None:
    """Write one PNG for each picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="the report, HTML")
    parser.add_argument("folder", type=Path, help="folder of the pictures")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        for name, (width, height, scheme, top) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            page.goto(arguments.report.resolve().as_uri())
            page.locator(top).evaluate("section => section.scrollIntoView()")
            page.screenshot(path=arguments.folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
