"""Opens a file, tiles side by side or files as bands as one source, which another process opens again by the same paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from deepnets4eo.errors import Reading
from deepnets4eo.formats import open_raster
from deepnets4eo.rasters.band_subset import alpha_bands
from deepnets4eo.rasters.file_source import FileSource, from_anywhere
from deepnets4eo.rasters.mosaic import find_tiles, mosaic_vrt, names_bands, stack_files, stack_vrt
from deepnets4eo.rasters.virtual import declared_of


@Reading.of_source("Is it whole? Copy it again.")
def open_plain(path: str, nodata: float | None) -> FileSource:
    """Open one raster file."""
    return FileSource(path, path, [path], nodata)


@Reading.of_source("Is it whole? Copy it again.")
def open_files(source: str | Path | Sequence[str | Path], nodata: float | None) -> FileSource:
    """Open a file, tiles of a folder, glob or list, or the files of `FOLDER#bands` as bands."""
    if names_bands(source):
        return open_stack(stack_files(str(source)), nodata)
    tiles = find_tiles(source)
    if len(tiles) == 1:
        return open_plain(tiles[0], nodata)
    vrt, physical, hidden = mosaic_vrt(tiles, nodata)
    file, name = MemoryFile(vrt.encode(), ext=".vrt"), f"{Path(tiles[0]).parent} ({len(tiles)} tiles)"
    opened = FileSource(
        name, file.name, tiles, None if physical else nodata, held=file,
        open_again=partial(open_files, [*map(from_anywhere, tiles)], nodata),
        open_with=partial(open_files, source) if physical else None,
    )  # fmt: skip
    opened.hidden_tile = hidden
    with open_raster(tiles[0]) as first:  # the mosaic has no metadata of bands
        waves = [band.wavelength_nm for band in declared_of(first, tiles[0]).bands]
        is_masked = ColorInterp.alpha.name in (opened.declared.colours or [])
        unmasked = () if is_masked else tuple(alpha_bands(first))
        opened.declared = replace(opened.declared.with_bands(wavelength_nm=waves), unmasked=unmasked)
    return opened


def open_stack(paths: Sequence[str], nodata: float | None) -> FileSource:
    """Open files of one grid as bands of one raster, in this order."""
    vrt, wavelengths_nm = stack_vrt(paths)
    file = MemoryFile(vrt.encode(), ext=".vrt")
    name, again = f"{Path(paths[0]).parent} ({len(paths)} files as bands)", [*map(from_anywhere, paths)]
    opened = FileSource(name, file.name, list(paths), nodata, held=file, open_again=partial(open_stack, again, nodata))
    opened.declared = opened.declared.with_bands(wavelength_nm=wavelengths_nm)
    return opened
