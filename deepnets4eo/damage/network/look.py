"""The look of a building: features of a frozen encoder, averaged over its outline in the post image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from deepnets4eo.arrays import FloatImage, Floats, Indices
from deepnets4eo.damage.network.pairs import POST
from deepnets4eo.damage.network.pooling import NetworkTile, TileSums, pool_tiles
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.tiling import Tile, Tiling
from deepnets4eo.zonal import Outlines

if TYPE_CHECKING:
    from torch import Tensor

WORKING_M = 0.25  # ground size of the pixels that the encoder gets: roofs of 10 m have 40 of them
SMALLEST_SCALE, LARGEST_SCALE = 1.0, 4.0
USED = (1, 2, 3, 4)  # levels of the encoder: at 1/4, 1/8, 1/16 and 1/32 of the size
REDUCTIONS = tuple(2 ** (level + 1) for level in USED)
WIDTHS = (24, 40, 112, 320)
MULTIPLE_PX = 32
HALF = (127.5,) * 3
INPUTS = InputSpec({POST: LayerInput(("red", "green", "blue"), HALF, HALF, 0.0, 255.0)})  # as x / 127.5 − 1
TILING = Tiling(640, 64)  # of the scene's pixels: one pass of the encoder needs some 500 MB


@dataclass(frozen=True)
class LookEncoder:
    """The frozen encoder on tiles. gsd_m : ground size of a pixel of the tiles, metres; None: not known, half a metre."""

    gsd_m: float | None = None

    @property
    def scale(self) -> float:
        """By how much tiles are enlarged."""
        return float(np.clip((self.gsd_m or 2 * WORKING_M) / WORKING_M, SMALLEST_SCALE, LARGEST_SCALE))

    @cached_property
    def network(self) -> Any:
        """The encoder, on the CPU."""
        from deepnets4eo.segmenters import frozen_encoder

        return frozen_encoder()

    def maps(self, image: FloatImage) -> list[Tensor]:
        """Return maps (C, h, w) of the used levels of an image (3, H, W) of red, green and blue, from −1 to 1."""
        import torch
        import torch.nn.functional as F

        with torch.inference_mode():
            size = [round(side * self.scale) for side in image.shape[1:]]
            pixels = torch.from_numpy(np.ascontiguousarray(image))[None]
            pixels = F.interpolate(pixels, size, mode="bicubic", align_corners=False).clamp(-1, 1)
            below, right = (-side % MULTIPLE_PX for side in size)
            pixels = F.pad(pixels, (0, right, 0, below), mode="replicate")
            levels = self.network(pixels.contiguous(memory_format=torch.channels_last))
            return [levels[level][0] for level in USED]

    def sums(self, maps: Sequence[Tensor], owner: Indices, rows: Indices, cols: Indices, count: int) -> Floats:
        """Return sums (count, 496) of the maps at pixels (P,) of the image by their owner, as if the maps were enlarged bilinearly."""
        parts = []
        for level, reduction in zip(maps, REDUCTIONS, strict=True):
            height, width = level.shape[1:]
            down, across = (
                self._cells(positions, reduction, cells) for positions, cells in ((rows, height), (cols, width))
            )
            corners = [(row * width + col, share * other) for row, share in down for col, other in across]
            cells, shares = (np.concatenate(values) for values in zip(*corners, strict=True))
            members = sparse.csr_matrix(
                (shares.astype(np.float32), (np.tile(owner, len(corners)), cells)), shape=(count, height * width)
            )
            parts.append(members @ level.permute(1, 2, 0).reshape(height * width, -1).float().numpy())
        return np.concatenate(parts, axis=1).astype(np.float64)

    def _cells(self, at: Indices, reduction: int, cells: int) -> list[tuple[Indices, Floats]]:
        """Return the two cells of an axis next to each pixel, and their shares; the padding "SAME" puts a cell's middle at its last pixel."""
        position = np.clip(((at + 0.5) * self.scale - 0.5 - (reduction - 1)) / reduction, 0, cells - 1)
        first = np.minimum(np.floor(position).astype(np.int64), max(cells - 2, 0))
        share = position - first
        return [(first, 1 - share), (np.minimum(first + 1, cells - 1), share)]

    def pool(self, scene: Scene, outlines: Outlines, work: TileWork = TileWork()) -> Floats:
        """Average maps over outlines on a scene with the layer post of 8 bits: (N, 496), NaN for buildings without a valid pixel."""
        return pool_tiles(
            scene, outlines, INPUTS, TILING, partial(self._sum_tile, outlines), sum(WIDTHS), work=work
        ).mean

    def _sum_tile(self, outlines: Outlines, tile: Tile, prepared: NetworkTile) -> TileSums:
        """Return the sums of the buildings in a tile's core."""
        maps, parts = self.maps(prepared.bands), []
        for some in outlines.some_at_a_time(tile.core):
            owner, flat = outlines.pixels(tile.core, some)
            rows, cols = np.divmod(flat, tile.core.width)
            seen = prepared.valid[rows, cols]
            owner, rows, cols = owner[seen], rows[seen] + TILING.halo_px, cols[seen] + TILING.halo_px
            sums = self.sums(maps, owner, rows, cols, len(some))
            parts.append((some, sums, np.bincount(owner, minlength=len(some))))
        buildings, totals, counts = zip(*parts, strict=True)
        return TileSums(np.concatenate(buildings), np.concatenate(totals), np.concatenate(counts))
