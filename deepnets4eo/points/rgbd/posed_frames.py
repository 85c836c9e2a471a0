"""Frames as 7-Scenes has them: NAME.color.jpg or .png, NAME.depth.png in millimetres, NAME.pose.txt, camera-intrinsics.txt.

Labels of one's own lie beside them as NAME.labels.png. Without poses cameras are taken as level.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.points.rgbd.frame import Frame
from deepnets4eo.points.rgbd.frame_files import read_colour, read_depth, read_intrinsics, read_labels, read_matrix
from deepnets4eo.points.views.grid_surfaces import LEVEL

DEPTH, INTRINSICS = ".depth.png", "camera-intrinsics.txt"
COLOURS = (".color.png", ".color.jpg")


@dataclass(frozen=True)
class PosedFrame:
    """A frame of files that share a name with its depth image."""

    name: str
    depth: Path

    def read(self) -> Frame:
        """The frame. Errors: InputError for files that are missing or do not fit together."""
        stem = self.depth.name.removesuffix(DEPTH)
        folder = self.depth.parent
        colour = next((folder / (stem + end) for end in COLOURS if (folder / (stem + end)).is_file()), None)
        if colour is None:
            raise InputError(
                f"{self.depth} has no colours beside it; expected {' or '.join(stem + one for one in COLOURS)}."
            )
        labels, pose = folder / f"{stem}.labels.png", folder / f"{stem}.pose.txt"
        return Frame(
            self.name, read_colour(colour), read_depth(self.depth), read_intrinsics(folder / INTRINSICS),
            _upright(read_matrix(pose, (4, 4))) if pose.is_file() else LEVEL,
            read_labels(labels) if labels.is_file() else None,
        )  # fmt: skip


def _upright(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """The world of a reconstruction is its first camera's, y down; here z is up."""
    turned: NDArray[np.float64] = LEVEL @ pose
    return turned


def find_posed_frames(folder: Path) -> list[PosedFrame]:
    """Return the frames (files *.depth.png) of a folder and those below it, by name."""
    paths = sorted(folder.rglob(f"*{DEPTH}"))
    return [PosedFrame(str(path.relative_to(folder)).removesuffix(DEPTH).replace("/", "-"), path) for path in paths]
