"""Pixels to buildings: sums of logits over footprints, which add up over windows of a batch or tiles of a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.device import Compute, readers_for
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, Segmenter
from deepnets4eo.tiling import Lattice, Tile, Tiling, mirror_window
from deepnets4eo.zonal import Outlines, sum_bands

if TYPE_CHECKING:
    from torch import Tensor


GPU_READERS = 6  # on an H200 with 16 cores 43 million pixels of pairs a second; 20 with one reader, 22 with 16: they start the network, too


@dataclass(frozen=True)
class TileSums:
    """Sums (M, K) of logits of the buildings (M,) in a tile's core, over `pixels` (M,)."""

    buildings: Indices
    sums: Floats
    pixels: Indices

    def fit(self, count: int) -> bool:
        """Return whether these are sums of some of `count` buildings."""
        rows, pixels = self.buildings, self.pixels
        return (
            rows.ndim == 1
            and rows.shape == pixels.shape == self.sums.shape[:1]
            and self.sums.ndim == 2
            and [array.dtype.kind for array in (rows, self.sums, pixels)] == ["i", "f", "i"]
            and bool(np.all((rows >= 0) & (rows < count)))
        )


def kept_sums(work: TileWork, tile: Tile, count: int) -> TileSums | None:
    """Return the sums of a finished tile, of some of `count` buildings; None if it is not finished."""
    arrays = work.journal.get(_name(tile))
    if arrays is None or set(arrays) != {field.name for field in fields(TileSums)}:
        return None
    sums = TileSums(**arrays)
    return sums if sums.fit(count) else None


def keep_sums(work: TileWork, tile: Tile, sums: TileSums) -> None:
    """Keep the sums of a finished tile. Errors: OutputError."""
    work.journal.put(_name(tile), vars(sums))


def _name(tile: Tile) -> str:
    return f"{tile.core.row}-{tile.core.col}-{tile.core.height}"


@dataclass(frozen=True)
class Pooled:
    """Logits of N buildings: sums (N, K) over `pixels` (N,) valid pixels."""

    sums: Floats
    pixels: Indices

    @property
    def mean(self) -> Floats:
        """Return (N, K) mean logits; NaN for buildings without a pixel."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.pixels[:, None] > 0, self.sums / self.pixels[:, None], np.nan)


@dataclass(frozen=True)
class BatchBuildings:
    """Buildings of a batch of N windows, B of each; the GPU is waited for once, by `of`.

    Parameters
    ----------
    row : (N, H W) int64, the building of each pixel, from B on outside of buildings
    count : B
    rows : size of the tables that pixels are added to
    """

    row: Tensor
    count: int
    rows: int

    @classmethod
    def of(cls, building: Tensor) -> BatchBuildings:
        """Return the buildings that are numbered from 1 on in (N, H, W), 0 for none."""
        import torch

        width = building.shape[2]
        number = building.flatten(1).long()
        count = int(number.max())
        # pixels outside go to many rows: a GPU adds to a single row one after the other
        outside = count + torch.arange(number.shape[1], device=number.device) % width
        return cls(torch.where(number > 0, number - 1, outside), count, count + width)

    @cached_property
    def pixels(self) -> Tensor:
        """Return (N, B) float32, pixels of each building."""
        import torch

        return self._sums(torch.ones((), device=self.row.device).expand(len(self.row), 1, self.row.shape[1]))[:, 0]

    @property
    def present(self) -> Tensor:
        """Return (N, B) bool, whether the window shows the building."""
        return self.pixels > 0

    def means(self, logits: Tensor) -> Tensor:
        """Return mean logits (N, B, K) from (N, K, H, W); 0 for buildings that are not present."""
        return (self._sums(logits.flatten(2)) / self.pixels.clamp_min(1)[:, None]).transpose(1, 2)

    def of_each(self, values: Tensor) -> Tensor:
        """Return int64 values (N, B) from (N, H, W), which are equal within a building; 0 for buildings that are not present."""
        table = self.row.new_zeros(len(self.row), self.rows)
        return table.scatter_(1, self.row, values.flatten(1).long())[:, : self.count]

    def _sums(self, values: Tensor) -> Tensor:
        """Return sums (N, K, B) over the pixels of buildings from (N, K, H W)."""
        table = values.new_zeros(*values.shape[:2], self.rows)
        return table.scatter_add(2, self.row[:, None].expand_as(values), values)[..., : self.count]


def pool_scene(
    segmenter: Segmenter,
    scene: Scene,
    outlines: Outlines,
    inputs: InputSpec,
    tiling: Tiling,
    *,
    only: Indices | None = None,
    work: TileWork = TileWork(),
) -> Pooled:
    """Pool the logits of buildings, summed by `pool_tiles`. only : buildings to pool."""

    def sum_tile(tile: Tile, prepared: NetworkTile) -> TileSums:
        logits = segmenter.predict_raw(prepared.bands[None], margin_px=tiling.halo_px)[0]
        return _sum_tile(outlines, tile, logits, prepared.valid)

    compute = getattr(segmenter, "compute", Compute())
    readers = readers_for(compute.device, on_cpu=1, on_gpu=GPU_READERS)
    columns = segmenter.legend.num_classes
    return pool_tiles(scene, outlines, inputs, tiling, sum_tile, columns, only=only, work=work, readers=readers)


def fitted_tiling(tiling: Tiling, outlines: Outlines) -> Tiling:
    """Return the tiling, possibly with another side of tiles, whose tiles with buildings have the fewest pixels.

    The tiling depends on all outlines, whichever of them are pooled, so that the parts of a job agree.
    """
    return tiling.least_work(outlines.shape, tiling.similar_sides, partial(_count_occupied, outlines))


def _count_occupied(outlines: Outlines, tiling: Tiling) -> int:
    """Tiles whose core the box of a building meets, cores side by side."""
    box, core_px = outlines.box, tiling.core_px
    height, width = (-(-side // core_px) for side in outlines.shape)
    top, left = (np.maximum(box[:, axis], 0) // core_px for axis in (0, 1))
    below = np.minimum(-(-box[:, 2] // core_px), height)
    right = np.minimum(-(-box[:, 3] // core_px), width)
    inside = (below > top) & (right > left)
    begins = np.zeros((height + 1, width + 1), np.int64)  # its sums along both axes count the boxes over a core
    for rows, cols, sign in ((top, left, 1), (top, right, -1), (below, left, -1), (below, right, 1)):
        np.add.at(begins, (rows[inside], cols[inside]), sign)
    return int((begins.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0).sum())


def pool_tiles(
    scene: Scene,
    outlines: Outlines,
    inputs: InputSpec,
    tiling: Tiling,
    sum_tile: Callable[[Tile, NetworkTile], TileSums],
    columns: int,
    *,
    only: Indices | None = None,
    work: TileWork = TileWork(),
    readers: int = 1,
) -> Pooled:
    """Pool in one pass over the tiles that contain buildings; each pixel counts in the tile whose core contains the pixel.

    sum_tile : sums (M, columns) over the buildings in a tile's core; only : buildings to pool; readers : threads.
    """
    sums = np.zeros((len(outlines), columns))
    pixels = np.zeros(len(outlines), np.int64)

    def compute(tile: Tile, prepared: NetworkTile) -> TileSums:
        part = sum_tile(tile, prepared)
        keep_sums(work, tile, part)
        return part

    for tile, done in _tiles(scene, outlines, inputs, tiling, only, work, compute, readers):
        part = done if isinstance(done, TileSums) else compute(tile, done)
        sums[part.buildings] += part.sums
        pixels[part.buildings] += part.pixels
    pixels[list(work.failed)] = 0  # what is known of them is not all
    return Pooled(sums, pixels)


@dataclass(frozen=True)
class NetworkTile:
    """A tile's bands (C, H, W) as the network takes them, and the validity of its core."""

    bands: NDArray[np.float32]
    valid: Mask


