"""Spectra of all pixels that patches show, read once, and patches cut out of them thousands a second.

Takes split scenes, the inputs of a segmenter and the pixels in the middle of patches; returns patches (N, C, P, P).
Spectra stay in memory, or beyond a limit in a temporary file. Patches are mirrored at the edges of a scene, the edge
itself not repeated, also in scenes smaller than a patch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.grid import blocks
from deepnets4eo.hyperspectral.pixel_sets import Pixels
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling import reflect_indices

READ_PX = 128


class PatchStore:
    """The spectra around given pixels, one row a pixel, which lie at P // 2 of patches of side P; pixels that are not
    valid are 0. Stores above `memory_bytes` are a temporary file in `folder`, which disappears with the process."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        inputs: InputSpec,
        pixels: Pixels,
        patch_px: int,
        *,
        memory_bytes: float,
        folder: Path,
    ) -> None:
        self.patch_px = patch_px
        needed = [
            _surroundings(scene.shape, pixels.take(pixels.scene == n), patch_px) for n, scene in enumerate(scenes)
        ]
        shape = sum(int(mask.sum()) for mask in needed), inputs.in_channels
        self.spectra: NDArray[np.float32]
        if 4 * shape[0] * shape[1] <= memory_bytes:
            self.spectra = np.empty(shape, np.float32)
        else:
            with tempfile.TemporaryFile(dir=folder, prefix=".spectra-") as file:
                self.spectra = np.memmap(file, np.float32, "w+", shape=shape)
        self.valid = np.zeros(shape[0], bool)
        self._rows = [np.full(scene.shape, -1, np.int32) for scene in scenes]
        start = 0
        for scene, mask, rows in zip(scenes, needed, self._rows, strict=True):
            start = self._read(scene, inputs, mask, rows, start)
        self._mirrors = [
            [reflect_indices(side, -patch_px, side + patch_px) for side in scene.shape] for scene in scenes
        ]

    def where_valid(self, pixels: Pixels) -> Pixels:
        """Those of the pixels whose spectra are valid."""
        return pixels.take(
            self.valid[self._lookup(pixels, np.zeros((1, 1, 1), int), np.zeros((1, 1, 1), int))[:, 0, 0]]
        )

    def patches(self, pixels: Pixels, down: NDArray[np.int64], right: NDArray[np.int64]) -> FloatImage:
        """Return the patches (N, C, P, P) around pixels, a view of (N, P, P, C); `down` and `right` (1 or N, P, P) say
        which pixel each element shows."""
        at = self._lookup(pixels, down, right)
        taken = self.spectra.take(at.ravel(), axis=0).reshape(*at.shape, -1)
        return np.moveaxis(taken, 3, 1)

    def _lookup(self, pixels: Pixels, down: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int32]:
        """(N, P, P) rows of `spectra`."""
        row, col = (axis[:, None, None] + self.patch_px for axis in (pixels.row, pixels.col))
        row, col = row + down, col + right
        if len(self._rows) == 1:
            down_mirror, right_mirror = self._mirrors[0]
            return self._rows[0][down_mirror[row], right_mirror[col]]
        at = np.empty(row.shape, np.int32)
        for number in np.unique(pixels.scene):
            of_scene = pixels.scene == number
            down_mirror, right_mirror = self._mirrors[number]
            at[of_scene] = self._rows[number][down_mirror[row[of_scene]], right_mirror[col[of_scene]]]
        return at

    def _read(
        self, scene: Scene, inputs: InputSpec, needed: NDArray[np.bool_], rows: NDArray[np.int32], start: int
    ) -> int:
        """Read the spectra of a scene by windows, from row `start` on; returns the row after the last."""
        for window in blocks(scene.shape, READ_PX):
            mask = needed[window.slices]
            count = int(mask.sum())
            if not count:
                continue
            sample = scene.read(window, inputs.names)
            self.spectra[start : start + count] = inputs.prepare(sample)[:, mask].T
            self.valid[start : start + count] = sample["valid"][mask]
            rows[window.slices][mask] = np.arange(start, start + count, dtype=np.int32)
            start += count
        return start


def patch_offsets(patch_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns from the middle of a patch to its elements, (1, P, P) each; the middle is number P // 2.

    >>> patch_offsets(3)[0][0].tolist()
    [[-1, -1, -1], [0, 0, 0], [1, 1, 1]]
    """
    down, right = np.mgrid[:patch_px, :patch_px] - patch_px // 2
    return down[None], right[None]


def _surroundings(shape: tuple[int, int], pixels: Pixels, patch_px: int) -> NDArray[np.bool_]:
    """(h, w) bool: what the patches around the pixels show."""
    from scipy.ndimage import maximum_filter

    mask = np.zeros(shape, bool)
    mask[pixels.row, pixels.col] = True
    if 2 * patch_px > min(shape):
        return np.full(shape, mask.any())
    return mask if patch_px == 1 else np.asarray(maximum_filter(mask, 2 * (patch_px // 2) + 1, mode="constant"))
