"""Several files as one raster, described in memory: tiles side by side as a mosaic, or files of one size as its bands.

Refuses files that do not fit, naming both.
"""

from __future__ import annotations

import glob
import logging
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import rasterio.shutil
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.addresses import file_name_of, without_secrets
from deepnets4eo.degree_boxes import Box, box_text, box_width
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.formats import (
    READ_ERRORS,
    Declared,
    StoredValues,
    clear_messages,
    envi,
    is_remote,
    missing_error,
    open_raster,
    parse_zarr,
    warn_of_left_out,
)
from deepnets4eo.grid import NO_CRS_REMEDY, Grid, Window, check_affine, window_under
from deepnets4eo.rasters.band_roles import has_centre, name_band
from deepnets4eo.rasters.band_subset import alpha_bands, false_alpha, gdal_type, with_alpha_as_mask, without_alpha
from deepnets4eo.rasters.longitudes import turned_towards
from deepnets4eo.rasters.overlaid_tiles import MosaicTile, check_are_no_bands, tile_under_another
from deepnets4eo.rasters.radar_bands import stated_unit
from deepnets4eo.rasters.shared_tags import shared_tags
from deepnets4eo.rasters.values import (
    describe_vrt,
    same_nodata,
    same_unit,
    storable_nodata,
)
from deepnets4eo.rasters.virtual import declared_of

TILE_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img"}

log = logging.getLogger(__name__)
MIN_MOVE_PX = 0.05  # pixels by which a tile is moved, to be named
MARK = "#bands"  # after a folder or pattern: its files are bands, not tiles


def find_tiles(source: str | Path | Sequence[str | Path]) -> list[str]:
    """Return the files behind a source, one for a single raster; InputError for a missing path, an empty folder or list."""
    if not isinstance(source, (str, Path)):
        tiles = [str(item) for item in source]
        if not tiles:
            raise InputError("the list of tiles is empty. Give at least one raster.")
        return tiles
    text, path = str(source), Path(source)
    if parse_zarr(text) is not None:
        return [text]
    if path.is_dir():
        tiles = sorted(str(item) for item in path.iterdir() if item.suffix.lower() in TILE_SUFFIXES)
        if not tiles:
            raise InputError(f"the folder {path} holds no raster ({', '.join(sorted(TILE_SUFFIXES))}). Check the path.")
        read = f"Tiles of a folder are {', '.join(sorted(TILE_SUFFIXES))}; name others by a pattern, or write them as GeoTIFF."
        warn_of_left_out(path, map(Path, tiles), read, deep=False)
        return tiles
    if any(mark in text for mark in "*?") and not is_remote(text):
        tiles = sorted(glob.glob(text))
        if not tiles:
            raise InputError(f"no file matches {text}. Check the pattern.")
        return tiles
    if not is_remote(text) and not path.exists():
        raise missing_error(text)
    return [str(envi.image_file(path)) if envi.is_header(path) else text]


class MosaicText(NamedTuple):
    """A mosaic as GDAL reads it.

    vrt : a virtual raster; physical : whether its values are physical, as the tiles have other scales; hidden : what to report of a tile
    under another one, '' without any
    """

    vrt: str
    physical: bool
    hidden: str


