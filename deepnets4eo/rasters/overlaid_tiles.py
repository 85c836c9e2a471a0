"""Tiles of a mosaic, and files of one ground given as tiles: bands of one image, which are refused, and tiles that nothing shows of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from affine import Affine
from rasterio.enums import ColorInterp

from deepnets4eo.errors import GridError
from deepnets4eo.formats import StoredValues
from deepnets4eo.rasters.band_roles import is_band_name
from deepnets4eo.rasters.radar_bands import is_polarisation


class MosaicTile(NamedTuple):
    """One tile of a mosaic: what GDAL opens (`target`, `plain` without alpha), its grid and its bands, in an `order`."""

    path: str
    target: str
    plain: str
    unmasked: bool
    height: int
    width: int
    transform: Affine
    crs: str
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    roles: tuple[ColorInterp, ...]
    masked: bool
    names: tuple[str | None, ...]
    stored: tuple[StoredValues, ...]
    order: tuple[int, ...]
    waves: tuple[float | None, ...]
    tags: dict[str, str]


def check_are_no_bands(tiles: Sequence[MosaicTile]) -> None:
    """Refuse tiles on one grid whose names or band names indicate different bands: the last would hide the others (GridError)."""
    on_ground: dict[tuple[object, ...], list[MosaicTile]] = defaultdict(list)
    for tile in tiles:
        ground = (tile.crs, tile.height, tile.width, *(round(value, 9) for value in tile.transform))
        for other in on_ground[ground]:
            if names := _other_bands(other, tile):
                raise GridError(
                    f"{other.path} and {tile.path} lie on the same ground and show {' and '.join(names)}: they are bands of one image, and as "
                    f"tiles the last would hide the others. Give them as bands, {Path(tile.path).parent}#bands (files of one grid)."
                )
        on_ground[ground].append(tile)


def _other_bands(first: MosaicTile, tile: MosaicTile) -> tuple[str, ...]:
    """Return the differing band names of two single-band files, from their descriptions or file names; () if none differ."""
    if len(first.dtypes) > 1:
        return ()
    one, other = ({*_words(tile.names[0] or "")} or {*_words(Path(tile.path).stem)} for tile in (first, tile))
    names = tuple(next(filter(_is_band, sorted(words)), "") for words in (one - other, other - one))
    return names if all(names) else ()


def _words(name: str) -> list[str]:
    return re.findall("[a-z0-9]+", name.casefold())


def _is_band(word: str) -> bool:
    return is_polarisation(word) or is_band_name(word)


def tile_under_another(tiles: Sequence[tuple[MosaicTile, int, int]]) -> str:
    """Return a warning if a tile lies wholly under a later one without gaps, else ''. tiles : each with its column and row."""
    boxes = np.array([(col, row, col + tile.width, row + tile.height) for tile, col, row in tiles])
    for number, (tile, *_) in enumerate(tiles):
        if tile.masked or any(value is not None for value in tile.nodata):
            continue
        left, top, right, bottom = boxes[number]
        earlier = boxes[:number]
        covered = (earlier[:, :2] >= (left, top)).all(axis=1) & (earlier[:, 2:] <= (right, bottom)).all(axis=1)
        if covered.any():
            hidden = tiles[int(covered.argmax())][0].path
            return (
                f"{hidden} lies wholly under {tile.path}, so that nothing of it is seen. Leave one of them out; files of one grid that are bands "
                f"of one image are given as {Path(hidden).parent}#bands."
            )
    return ""
