"""Folders of the checkout."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "scripts"
RESOURCES = ROOT / "resources"
REQUIREMENTS = ROOT / "requirements"
SCHEMAS = ROOT / "schemas"
