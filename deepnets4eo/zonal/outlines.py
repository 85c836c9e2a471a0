"""Polygons as pixels: the pixel centres inside each outline, by GDAL's rule to the last tie; overlapping outlines keep their pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, Window, apply_affine
from deepnets4eo.reprojection import to_crs
from deepnets4eo.zonal.outline_sides import concatenate, decompose, inverse_geotransform

CELL_PX = 1024  # bucket of the index from windows to outlines
MAX_PIXELS = 1 << 20  # of outlines used together: those of a block, unless they lie over each other
PIECE = 1 << 16  # spans painted at a time
CHUNK = 16_384  # shapes that are parts and rings at the same time: these take far more room than flat arrays


class Spans(NamedTuple):
    """Runs of a window's pixels: owner (S,) in `numbers` (M,), row, start, stop (exclusive)."""

    numbers: Indices
    owner: Indices
    row: Indices
    start: Indices
    stop: Indices

    def total(self, per_span: NDArray[Any]) -> NDArray[Any]:
        """Sum (M,) of a number per span over each outline."""
        sums = np.zeros(len(self.numbers), per_span.dtype)
        if len(self.owner):
            first = np.flatnonzero(np.diff(self.owner, prepend=-1))
            sums[self.owner[first]] = np.add.reduceat(per_span, first)
        return sums

    def pixels(self, width: int, part: slice = slice(None)) -> tuple[Indices, Indices]:
        """Owner and flat number (row · width + col) of every pixel of some spans, (P,)."""
        lengths = self.stop[part] - self.start[part]
        flat = ranges(self.row[part] * width + self.start[part], lengths)
        return np.repeat(self.owner[part], lengths), flat


