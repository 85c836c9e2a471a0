"""Opens a file, tiles side by side or files as bands as one source, which another process opens again by the same paths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from deepnets4eo.formats import open_raster, raster_wavelengths_nm
from deepnets4eo.rasters.band_subset import alpha_bands
from deepnets4eo.rasters.file_source import FileSource, from_anywhere
from deepnets4eo.rasters.mosaic import MARK, find_tiles, mosaic_vrt, stack_files, stack_vrt


def open_files(source: str | Path | Sequence[str | Path], nodata: float | None) -> FileSource:
    """Open a file, tiles of a folder, glob or list, or the files of `FOLDER#bands` as bands."""
    if isinstance(source, (str, Path)) and str(source).endswith(MARK):
        return open_stack(stack_files(str(source)), nodata)
    tiles = find_tiles(source)
    if len(tiles) == 1:
        return FileSource(tiles[0], tiles[0], tiles, nodata)
    vrt, physical = mosaic_vrt(tiles, nodata)
    file, name = MemoryFile(vrt.encode(), ext=".vrt"), f"{Path(tiles[0]).parent} ({len(tiles)} tiles)"
    opened = FileSource(
        name, file.name, tiles, None if physical else nodata, held=file,
        open_again=partial(open_files, [*map(from_anywhere, tiles)], nodata),
        open_with=partial(open_files, source) if physical else None,
    )  # fmt: skip
    with open_raster(tiles[0]) as first:  # the mosaic has no metadata of bands
        opened.wavelengths_nm = raster_wavelengths_nm(first)
        marked = [opened.band_names[band - 1] for band in alpha_bands(first)]
        opened.unmasked_bands = [] if ColorInterp.alpha.name in (opened.colour_roles or []) else marked
    return opened


def open_stack(paths: Sequence[str], nodata: float | None) -> FileSource:
    """Open files of one grid as bands of one raster, in this order."""
    vrt, wavelengths_nm = stack_vrt(paths)
    file = MemoryFile(vrt.encode(), ext=".vrt")
    name, again = f"{Path(paths[0]).parent} ({len(paths)} files as bands)", [*map(from_anywhere, paths)]
    opened = FileSource(name, file.name, list(paths), nodata, held=file, open_again=partial(open_stack, again, nodata))
    opened.wavelengths_nm = wavelengths_nm
    return opened
