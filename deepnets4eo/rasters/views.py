"""Layers that differ from their files: pixels processed on reading, a stated pixel size, collars without data.

Values that no instrument measures are masked: their squares are infinite.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deepnets4eo.arrays import Mask, Pixels
from deepnets4eo.formats import Declared
from deepnets4eo.grid import Grid, Window, coarse_grid
from deepnets4eo.rasters.array_source import Source
from deepnets4eo.rasters.averages import read_averaged
from deepnets4eo.rasters.layer import Layer

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from scipy.sparse import csr_array


log = logging.getLogger(__name__)

MIN_SHARE = 1e-6  # of a pixel of a picture that is valid: less is rounding
CELL_PX = 256  # side of the squares in which a picture is averaged; tiles are cut at multiples of it
SQUARE_PX = 15  # side of the squares without data; shadows are seldom as wide and as dark
BESIDE_PX = 2  # beside parts without data, where resampling mixed them with others
MAX_VALUE = 1e15  # squares of a hundred million such values still have a sum in float32


class LayerView(Source):
    """A source with the name, place and tags of another layer, but its own values; by default not warped nor averaged."""

    def __init__(
        self, layer: Layer, dtype: DTypeLike, nodata: float | None, band_names: Sequence[str] | None = None
    ) -> None:
        self.layer, self.grid = layer, layer.grid
        self.name, self.paths, self.dtype = layer.source, layer.paths, np.dtype(dtype)
        self.by_gdal = layer.reader.by_gdal
        self.declared = (
            layer.declared.of_values(nodata)
            if band_names is None
            else Declared.plain(layer.source, len(band_names), nodata, layer.tags).with_bands(name=list(band_names))
        )
        self.bands = list(range(1, len(self.declared) + 1))

    def share_decoded(self) -> None:
        self.layer.reader.share_decoded()

    def choose(self, bands: Sequence[int]) -> Layer:
        """Return the layer with only these bands, 1-based."""
        return self.layer.subset([self.layer.bands[band - 1] for band in bands])

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        """Read the whole grid averaged down to `shape`."""
        raise TypeError(f"{type(self).__name__} of {self.name} is read in full resolution")

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        """Open a GDAL handle for warped views, see `Source`."""
        raise TypeError(f"{type(self).__name__} of {self.name} is read on its own grid")


def plausible(data: NDArray[Any], valid: Mask) -> Mask:
    """Return the pixels (h, w) without a valid band above `MAX_VALUE`; data : (C, h, w), valid : (h, w).

    >>> plausible(np.array([[[1.0, -3.4e38, 2.0]]]), np.array([[True, True, False]])).tolist()
    [[True, False, False]]
    """
    if not np.issubdtype(data.dtype, np.floating):
        return valid
    return np.asarray(valid & (np.abs(data) <= MAX_VALUE).all(axis=0))


def without_implausible(layer: Layer) -> Layer:
    """Return the layer with pixels beyond `MAX_VALUE` as 0 and not valid; the log names the first. The layer is not warped any more."""
    return Layer(PlausibleSource(layer)) if np.issubdtype(layer.dtype, np.floating) else layer


class LabelMask(LayerView):
    """A label raster as a mask: 1 at one label, 0 at the others, not valid where the labels are void."""

    def __init__(self, labels: Layer, value: int) -> None:
        super().__init__(labels, np.uint8, None, ["mask"])
        self.value = value

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        data, valid = self.layer.read(window)
        return (data[:1] == self.value).astype(np.uint8), valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        return read_averaged(self, shape, bands)


class PlausibleSource(LayerView):
    """See `without_implausible`."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer, layer.dtype, layer.nodata)

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        return self._kept(*self.choose(bands).read(window))

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        chosen = self.choose(bands)
        return self._kept(*chosen.reader.read_coarse(shape, chosen.bands))

    def _kept(self, data: NDArray[Any], valid: Mask) -> Pixels:
        kept = plausible(data, valid)
        if (kept != valid).any():
            values = data[:, valid & ~kept]
            _name_once(self.name, float(values.ravel()[np.abs(values).argmax()]))
        # Invalid pixels count too, so that every value computed from them is finite.
        far = np.abs(data) > MAX_VALUE
        return np.where(far, data.dtype.type(0), data) if far.any() else data, kept


@lru_cache(maxsize=256)
def _name_once(name: str, value: float) -> None:
    """Say what is left out of a file, once for each value: it is read window by window, and by several steps of a job."""
    log.warning(
        "%s holds values such as %g, which nothing measures: these pixels are left out. Declare them as nodata: "
        "gdal_edit.py -a_nodata VALUE FILE", name, value,
    )  # fmt: skip


class CollarSource(LayerView):
    """A layer that is invalid in squares of `SQUARE_PX` with only small numbers, and beyond its edge."""

    def __init__(self, layer: Layer, largest: float) -> None:
        numbers = layer.as_stored()
        super().__init__(numbers, numbers.dtype, layer.nodata)
        self.largest, self.declared = largest, self.declared.with_bands(stored=layer.scaling)

    def warp(self, grid: Grid) -> CollarSource:
        """Return the layer on another grid, whose collar is found there."""
        return CollarSource(self.layer.on(grid), self.largest)

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        from scipy.ndimage import binary_opening

        inner = slice(SQUARE_PX, -SQUARE_PX)
        data, valid = self.choose(bands).read(window.grow(SQUARE_PX))
        small = is_small(data, self.largest) | ~valid
        if small.any():
            valid = valid & ~binary_opening(small, np.ones((SQUARE_PX, SQUARE_PX), bool))
        return data[:, inner, inner], valid[inner, inner]

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        chosen = self.choose(bands)
        data, valid = chosen.reader.read_coarse(shape, chosen.bands)
        return data, valid & ~is_small(data, self.largest)


