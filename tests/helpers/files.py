"""Files of a pretended system."""

from pathlib import Path


def write(folder: Path, path: str, text: str) -> None:
    """Write a file of one line, and the folders that it is in."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
