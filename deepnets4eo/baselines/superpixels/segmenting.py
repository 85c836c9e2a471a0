"""Superpixels of one image in memory: two methods, one kind of result; the same image has the same ids.

Values are scaled by the span of the bands, never by the image itself, so that neighbouring blocks of a scene agree.

Connected regions of a large raster of keys are found block by block, and numbered as if found at once.

Ids are 0 … N − 1 in the order of first pixels; −1 (none) stays −1.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import Field
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.arrays import Indices, RegionIds
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.grid import Window
from deepnets4eo.options import option_group, options_from, plain_options
from deepnets4eo.prefetch import in_order

# raised for every image of more than three bands. Set once, for calls from here alone: filters that threads set and
# restore would interfere
warnings.filterwarnings(
    "ignore", message="Got image with third dimension of", category=RuntimeWarning, module=re.escape(__name__)
)

Method = Literal["felzenszwalb", "slic"]
METHODS: tuple[Method, ...] = ("felzenszwalb", "slic")
HEIGHTS = ("ndsm", "height")  # the first one found is the extra channel
LIGHTNESS = 100.0  # range of the colours for SLIC, as in CIELAB

Line = Indices  # (2, n): piece and group of the pixels along an edge; −1 is none


@option_group
class Superpixels:
    """Settings that cut an image into superpixels. Peak memory: Felzenszwalb 250 bytes per pixel, SLIC 80.

    Parameters
    ----------
    method
        "felzenszwalb" (Felzenszwalb and Huttenlocher, IJCV 2004) or "slic" (Achanta et al., PAMI 2012)
    area_px, area_m2
        Desired area of a region, in square metres if the ground size of a pixel is known. SLIC comes
        near it; for Felzenszwalb a quarter of it is the smallest area, and `scale` determines the area.
    scale : Felzenszwalb's preference for large regions, 10 to 1000, on a logarithmic scale
    compactness : SLIC's weight of distance against colour, 1 (ragged regions) to 100 (squares)
    sigma_px : standard deviation in pixels of the Gaussian smoothing beforehand; 0 for none
    height_weight : weight of the height as an extra channel; 0 for none, 1 counts its range as much as black to white

    Raises
    ------
    InputError
        For an unknown method, and for a value out of range.

    Examples
    --------
    >>> halves = np.repeat(np.float32([[[0, 255]]]), 8, axis=1).repeat(4, axis=2)
    >>> Superpixels(area_px=8, sigma_px=0).segment(Bands(halves, ("image.grey",)))[0].tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    method: Method = "felzenszwalb"
    area_px: int = Field(default=256, ge=1)
    area_m2: float | None = Field(default=None, gt=0)
    scale: float = Field(default=100.0, gt=0)
    compactness: float = Field(default=10.0, gt=0)
    sigma_px: float = Field(default=0.8, ge=0)
    height_weight: float = Field(default=0.0, ge=0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` needs to rebuild the same settings."""
        return plain_options(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Superpixels:
        """Make superpixels from plain values. Errors: InputError for a wrong value or an unknown name."""
        return options_from(cls, values, "superpixels")

    def check_bands(self, bands: Bands) -> None:
        """Check that bands have what is used. Errors: InputError where height_weight is above 0 and no band is a height."""
        self._channels(bands)

    def wanted_px(self, gsd_m: float | None) -> int:
        """Return the desired area of a region in pixels."""
        if self.area_m2 is None or gsd_m is None:
            return self.area_px
        return max(1, round(self.area_m2 / gsd_m**2))

    def reach_px(self, gsd_m: float | None = None) -> int:
        """Return a halo that contains most regions completely: twice the side of a region of the desired area."""
        return 2 * math.ceil(math.sqrt(self.wanted_px(gsd_m)))

    def segment(self, bands: Bands) -> RegionIds:
        """Return ids (h, w) int32, 0 … N − 1 without gaps in the order of first pixels, of 4-connected regions.

        A constant image becomes one region with Felzenszwalb, else regular regions. Raises the errors of `check_bands`."""
        target_px = self.wanted_px(bands.gsd_m)
        cut: Callable[[NDArray[np.float32], int], NDArray[np.int_]] = getattr(self, f"_{self.method}")
        image = self._channels(bands)
        ids = connected_regions(cut(image, target_px))
        return merge_small_regions(ids, max(1, target_px // 4))

    def _channels(self, bands: Bands) -> NDArray[np.float32]:
        """Return (h, w, channels): spectral bands, 0–1 or CIELAB, and the height where height_weight is above 0."""
        colours = np.moveaxis(bands.spectral_unit(), 0, -1)
        unit = 1.0
        if self.method == "slic":
            from skimage.color import rgb2lab  # false colours are treated as red, green and blue

            unit = LIGHTNESS
            three = colours.shape[-1] == 3
            colours = rgb2lab(colours).astype(np.float32) if three else colours * np.float32(unit)
        if not self.height_weight:
            return np.ascontiguousarray(colours)
        role = next((role for role in HEIGHTS if bands.has(role)), HEIGHTS[-1])
        height = bands.unit(role)[0] * np.float32(self.height_weight * unit)
        return np.concatenate([colours, height[..., None]], axis=-1)

    def _felzenszwalb(self, image: NDArray[np.float32], target_px: int) -> NDArray[np.int_]:
        from skimage.segmentation import felzenszwalb

        regions: NDArray[np.int_] = felzenszwalb(
            image, scale=self.scale, sigma=self.sigma_px, min_size=max(1, target_px // 4), channel_axis=-1
        )
        return regions

    def _slic(self, image: NDArray[np.float32], target_px: int) -> NDArray[np.int_]:
        from skimage.segmentation import slic

        count = max(1, round(image.shape[0] * image.shape[1] / target_px))
        span = float(image.max() - image.min()) or 1.0  # slic divides by it: undone here, or blocks would differ
        regions: NDArray[np.int_] = slic(
            image, n_segments=count, compactness=self.compactness / span, sigma=self.sigma_px, start_label=0,
            convert2lab=False, channel_axis=-1,
        )  # fmt: skip
        return regions


def connected_regions(codes: NDArray[np.integer]) -> RegionIds:
    """Label the 4-connected parts of equal code, (h, w) int32 from 0 in the order of first pixels; −1 stays −1."""
    from skimage.measure import label

    ids: RegionIds = label(codes, background=-1, connectivity=1).astype(np.int32)
    ids -= 1
    return ids


def renumber(ids: RegionIds) -> tuple[RegionIds, int]:
    """Renumber the regions from 0 in the order of first pixels, −1 stays −1; returns the new ids and the number of regions."""
    flat = ids.ravel()
    values, first = np.unique(flat, return_index=True)
    first, values = first[values >= 0], values[values >= 0]
    numbers = np.full(int(values.max(initial=-1)) + 2, -1, np.int32)  # the last entry is for −1
    numbers[values[np.argsort(first)]] = np.arange(values.size, dtype=np.int32)
    return numbers[ids], values.size


def count_pairs(
    one: NDArray[np.integer], other: NDArray[np.integer], times: Indices | None = None
) -> tuple[Indices, Indices]:
    """Return unordered pairs of different ids ≥ 0, (n, 2) sorted, and how often each occurs, (n,). times : how often
    each entry counts, by default once."""
    meets = (one != other) & (one >= 0) & (other >= 0)
    low, high = (choose(one[meets], other[meets]).astype(np.int64) for choose in (np.minimum, np.maximum))
    codes, inverse = np.unique(low << 32 | high, return_inverse=True)
    weights = None if times is None else times[meets]
    counts = np.bincount(inverse, weights, codes.size).astype(np.int64)
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1), counts


def shared_borders(ids: RegionIds) -> tuple[Indices, Indices]:
    """Return pairs of regions that share sides of pixels, and how many sides each pair shares."""
    across, down = (ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])
    one, other = (np.concatenate([across[side].ravel(), down[side].ravel()]) for side in (0, 1))
    return count_pairs(one, other)


def group_pairs(count: int, pairs: Indices) -> Indices:
    """Return the group 0 … of each of `count` items, (count,) int64: both items of a pair have the same group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def small_region_groups(sizes: Indices, pairs: Indices, sides: Indices, min_px: int) -> Indices:
    """Return the group (N,) of each region, after regions below `min_px` joined the neighbour with most shared sides.

    sizes : (N,) pixels
    pairs, sides : as `shared_borders` returns them; the borders of small regions suffice
    """
    group = np.arange(len(sizes))
    while True:
        one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
        both = np.concatenate([sides, sides])
        small = sizes[one] < min_px
        if not small.any():
            return group
        one, other, both = one[small], other[small], both[small]
        order = np.lexsort([other, -both, one])
        best = order[np.flatnonzero(np.diff(one[order], prepend=-1))]
        step = group_pairs(len(sizes), np.stack([one[best], other[best]], axis=1))
        group = step[group]
        sizes = np.bincount(step, sizes).astype(np.int64)
        pairs, sides = count_pairs(step[pairs[:, 0]], step[pairs[:, 1]], sides)


def merge_small_regions(ids: RegionIds, min_px: int) -> RegionIds:
    """Merge the regions of an image by `small_region_groups` and renumber them."""
    flat = ids.ravel()
    sizes = np.bincount(flat[flat >= 0])
    if (sizes >= min_px).all():
        return ids
    group = small_region_groups(sizes, *shared_borders(ids), min_px)
    return renumber(np.append(group, -1).astype(np.int32)[ids])[0]


@dataclass(frozen=True)
class KeyFile:
    """A raster of keys, −1 being none, and the group of every key."""

    path: Path
    groups: NDArray[np.int32]

    def pieces(self, core: Window) -> tuple[RegionIds, RegionIds]:
        """Return 4-connected pieces of equal group in a window, numbered from 0; and the groups. −1 is none."""
        with rasterio.open(self.path) as file:
            keys = file.read(1, window=RasterioWindow(core.col, core.row, core.width, core.height))
        groups = np.append(self.groups, np.int32(-1))[keys]
        return connected_regions(groups), groups


class _BlockPieces(NamedTuple):
    """Pieces of one block: their pixels, the sides that they share if one of them is small, and the edges of the block."""

    sizes: Indices
    pairs: Indices
    sides: Indices
    edges: dict[str, Line]


def number_pieces(keys: KeyFile, cores: list[Window], min_px: int, workers: int | None) -> list[NDArray[np.int32]]:
    """Return for each block (`cores`, row by row) the final numbers of its pieces; small ones are merged.

    Peak memory: 30 bytes a pixel of a block for each worker, 100 bytes a piece.
    """
    all_pieces = _AllPieces()
    below = np.full((2, max(core.col + core.width for core in cores)), -1, np.int64)
    aside = np.zeros((2, 0), np.int64)
    for core, pieces in zip(
        cores, in_order(lambda core: _block_pieces(keys, core, min_px), cores, workers), strict=True
    ):
        edges = {
            side: np.stack([np.where(line[0] < 0, -1, line[0] + all_pieces.count), line[1]])
            for side, line in pieces.edges.items()
        }
        all_pieces.add(pieces)
        columns = slice(core.col, core.col + core.width)
        all_pieces.link_edges(below[:, columns], edges["top"])
        if core.col:
            all_pieces.link_edges(aside, edges["left"])
        below[:, columns], aside = edges["bottom"], edges["right"]
    numbers = all_pieces.numbers(min_px)
    return np.split(numbers, np.cumsum([len(sizes) for sizes in all_pieces.sizes])[:-1])


@dataclass
class _AllPieces:
    """Pieces of all blocks so far, numbered consecutively."""

    count: int = 0
    sizes: list[Indices] = field(default_factory=list)
    pairs: list[Indices] = field(default_factory=list)
    sides: list[Indices] = field(default_factory=list)
    links: list[Indices] = field(default_factory=list)

    def add(self, pieces: _BlockPieces) -> None:
        """Add the next block."""
        self.sizes.append(pieces.sizes)
        self.pairs.append(pieces.pairs + self.count)
        self.sides.append(pieces.sides)
        self.count += pieces.sizes.size

    def link_edges(self, before: Line, here: Line) -> None:
        """Link two edges that face each other: equal groups are one piece, others share sides."""
        same = (before[1] == here[1]) & (before[0] >= 0)
        self.links.append(np.unique(np.stack([before[0, same], here[0, same]], axis=1), axis=0))
        pairs, sides = count_pairs(np.where(same, -1, before[0]), here[0])
        self.pairs.append(pairs)
        self.sides.append(sides)

    def numbers(self, min_px: int) -> NDArray[np.int32]:
        """Return the final number of every piece, (count,) int32, in the order of their first pieces."""
        group = group_pairs(self.count, np.concatenate(self.links))
        sizes = np.bincount(group, np.concatenate(self.sizes)).astype(np.int64)
        pairs = np.concatenate(self.pairs)
        pairs, sides = count_pairs(group[pairs[:, 0]], group[pairs[:, 1]], np.concatenate(self.sides))
        return renumber(small_region_groups(sizes, pairs, sides, min_px)[group].astype(np.int32))[0]


def _block_pieces(keys: KeyFile, core: Window, min_px: int) -> _BlockPieces:
    pieces, groups = keys.pieces(core)
    flat = pieces.ravel()
    sizes = np.bincount(flat[flat >= 0])
    pairs, sides = shared_borders(pieces)
    small = (sizes < min_px)[pairs].any(axis=1) if sizes.size else np.zeros(0, bool)
    cuts: dict[str, tuple[slice | int, slice | int]] = {
        "top": (0, slice(None)), "bottom": (-1, slice(None)), "left": (slice(None), 0), "right": (slice(None), -1),
    }  # fmt: skip
    edges = {side: np.stack([pieces[cut], groups[cut]]).astype(np.int64) for side, cut in cuts.items()}
    return _BlockPieces(sizes, pairs[small], sides[small], edges)
