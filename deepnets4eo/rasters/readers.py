"""Readers of rasters by the text that names a source: the first one that takes the text opens it.

A plain file (GeoTIFF, JPEG 2000, PNG, JPEG) is opened at once. Readers of other packages are entry points of the group
`deepnets4eo.readers`, named after the suffix of their files; only the one of the file's suffix is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deepnets4eo.cards import split_card
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.formats import Asset, asset_of
from deepnets4eo.grid import Grid
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.rasters.array_files import open_reference
from deepnets4eo.rasters.array_source import Source
from deepnets4eo.rasters.file_source import FileSource
from deepnets4eo.rasters.opening import open_files, open_plain

PLAIN_SUFFIXES = {".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg"}  # that no other kind of source has


@dataclass(frozen=True)
class OpenRequest:
    """Values that a caller states for a source.

    Parameters
    ----------
    nodata : value that means no data, as it is stored; replaces the file's own
    grid : position of an array; None for the file's own position
    labels : whether categories are read
    """

    nodata: float | None = None
    grid: Grid | None = None
    labels: bool = False


class Reader(Protocol):
    """Opens one kind of source.

    The source that it returns states with `declared` all that the file states of itself: names, units, nodata, scale and offset.
    """

    def __call__(self, text: str, request: OpenRequest) -> Source | None:
        """Open a source; return None if the text names another kind. Errors: InputError for a damaged source of this kind."""


def read_plain_file(text: str, request: OpenRequest) -> FileSource | None:
    """Open one raster file of a usual format."""
    path = Path(text)
    if path.suffix.lower() not in PLAIN_SUFFIXES or not path.is_file():
        return None
    return open_plain(text, request.nodata)


def read_with_plugin(text: str, request: OpenRequest) -> Source | None:
    """Open a file by the reader that another package has registered for its suffix."""
    entry = plugins_of("readers").get(Path(text).suffix.lower().removeprefix("."))
    if entry is None:
        return None
    remedy = f"Its reader is {entry.value}: report it to whoever wrote that package."
    with Reading(text, remedy):
        reader: Reader = load_plugin(entry)
        source = reader(text, request)
    if source is not None and not isinstance(source, Source):
        raise InputError(
            f"{text} was read as {type(source).__name__}; expected a source of a raster (rasters.Source). {remedy}"
        )
    return source


def open_asset(asset: Asset, nodata: float | None) -> FileSource:
    """Open the raster of an item of STAC, with the bands that the item states."""
    return open_files(asset.target, nodata).with_stated(asset.bands)


def read_stac_asset(text: str, request: OpenRequest) -> FileSource | None:
    """Open the raster that an item of STAC refers to."""
    asset = asset_of(text)
    return None if asset is None else open_asset(asset, request.nodata)


def read_array(text: str, request: OpenRequest) -> Source | None:
    """Open an array of a MATLAB, HDF5 or NumPy file, or a tile of TESSERA."""
    return open_reference(text, request.grid, request.nodata, labels=request.labels)


def read_with_card(text: str, request: OpenRequest) -> FileSource | None:
    """Open a raster of embeddings whose card is named behind it: FILE#CARD."""
    named = split_card(text) if "#" in text else None
    return None if named is None else open_files(named[0], request.nodata).with_card(named[1])


def read_files(text: str, request: OpenRequest) -> FileSource:
    """Open what is left: addresses, Zarr groups, other formats of GDAL, folders and patterns of tiles, FOLDER#bands."""
    return open_files(text, request.nodata)


READERS: tuple[Reader, ...] = (
    read_plain_file,
    read_with_plugin,
    read_stac_asset,
    read_array,
    read_with_card,
    read_files,
)


def open_source(text: str, request: OpenRequest) -> Source:
    """Open a source by the first reader that takes it. Errors: InputError; GridError for tiles that make no mosaic."""
    opened = (reader(text, request) for reader in READERS)
    return next(source for source in opened if source is not None)