def _sum_tile(outlines: Outlines, tile: Tile, logits: NDArray[np.float32], valid: Mask) -> TileSums:
    """Return the sums of the buildings in a tile's core."""
    parts = []
    for some in outlines.some_at_a_time(tile.core):
        count, total, _ = sum_bands(outlines.spans(tile.core, some), logits, valid)
        parts.append((some, total, count[:, 0].astype(np.int64)))
    buildings, totals, counts = zip(*parts, strict=True)
    return TileSums(np.concatenate(buildings), np.concatenate(totals), np.concatenate(counts))


def _tiles(
    scene: Scene, outlines: Outlines, inputs: InputSpec, tiling: Tiling, only: Indices | None, work: TileWork,
    compute: Callable[[Tile, NetworkTile], TileSums], readers: int,
) -> Iterator[tuple[Tile, NetworkTile | TileSums]]:  # fmt: skip
    """Tiles with buildings in their core, in order: their sums where kept, else prepared; read ahead."""
    abutting = Tiling(tiling.tile_px, tiling.halo_px)
    halo_px = tiling.halo_px

    def read(tile: Tile) -> tuple[Tile, NetworkTile | TileSums]:
        kept = kept_sums(work, tile, len(outlines))
        if kept is not None:
            return tile, kept
        sample = scene.read(tile.window, inputs.names)
        core = slice(halo_px, halo_px + abutting.core_px)
        prepared, inside = inputs.prepare(sample), tile.window.clip(scene.shape)
        if inside != tile.window:  # mirrored beyond the scene's edge, as in prediction
            part = (slice(None), *inside.within(tile.window).slices)
            prepared = mirror_window(prepared[part], tile.window.within(inside))
        return tile, NetworkTile(prepared, np.ascontiguousarray(sample["valid"][core, core]))

    def read_and_compute(tile: Tile) -> tuple[Tile, TileSums]:
        _, done = read(tile)
        return tile, done if isinstance(done, TileSums) else compute(tile, done)

    def has_building(tile: Tile) -> bool:
        rows = outlines.touching(tile.core)
        return bool(len(rows)) if only is None else bool(np.isin(rows, only).any())

    tiles, progress = work.part.share(list(filter(has_building, Lattice(scene.shape, abutting).tiles))), work.progress
    if work.finish is not None:
        by_name = {_name(tile): tile for tile in tiles}

        def do(name: str) -> None:
            read_and_compute(by_name[name])

        failed = work.finish(work.step, list(by_name), do, work.journal.names(), progress)
        for name, reason in failed.items():
            work.failed.update(dict.fromkeys(outlines.touching(by_name[name].core).tolist(), reason))
        tiles, progress = [tile for name, tile in by_name.items() if name not in failed], None
    for number, done in enumerate(
        in_order(read if readers == 1 else read_and_compute, tiles, readers, ahead=readers), start=1
    ):
        yield done
        if progress is not None:
            progress(number / len(tiles))
