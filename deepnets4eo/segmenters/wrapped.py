"""What segmenters around other segmenters share: inputs and legend, device, tiling, description and files.

Takes any kind of segmenter. A description holds that of the segmenter inside; its files lie in the same run folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from deepnets4eo.cards.legend import Legend
from deepnets4eo.device import Compute
from deepnets4eo.files import plain
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.nested import describe_nested, restore_nested, with_wider_halo
from deepnets4eo.segmenters.segmenter import ProbabilitySegmenter, Segmenter
from deepnets4eo.tiling import Tiling


class WrappedSegmenter(ProbabilitySegmenter):
    """Base of segmenters around one other, or several with the same inputs and legend.

    Subclasses implement `predict_proba`; around one, their constructor takes the segmenter, the keyword arguments
    named in `saved_arguments`, and `tiling`. Around several, they override `describe`, `save` and `restore`.

    Parameters
    ----------
    members
        The segmenters inside, at least one; inputs and legend are the first one's.
    halo_px
        Context that each pixel needs, at least; the default tiling is the first member's, widened to it.
    tiling
        Instead of that default.
    """

    kind = ""
    saved_arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, members: Sequence[Segmenter], halo_px: int, tiling: Tiling | None) -> None:
        self.members = list(members)
        self.inputs, self.legend = members[0].inputs, members[0].legend
        self.tiling = with_wider_halo(members[0].tiling, halo_px) if tiling is None else tiling

    @property
    def segmenter(self) -> Segmenter:
        """The first segmenter inside."""
        return self.members[0]

    def to(self, compute: Compute) -> None:
        """Move the segmenters inside to a device and precision; what is done around them stays on the CPU."""
        for member in self.members:
            member.to(compute)

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same segmenter again, those of the one inside nested."""
        arguments = {name: plain(getattr(self, name)) for name in self.saved_arguments}
        return {"inner": describe_nested(self.segmenter)} | arguments

    def save(self, folder: str | Path) -> list[str]:
        """Write the learned state of the segmenter inside; returns the names of its files."""
        return self.segmenter.save(folder)

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> WrappedSegmenter:
        """The segmenter that `save` wrote. Errors: RunError where the one inside cannot be rebuilt."""
        segmenter = restore_nested(folder, description["inner"], inputs, legend)
        arguments: dict[str, Any] = {name: description[name] for name in cls.saved_arguments}
        return cls(segmenter, **arguments, tiling=tiling)  # type: ignore[arg-type]