class BandGapsSource(LayerView):
    """A layer that is invalid in and next to squares of `side_px` filled with the nodata value of one band.

    values : index of a band → its nodata value.
    """

    def __init__(self, layer: Layer, values: Mapping[int, float], side_px: int) -> None:
        numbers = layer.as_stored()
        super().__init__(numbers, numbers.dtype, layer.nodata)
        self.values, self.side_px = dict(values), side_px
        self.declared = self.declared.with_bands(stored=layer.scaling)

    def warp(self, grid: Grid) -> BandGapsSource:
        """Return the layer on another grid, whose gaps are found there."""
        return BandGapsSource(self.layer.on(grid), self.values, self.side_px)

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        from scipy.ndimage import binary_dilation, binary_opening

        margin, square = self.side_px + BESIDE_PX, np.ones((self.side_px, self.side_px), bool)
        inner = slice(margin, -margin)
        numbers, seen = self.layer.read(window.grow(margin))
        hidden = np.zeros_like(seen)
        for index, value in self.values.items():
            gaps = (numbers[index] == value) | ~seen
            if (gaps & seen).any():
                hidden |= binary_opening(gaps, square)
        if hidden.any():
            hidden = binary_dilation(hidden, iterations=BESIDE_PX)
        rows = [band - 1 for band in bands]
        return numbers[rows][:, inner, inner], (seen & ~hidden)[inner, inner]

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        data, valid = self.layer.reader.read_coarse(shape, self.layer.bands)
        for index, value in self.values.items():
            valid = valid & (data[index] != value)
        return data[[band - 1 for band in bands]], valid


class PictureSource(LayerView):
    """A layer that averages its colours down as it is read, so that a picture of it decodes nothing again. It is not
    warped.

    Memory: the picture, at most `longest_px` along a side.
    """

    def __init__(self, layer: Layer, longest_px: int) -> None:
        numbers = layer.as_stored()
        super().__init__(numbers, numbers.dtype, layer.nodata)
        self.declared = self.declared.with_bands(stored=layer.scaling)
        self.colours = Layer(self).shown_bands
        shape = coarse_grid(self.grid, longest_px).shape
        self._picture, self._valid = np.zeros((len(self.colours), *shape), self.dtype), np.zeros(shape, bool)
        self._shares = [_cell_shares(*sides) for sides in zip(self.grid.shape, shape, strict=True)]
        self._kept = np.zeros([len(shares) for shares in self._shares], bool)

    def __reduce__(self) -> tuple[Any, ...]:
        return PictureSource, (self.layer, 1)  # another process shows no picture

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        data, valid = self.choose(bands).read(window)
        if not self._kept.all() and {*self.colours} <= {*bands}:
            self._keep(window, [data[[*bands].index(band)] for band in self.colours], valid)
        return data, valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        if self._kept.all() and [*bands] == self.colours and tuple(shape) == self._valid.shape:
            return self._picture, self._valid
        chosen = self.choose(bands)
        return chosen.reader.read_coarse(shape, chosen.bands)

    def _keep(self, window: Window, data: Sequence[NDArray[Any]], valid: Mask) -> None:
        """Average the cells in a window that are not stored yet: each gives the same pixels, whichever window it was read with."""
        rows, cols = (
            range(-(-start // CELL_PX), (start + length) // CELL_PX if start + length < side else -(-side // CELL_PX))
            for start, length, side in zip(window[:2], window[2:], self.grid.shape, strict=True)
        )
        for row, col in ((row, col) for row in rows for col in cols if not self._kept[row, col]):
            cell = Window(row * CELL_PX, col * CELL_PX, CELL_PX, CELL_PX).clip(self.grid.shape.yx)
            inner = cell.within(window).slices
            (top, down), (left, across) = self._shares[0][row], self._shares[1][col]
            inside = valid[inner]
            weight = (across @ (down @ inside.astype(np.float32)).T).T
            for band, values in zip(self._picture, data, strict=True):
                seen = values[inner] if inside.all() else np.where(inside, values[inner], 0)
                mean = (across @ (down @ seen).T).T / np.maximum(weight, MIN_SHARE)
                band[top, left] = np.rint(mean) if self.dtype.kind in "iu" else mean
            self._valid[top, left], self._kept[row, col] = weight > MIN_SHARE, True


def _cell_shares(side: int, coarse: int) -> list[tuple[slice, csr_array]]:
    """Return the preview pixels with centres in each cell of an axis, and the share (n, CELL_PX) that each cell pixel has in them."""
    from scipy.sparse import csr_array

    shares, step = [], side / coarse
    for start in range(0, side, CELL_PX):
        pixels = np.arange(start, min(start + CELL_PX, side))
        first, last = (math.ceil(edge / step - 0.5) for edge in (start, start + len(pixels)))
        edges = np.clip(np.arange(first, last + 1)[:, None] * step, start, start + len(pixels))
        common = np.maximum(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0)
        shares.append((slice(first, last), csr_array((common / common.sum(axis=1, keepdims=True)).astype(np.float32))))
    return shares


def is_small(data: NDArray[Any], largest: float) -> Mask:
    """Return which pixels have all bands (C, h, w) at most `largest` in size; below 0, such as −60 dB, at most that value."""
    values = data if largest < 0 else np.abs(data)
    return np.asarray((values <= largest).all(axis=0))
