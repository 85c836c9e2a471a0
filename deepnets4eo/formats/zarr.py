"""Zarr stores of version 2 and 3 in a folder: known by their metadata, and checked before GDAL's driver opens them.

Takes `FOLDER.zarr`, or `FOLDER.zarr#ARRAY` where several arrays can be meant. Refuses links, which lead out of the store, and chunks
that unpack to too much."""

from __future__ import annotations

import json
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from deepnets4eo.errors import InputError

ARRAYS = (".zarray", "zarr.json")  # names of metadata of version 2 and 3
MARKS = (".zgroup", *ARRAYS)
COORDINATES = ("y", "x", "lat", "lon", "latitude", "longitude", "northing", "easting")
CRS_WORDS = ("proj:code", "proj:wkt2", "proj:projjson")  # of GeoZarr, which GDAL does not read in all versions
TRANSFORM = "spatial:transform"
MAX_METADATA_BYTES = 16 << 20
MAX_CHUNK_VALUES = 1 << 27  # 1 GB of double precision


class ZarrReference(NamedTuple):
    """A store and the name of one of its arrays, empty for the only one."""

    path: Path
    array: str


def parse_zarr(text: str) -> ZarrReference | None:
    """Return the store that a text refers to; None for anything else.

    >>> parse_zarr("image.tif") is None
    True
    """
    if is_zarr(Path(text)):
        return ZarrReference(Path(text), "")
    path, mark, array = text.rpartition("#")
    return ZarrReference(Path(path), array) if mark and is_zarr(Path(path)) else None


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store."""
    return path.is_dir() and any((path / name).is_file() for name in MARKS)


def gdal_name(store: ZarrReference) -> str:
    """Return the GDAL name of a checked store: the named array, or the only array of two or three axes; else InputError."""
    path = os.path.abspath(store.path)
    axes = _axes_of(Path(path), store.path.stat().st_mtime_ns)
    images = [name for name, count in axes.items() if count in (2, 3)]
    array = store.array.strip("/") or (images[0] if len(images) == 1 else None)
    if array not in images or '"' in path:
        what = "is no array of two or three axes in it" if store.array else "does not state which of its arrays to read"
        raise InputError(
            f"{store.path}{store.array and '#' + store.array} {what}. Name one: {store.path}#ARRAY. It holds {', '.join(axes) or 'none'}."
        )
    _check_coordinates(store.path, array or "")
    return f'ZARR:"{path}":/{array}' if array else path


def stated_place(store: ZarrReference) -> tuple[str, tuple[float, ...]]:
    """Return CRS ("" if none) and transform (a, b, c, d, e, f; () if none) that attributes of an array or of its groups state as GeoZarr."""
    folder = store.path / store.array.strip("/")
    stated: dict[str, Any] = {}
    for home in (folder, *folder.parents):
        stated = attributes_of(home) | stated
        if home == store.path:
            break
    crs = next((stated[word] for word in CRS_WORDS if stated.get(word)), None)
    transform = stated.get(TRANSFORM)
    try:
        numbers = tuple(float(number) for number in transform[:6])  # type: ignore[index]
    except (TypeError, ValueError):
        numbers = ()
    usable = len(numbers) == 6 and all(map(math.isfinite, numbers))
    return "" if crs is None else crs if isinstance(crs, str) else json.dumps(crs), numbers if usable else ()


def attributes_of(folder: Path) -> dict[str, Any]:
    """Return the attributes of an array or group, {} if they cannot be read."""
    for name, inner in ((".zattrs", ""), ("zarr.json", "attributes")):
        file = folder / name
        if file.is_file() and file.stat().st_size <= MAX_METADATA_BYTES:
            try:
                content = json.loads(file.read_bytes())
                content = content.get(inner, {}) if inner else content
            except (ValueError, AttributeError, RecursionError):
                continue
            return content if isinstance(content, dict) else {}
    return {}


def _check_coordinates(path: Path, array: str) -> None:
    """Refuse (InputError) coordinates that are stored with a scale or an offset, which GDAL does not follow."""
    home = (path / array).parent if array else path
    for name in COORDINATES:
        stated = attributes_of(home / name)
        if stated.get("scale_factor", 1) != 1 or stated.get("add_offset", 0) != 0:
            raise InputError(
                f"{path} stores its coordinates {name} with scale_factor {stated.get('scale_factor', 1)} and add_offset "
                f"{stated.get('add_offset', 0)}, which are not followed: pixels would lie elsewhere. Write them as plain numbers, with "
                f"xarray: del data.{name}.encoding['scale_factor'] before to_zarr."
            )


@lru_cache(maxsize=64)
def _axes_of(path: Path, mtime_ns: int) -> dict[str, int]:
    """Return name and number of axes of each array of a store as it is; read once, although each thread opens the store."""
    axes = {}
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            if os.path.islink(os.path.join(folder, name)):
                raise InputError(f"{path} holds a link, {name}, which may lead anywhere. Copy the store without links.")
        for name in {*names} & {*ARRAYS}:
            chunks = _chunk_shape(Path(folder) / name)
            if chunks is None:
                continue
            if math.prod(chunks) > MAX_CHUNK_VALUES:
                raise InputError(
                    f"{folder} has chunks of {math.prod(chunks):,} values, more than {MAX_CHUNK_VALUES:,}; each is unpacked whole. "
                    "Write it with smaller chunks where you trust it."
                )
            axes["" if folder == str(path) else Path(folder).relative_to(path).as_posix()] = len(chunks)
    return dict(sorted(axes.items()))


def _chunk_shape(path: Path) -> list[int] | None:
    """Lengths of the chunks of an array by its metadata; None for a group."""
    if path.stat().st_size > MAX_METADATA_BYTES:
        raise InputError(f"{path} has more than {MAX_METADATA_BYTES:,} bytes of metadata. Is it a Zarr store?")
    try:
        metadata: dict[str, Any] = json.loads(path.read_bytes())
        if path.name == ARRAYS[1] and metadata["node_type"] != "array":
            return None
        grid = metadata if path.name == ARRAYS[0] else metadata["chunk_grid"]["configuration"]
        return [int(length) for length in grid["chunks" if path.name == ARRAYS[0] else "chunk_shape"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is no metadata of a Zarr array ({error!r}): the store is damaged. Copy it again."
        ) from error
