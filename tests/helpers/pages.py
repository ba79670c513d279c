"""What the tests in a browser share."""

import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright

TEMPLATES = Path(__file__).parents[2] / "report"
HOSTILE = "<script>alert(1)</script>"
FORMULA = '=1+1, "quoted"'

Open = Callable[..., Page]


def chromium_path() -> str | None:
    """Return where Chromium is installed, None where it is not."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def chromium(playwright: Playwright) -> Browser:
    """Start Chromium as it is installed."""
    path = chromium_path()
    assert path, "this needs Chromium: apt-get install chromium"
    # What a browser asks of its maker at its start is none of the page's requests.
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--no-first-run", *quiet])
