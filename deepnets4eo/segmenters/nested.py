"""Segmenters inside segmenters: described and rebuilt by kind, their files side by side in one run folder.

Takes any kind of segmenter; a run's folder is flat, so that files of members get a prefix each.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepnets4eo.cards.legend import Legend
from deepnets4eo.files import PARTIAL
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import segmenter_kind
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.tiling import Tiling

TILE_STEP_PX = 32  # networks pool five times


def describe_nested(segmenter: Segmenter) -> dict[str, Any]:
    """Plain values from which `restore_nested` makes it again."""
    return {"kind": segmenter.kind, "segmenter": segmenter.describe(), "tiling": segmenter.tiling.to_dict()}


def restore_nested(folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend) -> Segmenter:
    """The segmenter that was described, with its files in `folder`. Errors: RunError where it cannot be rebuilt."""
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
    """The segmenter that `save_member` wrote. Copies its files for as long as that takes."""
    with tempfile.TemporaryDirectory() as temporary:
        for path in sorted(folder.glob(f"{prefix}*")):
            shutil.copyfile(path, Path(temporary) / path.name.removeprefix(prefix))
        return restore_nested(Path(temporary), description, inputs, legend)


def with_wider_halo(tiling: Tiling, halo_px: int) -> Tiling:
    """A tiling with at least this halo, and as large a core.

    The halo grows in steps of 32 px, so that each pixel keeps its position in the grid of the poolings: SegNet's
    labels differ more between tiles of a halo of 80 px than of 32.
    """
    more_px = -(-max(halo_px - tiling.halo_px, 0) // TILE_STEP_PX) * TILE_STEP_PX
    return replace(tiling, tile_px=tiling.tile_px + 2 * more_px, halo_px=tiling.halo_px + more_px)