class Outlines:
    """Polygons on the pixels of a grid, by `Outlines.on`. Memory: about 60 bytes a vertex.

    Parameters
    ----------
    geometries : (N,) shapely Polygons and MultiPolygons
    coefficients : (2, 3), of the map from their coordinates to pixels: constant, x, y of column and row
    shape : (h, w) of the raster, pixels

    Examples
    --------
    >>> import shapely
    >>> square = Outlines.on(np.array([shapely.box(1, 0, 3, 2)]), shape=(4, 4))
    >>> square.paint(Window(0, 0, 3, 4)).tolist()
    [[-1, 0, 0, -1], [-1, 0, 0, -1], [-1, -1, -1, -1]]
    """

    def __init__(self, geometries: NDArray[Any], coefficients: Floats, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.count = len(geometries)
        pieces = [decompose(geometries[rows], coefficients) for rows in chunks(self.count)]
        self._edges, self._ledges, self._box = concatenate(pieces)
        self._bucket_of = _bucket(self._box, shape)

    @classmethod
    def on(cls, geometries: Any, grid: Grid | None = None, *, shape: tuple[int, int] | None = None) -> Outlines:
        """Return the outlines of polygons (N,), a GeoSeries or GeoDataFrame on a grid.

        Geometries with a CRS are transformed to the grid's; arrays must be in it already.

        Without a grid they are in pixels (x = column, y = row) of a raster of `shape` (h, w).

        Errors: InputError, GridError.
        """
        if hasattr(geometries, "geometry"):
            geometries = _in_crs_of(geometries.geometry, grid)
        outlines = np.asarray(geometries, dtype=object)
        if grid is not None:
            shape = grid.shape[0], grid.shape[1]
        if shape is None:
            raise InputError("outlines in pixels need the shape (h, w) of the raster they lie on.")
        return cls(outlines, inverse_geotransform(grid), shape)

    @classmethod
    def concatenate(cls, parts: list[Outlines]) -> Outlines:
        """Concatenate the outlines of several parts on one raster."""
        whole = cls.__new__(cls)
        whole.shape, whole.count = parts[0].shape, sum(part.count for part in parts)
        whole._edges, whole._ledges, whole._box = concatenate(
            [(part._edges, part._ledges, part._box) for part in parts]
        )
        whole._bucket_of = _bucket(whole._box, whole.shape)
        return whole

    def __len__(self) -> int:
        return self.count

    @property
    def box(self) -> Indices:
        """Return (N, 4) first row, first column, row after the last and column after the last of each outline."""
        return self._box

    def touching(self, window: Window) -> Indices:
        """Numbers (M,) of the outlines whose box meets the window, ascending."""
        area = window.clip(self.shape)
        if not (area.height and area.width):
            return np.zeros(0, np.int64)
        start, members, cols = self._bucket_of
        rows = np.arange(area.row // CELL_PX, (area.row + area.height - 1) // CELL_PX + 1)
        left, right = area.col // CELL_PX, (area.col + area.width - 1) // CELL_PX
        near = np.concatenate([members[start[row * cols + left] : start[row * cols + right + 1]] for row in rows])
        box = self._box[near]
        meets = (box[:, 0] < area.row + area.height) & (box[:, 2] > area.row)
        meets &= (box[:, 1] < area.col + area.width) & (box[:, 3] > area.col)
        return np.unique(near[meets])

    def spans(self, window: Window, only: Indices | None = None) -> Spans:
        """Return runs of inside pixels in a window, which may reach beyond the raster. Memory: 100 bytes per outline and row.

        only : (M,) ascending numbers of outlines, by default all outlines that touch the window."""
        index = self.touching(window) if only is None else only
        keys = np.sort(self._crossings(window, index))
        stride = window.width + 1
        start, stop = keys[0::2], keys[1::2]
        start, stop = self._with_ledges(window, index, start, stop)
        line, first_col = np.divmod(start, stride)
        owner, row = np.divmod(line, window.height)
        return Spans(index, owner, row, first_col, first_col + stop - start)

    def pixels(self, window: Window, only: Indices | None = None) -> tuple[Indices, Indices]:
        """Return the window's pixels with centres inside outlines: (P,) position in `only`, ascending, and (P,) flat pixel number."""
        return self.spans(window, only).pixels(window.width)

    def some_at_a_time(self, window: Window, most_pixels: int = MAX_PIXELS) -> list[Indices]:
        """Return numbers of the outlines that touch a window, in runs that own at most `most_pixels` of it, or of one outline."""
        touching = self.touching(window)
        corner = np.array([window.row, window.col])
        low = np.maximum(self._box[touching, :2], corner)
        sides = np.minimum(self._box[touching, 2:], corner + (window.height, window.width)) - low
        return [touching[run] for run in groups(sides.prod(axis=1), most_pixels)] or [touching]

    def paint(self, window: Window, background: int = -1) -> NDArray[np.int32]:
        """Paint an (h, w) raster of outline numbers, `background` for pixels outside all; in overlaps the last outline counts."""
        spans = self.spans(window)
        flat = np.full(window.height * window.width, background, np.int32)
        for first in range(0, len(spans.owner), PIECE):
            owner, pixels = spans.pixels(window.width, slice(first, first + PIECE))
            flat[pixels] = spans.numbers[owner]
        return flat.reshape(window.height, window.width)

    def _crossings(self, window: Window, index: Indices) -> Indices:
        """Return the crossings of sides with the centres of rows: pairs of keys that order by outline, row and column."""
        edges = self._edges
        counts = edges.of[index + 1] - edges.of[index]
        sides = ranges(edges.of[index], counts)
        first = np.maximum(edges.first[sides], window.row)
        rows = np.minimum(edges.last[sides], window.row + window.height) - first
        crossing = rows > 0
        sides, first, rows = sides[crossing], first[crossing], rows[crossing]
        owner = np.repeat(np.arange(len(index)), counts)[crossing]
        row = ranges(first, rows)
        # The order of operations is GDAL's: other orders round differently and flip pixels on ties.
        x = row + 0.5
        x -= np.repeat(edges.y[sides], rows)
        x *= np.repeat(edges.dx[sides], rows)
        x /= np.repeat(edges.dy[sides], rows)
        x += np.repeat(edges.x[sides], rows)
        x += 0.5
        column = np.clip(np.floor(x, out=x), window.col, window.col + window.width).astype(np.int64) - window.col
        line = np.repeat(owner * window.height - window.row, rows) + row
        return line * (window.width + 1) + column

    def _with_ledges(self, window: Window, index: Indices, start: Indices, stop: Indices) -> tuple[Indices, Indices]:
        """Return the spans united with the spans of level sides on centres."""
        ledges = self._ledges
        owner = np.searchsorted(index, ledges.owner)
        here = np.isin(ledges.owner, index) & (ledges.row >= window.row) & (ledges.row < window.row + window.height)
        if not here.any():
            return start, stop
        stride = window.width + 1
        line = (owner[here] * window.height + ledges.row[here] - window.row) * stride
        extra_start = line + np.clip(ledges.start[here] - window.col, 0, window.width)
        extra_stop = line + np.clip(ledges.stop[here] - window.col, 0, window.width)
        concerned = np.isin(start // stride, line // stride)
        united = _unite(np.concatenate([start[concerned], extra_start]), np.concatenate([stop[concerned], extra_stop]))
        start, stop = np.concatenate([start[~concerned], united[0]]), np.concatenate([stop[~concerned], united[1]])
        order = np.argsort(start, kind="stable")
        return start[order], stop[order]


def _unite(start: Indices, stop: Indices) -> tuple[Indices, Indices]:
    """Union of intervals, as disjoint ones in order."""
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(stop[order])
    fresh = np.flatnonzero(np.concatenate([[True], start[1:] > reach[:-1]]))
    return start[fresh], reach[np.concatenate([fresh[1:] - 1, [len(reach) - 1]])]


def ranges(start: Indices, counts: Indices) -> Indices:
    """arange(start[i], start[i] + counts[i]) for every i, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(start - (ends - counts), counts)


def chunks(count: int, most: int = CHUNK) -> list[slice]:
    """Return runs of at most `most` of `count` items; one empty run if there are no items."""
    return [slice(first, min(first + most, count)) for first in range(0, max(count, 1), most)]


def groups(cost: Indices, most: int) -> list[slice]:
    """Return runs of neighbours that cost at most `most` together, or of a single item that costs more."""
    total = np.concatenate([[0], np.cumsum(cost, dtype=np.float64)])
    cuts, begin = [], 0
    while begin < len(cost):
        stop = max(int(np.searchsorted(total, total[begin] + most, side="right")) - 1, begin + 1)
        cuts.append(slice(begin, stop))
        begin = stop
    return cuts


def _in_crs_of(series: Any, grid: Grid | None) -> Any:
    if grid is None or grid.crs is None or series.crs is None or series.crs == grid.crs.proj:
        if grid is not None and (grid.crs is None) != (series.crs is None):
            lacking, having = ("raster has", "polygons have") if grid.crs is None else ("polygons have", "raster has")
            raise GridError(
                f"the {having} a CRS, the {lacking} none: they cannot be compared. Give both a CRS, or neither."
            )
        return series
    return to_crs(series, grid.crs.proj)


def _bucket(box: Indices, shape: tuple[int, int]) -> tuple[Indices, Indices, int]:
    """Outlines by cell of CELL_PX: start of each cell in the list, the list, and cells across."""
    height, width = shape
    rows, cols = -(-height // CELL_PX), -(-width // CELL_PX)
    inside = (box[:, 0] < height) & (box[:, 2] > 0) & (box[:, 1] < width) & (box[:, 3] > 0)
    number = np.flatnonzero(inside)
    top, left = np.maximum(box[number, 0], 0) // CELL_PX, np.maximum(box[number, 1], 0) // CELL_PX
    bottom = (np.minimum(box[number, 2], height) - 1) // CELL_PX
    right = (np.minimum(box[number, 3], width) - 1) // CELL_PX
    tall, wide = bottom - top + 1, right - left + 1
    row, number, left, wide = ranges(top, tall), np.repeat(number, tall), np.repeat(left, tall), np.repeat(wide, tall)
    cell = np.repeat(row, wide) * cols + ranges(left, wide)
    order = np.argsort(cell, kind="stable")
    start = np.searchsorted(cell[order], np.arange(rows * cols + 1))
    return start, np.repeat(number, wide)[order], cols


def patch_centres(polygons: NDArray[Any], grid: Grid) -> Floats:
    """Return the centres of the bounding boxes of polygons, in pixels.

    Parameters
    ----------
    polygons : (N,) shapely geometries in the grid's CRS
    grid : grid of the pixels

    Returns
    -------
    (N, 2) column and row; NaN for missing and empty ones

    Examples
    --------
    >>> from affine import Affine
    >>> patch_centres(np.array([shapely.box(0, 0, 4, 2)]), Grid((9, 9), Affine.identity(), None)).tolist()
    [[2.0, 1.0]]
    """
    west, south, east, north = shapely.bounds(polygons).T
    return apply_affine(~grid.affine, np.column_stack([(west + east) / 2, (south + north) / 2]))
