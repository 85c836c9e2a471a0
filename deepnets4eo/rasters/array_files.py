"""Arrays of MATLAB, HDF5 and NumPy files as sources of layers, read by window; each thread opens the file itself.

Axes in another order than the labels' axes are transposed; other sizes are refused.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import ProjError

from deepnets4eo.cards import EmbeddingCard
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.files import read_json
from deepnets4eo.formats import ArrayReference, ImageArray, open_array, other_axes, parse_reference
from deepnets4eo.grid import Grid, Window, is_unplaced
from deepnets4eo.rasters.array_source import ArraySource, Source, axes_error
from deepnets4eo.rasters.opening import open_files
from deepnets4eo.rasters.windowed_source import WindowedSource

log = logging.getLogger(__name__)

BOX = "bbox.geojson"
SCALES, LAND_MASKS = "_scales.npy", "global_0.1_degree_tiff_all"  # names of geotessera
TILE = re.compile(r"grid_-?[\d.]+_-?[\d.]+\.npy")
PATCH_FOLDERS = ("data", "mask", "data_timeless", "mask_timeless")
MAX_BANDS, MAX_SIDE_PX = 65_535, 2**31 - 1  # the limits of GDAL, with which all other rasters are read


class ArrayFileSource(WindowedSource):
    """One array of a file; `grid` is its position on the ground, by default plain pixels without CRS."""

    def __init__(self, image: ImageArray, grid: Grid | None, nodata: float | None) -> None:
        count, height, width = image.shape
        if count > MAX_BANDS or max(height, width) > MAX_SIDE_PX:
            raise InputError(
                f"{image.reference} has {count:,} bands of {height:,} × {width:,} pixels; expected at most {MAX_BANDS:,} bands and "
                f"{MAX_SIDE_PX:,} pixels along a side. If its axes have another order, name it, e.g. "
                f"{image.path}#{image.info.name}:{'hwb' if image.axes != 'hwb' else 'bhw'}."
            )
        if grid is not None and tuple(grid.shape) != (height, width):
            raise GridError(f"{image.reference} has {(height, width)} pixels and its grid {tuple(grid.shape)}.")
        declared = image.declared if nodata is None else image.declared.with_nodata(nodata)
        grid = grid if grid is not None else GeoBox((height, width), Affine.identity(), None)
        super().__init__(f"{image.path}#{image.info.name}", grid, image.dtype, declared, [str(image.path)])
        self.image, self._nodata = image, nodata
        self._handles = threading.local()
        self._handles.image = image

    def with_nodata(self, value: float) -> ArrayFileSource:
        """Return the array with pixels invalid if they have `value` in every band."""
        return ArrayFileSource(self.image, self.grid, value)

    def with_axes(self, axes: str) -> ArrayFileSource:
        """Return the array with its axes read in another order."""
        return ArrayFileSource(self.image.with_axes(axes), None, self._nodata)

    def read_values(self, window: Window, bands: Sequence[int]) -> NDArray[Any]:
        return self._own_image().read([band - 1 for band in bands], *window.slices)

    def _own_image(self) -> ImageArray:
        if not hasattr(self._handles, "image"):
            image = self.image
            self._handles.image = open_array(ArrayReference(image.path, image.info.name, image.axes))
        own: ImageArray = self._handles.image
        return own


class ScaledArraySource(ArrayFileSource):
    """Embeddings of TESSERA: the product of whole numbers (h, w, b) in one file and scales (h, w) or (h, w, b) in another."""

    def __init__(self, image: ImageArray, scales: ImageArray, grid: Grid | None, nodata: float | None = None) -> None:
        super().__init__(image, grid, nodata)
        if scales.shape[1:] != image.shape[1:] or scales.shape[0] not in (1, image.shape[0]):
            raise InputError(
                f"{scales.path} has {scales.shape} bands, rows and columns, {image.path} {image.shape}. Fetch both again."
            )
        card = EmbeddingCard.load("tessera")
        card.check_bands(image.shape[0], self.name)
        self.scales, self.dtype, self.declared = scales, np.dtype(np.float32), self.declared.with_tags(card.to_tags())
        self.paths = [*self.paths, str(scales.path)]

    @classmethod
    def beside(cls, path: Path, grid: Grid | None, nodata: float | None) -> ScaledArraySource | None:
        """Open a file whose scales are next to it, on the grid of its land mask; return None for any other file."""
        if (scales := scales_beside(path)) is None:
            return None
        image, factors = open_array(ArrayReference(path, axes="hwb")), open_array(ArrayReference(scales))
        if len(factors.array.shape) == 3:
            factors = factors.with_axes("hwb")
        return cls(image, factors, _land_grid(path) if grid is None else grid, nodata)

    def with_nodata(self, value: float) -> ScaledArraySource:
        """Return the tile with pixels invalid if they have `value` in every band."""
        return ScaledArraySource(self.image, self.scales, self.grid, value)

    def read_values(self, window: Window, bands: Sequence[int]) -> NDArray[Any]:
        scales = self.scales.read([0] if self.scales.shape[0] == 1 else [band - 1 for band in bands], *window.slices)
        return super().read_values(window, bands) * scales.astype(np.float32)


def scales_beside(path: Path) -> Path | None:
    """Return the file of scales of a TESSERA tile, or None for any other file. Errors: InputError for a tile without scales."""
    scales = path.with_name(f"{path.stem}{SCALES}")
    if path.suffix == ".npy" and scales.is_file():
        return scales
    if TILE.fullmatch(path.name) and path.is_file():
        raise InputError(
            f"{path} has the name of a tile of TESSERA, but {scales.name} is not next to it: without scales its numbers are no values. Fetch "
            f"both, or read the numbers as they are: {path}#{path.stem}:hwb."
        )
    return None


def _land_grid(path: Path) -> Grid | None:
    """Return the grid of a TESSERA tile, from its land mask in the same folder or the folder of masks; None without a mask."""
    name = f"{path.stem}.tiff"
    files = [path.with_name(name), *(folder / LAND_MASKS / name for folder in path.parents[:4])]
    mask = next((file for file in files if file.is_file()), None)
    return None if mask is None else open_files(mask, None).grid


def open_reference(
    source: object, grid: Grid | None, nodata: float | None, *, labels: bool = False
) -> ArrayFileSource | None:
    """Open the source of a path that names a file of arrays; return None for any other source."""
    reference = parse_reference(str(source))
    if reference is None:
        return None
    if not reference.name and (tile := ScaledArraySource.beside(reference.path, grid, nodata)) is not None:
        return tile
    image = open_array(reference, labels=labels)
    return ArrayFileSource(image, grid if grid is not None else _patch_grid(image), nodata)


def _patch_grid(image: ImageArray) -> Grid | None:
    """Return the grid of an array of an EOPatch, from the box next to its folders; None for other arrays. Errors: InputError."""
    path = image.path.parent.parent / BOX
    if image.path.parent.name not in PATCH_FOLDERS or not path.is_file():
        return None
    content = read_json(path)
    try:
        corners = np.array((content.get("geometry") or content)["coordinates"][0], float)
        (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
        _, height, width = image.shape
        affine = Affine((east - west) / width, 0, west, 0, (south - north) / height, north)
        return GeoBox((height, width), affine, CRS.from_user_input(content["crs"]["properties"]["name"]))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ProjError) as error:
        raise InputError(
            f"{path} is no box of an EOPatch: {error!r}. Write it again with eo-learn, or remove it."
        ) from error


def transposed_sources(sources: Mapping[str, Source], labels: str) -> dict[str, ArrayFileSource]:
    """Return the arrays whose axes must be read in another order to fit `labels`.

    Errors: GridError (no order fits; an array in memory or an image without a georeference of another size)."""
    leader = _leader(sources, labels)
    for name, source in sources.items():
        if type(source) is ArraySource and is_unplaced(source.grid) and _shape(source) != _shape(sources[leader]):
            _check_shape(name, source, leader, sources[leader])
    # tiles of TESSERA have one order
    arrays = {name: source for name, source in sources.items() if type(source) is ArrayFileSource}
    fitted = {}
    for name, source in sources.items():
        if _shape(source) == _shape(sources[leader]) or not is_unplaced(source.grid):
            continue
        transposed = _transpose(arrays[name], sources[leader]) if name in arrays else None
        if transposed is not None:
            fitted[name] = transposed
        elif is_unplaced(sources[leader].grid):
            raise GridError(_size_problem((name, leader), source, sources[leader]))
    return fitted


def _check_shape(name: str, source: ArraySource, leader: str, other: Source) -> None:
    """Refuse (GridError) an array without a grid whose size differs from the size of another layer."""
    rows_and_columns = (len(source.bands), source.grid.shape[0])
    if rows_and_columns == _shape(other):
        raise axes_error(f"{name} ({source.name})", (*rows_and_columns, source.grid.shape[1]))
    if is_unplaced(other.grid):
        raise GridError(_size_problem((name, leader), source, other))


def _leader(sources: Mapping[str, Source], labels: str) -> str:
    """Return the layer whose size the others must have: labels, unless only other layers are georeferenced."""
    georeferenced = [name for name, source in sources.items() if not is_unplaced(source.grid)]
    names = georeferenced or list(sources)
    return labels if labels in names else names[0]


def _transpose(source: ArrayFileSource, leader: Source) -> ArrayFileSource | None:
    axes = other_axes(source.image, _shape(leader))
    if axes is None:
        return None
    log.warning(
        "%s is transposed: %s has %d × %d pixels, which its axes fit as %s. It is read so.",
        source.name, leader.name, *_shape(leader), axes,
    )  # fmt: skip
    return source.with_axes(axes)


def _size_problem(names: tuple[str, str], source: Source, leader: Source) -> str:
    (own_rows, own_cols), (rows, cols) = _shape(source), _shape(leader)
    factor = rows / own_rows
    finer = ""
    if factor == cols / own_cols:
        finer = f" Both may show the same area, one {max(factor, 1 / factor):g} times finer: resample one first."
    return (
        f"{names[0]} ({source.name}) has {own_rows} × {own_cols} pixels, {names[1]} ({leader.name}) {rows} × {cols}, and "
        f"neither has a georeference: their pixels cannot be matched.{finer} Give layers of one size, or georeference both."
    )


def _shape(source: Source) -> tuple[int, int]:
    return source.grid.shape[0], source.grid.shape[1]
