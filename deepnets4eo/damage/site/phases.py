"""The order of the evidences of a job: each states its phase, reads only what earlier phases measured, and may share its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import IntEnum, auto
from typing import Protocol, runtime_checkable

from deepnets4eo.damage.site.site import Evidence, Site
from deepnets4eo.device import return_freed_memory


class Phase(IntEnum):
    """Position of an evidence in a job: it measures after all earlier phases, whose results it may read. The attribute `phase`, by default SCORES."""

    OUTLINES = auto()  # puts the outlines on the buildings of POST, with the first columns
    DATES = auto()  # checks which images the further phases read
    BUILDINGS = auto()  # leaves out outlines without a building
    SCORES = auto()  # scores of the decision, only if the outlines are known to be on buildings
    MEASURES = auto()  # reads which buildings are assessed
    AFTERWARDS = auto()  # after the decision, whose table it extends by columns that never decide


@runtime_checkable
class WorksAhead(Protocol):
    """An evidence that begins its work while the phases up to BUILDINGS measure."""

    def ahead(self, site: Site) -> AbstractContextManager[None]:
        """Return the context during whose work it works, too; left when both are done."""


@runtime_checkable
class SharedWork(Protocol):
    """An evidence of the toolbox whose blocks several processes of a job do."""

    def steps(self) -> Mapping[str, Callable[[Site], object]]:
        """Return the function of each long step, by the names of `damage.site.work`."""


def phase_of(evidence: Evidence) -> Phase:
    """Return the phase that an evidence states."""
    return getattr(evidence, "phase", Phase.SCORES)


def measure_phases(site: Site, evidences: Sequence[Evidence], *phases: Phase) -> Site:
    """Return the site measured by the evidences of these phases, in their order; evidences of one phase in the order given."""
    for phase in phases:
        if phase == Phase.SCORES and not site.position.known:
            continue
        for evidence in evidences:
            if phase_of(evidence) == phase:
                site = evidence.measure(site)
        if phase == Phase.BUILDINGS:
            return_freed_memory()  # of the blocks
    return site


@contextmanager
def working_ahead(site: Site, evidences: Sequence[Evidence]) -> Iterator[None]:
    """Provide a context during whose work all evidences work that begin ahead."""
    with ExitStack() as stack:
        for evidence in evidences:
            if isinstance(evidence, WorksAhead):
                stack.enter_context(evidence.ahead(site))
        yield


def shared_steps(evidences: Sequence[Evidence]) -> dict[str, Callable[[Site], object]]:
    """Return the function of each step whose blocks several processes do."""
    return {
        name: step
        for evidence in evidences
        if isinstance(evidence, SharedWork)
        for name, step in evidence.steps().items()
    }
