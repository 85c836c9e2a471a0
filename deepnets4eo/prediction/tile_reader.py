"""Tiles of a scene, prepared for a segmenter, read ahead by threads and returned in lattice order.

Takes a scene, an input spec and a lattice; returns fixed-shape images and the validity of their cores.
Where a tile reaches beyond the scene it is filled by mirroring what it has; a core without valid pixels has no image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.grid import Window
from deepnets4eo.prediction.scene_scaling import SceneScaling
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling import Lattice, Tile, mirror_window

SEGMENT_BYTES = 16 << 20  # of prepared float32; neighbouring tiles share one read, so blocks are decoded about once
SEGMENT_TILES = 4


@dataclass(frozen=True)
class ReadTile:
    """A tile as read: image (C, tile, tile) float32, or None where the core has no valid pixel; valid (core, core).

    The image is a view of its segment where it can be, so that it is copied once: into a batch.
    """

    tile: Tile
    image: FloatImage | None
    valid: Mask


@dataclass(frozen=True)
class TileReader:
    """Reads segments: a few neighbouring tiles of one lattice row at once. Peak memory: three times a segment.

    scaling : where the network does not scale its tiles itself.
    """

    scene: Scene
    inputs: InputSpec
    lattice: Lattice
    scaling: SceneScaling | None = None
    segment_bytes: int = SEGMENT_BYTES

    @property
    def segment_tiles(self) -> int:
        """How many tiles are read together."""
        return max(1, min(SEGMENT_TILES, self.segment_bytes // self.tile_bytes))

    @property
    def tile_bytes(self) -> int:
        """Size of one prepared tile."""
        return 4 * self.inputs.in_channels * self.lattice.tiling.tile_px**2

    def read_ahead(self, rows: Iterable[int], cols: range, workers: int) -> Iterator[list[ReadTile]]:
        """Segments of the tiles in lattice rows × columns, in order; `workers` threads stay one segment ahead each."""
        step = self.segment_tiles
        segments = (
            [self.lattice.tile(row, col) for col in cols[i : i + step]]
            for row in rows
            for i in range(0, len(cols), step)
        )
        yield from in_order(self.read_segment, segments, workers, ahead=workers)

    def read_segment(self, tiles: list[Tile]) -> list[ReadTile]:
        """Read neighbouring tiles of one lattice row with one read of the scene."""
        first, last = tiles[0].window, tiles[-1].window
        union = Window(first.row, first.col, first.height, last.col + last.width - first.col).clip(self.scene.shape)
        sample = self.scene.read_stored(union, self.inputs.present(self.scene))
        prepared = self.inputs.prepare(sample)
        if self.scaling is not None:
            self.scaling.apply(union, prepared, sample["valid"])
        return [self._cut(tile, union, prepared, sample["valid"]) for tile in tiles]

    def _cut(self, tile: Tile, union: Window, prepared: FloatImage, valid: Mask) -> ReadTile:
        side = tile.core.height
        core = tile.core.clip(self.scene.shape)
        core_valid = np.zeros((side, side), bool)
        core_valid[: core.height, : core.width] = valid[core.within(union).slices]
        if not core_valid.any():
            return ReadTile(tile, None, core_valid)
        clipped = tile.window.clip(self.scene.shape)
        inside_rows, inside_cols = clipped.within(union).slices
        part = prepared[:, inside_rows, inside_cols]
        if clipped != tile.window:
            part = mirror_window(part, tile.window.within(clipped))
        return ReadTile(tile, part, core_valid)
