"""A source on another grid: resampled to it window by window, or pixel for pixel, with other names or meanings of its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from deepnets4eo.arrays import Pixels
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import READ_ERRORS, Declared, is_remote
from deepnets4eo.grid import NO_CRS_REMEDY, Grid, Window, apply_affine, blocks, only_one_placed, overlap_share, whole
from deepnets4eo.rasters.array_source import ArraySource, Source
from deepnets4eo.rasters.bilinear import interpolate, interpolates
from deepnets4eo.rasters.datasets import Handles, rasterio_crs, read_dataset
from deepnets4eo.rasters.values import common_nodata, same_nodata, storable_nodata

WARP_TOLERANCE_PX = 0.02  # GDAL's default of 0.125 px would show in sub-pixel registration
FINER = 16  # times as many pixels as are asked for are read at most where an image is averaged down before it is warped
PLAIN_CRS = "EPSG:3857"  # stands in where neither side has a CRS: pixels are warped as plane coordinates
MAX_VIEWED_SHARE = 0.5  # share of a raster in a view of it, from which the view shows most of it
PIECE_PX = 1024  # side of the pieces that are interpolated at a time, so that little memory is held beside the result
FLIP = Affine.scale(1, -1)  # GDAL takes an identity transform for none; flipped, it is one


class _OnGrid(Source):
    """Metadata of another source, on another grid."""

    def __init__(self, origin: Source, grid: Grid) -> None:
        self.name, self.paths, self.declared, self.dtype = origin.name, origin.paths, origin.declared, origin.dtype
        self.bands, self.height_crs, self.grid, self._origin = origin.bands, origin.height_crs, grid, origin
        self.by_gdal = origin.by_gdal

    def share_decoded(self) -> None:
        self._origin.share_decoded()


class WarpedSource(_OnGrid):
    """Another source resampled to a grid, window by window."""

    def __init__(self, origin: Source, grid: Grid, resampling: str) -> None:
        super().__init__(origin, grid)
        self._resampling = Resampling[resampling]
        self._handles: dict[tuple[int, ...], Handles] = {}  # by the bands that are read
        zoom = _zoom_factor(origin.grid, grid) if resampling == Resampling.average.name else 0
        by_means = zoom and not origin.declared.is_complex and self._means_leave_out_nodata()
        self._zoomed = zoom if by_means else 0  # else 0: the pixels are warped
        self._interpolates = interpolates(origin.grid, origin.dtype, grid, self._resampling)

    @classmethod
    def view(cls, origin: Source, grid: Grid, resampling: str) -> Source:
        """Return a view of `origin` on `grid`; pixel for pixel if only one of them is georeferenced and the shapes agree."""
        if (own := origin.warp(grid)) is not None:
            return own
        if not only_one_placed(origin.grid, grid):
            return cls(origin, grid, resampling)
        if tuple(origin.grid.shape) != tuple(grid.shape):
            what = "georeference" if origin.grid.crs == grid.crs else "CRS"
            without = origin.grid.crs is None and (what == "CRS" or origin.grid.affine.is_identity)
            raise GridError(
                f"{origin.name} has {'no' if without else 'a'} {what} and {tuple(origin.grid.shape)} pixels, "
                f"the reference grid has {'one' if without else f'no {what}'} and {tuple(grid.shape)}. "
                f"Georeference both, or give images of the same size. {NO_CRS_REMEDY}"
            )
        return _PixelForPixel(origin, grid)

    def with_nodata(self, value: float) -> WarpedSource:
        return WarpedSource(self._origin.with_nodata(value), self.grid, self._resampling.name)

    def most_of(self) -> Source | None:
        return self._origin if overlap_share(self._origin.grid, self.grid) >= MAX_VIEWED_SHARE else None

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        if not self._interpolates:
            return self._warp(window, bands)
        data = np.empty((len(bands), window.height, window.width), self.dtype)
        valid, nodata = np.empty(data.shape[1:], bool), self.nodata_of(bands)
        for piece in blocks((window.height, window.width), PIECE_PX):
            part = piece.move(window.row, window.col)
            pixels = interpolate(
                lambda around: self._origin.read(around, bands), self._origin.grid, self.grid, part, nodata
            )
            rows, cols = piece.slices
            data[:, rows, cols], valid[rows, cols] = pixels or self._warp(part, bands)
        return data, valid

    def _warp(self, window: Window, bands: Sequence[int]) -> Pixels:
        """Read a window through GDAL."""
        handles = self._handles.setdefault(tuple(bands), Handles())
        try:
            if self._zoomed:
                with handles.lend(lambda: self._origin.open_dataset(bands)) as dataset:
                    fine = Window(*(side * self._zoomed for side in window))
                    shape = (window.height, window.width)
                    return read_dataset(dataset, fine, range(1, len(bands) + 1), self.nodata_of(bands), shape)
            with handles.lend(lambda: self.open_dataset(bands)) as dataset:
                return read_dataset(dataset, window, range(1, len(bands) + 1), common_nodata(self.nodata_of(bands)))
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        if tuple(shape) == tuple(
            self.grid.shape
        ):  # nothing is averaged, and a mean over warped pixels takes 6 times as long
            return self.read(whole(self.grid), bands)
        step = 2 ** int(math.log2(max(1.0, min(np.divide(self.grid.shape, shape)))))
        fine = [-(-side // step) for side in self._origin.grid.shape]
        if step > 1 and math.prod(fine) <= FINER * math.prod(shape):
            return self._warp_overview((fine[0], fine[1]), shape, bands)
        try:
            with self._warped(self.grid.zoom_to(shape), Resampling.average, bands) as dataset:
                return read_dataset(dataset, None, range(1, len(bands) + 1), common_nodata(self.nodata_of(bands)))
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def _means_leave_out_nodata(self) -> bool:
        """Return whether GDAL recognises the pixels without data, so that it excludes them from means."""
        with self._origin.open_dataset() as dataset:
            return all(same_nodata(self.nodata_of([band])[0], dataset.nodatavals[band - 1]) for band in self.bands)

    def _warp_overview(self, fine: tuple[int, int], shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        """Warp the whole grid from the origin averaged down to `fine` by its overviews; plain warping would read all pixels."""
        values, valid = self._origin.read_coarse(fine, bands)
        hidden = np.ma.MaskedArray(values, np.broadcast_to(~valid, values.shape))
        nodata = common_nodata(self.nodata_of(bands))
        overview = ArraySource(hidden, self._origin.grid.zoom_to(fine), nodata)
        warped = WarpedSource(overview, self.grid.zoom_to(shape), Resampling.average.name)
        return warped.read(whole(warped.grid), overview.bands)

    def _unreadable(self, error: Exception) -> InputError:
        if is_remote(self.name):
            return InputError.of_reading(self.name)
        return InputError(f"{self.name} cannot be read or warped: {error}. Check it with `deepnets4eo check`.")

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        return self._warped(self.grid, self._resampling, bands)

    def _warped(self, grid: Grid, resampling: Resampling, bands: Sequence[int] | None) -> DatasetReader:
        bands = self.bands if bands is None else bands
        dataset = self._origin.open_dataset(bands)
        nodata = storable_nodata(self.dtype, common_nodata(self.nodata_of(bands)))
        plain = grid.crs is None
        has_alpha = ColorInterp.alpha in dataset.colorinterp
        return WarpedVRT(
            dataset,
            src_crs=PLAIN_CRS if plain else rasterio_crs(self._origin.grid),
            src_transform=FLIP * self._origin.grid.affine if plain else self._origin.grid.affine,
            crs=PLAIN_CRS if plain else rasterio_crs(grid),
            transform=FLIP * grid.affine if plain else grid.affine,
            height=grid.shape[0],
            width=grid.shape[1],
            resampling=resampling,
            src_nodata=nodata,
            nodata=nodata,
            add_alpha=nodata is None and not has_alpha,
            tolerance=WARP_TOLERANCE_PX,
        )


def _zoom_factor(fine: Grid, coarse: Grid) -> int:
    """Return how many pixels of a grid make one of a coarser grid over the same ground; 0 for no whole number or other ground."""
    factor = fine.shape[0] // coarse.shape[0]
    same = fine.crs == coarse.crs and tuple(fine.shape) == tuple(factor * side for side in coarse.shape)
    return factor if same and (fine.affine * Affine.scale(factor)).almost_equals(coarse.affine) else 0


class _PixelForPixel(_OnGrid):
    """A source whose pixels are placed on another grid of the same shape; `declared` replaces its metadata if given."""

    def __init__(self, origin: Source, grid: Grid, declared: Declared | None = None) -> None:
        super().__init__(origin, grid)
        self.declared = declared or self.declared
        self.place_advice = origin.place_advice if grid == origin.grid else ""

    def with_nodata(self, value: float) -> _PixelForPixel:
        return _PixelForPixel(self._origin.with_nodata(value), self.grid, self.declared.with_nodata(value))

    def most_of(self) -> Source | None:
        return self._origin

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        return self._origin.read(window, bands)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        return self._origin.read_coarse(shape, bands)

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        return self._origin.open_dataset(bands)


def with_grid(source: Source, grid: Grid) -> Source:
    """Return the source with its pixels on another grid. Errors: GridError if the grid has another shape."""
    if tuple(source.grid.shape) != tuple(grid.shape):
        raise GridError(
            f"{source.name} has {tuple(source.grid.shape)} pixels, the other grid {tuple(grid.shape)}. Give one of the same size."
        )
    return _PixelForPixel(source, grid)


def with_declared(source: Source, declared: Declared) -> Source:
    """Return the source with other metadata for the same pixels."""
    return _PixelForPixel(source, source.grid, declared)


def same_grid(a: Grid, b: Grid) -> bool:
    """Return whether two grids are the same to a thousandth of a pixel."""
    if tuple(a.shape) != tuple(b.shape) or a.crs != b.crs:
        return False
    corners = np.array([(0.0, 0.0), (a.shape[1], 0), (0, a.shape[0])])
    return bool((np.abs(apply_affine(~a.affine * b.affine, corners) - corners) < 1e-3).all())
