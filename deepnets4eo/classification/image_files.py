"""Image files of one kind, each compared with the first, read in physical values (C, H, W) with NaN in unseen pixels.

Refuses files whose bands or numbers differ from the first file, and colour tables, naming both files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from deepnets4eo.arrays import Mask
from deepnets4eo.classification.bands import check_band_order
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.grid import Grid, Window, crop
from deepnets4eo.rasters import Layer, name_band, to_physical
from deepnets4eo.read_as import IMAGE, Door

Read = Callable[[int], NDArray[Any]]
Cell = tuple[int, Window | None]  # number of a file, and the part of it that is an image; None: all


def open_image(path: Path, first: Layer | None = None) -> Layer:
    """Open a file as a layer. Raises InputError for numbers that are no brightness, and for a file that differs from the first."""
    layer = Layer.open(str(path))
    IMAGE.check(layer, Door("", on_ground=False))  # no result lies on the ground
    if first is not None:
        _check_like(layer, first)
    return layer


def _check_like(layer: Layer, first: Layer) -> None:
    if layer.count != first.count:
        raise InputError(
            f"{layer.source} has {_of_bands(layer)}, {first.source} has {_of_bands(first)}. Give images with the same bands."
        )
    if _named(layer) and _named(first):
        check_band_order(layer.band_names, first.band_names, layer.source)
    elif layer.colour_roles != first.colour_roles and _colours(layer) == _colours(first):
        raise InputError(
            f"{layer.source} has its colours as {', '.join(layer.colour_roles or [])}, {first.source} as "
            f"{', '.join(first.colour_roles or [])}. Write all in one order: gdal_translate -b …"
        )
    check_one_kind(layer.dtype, layer.source, first.dtype, first.source)


def check_one_kind(kind: np.dtype[Any], name: str, other: np.dtype[Any], other_name: str) -> None:
    """Refuse 8-bit brightness together with wider numbers, which have another unit. Raises InputError naming both."""
    if kind != other and 1 in (kind.itemsize, other.itemsize):
        raise InputError(
            f"{name} holds {kind}, {other_name} {other}: brightness of 8 bits and wider numbers are of two units. Write all "
            "images in one, from the same product."
        )


def _of_bands(layer: Layer) -> str:
    roles = layer.colour_roles or []
    return f"{layer.count} band{'s' * (layer.count != 1)}" + (" (grey)" if roles == ["gray"] else "")


def _named(layer: Layer) -> bool:
    return not any(name.startswith("band_") for name in layer.band_names)


def _colours(layer: Layer) -> list[str]:
    return sorted(layer.colour_roles or [])


def read_cells(
    paths: Sequence[Path],
    cells: Sequence[Cell],
    first: Layer,
    bands: Sequence[int],
    note_place: Callable[[int, Grid], object] = lambda *_: None,
) -> Read:
    """Return a reader of images: position of a cell → its pixels; bands : numbers from 1, in order.

    The reader notes the location of images with a CRS."""

    def read(number: int) -> NDArray[Any]:
        row, part = cells[number]
        layer = open_image(paths[row], first)
        if layer.grid.crs is not None and not layer.synthetic:
            note_place(number, layer.grid if part is None else crop(layer.grid, part))
        return without_invalid(*layer.subset([layer.bands[band - 1] for band in bands]).read(part))

    return read


def without_invalid(values: NDArray[Any], valid: Mask) -> NDArray[Any]:
    """Values (C, H, W), as they are where all are valid, else in floating point with NaN."""
    return values if valid.all() else np.where(valid, values.astype(np.result_type(values.dtype, np.float32)), np.nan)


def cut_tiles(paths: Sequence[Path], tile_px: int) -> list[Cell]:
    """Return the number of the file and the window of all whole tiles. Raises InputError for a file smaller than a tile."""
    tiles: list[Cell] = []
    for number, path in enumerate(paths):
        height, width = Layer.open(str(path)).shape
        if min(height, width) < tile_px:
            raise InputError(f"{path} is {height} × {width} px, smaller than data.tile_px={tile_px}. Lower it.")
        starts = ((row, col) for row in range(height // tile_px) for col in range(width // tile_px))
        tiles += [(number, Window(row * tile_px, col * tile_px, tile_px, tile_px)) for row, col in starts]
    return tiles


def read_band(path: Path, side_px: int) -> NDArray[Any]:
    """Return the first band of a file, resampled to (P, P), with NaN in unseen pixels."""
    layer = open_image(path)
    with Reading(path), layer.reader.open_dataset() as dataset:
        stored = dataset.read([1], out_shape=(1, side_px, side_px), resampling=Resampling.bilinear)
        valid = dataset.read_masks(1, out_shape=(side_px, side_px), resampling=Resampling.nearest) > 0
    return without_invalid(to_physical(stored, layer.scaling[:1]), valid)[0]


def file_bands(layer: Layer, bands: Sequence[str], *, chosen: bool) -> tuple[str, ...]:
    """Return the bands of a file in order, from recipe or card; names in the file must not contradict them; `chosen`: by name."""
    own = tuple(layer.band_names)
    if not bands:
        return tuple(map(name_band, own)) if chosen else own
    if len(bands) != layer.count:
        raise InputError(
            f"{layer.source} has {layer.count} bands, expected {len(bands)}: {', '.join(bands)}. Set data.file_bands to the bands of "
            "the files."
        )
    if _named(layer) and set(map(name_band, own)) == set(map(name_band, bands)):
        check_band_order(own, bands, layer.source)
    return tuple(map(name_band, bands))


def choose_bands(bands: Sequence[str], chosen: Sequence[str], where: str) -> tuple[list[int], tuple[str, ...]]:
    """Numbers from 1 and names of the bands that the network takes. Errors: InputError for bands that the files lack."""
    names = tuple(map(name_band, chosen)) or tuple(bands)
    missing = [name for name in names if name not in bands]
    if missing:
        raise InputError(
            f"{where} has no band {', '.join(missing)}; it has {', '.join(bands)}. Set data.bands to some of these."
        )
    return [list(bands).index(name) + 1 for name in names], names
