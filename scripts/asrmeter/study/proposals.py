"""Proposals to make a model faster (`resources/proposals.toml`), and the variants that measure them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from asrmeter import runtimes
from asrmeter.common.constants import BASELINE
from asrmeter.common.paths import RESOURCES
from asrmeter.common.toml_files import read_catalogue

if TYPE_CHECKING:
    from asrmeter.runtimes.base import RuntimeOptions

CATALOGUE = RESOURCES / "proposals.toml"
# The value of `variants` that measures all proposals.
ALL = "proposals"
Kind = Literal["variant", "without", "batch"]


@dataclass(frozen=True)
class Proposal:
    """An entry of proposals.toml; the head of that file explains the fields."""

    name: str
    wording: str
    of_2025: bool = True
    kind: Kind = "variant"
    variant: str = BASELINE
    options: Mapping[str, Any] = field(default_factory=dict)
    against: str = BASELINE
    devices: Sequence[str] = ("cpu", "cuda")

    def is_measured_by(self, options: "RuntimeOptions") -> bool:
        """Return whether a variant with these options is that of the proposal, under any name."""
        return options == runtimes.variant_options({"runtime": runtimes.DEFAULT_RUNTIME, **self.options})


def known() -> list[Proposal]:
    """Return the proposals in the order of the file.

    Raises:
        AsrmeterError: the file cannot be read, or an entry lacks a key or has an unknown one.
    """
    return list(read_catalogue(CATALOGUE, Proposal).values())


def variants() -> dict[str, Mapping[str, Any]]:
    """Return the options of the baseline and of all variants that measure a proposal, by name."""
    return {BASELINE: {}} | {one.variant: one.options for one in known()}
