"""What the tests in a browser share."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

TEMPLATES = Path(__file__).parents[2] / "report"
HOSTILE = "<script>alert(1)</script>"
FORMULA = '=1+1, "quoted"'

Open = Callable[..., Page]
