"""Superpixels of a whole scene, block by block, as if it had been cut at once: no seams, bounded memory.

The result depends on `block_px` and `halo_px`, not on the number of workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import Field, model_validator
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.arrays import Indices, Mask, RegionIds
from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.baselines.superpixels.segmenting import KeyFile, Superpixels, group_pairs, number_pieces
from deepnets4eo.errors import InputError
from deepnets4eo.files import PARTIAL
from deepnets4eo.grid import Window, blocks
from deepnets4eo.jobs import output_lock
from deepnets4eo.options import option_group
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters import InputSpec

MIN_SHARED = 0.5  # share of the pixels of two regions in the common area from which on they are one region
NONE = -1  # id where a layer is not valid
REGIONS = "REGIONS"  # the file's tag that says how many there are
MIN_HALO_PX = 64
FILE_BLOCK_PX = 256


@dataclass(frozen=True)
class SceneBands:
    """Reads windows of a scene as bands in their own units, scaled the same everywhere; invalid pixels hold the mean."""

    scene: Scene
    inputs: InputSpec
    names: tuple[str, ...]

    @classmethod
    def open(cls, scene: Scene | Layer, bands: Mapping[str, Sequence[str]] | None = None) -> SceneBands:
        """Open all layers but the labels; their range is measured on evenly spread windows.

        bands : layer → names. Raises InputError if there is no layer, or if no pixel is valid."""
        if isinstance(scene, Layer):
            scene = Scene({"image": scene})
        scene = assess_scene(scene, on_ground=False)
        layers = [name for name in scene.layers if name != Scene.label_layer]
        if not layers:
            raise InputError("the scene has labels only; superpixels need an image. Give image=FILE.")
        inputs = InputSpec.measure([scene], layers)
        return cls(scene, inputs, band_names(inputs, bands))

    def read(self, window: Window) -> tuple[Bands, Mask]:
        """Return bands of a window, and (h, w) where all layers are valid."""
        sample = self.scene.read(window, self.inputs.names)
        return unstandardise(self.inputs.prepare(sample), self.inputs, self.names), sample["valid"]


@option_group
class BlockPlan:
    """The cutting of a scene of `shape` (h, w): cores of `block_px`, each read with `halo_px` around it, less than `block_px`."""

    shape: tuple[int, int]
    block_px: int
    halo_px: int = Field(ge=0)

    @model_validator(mode="after")
    def _halo_below_block(self) -> BlockPlan:
        if self.halo_px >= self.block_px:
            raise ValueError(
                f"has halo_px={self.halo_px}, which must be less than block_px={self.block_px}. Choose larger blocks"
            )
        return self

    @property
    def cores(self) -> list[Window]:
        """All cores, row by row."""
        return blocks(self.shape, self.block_px)

    @property
    def across(self) -> int:
        """Blocks in a row."""
        return -(-self.shape[1] // self.block_px)

    def window(self, core: Window) -> Window:
        """Return the core with its halo."""
        return core.grow(self.halo_px).clip(self.shape)


def segment_scene(
    scene: Scene | Layer,
    out: str | Path,
    superpixels: Superpixels | None = None,
    *,
    bands: Mapping[str, Sequence[str]] | None = None,
    block_px: int = 1024,
    halo_px: int | None = None,
    workers: int | None = None,
) -> Path:
    """Cut a scene into superpixels and write their ids as a COG of int32, −1 where a layer is not valid; returns `out`.

    The tag REGIONS is N.

    Peak memory: 300 bytes a pixel of a block and its halo for each worker, 15 bytes a pixel of a row of blocks, 100 bytes
    a region.

    Parameters
    ----------
    scene : a scene, whose layers without the labels must all be valid, or one layer
    out : file to write
    superpixels : how the image is cut
    bands : layer → names of its bands, for files without names
    block_px, halo_px : side of a block, and pixels around it that are used too, by default at least 64
    workers : threads, by default one per core

    Raises
    ------
    InputError
        For a halo as wide as a block, and for a scene with labels only.
    OutputError
        Where the file cannot be written.

    Examples
    --------
    ::

        segment_scene(Layer.open("image.tif"), "ids.tif", Superpixels("slic", area_m2=4.0))
    """
    superpixels, out = superpixels or Superpixels(), Path(out)
    reader = SceneBands.open(scene, bands)
    gsd_m, grid = reader.inputs.gsd_m, reader.scene.grid
    reach = halo_px if halo_px is not None else max(MIN_HALO_PX, superpixels.reach_px(gsd_m))
    plan = BlockPlan(reader.scene.shape, block_px, reach)
    with output_lock(out), tempfile.TemporaryDirectory(f"-{out.name}", PARTIAL, out.parent) as folder:
        path = Path(folder) / "keys.tif"
        keys = KeyFile(path, _write_keys(path, _segment_blocks(reader, superpixels, plan, workers), plan))
        numbers = number_pieces(keys, plan.cores, max(1, superpixels.wanted_px(gsd_m) // 4), workers)
        tags = {REGIONS: str(max(int(part.max(initial=NONE)) for part in numbers) + 1)}
        with CogWriter(out, grid, dtype="int32", nodata=NONE, categorical=True, tags=tags) as writer:
            pieces = in_order(lambda core: keys.pieces(core)[0], plan.cores, workers)
            for core, ids, part in zip(plan.cores, numbers, pieces, strict=True):
                writer.write(core, np.append(ids, np.int32(NONE))[part])
    return out


def _segment_blocks(
    reader: SceneBands, superpixels: Superpixels, plan: BlockPlan, workers: int | None
) -> Iterator[tuple[Window, RegionIds, Mask]]:
    """Yield cores in order, with the ids of their windows and the validity of the cores."""

    def segment(core: Window) -> tuple[Window, RegionIds, Mask]:
        window = plan.window(core)
        bands, valid = reader.read(window)
        inner = valid[core.within(window).slices]
        return core, superpixels.segment(bands) if inner.any() else np.zeros(valid.shape, np.int32), inner

    yield from in_order(segment, plan.cores, workers)


def _write_keys(path: Path, segmented: Iterator[tuple[Window, RegionIds, Mask]], plan: BlockPlan) -> NDArray[np.int32]:
    """Write the key of every pixel; returns the group of every key. Keeps three rows of blocks."""
    height, width = plan.shape
    same: list[Indices] = [np.zeros((0, 2), np.int64)]
    count = 0
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="int32", height=height, width=width, compress="deflate", zlevel=1,
        tiled=True, blockxsize=FILE_BLOCK_PX, blockysize=FILE_BLOCK_PX, BIGTIFF="YES",
    ) as file:  # fmt: skip
        for above, row, below in _with_neighbours(_block_rows(segmented, plan, same)):
            for col, block in enumerate(row):
                around = [other for line in (above, row, below) for other in line[max(col - 1, 0) : col + 2]]
                core = block.core
                core_window = RasterioWindow(core.col, core.row, core.width, core.height)
                file.write(merge_core(block, around), 1, window=core_window)
                count = block.first + block.keys
    return group_pairs(count, np.concatenate(same)).astype(np.int32)


def _block_rows(
    segmented: Iterator[tuple[Window, RegionIds, Mask]], plan: BlockPlan, same: list[Indices]
) -> Iterator[list[Block]]:
    """Yield rows of blocks; the pairs of keys of the same region are added to `same`."""
    above: list[Block] = []
    row: list[Block] = []
    count = 0
    for core, ids, valid in segmented:
        block = Block.build(core, plan.window(core), ids, valid, count, plan.shape)
        neighbours = [*row[-1:], *above[max(len(row) - 1, 0) : len(row) + 2]]
        same.extend(match_regions(other, block) for other in neighbours)
        count += block.keys
        row.append(block)
        if len(row) == plan.across:
            yield row
            above, row = row, []


def _with_neighbours(rows: Iterator[list[Block]]) -> Iterator[tuple[list[Block], list[Block], list[Block]]]:
    """Yield each row with the one above and the one below it; none at the ends."""
    above: list[Block] = []
    row: list[Block] = []
    for below in rows:
        if row:
            yield above, row, below
        above, row = row, below
    yield above, row, []


@dataclass(frozen=True)
class Block:
    """The superpixels of one block.

    ids : (h, w) of the window (core and halo, inside the scene)
    valid : (h, w) of the core
    first : the key of region 0
    whole : (N,) which regions the window does not cut
    own : (N,) which of them are also centred in the core
    """

    core: Window
    window: Window
    ids: RegionIds
    valid: Mask
    first: int
    whole: Mask
    own: Mask

    @classmethod
    def build(
        cls, core: Window, window: Window, ids: RegionIds, valid: Mask, first: int, shape: tuple[int, int]
    ) -> Block:
        """Make the block and find its whole and its own regions. shape : of the scene."""
        flat = ids.ravel().astype(np.intp)
        pixels = np.bincount(flat)
        whole = np.ones(pixels.size, bool)
        sides = (
            (window.row > 0, ids[0]),
            (window.col > 0, ids[:, 0]),
            (window.row + window.height < shape[0], ids[-1]),
            (window.col + window.width < shape[1], ids[:, -1]),
        )
        for cut, line in sides:
            if cut:
                whole[line] = False
        inside = core.within(window)
        own = whole.copy()
        for axis, (start, length) in enumerate(((inside.row, inside.height), (inside.col, inside.width))):
            along = np.arange(ids.shape[axis], dtype=np.float64).reshape((-1, 1) if axis == 0 else (1, -1))
            centre = np.bincount(flat, np.broadcast_to(along, ids.shape).ravel()) / pixels + 0.5
            own &= (centre >= start) & (centre < start + length)
        return cls(core, window, ids, valid, first, whole, own)

    @property
    def keys(self) -> int:
        """Number of its regions."""
        return self.whole.size


def merge_core(block: Block, around: Sequence[Block]) -> RegionIds:
    """Return keys of the pixels of a block's core, (h, w) int32; −1 where not valid.

    A pixel goes to the first block of `around` that owns its region, else to the first that has it whole, else to its
    own block.
    """
    core = block.core
    keys = np.full((core.height, core.width), -1, np.int32)
    for status in ("own", "whole"):
        for other in around:
            part = _intersection(core, other.window)
            if not part.height or not part.width:
                continue
            target = keys[part.within(core).slices]
            ids = other.ids[part.within(other.window).slices]
            taken = (target < 0) & getattr(other, status)[ids]
            target[taken] = ids[taken] + other.first
    left = keys < 0
    keys[left] = block.ids[core.within(block.window).slices][left] + block.first
    keys[~block.valid] = -1
    return keys


def match_regions(one: Block, other: Block) -> Indices:
    """Return pairs of keys (n, 2) of the same region: more than half of their pixels in the common area are shared.

    For two regions that are cut by the windows, half of the smaller one suffices: each block has another part.
    """
    common_window = _intersection(one.window, other.window)
    if not common_window.height or not common_window.width:
        return np.zeros((0, 2), np.int64)
    first, second = (
        block.ids[common_window.within(block.window).slices].ravel().astype(np.int64) for block in (one, other)
    )
    codes, common = np.unique(first * other.keys + second, return_counts=True)
    a, b = codes // other.keys, codes % other.keys
    in_one, in_other = np.bincount(first, minlength=one.keys)[a], np.bincount(second, minlength=other.keys)[b]
    same = common > MIN_SHARED * (in_one + in_other - common)
    same |= ~one.whole[a] & ~other.whole[b] & (common > MIN_SHARED * np.minimum(in_one, in_other))
    return np.stack([a[same] + one.first, b[same] + other.first], axis=1)


def _intersection(one: Window, other: Window) -> Window:
    """Return the part of the scene in both windows; height or width 0 if they do not intersect."""
    row, col = max(one.row, other.row), max(one.col, other.col)
    bottom = min(one.row + one.height, other.row + other.height)
    right = min(one.col + one.width, other.col + other.width)
    return Window(row, col, max(bottom - row, 0), max(right - col, 0))