def mosaic_vrt(
    paths: Sequence[str], nodata: float | None = None, box: Box | None = None, tags: Mapping[str, str] | None = None
) -> MosaicText:
    """Return a GDAL virtual raster over tiles, later ones on top; tiles of other scales become physical values.

    box : in degrees, to crop to. Errors: GridError for tiles that differ in kind, are bands, have no georeference, or do not reach into
    the box.
    """
    tiles = [_describe(path) for path in paths]
    check_are_no_bands(tiles)
    if nodata is not None:
        tiles = [
            tile._replace(nodata=tuple(storable_nodata(np.dtype(kind), nodata) for kind in tile.dtypes))
            for tile in tiles
        ]
    _check_placed(tiles)
    if any(tile.unmasked for tile in tiles):
        tiles = [_without_alpha(tile) for tile in tiles]
    if box is not None:
        tiles = [_turned_towards(tile, box) for tile in tiles]
    first = tiles[0]
    tiles = [_in_order_of(first, tile) for tile in tiles]
    for tile in tiles[1:]:
        _check_same_kind(first, tile)
    scale = (first.transform.a, first.transform.e)
    offsets = [~first.transform * (tile.transform.c, tile.transform.f) for tile in tiles]
    _name_moved_tiles(tiles, offsets)
    left, top = round(min(col for col, _ in offsets)), round(min(row for _, row in offsets))
    offset_tiles = [
        (tile, round(col) - left, round(row) - top) for tile, (col, row) in zip(tiles, offsets, strict=True)
    ]
    width = max(col + tile.width for tile, col, _ in offset_tiles)
    height = max(row + tile.height for tile, _, row in offset_tiles)
    hidden = tile_under_another(offset_tiles)
    if hidden:
        _warn_of_hidden_tile(hidden)
    if box is not None:
        grid = GeoBox((height, width), first.transform * Affine.translation(left, top), first.crs or None)
        window = _window_of_box(grid, box, first.path)
        left, top, height, width = left + window.col, top + window.row, window.height, window.width
        moved = [(tile, col - window.col, row - window.row) for tile, col, row in offset_tiles]
        offset_tiles = [
            (tile, col, row) for tile, col, row in moved if -tile.width < col < width and -tile.height < row < height
        ]
    x, y = first.transform * (left, top)
    bands = "".join(_band(first, band, offset_tiles) for band in range(1, len(first.dtypes) + 1))
    unstated = [band for band, value in enumerate(first.nodata, start=1) if value is None]
    mask = _mask(offset_tiles, unstated[0]) if unstated and ColorInterp.alpha not in first.roles else ""
    every = shared_tags([(tile.path, tile.tags) for tile in tiles]) | without_secrets(dict(tags or {}))
    vrt = (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{escape(first.crs)}</SRS>{_metadata(every)}'
        f"<GeoTransform>{x!r}, {scale[0]!r}, {first.transform.b!r}, {y!r}, {first.transform.d!r}, {scale[1]!r}</GeoTransform>{bands}{mask}</VRTDataset>"
    )
    return MosaicText(vrt, _differ(tiles), hidden)


def _metadata(tags: Mapping[str, str]) -> str:
    items = (f'<MDI key="{escape(name)}">{escape(value)}</MDI>' for name, value in tags.items())
    return f"<Metadata>{''.join(items)}</Metadata>"


def _name_moved_tiles(tiles: Sequence[MosaicTile], offsets: Sequence[tuple[float, float]]) -> None:
    """Warn by how much tiles are moved that do not lie on the pixels of the first tile."""
    parts = np.array([(col - round(col), row - round(row)) for col, row in offsets])
    moved = np.hypot(*parts.T)
    if moved.max() > MIN_MOVE_PX:
        number = int(moved.argmax())
        _warn_of_move(tiles[number].path, tiles[0].path, *(round(abs(float(part)), 2) for part in parts[number]),
                      int((moved > MIN_MOVE_PX).sum()), len(tiles))  # fmt: skip


