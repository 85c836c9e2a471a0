"""Common parts of segmenters that wrap other segmenters: inputs and legend, device, tiling, description and files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.files import PARTIAL, plain
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import segmenter_kind
from deepnets4eo.segmenters.segmenter import ProbabilitySegmenter, Segmenter
from deepnets4eo.tiling import Tiling

if TYPE_CHECKING:
    from deepnets4eo.segmenters.int8_network import Int8Network


class WrappedSegmenter(ProbabilitySegmenter):
    """Base of segmenters around one other, kept with `saved_arguments`, or around several with the same inputs and legend.

    Subclasses implement `predict_proba`; around several also `describe`, `save` and `restore`.
    """

    kind = ""
    saved_arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, members: Sequence[Segmenter], halo_px: int, tiling: Tiling | None) -> None:
        self.members = list(members)
        self.inputs, self.legend = members[0].inputs, members[0].legend
        self.tiling = members[0].tiling.with_wider_halo(halo_px) if tiling is None else tiling

    @property
    def segmenter(self) -> Segmenter:
        """The first segmenter inside."""
        return self.members[0]

    @property
    def compiles(self) -> bool:
        """Return whether runtimes other than PyTorch can compute a network inside."""
        return any(getattr(member, "compiles", False) for member in self.members)

    @property
    def int8(self) -> Int8Network | None:
        """Return the first int8 weights if all networks inside have them; all are of one architecture and are computed alike."""
        inside = [getattr(member, "int8", None) for member in self.members]
        return inside[0] if self.compiles and None not in inside else None

    def to(self, compute: Compute) -> None:
        """Move the segmenters inside to a device and precision; what is done around them stays on the CPU."""
        for member in self.members:
            member.to(compute)

    def describe(self) -> dict[str, Any]:
        """Return plain values that let `restore` rebuild the segmenter, with the values of the inner segmenter nested."""
        arguments = {name: plain(getattr(self, name)) for name in self.saved_arguments}
        return {"inner": describe_nested(self.segmenter)} | arguments

    def save(self, folder: str | Path) -> list[str]:
        """Write the learned state of the segmenter inside; returns the names of its files."""
        return self.segmenter.save(folder)

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> WrappedSegmenter:
        """Restore the segmenter that `save` wrote. Errors: RunError if the inner segmenter cannot be rebuilt."""
        segmenter = restore_nested(folder, description["inner"], inputs, legend)
        arguments: dict[str, Any] = {name: description[name] for name in cls.saved_arguments}
        return cls(segmenter, **arguments, tiling=tiling)  # type: ignore[arg-type]


def describe_nested(segmenter: Segmenter) -> dict[str, Any]:
    """Return plain values that let `restore_nested` rebuild the segmenter."""
    return {"kind": segmenter.kind, "segmenter": segmenter.describe(), "tiling": segmenter.tiling.to_dict()}


def restore_nested(folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend) -> Segmenter:
    """Restore the described segmenter, with its files in `folder`. Errors: RunError if it cannot be rebuilt."""
    kind = segmenter_kind(str(description["kind"]))
    segmenter: Segmenter = kind.restore(
        folder, description["segmenter"], inputs, legend, Tiling.from_dict(description["tiling"])
    )
    return segmenter


def save_member(segmenter: Segmenter, folder: Path, prefix: str) -> list[str]:
    """Save into a folder that others save into, too; returns the names of its files, each with the prefix."""
    with tempfile.TemporaryDirectory("-member", PARTIAL, folder) as temporary:
        names = segmenter.save(temporary)
        for name in names:
            (Path(temporary) / name).replace(folder / f"{prefix}{name}")
    return [f"{prefix}{name}" for name in names]


def rebuild_member(
    folder: Path, prefix: str, description: Mapping[str, Any], inputs: InputSpec, legend: Legend
) -> Segmenter:
    """Restore the segmenter that `save_member` wrote. Its files are copied to a temporary folder meanwhile."""
    with tempfile.TemporaryDirectory() as temporary:
        for path in sorted(folder.glob(f"{prefix}*")):
            shutil.copyfile(path, Path(temporary) / path.name.removeprefix(prefix))
        segmenter = restore_nested(Path(temporary), description, inputs, legend)
        getattr(segmenter, "module", None)  # read while its files are there
        return segmenter
