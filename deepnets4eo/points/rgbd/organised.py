"""Organised clouds in .npz files: rgb, x, y, z in metres for every pixel, and label; as of a Kinect.

The intrinsics follow from x / z and y / z, which are linear in columns and rows where one pinhole camera measured them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.formats.numpy_files import list_npz, open_npz
from deepnets4eo.points.rgbd.frame import Frame

NEEDED = ("rgb", "x", "y", "z")
LABEL = "label"
FEWEST = 100  # pixels that intrinsics are fitted to
LARGEST_PX = 0.5  # error of a pinhole camera


@dataclass(frozen=True)
class OrganisedFrame:
    """A frame in one .npz file."""

    name: str
    path: Path

    def read(self) -> Frame:
        """The frame; labels are as stored. Errors: InputError for other arrays, or no pinhole camera."""
        names = [one.name for one in list_npz(self.path)]
        missing = [name for name in NEEDED if name not in names]
        if missing:
            raise InputError(f"{self.path} has the arrays {', '.join(names)}; expected {', '.join(NEEDED)} as well.")
        x, y, z = (np.asarray(open_npz(self.path, name), np.float64) for name in ("x", "y", "z"))
        if not x.shape == y.shape == z.shape or z.ndim != 2:
            raise InputError(
                f"{self.path}: x, y and z have the shapes {x.shape}, {y.shape} and {z.shape}; expected one (H, W)."
            )
        known = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & (z > 0)
        if known.sum() < FEWEST:
            raise InputError(f"{self.path} has {known.sum()} points; expected {FEWEST} at least, with z above 0.")
        rows, columns = np.nonzero(known)
        fx, cx = _fit(x[known] / z[known], columns, self.path)
        fy, cy = _fit(y[known] / z[known], rows, self.path)
        rgb = np.asarray(open_npz(self.path, "rgb"))
        return Frame(
            self.name, np.ascontiguousarray(np.moveaxis(rgb, -1, 0)), np.where(known, z, 0).astype(np.float32),
            (fx, fy, cx, cy), labels=np.asarray(open_npz(self.path, LABEL), np.uint8) if LABEL in names else None,
        )  # fmt: skip


def _fit(slope: NDArray[np.float64], pixel: NDArray[np.intp], path: Path) -> tuple[float, float]:
    """Focal length and principal point of an axis: pixel = focal · slope + middle."""
    if not np.isfinite(slope).all():
        raise InputError(f"{path} has coordinates too large for points of a camera. Check their unit: metres.")
    focal, middle = np.polyfit(slope, pixel, 1)
    worst = float(np.abs(focal * slope + middle - pixel).max())
    if not worst <= LARGEST_PX:
        raise InputError(
            f"{path}: no pinhole camera measured these points; the best one is {worst:.1f} pixels off. Give depth and "
            "intrinsics as files (see posed_frames)."
        )
    return float(focal), float(middle)


def find_organised(folder: Path) -> list[OrganisedFrame]:
    """Return the .npz files of a folder as frames, by name."""
    return [OrganisedFrame(path.stem, path) for path in sorted(folder.glob("*.npz"))]
