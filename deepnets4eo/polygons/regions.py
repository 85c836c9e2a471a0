"""Connected regions of equal labels, numbered block by block and outlined from their corners, as if traced at once.

Where four pixels meet, a region has a corner if it holds one of them, three, or two across. Sorted along rows and
columns, consecutive corners are the ends of a side.

Where a region touches itself, the walk along a ring crosses over, so that what it encloses becomes a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
import skimage
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.cards import VOID
from deepnets4eo.device import return_freed_memory
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LINE = 2**26  # rasters are far narrower than this, so y * LINE + x names a pixel corner
TRACE_PX = 1024  # side of the blocks; larger ones take more memory and no less time
GROUP = 2**18  # corners that are walked at once
RIGHT, LOWER, INSIDE, CROSSING = 1, 2, 4, 8  # bits of the kind of a corner

Read = Callable[[Window], tuple[NDArray[Any], Mask]]


class Regions(NamedTuple):
    """Regions in the order of their first pixels: polygons (N,) in pixels, values (N,) their labels."""

    polygons: NDArray[Any]
    values: Indices


class _Corners(NamedTuple):
    """Corners of regions (n,).

    position : y * LINE + x
    region : number of the region
    kind : the one of four pixels that differs from the other three (RIGHT, LOWER); INSIDE: this pixel belongs to the
        region; CROSSING: each of the four differs from its neighbours
    """

    position: Indices
    region: NDArray[np.int32]
    kind: NDArray[np.uint8]


class _Block(NamedTuple):
    """Regions of one block, numbered from 1 on (0 is none): labels, the corners within it, the pixels at its edges."""

    values: Indices
    corners: _Corners
    top: NDArray[np.int32]
    bottom: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]


def trace_regions(
    layer: Layer,
    values: Sequence[int] | None = None,
    *,
    read: Read | None = None,
    block_px: int = TRACE_PX,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Regions:
    """Trace the 4-connected regions of equal label (all but void) at once; `read` replaces the layer's own values.

    >>> regions = trace_regions(Layer.open(np.array([[1, 1, 0], [0, 1, 0]], np.uint8)), [1])
    >>> regions.polygons[0].wkt, regions.values.tolist()
    ('POLYGON ((0 0, 0 1, 1 1, 1 2, 2 2, 2 0, 0 0))', [1])
    """
    return join_groups(trace_outlines(layer, values, read=read, block_px=block_px, workers=workers, progress=progress))


def join_groups(groups: Iterable[Regions]) -> Regions:
    """Concatenate groups of regions, at least one, into one group."""
    polygons, values = zip(*groups, strict=True)
    return Regions(np.concatenate(polygons), np.concatenate(values))


def trace_outlines(
    layer: Layer,
    values: Sequence[int] | None = None,
    *,
    read: Read | None = None,
    least_px: int = 1,
    block_px: int = TRACE_PX,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Regions]:
    """Yield the regions of `trace_regions` in groups, at least one, in the same order, without most regions below `least_px` pixels."""
    layer = layer.as_stored()
    if layer.count != 1 or layer.dtype.kind not in "biu":
        raise InputError(
            f"{layer.source} has {layer.count} bands of {layer.dtype}; labels are one band of whole numbers."
        )
    windows = layer.blocks(block_px)
    seams, of_region, parts, count = _Seams(layer.shape, block_px), [], [], 0
    numbered = in_order(lambda window: _number(read or layer.read, window, values, least_px), windows, workers)
    for done, (window, block) in enumerate(zip(windows, numbered, strict=True), start=1):
        seams.add(window, block, count)
        parts.append(_Corners(block.corners.position.copy(), block.corners.region + count, block.corners.kind.copy()))
        of_region.append(block.values)
        count += len(block.values)
        if progress is not None:
            progress(done / len(windows))
    if count == 0:
        yield Regions(np.zeros(0, object), np.zeros(0, np.int64))
        return
    labels = np.concatenate([np.zeros(1, np.int64), *of_region])
    final = seams.join(labels)
    parts = [part._replace(region=final[part.region]) for part in parts] + seams.corners(final)
    rank = _by_first_corner(parts, int(final.max()) + 1)
    value_of = np.zeros(len(rank), np.int64)
    value_of[rank[final]] = labels
    for group in _grouped(parts, rank):
        polygons, region = _outlines(group)
        yield Regions(polygons, value_of[region])


class _Seams:
    """Numbers of the regions on both sides of the lines between blocks and of the raster's edges."""

    def __init__(self, shape: tuple[int, int], block_px: int) -> None:
        self.shape, self.block_px = shape, block_px
        rows, cols = (-(-size // block_px) + 1 for size in shape)
        self.above, self.below = np.zeros((2, rows, shape[1]), np.int32)
        self.left, self.right = np.zeros((2, cols, shape[0]), np.int32)

    def add(self, window: Window, block: _Block, count: int) -> None:
        """Take the edges of a block, whose regions are numbered from `count` + 1 on."""
        row, col = window.row // self.block_px, window.col // self.block_px
        along = slice(window.col, window.col + window.width), slice(window.row, window.row + window.height)
        for line, position, numbers in (
            (self.below, (row, along[0]), block.top),
            (self.above, (row + 1, along[0]), block.bottom),
            (self.right, (col, along[1]), block.left),
            (self.left, (col + 1, along[1]), block.right),
        ):
            line[position] = np.where(numbers > 0, numbers + count, 0)

    def join(self, labels: Indices) -> NDArray[np.int32]:
        """Return, for each number of a region in its block, the number of the whole region."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components  # takes a quarter of a second, with scipy.linalg

        one, other = (
            np.concatenate([a.ravel(), b.ravel()]) for a, b in ((self.above, self.left), (self.below, self.right))
        )
        same = (one > 0) & (other > 0) & (labels[one] == labels[other])
        links = coo_array((np.ones(np.count_nonzero(same), bool), (one[same], other[same])), shape=(len(labels),) * 2)
        return connected_components(links, directed=False)[1]

    def corners(self, final: NDArray[np.int32]) -> list[_Corners]:
        """Return the corners on the seams between blocks, with the numbers of whole regions."""
        parts = []
        for row, pair in enumerate(zip(self.above, self.below, strict=True)):
            across = np.pad(final[np.stack(pair)], ((0, 0), (1, 1)))
            parts.append(_corners_within(across, min(row * self.block_px, self.shape[0]) - 1, -1))
        for col, pair in enumerate(zip(self.left, self.right, strict=True)):
            beside = _corners_within(final[np.stack(pair, axis=1)], 0, min(col * self.block_px, self.shape[1]) - 1)
            new = beside.position // LINE % self.block_px > 0  # the others lie on a line along the rows, too
            parts.append(_Corners(beside.position[new], beside.region[new], beside.kind[new]))
        return parts


def _number(read: Read, window: Window, values: Sequence[int] | None, least_px: int) -> _Block:
    data, valid = read(window)
    labels = data[0].astype(np.int64)
    traced = valid & (np.isin(labels, list(values)) if values is not None else labels != VOID)
    known_labels = labels[traced]
    codes = np.zeros(labels.shape, np.int32)
    codes[traced] = _small_codes(known_labels)
    numbers, count = skimage.measure.label(codes, background=0, connectivity=1, return_num=True)
    numbers = numbers.astype(np.int32)
    value_of = np.zeros(count + 1, np.int64)
    value_of[numbers[traced]] = known_labels
    if least_px > 1:
        numbers, value_of = _without_small(numbers, value_of, least_px)
    corners = _corners_within(numbers, window.row, window.col)
    return _Block(value_of[1:], corners, numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1])


def _without_small(numbers: NDArray[np.int32], value_of: Indices, least_px: int) -> tuple[NDArray[np.int32], Indices]:
    """Return a block's regions without small ones, renumbered, and their values; regions at the edges may continue beyond."""
    kept = np.bincount(numbers.ravel(), minlength=len(value_of)) >= least_px
    for edge in (np.zeros(1, np.int32), numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        kept[edge] = True
    return np.where(kept, np.cumsum(kept) - 1, 0).astype(np.int32)[numbers], value_of[kept]


def _small_codes(labels: Indices) -> Indices:
    """Return a number from 1 on for each label."""
    low = int(labels.min(initial=0))
    if int(labels.max(initial=0)) - low < 2**31 - 1:
        return labels - (low - 1)
    return np.unique(labels, return_inverse=True)[1] + 1


def _corners_within(numbers: NDArray[np.int32], row: int, col: int) -> _Corners:
    """Corners where four pixels of `numbers` (h, w) meet, the first of them at this row and column."""
    upper, lower = numbers[:, :-1] != numbers[:, 1:], numbers[:-1] != numbers[1:]
    top, bottom, left, right = upper[:-1], upper[1:], lower[:, :-1], lower[:, 1:]
    all_differ = top & left & bottom & right
    parts = []
    for pixel, alone, others_differ in (
        (0, top & left, bottom | right),
        (RIGHT, top & right, bottom | left),
        (LOWER, bottom & left, top | right),
        (LOWER | RIGHT, bottom & right, top | left),
    ):
        rows, cols = np.nonzero(alone)
        position = (rows + (row + 1)) * LINE + (cols + (col + 1))
        down, across = pixel // LOWER, pixel % LOWER
        itself, opposite = numbers[rows + down, cols + across], numbers[rows + 1 - down, cols + 1 - across]
        inside, outside = itself > 0, ~others_differ[rows, cols] & (opposite > 0)
        kind = ((pixel | INSIDE) + CROSSING * all_differ[rows, cols]).astype(np.uint8)
        parts.append(_Corners(position[inside], itself[inside], kind[inside]))
        parts.append(
            _Corners(position[outside], opposite[outside], np.full(np.count_nonzero(outside), pixel, np.uint8))
        )
    return _together(parts)


def _together(parts: Sequence[_Corners]) -> _Corners:
    return _Corners(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _by_first_corner(parts: Sequence[_Corners], count: int) -> NDArray[np.int32]:
    """Return the rank of each region (count,) in the order of their first corners."""
    first = np.full(count, np.iinfo(np.int64).max)
    for part in parts:
        np.minimum.at(first, part.region, part.position)
    rank = np.empty(count, np.int32)
    rank[np.argsort(first)] = np.arange(count, dtype=np.int32)
    return rank


def _grouped(parts: list[_Corners], rank: NDArray[np.int32]) -> Iterator[_Corners]:
    """Yield the corners in groups of some regions, numbered by `rank` and removed from `parts` to save memory."""
    counts = np.zeros(len(rank), np.int64)
    for part in parts:
        counts += np.bincount(part.region, minlength=len(rank))
    ranked = np.empty_like(counts)
    ranked[rank] = counts
    group_of = np.unique((np.cumsum(ranked) - 1) // GROUP, return_inverse=True)[1]  # a large region skips numbers
    groups: list[list[_Corners]] = [[] for _ in range(int(group_of.max()) + 1)]
    while parts:
        part = parts.pop(0)
        region = rank[part.region]
        group = group_of[region]
        order = np.argsort(group, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            if len(rows):
                groups[group[rows[0]]].append(_Corners(part.position[rows], region[rows], part.kind[rows]))
    while groups:
        return_freed_memory()  # what is left of the blocks and of the groups before lies scattered, a quarter of all memory
        yield _together(groups.pop(0))


def _outlines(corners: _Corners) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Polygons (N,), every ring from the same start, and their regions."""
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    following = _following(corners)
    count, ring = connected_components(_steps(following), directed=False)
    start = _leftmost(corners.position, ring, count)
    region = corners.region[start]
    # The first corner of a region lies on its shell, so that the shell comes before the holes.
    order = np.lexsort((_least(corners.position, ring, count), region))
    start, region = start[order], region[order]
    before = np.empty_like(following)
    before[following] = np.arange(len(following), dtype=np.int32)
    following[before[start]] = np.roll(start, -1)  # all rings in one chain
    walk = breadth_first_order(_steps(following), start[0], return_predecessors=False)
    ends = np.cumsum(np.bincount(ring)[order])
    y, x = np.divmod(corners.position[np.insert(walk, ends, start)], LINE)
    shells = np.flatnonzero(np.diff(region, prepend=-1))
    offsets = np.append(0, ends + np.arange(1, count + 1)), np.append(shells, count)
    xy = np.column_stack([x, y]).astype(float)
    polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, xy, offsets)
    holed = np.diff(offsets[1]) > 1
    polygons[holed] = shapely.normalize(polygons[holed])
    return polygons, region[shells]


def _leftmost(position: Indices, ring: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return the leftmost, then topmost, corner of each ring, which starts its list of corners."""
    key = position % LINE * LINE + position // LINE
    there = np.flatnonzero(key == _least(key, ring, count)[ring])
    start = np.empty(count, np.int32)
    start[ring[there]] = there
    return start


def _least(values: Indices, group: NDArray[np.int32], count: int) -> Indices:
    """Return the smallest value of each group."""
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, group, values)
    return least


def _steps(following: NDArray[np.int32]) -> csr_array:
    """Return the graph whose edges lead from each corner to the following corner."""
    from scipy.sparse import csr_array

    size = len(following)
    return csr_array((np.ones(size, np.int8), following, np.arange(size + 1, dtype=np.int32)), shape=(size, size))


def _following(corners: _Corners) -> NDArray[np.int32]:
    """For each corner the next one of its ring, with the region on the left hand."""
    y, x = np.divmod(corners.position, LINE)
    lower, right, inside = ((corners.kind & bit) > 0 for bit in (LOWER, RIGHT, INSIDE))
    above, beside = lower != inside, right != inside  # whether the region lies above one side, to the left of the other
    following = np.empty(len(y), np.int32)
    # Ends of sides on one line follow each other; where two meet in a place, the side that ends comes first.
    ends = np.argsort(((y * 2 + above) * LINE + x) * 2 + right).astype(np.int32).reshape(-1, 2)
    forth = above[ends[:, 0]]
    following[np.where(forth, ends[:, 0], ends[:, 1])] = np.where(forth, ends[:, 1], ends[:, 0])
    ends = np.argsort(((x * 2 + beside) * LINE + y) * 2 + lower).astype(np.int32).reshape(-1, 2)
    forth = ~beside[ends[:, 0]]
    ends = _crossed_over(corners)[ends]
    following[np.where(forth, ends[:, 0], ends[:, 1])] = np.where(forth, ends[:, 1], ends[:, 0])
    return following


def _crossed_over(corners: _Corners) -> NDArray[np.int32]:
    """Return the numbers of the corners, swapped for two corners of one region at the same position."""
    number = np.arange(len(corners.position), dtype=np.int32)
    several = np.flatnonzero(corners.kind & CROSSING)
    order = several[np.lexsort((corners.region[several], corners.position[several]))]
    same = np.flatnonzero((np.diff(corners.position[order]) == 0) & (np.diff(corners.region[order]) == 0))
    number[order[same]], number[order[same + 1]] = order[same + 1], order[same]
    return number
