"""The models known by name (`resources/models.toml`). Standard library only: the planner reads it too."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parents[3] / "resources" / "models.toml"


@dataclass(frozen=True)
class Model:
    """One entry of models.toml; the file's head explains the fields."""

    name: str
    family: str
    parameters: int
    architecture: dict[str, Any]
    tokenizer: dict[str, str] | None = None
    vocabulary: list[str] = field(default_factory=list)
    packaged: dict[str, Any] | None = None

    def packages(self, weights: str) -> list[str]:
        """Return the names of the packages that a folder with such `weights` is made from."""
        members = [self.tokenizer] if self.tokenizer else []
        if weights == "packaged" and self.packaged:
            members += [self.packaged["config"], *self.packaged["model"]]
        return sorted({member["package"] for member in members})


@cache
def catalogue(path: Path = CATALOGUE) -> dict[str, Model]:
    """Return every known model by name."""
    with open(path, "rb") as stream:
        return {name: Model(name=name, **entry) for name, entry in tomllib.load(stream).items()}