@lru_cache(maxsize=256)
def _warn_of_move(tile: str, first: str, across: float, down: float, count: int, tiles: int) -> None:
    """Once for each mosaic, which several steps of a job open."""
    log.warning(
        "%d of %d tiles do not lie on the pixels of %s; they are moved to them, %s the farthest: by %g pixels across and %g down. Where that "
        "matters, bring them to one grid: gdalwarp -tap -tr X Y.", count, tiles, first, tile, across, down,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _warn_of_hidden_tile(text: str) -> None:
    """Once for each mosaic, which several steps of a job open."""
    log.warning("%s", text)


def _turned_towards(tile: MosaicTile, box: Box) -> MosaicTile:
    """Return a tile in degrees in the longitudes of a box, so that tiles on both sides of 180° are next to each other."""
    grid = GeoBox((tile.height, tile.width), tile.transform, tile.crs or None)
    return tile._replace(transform=turned_towards(grid, _grid_of_box(box)).affine)


def _window_of_box(grid: Grid, box: Box, name: str) -> Window:
    """Return the window of pixels that a box of degrees intersects. Errors: GridError with the raster's name if it is empty."""
    if grid.crs is None:
        raise GridError(f"{name} has no CRS, so that it cannot be cropped to a box of degrees. {NO_CRS_REMEDY}")
    window = window_under(grid, _grid_of_box(box))
    if not (window.height and window.width):
        raise GridError(f"{name} does not reach into the box {box_text(box)} (west, south, east, north). Check both.")
    return window


def _grid_of_box(box: Box) -> Grid:
    west, south, _, north = box
    return GeoBox((1, 1), Affine(box_width(box), 0, west, 0, south - north, north), "EPSG:4326")


def copy_box(paths: Sequence[str], box: Box, tags: Mapping[str, str], out: Path) -> None:
    """Write the mosaic of tiles, cropped to a box of degrees, as a COG with tags; reads the blocks in it. Errors: see `mosaic_vrt`; InputError."""
    text = mosaic_vrt(paths, None, box, tags).vrt
    with MemoryFile(text.encode(), ext=".vrt") as file, open_raster(file.name) as dataset, atomic_write(out) as partial:
        try:
            rasterio.shutil.copy(dataset, partial, driver="COG", compress="deflate", bigtiff="if_safer")
        except READ_ERRORS as error:
            raise InputError(
                f"{paths[0]} could not be copied to {out}: {error}. Check the network and the disk, and start again."
            ) from error


def _differ(tiles: Sequence[MosaicTile]) -> bool:
    """Return whether the numbers of some tiles have another scale or offset than the numbers of other tiles."""
    return len({tuple((stored.scale, stored.offset) for stored in tile.stored) for tile in tiles}) > 1


def _describe(path: str) -> MosaicTile:
    with open_raster(path) as tile:
        check_affine(tile.transform, (tile.height, tile.width), path)
        known_mask = MaskFlags.per_dataset in tile.mask_flag_enums[0]
        clear_messages(tile)
        hidden_by_alpha = bool(alpha_bands(tile)) and not known_mask
        declared = declared_of(tile, path)
        declared.check({"complex", "values"})  # a turned picture or further pages would be read as they are stored
        return MosaicTile(
            path,
            with_alpha_as_mask(tile) if hidden_by_alpha else _gdal_name(path),
            without_alpha(tile) if alpha_bands(tile) else "",
            bool(false_alpha(tile)),
            tile.height,
            tile.width,
            tile.transform,
            tile.crs.to_wkt() if tile.crs else "",
            tile.dtypes,
            declared.only_nodata,
            tile.colorinterp,
            known_mask or hidden_by_alpha,
            tuple(band.name for band in declared.bands),
            tuple(declared.stored),
            tile.indexes,
            tuple(band.wavelength_nm for band in declared.bands),
            declared.layer_tags,
        )


def _gdal_name(path: str) -> str:
    """Return a path whose blocks GDAL can read: by the plain address it would download a remote file as a whole."""
    if not is_remote(path):
        return str(Path(path).resolve())
    if path.startswith(("http://", "https://")):  # nothing beside it is looked for, as in `open_raster`
        return f"/vsicurl?empty_dir=yes&url={quote(path, safe='')}"
    scheme, _, rest = path.partition("://")
    return f"/vsi{scheme}/{rest}" if rest and scheme in ("s3", "gs", "az") else path


def _in_order_of(first: MosaicTile, tile: MosaicTile) -> MosaicTile:
    """Return a tile with its bands in the order of another tile's, matched by equal names, or else by equal colours."""
    for mine, other in ((_usual_names(tile.names), _usual_names(first.names)), (tile.roles, first.roles)):
        if mine != other and len(set(mine)) == len(mine) == len(other) and set(mine) == set(other):
            positions = [mine.index(name) for name in other]
            moved: dict[str, Any] = {
                name: tuple(getattr(tile, name)[position] for position in positions)
                for name in ("dtypes", "nodata", "roles", "names", "stored", "order", "waves")
            }
            return tile._replace(**moved)
        if all(other):  # names decide where there are some
            break
    return tile


def _usual_names(names: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(name_band(name or "") for name in names)


def _without_alpha(tile: MosaicTile) -> MosaicTile:
    """Return a tile with its alpha band treated as an ordinary band, as the alpha band of some tile is not a mask."""
    roles = tuple(ColorInterp.undefined if role == ColorInterp.alpha else role for role in tile.roles)
    return tile._replace(target=tile.plain, roles=roles, masked=False) if tile.plain else tile


def _check_placed(tiles: Sequence[MosaicTile]) -> None:
    unplaced = [tile.path for tile in tiles if tile.transform.is_identity and not tile.crs]
    if len(tiles) > 1 and unplaced:
        raise GridError(
            f"{unplaced[0]} has no georeference, and is one of {len(tiles)} tiles: they cannot be put together. Give the files one "
            "by one, or with world files."
        )


def _check_same_kind(first: MosaicTile, tile: MosaicTile) -> None:
    a, b = first.transform, tile.transform
    differences = {
        "CRS": first.crs != tile.crs,
        "bands or data type": first.dtypes != tile.dtypes,
        "what their bands show": _known(first)
        and _known(tile)
        and _usual_names(first.names) != _usual_names(tile.names),
        "wavelengths": len(first.waves) == len(tile.waves) and first.waves != tile.waves,
        "nodata value": not all(map(same_nodata, first.nodata, tile.nodata)),
        "unit": not all(
            same_unit(stored.unit, other.unit) for stored, other in zip(first.stored, tile.stored, strict=False)
        ),
        "the direction of their rows (one runs from south to north)": a.e * b.e < 0,
        "the direction of their columns": a.a * b.a < 0,
        "resolution": any(abs(abs(size) - abs(other)) > 1e-6 * abs(size) for size, other in ((a.a, b.a), (a.e, b.e))),
        "rotation": any((a.b, a.d, b.b, b.d)),
    }
    wrong = [name for name, differs in differences.items() if differs]
    if wrong:
        raise GridError(
            f"{tile.path} and {first.path} differ in {', '.join(wrong)}: they make no mosaic. "
            "Bring them to one grid first, e.g. with gdalwarp; layers of one site are named file by file."
        )


def _known(tile: MosaicTile) -> bool:
    """Return whether all bands have names of colours or of Sentinel-2's bands."""
    return all(has_centre(name) for name in _usual_names(tile.names))


def _band(first: MosaicTile, band: int, offset_tiles: Sequence[tuple[MosaicTile, int, int]]) -> str:
    alpha, stored, value = first.roles[band - 1] == ColorInterp.alpha, first.stored[band - 1], first.nodata[band - 1]
    physical = _differ([tile for tile, _, _ in offset_tiles]) and not alpha
    no_value = value if not physical or value is None else math.nan
    nodata = "" if no_value is None else f"<NoDataValue>{no_value!r}</NoDataValue>"
    role = f"<ColorInterp>{first.roles[band - 1].name.title()}</ColorInterp>"
    name = f"<Description>{escape(first.names[band - 1] or '')}</Description>"
    skipped = 0 if alpha else value
    sources = "".join(
        _source(tile, str(tile.order[band - 1]), col, row, skipped, tile.stored[band - 1] if physical else None)
        for tile, col, row in offset_tiles
    )
    dtype = np.dtype(first.dtypes[band - 1])
    kind = gdal_type(np.result_type(dtype, np.float32).name if physical else dtype.name)
    meant = describe_vrt(StoredValues(unit=stored.unit) if physical else stored)
    return f'<VRTRasterBand dataType="{kind}" band="{band}">{name}{role}{nodata}{meant}{sources}</VRTRasterBand>'


def _mask(offset_tiles: Sequence[tuple[MosaicTile, int, int]], band: int) -> str:
    """Return the mask band from the tiles' masks; `band` has no nodata value to mark the gaps between tiles."""
    sources = "".join(_source(tile, f"mask,{tile.order[band - 1]}", col, row, 0) for tile, col, row in offset_tiles)
    return f'<MaskBand><VRTRasterBand dataType="Byte">{sources}</VRTRasterBand></MaskBand>'


def _source(
    tile: MosaicTile, band: str, col: int, row: int, nodata: float | None, scaled: StoredValues | None = None
) -> str:
    """One tile in a band. nodata : what is left out. scaled : how its numbers are brought to physical values, None to keep them."""
    kind, skip = "SimpleSource", ""  # which keeps all digits of 64-bit integers, and is faster
    if nodata is not None:
        kind, skip = "ComplexSource", f"<NODATA>{nodata!r}</NODATA>"
    elif tile.masked:
        kind, skip = "ComplexSource", "<UseMaskBand>true</UseMaskBand>"
    if scaled is not None:
        kind = "ComplexSource"
        skip += f"<ScaleOffset>{scaled.offset!r}</ScaleOffset><ScaleRatio>{scaled.scale!r}</ScaleRatio>"
    size = f'xSize="{tile.width}" ySize="{tile.height}"'
    return (
        f'<{kind}><SourceFilename relativeToVRT="0">{escape(tile.target)}</SourceFilename><SourceBand>{band}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{col}" yOff="{row}" {size}/>{skip}</{kind}>'
    )


def names_bands(source: Any) -> bool:
    """Return whether a source is a folder or pattern whose files are bands: `FOLDER#bands`."""
    return isinstance(source, (str, Path)) and str(source).endswith(MARK)


def stack_files(source: str) -> list[str]:
    """Return the files behind `FOLDER#bands` or `PATTERN#bands`, sorted by the numbers in their names (B2 before B10)."""
    return sorted(find_tiles(source.removesuffix(MARK)), key=_natural)


def stack_vrt(paths: Sequence[str]) -> tuple[str, list[float | None]]:
    """Return a GDAL virtual raster of all bands of files, and their wavelengths; GridError if size, georeference or tags contradict."""
    if not paths:
        raise InputError("the list of bands is empty. Give at least one raster.")
    bands, wavelengths = list[str](), list[float | None]()
    parts = list[tuple[str, Mapping[str, str]]]()
    first: tuple[object, ...] = ()
    for path in paths:
        with open_raster(path) as file:
            crs = file.crs.to_wkt() if file.crs else ""
            kind = (file.shape, tuple(round(value, 9) for value in file.transform), crs, file.dtypes[0])
            first = first or kind
            _check_same_pixels(paths[0], first, path, kind)
            declared = declared_of(file, path)
            declared.check({"complex", "values"})
            bands += _stacked_bands(file, declared, len(bands))
            wavelengths += [band.wavelength_nm for band in declared.bands]
            parts.append((path, declared.layer_tags))
            (height, width), t = file.shape, file.transform
    affine = f"{t.c!r}, {t.a!r}, {t.b!r}, {t.f!r}, {t.d!r}, {t.e!r}"
    georeference = "" if t.is_identity else f"<GeoTransform>{affine}</GeoTransform>"
    vrt = (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{escape(crs)}</SRS>{georeference}'
        f"{_metadata(shared_tags(parts, as_bands=True))}{''.join(bands)}</VRTDataset>"
    )
    return vrt, wavelengths


def _stacked_bands(file: DatasetReader, declared: Declared, count: int) -> list[str]:
    """Return the bands of a file behind `count` others; a unit that the file states for all of its bands is each band's."""
    path = declared.source
    if MaskFlags.per_dataset in file.mask_flag_enums[0]:
        raise GridError(
            f"{path} has a mask or an alpha band, which bands of one cube cannot keep each for itself. Write its hidden "
            f"pixels as a nodata value: gdalwarp -dstnodata VALUE {path} OUT.tif"
        )
    is_stated = any(band.stored.unit for band in declared.bands)
    unit = "" if is_stated else declared.unit or stated_unit((), (), declared.tags) or ""
    stem, target, bands = PurePath(file_name_of(path)).stem, _gdal_name(path), list[str]()
    for number, (band, value) in enumerate(zip(declared.bands, declared.only_nodata, strict=True), start=1):
        name = band.name or stem + (f" {number}" if file.count > 1 else "")
        nodata = "" if value is None else f"<NoDataValue>{value!r}</NoDataValue>"
        stored = band.stored if band.stored.unit else band.stored._replace(unit=unit)
        bands.append(
            f'<VRTRasterBand dataType="{gdal_type(file.dtypes[0])}" band="{count + number}">'
            f"<Description>{escape(name)}</Description>{nodata}{describe_vrt(stored)}<SimpleSource>"
            f'<SourceFilename relativeToVRT="0">{escape(target)}</SourceFilename>'
            f"<SourceBand>{number}</SourceBand></SimpleSource></VRTRasterBand>"
        )
    return bands


def _check_same_pixels(first_path: str, first: tuple[object, ...], path: str, kind: tuple[object, ...]) -> None:
    names = ("size", "georeference", "CRS", "data type")
    wrong = [name for name, a, b in zip(names, first, kind, strict=True) if a != b]
    if wrong:
        raise GridError(
            f"{path} and {first_path} differ in {', '.join(wrong)}: they are no bands of one cube. Bring them to one grid "
            "and type first, e.g. with gdalwarp -tr … -ot …"
        )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", file_name_of(name))]
