"""What a study tries to make its models faster by: the proposals, and its other variants."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from asrmeter.common.constants import BASELINE
from asrmeter.common.vocabulary import DEVICES
from asrmeter.study import proposals
from asrmeter.study.grid import Cell
from asrmeter.study.model import Study
from asrmeter.study.proposals import Kind, Proposal

# A cell without what is proposed, and the one that differs from it by having it.
CellPair = tuple[Cell, Cell]


@dataclass(frozen=True)
class Trial:
    """A proposal, or a variant that nobody proposes.

    `variant` and `against` are names of the study, or those of the list where the study has no such variant.
    """

    proposal: Proposal | None
    variant: str
    against: str = BASELINE

    @property
    def kind(self) -> Kind:
        """What is held against what; see `resources/proposals.toml`."""
        return self.proposal.kind if self.proposal else "variant"

    @property
    def devices(self) -> Collection[str]:
        """The devices on which it can be followed."""
        return self.proposal.devices if self.proposal else DEVICES

    def pairs(
        self, own: Sequence[Cell], others: Collection[Cell], is_known: Callable[[Cell], bool]
    ) -> Iterator[CellPair]:
        """Yield the pairs of cells to hold against each other: `own` are those of the variant, `others` of `against`.

        Of batch sizes it is 1 and the largest of which the result `is_known`, or the largest of all.
        """
        for cell in own if self.kind != "batch" else ():
            other = replace(cell, variant=self.against)
            if other in others:
                yield (cell, other) if self.kind == "without" else (other, cell)
        for cell in own if self.kind == "batch" else ():
            larger = [one for one in own if one.duration_s == cell.duration_s and one.batch_size > 1]
            if cell.batch_size == 1 and larger:
                yield cell, max(larger, key=lambda one: (is_known(one), one.batch_size))


def trials_of(study: Study) -> list[Trial]:
    """Return what a study tries: the proposals that it has a variant of, then its other variants.

    A study with every variant of the list has all proposals, and those that cannot be followed with the reason.
    """
    names: dict[str, str] = {}
    listed = proposals.known()
    for proposal in listed:
        own = (name for name, options in study.variants.items() if proposal.is_measured_by(options))
        if proposal.variant != BASELINE and (name := next(own, None)):
            names[proposal.variant] = name
    has_all = {one.variant for one in listed} <= {BASELINE, *names}
    tried = [
        Trial(one, names.get(one.variant, one.variant), names.get(one.against, one.against))
        for one in listed
        if has_all or one.variant in names or (names and one.kind == "batch")
    ]
    others = study.variants.keys() - {BASELINE, *names.values()}
    return [*tried, *(Trial(None, name) for name in study.variants if name in others)]
