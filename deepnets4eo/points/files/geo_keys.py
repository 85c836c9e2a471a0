"""The CRS that the GeoTIFF keys of a LAS file name, with its linear and vertical units, also where it is user-defined.

GDAL reads the keys as those of an image of one pixel. Facts: OGC GeoTIFF 1.1; ASPRS LAS specification 1.4 R15, records
34735 to 34737.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

from pyproj import CRS
from pyproj.crs import CompoundCRS
from pyproj.database import get_units_map
from rasterio.io import MemoryFile

DIRECTORY, DOUBLES, TEXTS = 34735, 34736, 34737  # records of LAS, and tags of TIFF
GEOGRAPHIC, PROJECTED, LINEAR_UNIT, LINEAR_SIZE, VERTICAL_UNIT = 2048, 3072, 3076, 3077, 4099  # keys
USER_DEFINED = 32767
EPSG_CODES = range(1024, USER_DEFINED)
VERSION_1_1 = (1, 1, 1)  # GDAL heeds vertical keys from GeoTIFF 1.1 on
SHORT, LONG, ASCII, DOUBLE = 3, 4, 2, 12  # types of TIFF
TAGS = {DIRECTORY: (SHORT, 2), DOUBLES: (DOUBLE, 8), TEXTS: (ASCII, 1)}  # their types, and bytes of one value
# of an image of one pixel: width, height, bits, no compression, black is 0, offset, samples, rows, bytes
PIXEL = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1}
GEOREFERENCE = {33550: (1.0, 1.0, 0.0), 33922: (0.0,) * 6}  # size and position of the pixel
FIRST_ENTRY, ENTRY_BYTES = 10, 12
# Key → record that holds the value (0 for none), count, value or where it stands.
Keys = dict[int, tuple[int, int, int]]


def crs_of_keys(records: Mapping[int, bytes]) -> CRS | None:
    """Returns the CRS that GeoTIFF keys name.

    Parameters
    ----------
    records
        Bytes of the records 34735 to 34737, as far as there are some.

    Returns
    -------
    CRS or None
        Compound where the heights have a unit of their own; a local one where only units are known; None without keys.

    Raises
    ------
    Exception
        Errors of GDAL and PROJ for keys that cannot be understood.
    """
    keys = _keys(records.get(DIRECTORY, b""))
    crs = _read(keys, records) if keys else None
    if crs is None:  # texts that are cut off, of which GDAL needs all
        crs = _named(_value(keys, PROJECTED)) or _named(_value(keys, GEOGRAPHIC))
    if crs is None:
        return None
    horizontal, vertical = crs.sub_crs_list[:2] if crs.is_compound else (crs, None)
    if vertical is not None and vertical.to_epsg() is None:  # GDAL's stand-in for one that it does not know
        vertical = None
    unit_m = _linear_unit_m(keys, records)
    if horizontal.is_engineering and unit_m is not None:
        horizontal = _local(unit_m)
    horizontal = _by_code(horizontal, keys)
    height_m = _units_m().get(_value(keys, VERTICAL_UNIT))
    if height_m is not None and height_m != _unit_m(horizontal if vertical is None else vertical):
        vertical = _heights(height_m, vertical)
    if vertical is None:
        return horizontal
    return CompoundCRS(f"{horizontal.name} + {vertical.name}", [horizontal, vertical])


def _keys(directory: bytes) -> Keys:
    """Returns the keys of a directory, without the zeros that some programs write behind them."""
    whole = struct.unpack(f"<{len(directory) // 2}H", directory[: len(directory) // 2 * 2])
    entries = (whole[at : at + 4] for at in range(4, len(whole) - 3, 4))
    return {key: (record, count, value) for key, record, count, value in entries if key}


def _value(keys: Keys, key: int) -> int:
    return keys.get(key, (0, 0, 0))[2]


def _linear_unit_m(keys: Keys, records: Mapping[int, bytes]) -> float | None:
    """Metres of one unit of x and y, as the keys say; None where they do not."""
    code = _value(keys, LINEAR_UNIT)
    if code == USER_DEFINED and LINEAR_SIZE in keys:
        return float(struct.unpack_from("<d", records[DOUBLES], 8 * _value(keys, LINEAR_SIZE))[0])
    return _units_m().get(code)


@cache
def _units_m() -> dict[int, float]:
    """Metres of the units of length of EPSG, by their code."""
    return {int(unit.code): float(unit.conv_factor) for unit in get_units_map("EPSG", "linear").values()}


def _by_code(horizontal: CRS, keys: Keys) -> CRS:
    """Returns the CRS of the code of the keys, which knows its area of use, where it has the unit that the keys say."""
    named = _named(_value(keys, GEOGRAPHIC if horizontal.is_geographic else PROJECTED))
    return named if named is not None and _unit_m(named) == _unit_m(horizontal) else horizontal


def _named(code: int) -> CRS | None:
    return CRS.from_epsg(code) if code in EPSG_CODES else None


def _unit_m(crs: CRS) -> float:
    return float(crs.axis_info[0].unit_conversion_factor)


def _local(unit_m: float) -> CRS:
    """Returns a CRS without a place on the earth, of which only the unit is known."""
    unit = f'LENGTHUNIT["unit",{unit_m!r}]'
    return CRS.from_wkt(f'ENGCRS["unnamed",EDATUM["unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],{unit}]')


def _heights(unit_m: float, like: CRS | None) -> CRS:
    """Returns a CRS of heights in a unit, with the datum of another one where there is one."""
    if like is None:
        unit = f'LENGTHUNIT["unit",{unit_m!r}]'
        return CRS.from_wkt(f'VERTCRS["unknown",VDATUM["unknown"],CS[vertical,1],AXIS["height (H)",up],{unit}]')
    named = {key: value for key, value in like.to_json_dict().items() if key != "id"}
    own: dict[str, Any] = {"type": "LinearUnit", "name": "unit", "conversion_factor": unit_m}
    system = named["coordinate_system"]
    return CRS.from_json_dict(
        named | {"coordinate_system": system | {"axis": [axis | {"unit": own} for axis in system["axis"]]}}
    )


def _read(keys: Keys, records: Mapping[int, bytes]) -> CRS | None:
    """Returns the CRS that GDAL finds in an image of one pixel with these keys."""
    entries = [number for key in sorted(keys) for number in (key, *keys[key])]
    directory = struct.pack(f"<{4 + len(entries)}H", *VERSION_1_1, len(keys), *entries)
    with MemoryFile(_image({**records, DIRECTORY: directory})) as file, file.open() as image:
        return None if image.crs is None else CRS.from_wkt(image.crs.to_wkt(version="WKT2_2019"))


def _image(records: Mapping[int, bytes]) -> bytes:
    """Returns the bytes of a TIFF of one pixel with geographic keys."""
    data = {tag: (*TAGS[tag], values) for tag, values in records.items() if values}
    data |= {tag: (DOUBLE, 8, struct.pack(f"<{len(values)}d", *values)) for tag, values in GEOREFERENCE.items()}
    entries = {tag: struct.pack("<HHII", tag, LONG, 1, value) for tag, value in PIXEL.items()}
    behind = b""
    start = FIRST_ENTRY + 2 + ENTRY_BYTES * (len(entries) + len(data)) + 4
    for tag, (kind, size, values) in data.items():
        padded = values.ljust(5, b"\0")  # longer than what would stand in the entry itself
        entries[tag] = struct.pack("<HHII", tag, kind, len(padded) // size, start + len(behind))
        behind += padded.ljust(-(-len(padded) // 8) * 8, b"\0")
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    return b"II*\0" + struct.pack("<IH", FIRST_ENTRY, 0) + directory + bytes(4) + behind
