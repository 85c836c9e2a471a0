"""The header of a LAS file, checked before laspy and lazrs use it: public block, table of chunks of LAZ, CRS of its GeoTIFF keys.

Refuses sizes and counts that the file cannot contain: the decompressor reserves memory by them, and ends the whole process
if there is not enough.

GDAL reads the GeoTIFF keys in an image of one pixel.

Sources: ASPRS LAS specification 1.4 R15; OGC GeoTIFF 1.1; Isenburg, LASzip: lossless compression of LiDAR data, 2013.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import lazrs
from pyproj import CRS
from pyproj.crs import CompoundCRS
from pyproj.database import get_units_map
from rasterio.io import MemoryFile

from deepnets4eo.errors import InputError, Reading

SIGNATURE = b"LASF"
HEADER_BYTES = {0: 227, 1: 227, 2: 227, 3: 235, 4: 375, 5: 393}  # minor version → least size
MIN_HEADER, HEADER_1_4 = HEADER_BYTES[0], HEADER_BYTES[4]
FIRST_OF_1_4 = 6  # point formats from here on came with LAS 1.4
VLR_BYTES, EVLR_BYTES = 54, 60  # of their headers
COMPRESSED = 0x80  # bit of the point format that LAZ sets

RECORD_ID = 22204  # of "laszip encoded"
ITEMS_AT = 32  # bytes of the record before its list of items
ITEM_BYTES = 6
CHUNK_POINTS_AT = 12
VARIABLE = 0xFFFFFFFF
FOR_LATER = -1  # the offset of the table stands in the last eight bytes of the file
LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}  # item type of point formats 6 to 10 → layers; extra bytes have one a byte
EXTRA_BYTES = 14
COUNT_BYTES = 4

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


class LasHeaderFacts(NamedTuple):
    """Sizes in bytes (`size`: of the file) and counts of a public header."""

    size: int
    header_bytes: int
    first_point: int
    records: int
    record_bytes: int
    points: int
    is_compressed: bool


def check_header(path: Path) -> LasHeaderFacts:
    """Return what the header names. Raises InputError for no LAS file, or a header that names more than the file holds."""
    if not path.is_file():
        raise InputError(f"{path} does not exist as a file. Check the path.")
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER_1_4)
    if len(header) < MIN_HEADER or header[:4] != SIGNATURE:
        raise InputError(f"{path} is no LAS or LAZ file: it does not begin with LASF. Check the file.")
    header_bytes, first_point, records, point_format, record_bytes, points = struct.unpack_from("<HIIBHI", header, 94)
    is_compressed = bool(point_format & COMPRESSED)
    _check_version(path, header[24], header[25], header_bytes, point_format & ~COMPRESSED)
    evlr_start, evlrs = 0, 0
    if header[25] >= 4 and len(header) == HEADER_1_4:  # LAS 1.4
        evlr_start, evlrs, points_1_4 = struct.unpack_from("<QIQ", header, 235)
        points = points_1_4 or points  # some programs write the legacy count alone
    needed = [
        (first_point <= size, f"points that begin at byte {first_point:,}"),
        (header_bytes + records * VLR_BYTES <= max(first_point, header_bytes), f"{records:,} variable length records"),
        (not evlrs or evlr_start + evlrs * EVLR_BYTES <= size, f"{evlrs:,} extended records"),
        (is_compressed or first_point + points * record_bytes <= size, f"{points:,} points of {record_bytes} bytes"),
        (not points or size > first_point, f"{points:,} points"),
    ]
    for holds, what in needed:
        if not holds:
            raise InputError(
                f"{path} has {size:,} bytes, but its header names {what}: it is truncated or damaged. Copy or download it again."
            )
    return LasHeaderFacts(size, header_bytes, first_point, records, record_bytes, points, is_compressed)


def _check_version(path: Path, major: int, minor: int, header_bytes: int, point_format: int) -> None:
    """Raise InputError for a version that does not exist, or that does not fit header and points."""
    wrong = None
    if major != 1 or minor not in HEADER_BYTES:
        wrong = "expected 1.0 to 1.5"
    elif header_bytes < HEADER_BYTES[minor]:
        wrong = f"whose header has at least {HEADER_BYTES[minor]} bytes, and a header of {header_bytes}"
    elif point_format >= FIRST_OF_1_4 and minor < 4:
        wrong = f"and point format {point_format}, which came with LAS 1.4"
    if wrong:
        raise InputError(
            f"the header of {path} names the LAS version {major}.{minor}, {wrong}: it is damaged. Copy or download it again."
        )


@contextmanager
def las_errors(path: Path) -> Iterator[None]:
    """Raise InputError, naming the file, for all that laspy and lazrs raise."""
    with Reading(path, "It is truncated or damaged. Copy or download it again.", words=_name_words):
        yield


def _name_words(error: BaseException, message: str) -> str:
    """Return a message, or our own words for names that are not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return (
            f"names in its header are not UTF-8 ({error.object[:32]!r}); write them with plain letters: pdal translate"
        )
    return message


def check_chunks(path: Path, facts: LasHeaderFacts) -> None:
    """Raise InputError where a LAZ file is truncated, or its table of chunks does not fit the file."""
    with las_errors(path), path.open("rb") as file:
        record = _record(file, facts)
        items = _items(record)
        chunk_points = struct.unpack_from("<I", record, CHUNK_POINTS_AT)[0]
        wrong = None
        if sum(size for _, size in items) != facts.record_bytes:
            wrong = "its compressed points have another size than its header names"
        elif chunk_points == 0 or (chunk_points != VARIABLE and chunk_points > max(facts.points, 1 << 24)):
            wrong = f"it names {chunk_points:,} points a chunk"
        else:
            wrong = _wrong_table(file, facts, record, items, chunk_points)
    if wrong:
        raise InputError(f"{path}: {wrong}: it is truncated or damaged. Copy or download it again.")


def _wrong_table(
    file: BinaryIO, facts: LasHeaderFacts, record: bytes, items: list[tuple[int, int]], chunk_points: int
) -> str | None:
    """Return what is wrong with the table, or with its chunks; None if nothing is."""
    file.seek(facts.first_point)
    start = struct.unpack("<q", file.read(8))[0]
    if start == FOR_LATER:
        file.seek(facts.size - 8)
        start = struct.unpack("<q", file.read(8))[0]
    if not facts.first_point + 8 <= start <= facts.size - 8:
        return f"its table of chunks would begin at byte {start:,} of {facts.size:,}"
    file.seek(start)
    count = struct.unpack("<II", file.read(8))[1]
    most = facts.points if chunk_points == VARIABLE else -(-facts.points // chunk_points) + 1
    if count > most:
        return f"it names {count:,} chunks, expected at most {most:,}"
    file.seek(facts.first_point)
    table = lazrs.read_chunk_table(file, lazrs.LazVlr(record))
    if sum(points for points, _ in table) < facts.points or sum(size for _, size in table) > facts.size:
        return "its chunks do not hold its points"
    at = facts.first_point + 8
    for _, size in table:
        if not _fits(file, at, size, items):
            return f"its chunk at byte {at:,} names more than it holds"
        at += size
    return None


def _fits(file: BinaryIO, at: int, size: int, items: list[tuple[int, int]]) -> bool:
    """Return whether the layers of a chunk of point formats 6 to 10 fit in it."""
    if not all(kind in LAYERS or kind == EXTRA_BYTES for kind, _ in items):
        return True
    layers = sum(bytes_ if kind == EXTRA_BYTES else LAYERS[kind] for kind, bytes_ in items)
    file.seek(at + sum(bytes_ for _, bytes_ in items) + COUNT_BYTES)
    sizes = file.read(4 * layers)
    return len(sizes) == 4 * layers and sum(struct.unpack(f"<{layers}I", sizes)) <= size


def _record(file: BinaryIO, facts: LasHeaderFacts) -> bytes:
    """Return the record that describes the compression of the points."""
    file.seek(facts.header_bytes)
    for _ in range(facts.records):
        header = file.read(VLR_BYTES)
        number, size = struct.unpack_from("<HH", header, 18)
        data = file.read(size)
        if number == RECORD_ID and header[2:18].startswith(b"laszip encoded"):
            return data
    raise ValueError("it has no record of its compression")


def _items(record: bytes) -> list[tuple[int, int]]:
    """Type and size in bytes of the parts of a point."""
    count = struct.unpack_from("<H", record, ITEMS_AT)[0]
    every = (struct.unpack_from("<HHH", record, ITEMS_AT + 2 + index * ITEM_BYTES) for index in range(count))
    return [(kind, size) for kind, size, _ in every]


def crs_of_keys(records: Mapping[int, bytes], *, with_heights: bool = False) -> CRS | None:
    """Return the CRS that the records 34735 to 34737 name, None without keys. Raises errors of GDAL and PROJ for other
    keys.

    It is compound if heights have a separate unit (with_heights: any stated unit), and local if only units are known.
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
    is_new = vertical is None and with_heights
    if height_m is not None and (is_new or height_m != _unit_m(horizontal if vertical is None else vertical)):
        vertical = _heights(height_m, vertical)
    if vertical is None:
        return horizontal
    return CompoundCRS(f"{horizontal.name} + {vertical.name}", [horizontal, vertical])


def _keys(directory: bytes) -> Keys:
    """Return the keys of a directory, without the zeros that some programs write behind them."""
    whole = struct.unpack(f"<{len(directory) // 2}H", directory[: len(directory) // 2 * 2])
    entries = (whole[start : start + 4] for start in range(4, len(whole) - 3, 4))
    return {key: (record, count, value) for key, record, count, value in entries if key}


def _value(keys: Keys, key: int) -> int:
    return keys.get(key, (0, 0, 0))[2]


def _linear_unit_m(keys: Keys, records: Mapping[int, bytes]) -> float | None:
    """Return the metres of one unit of x and y; None if the keys do not state the unit."""
    code = _value(keys, LINEAR_UNIT)
    if code == USER_DEFINED and LINEAR_SIZE in keys:
        return float(struct.unpack_from("<d", records[DOUBLES], 8 * _value(keys, LINEAR_SIZE))[0])
    return _units_m().get(code)


@cache
def _units_m() -> dict[int, float]:
    """Metres of EPSG's units of length, by code."""
    return {int(unit.code): float(unit.conv_factor) for unit in get_units_map("EPSG", "linear").values()}


def _by_code(horizontal: CRS, keys: Keys) -> CRS:
    """Return the CRS of the code, which includes its area of use, if it has the unit of the keys."""
    named = _named(_value(keys, GEOGRAPHIC if horizontal.is_geographic else PROJECTED))
    return named if named is not None and _unit_m(named) == _unit_m(horizontal) else horizontal


def _named(code: int) -> CRS | None:
    return CRS.from_epsg(code) if code in EPSG_CODES else None


def _unit_m(crs: CRS) -> float:
    return float(crs.axis_info[0].unit_conversion_factor)


def _local(unit_m: float) -> CRS:
    """Return a CRS without a place on the earth."""
    unit = f'LENGTHUNIT["unit",{unit_m!r}]'
    return CRS.from_wkt(f'ENGCRS["unnamed",EDATUM["unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],{unit}]')


def _heights(unit_m: float, like: CRS | None) -> CRS:
    """Return a CRS of heights in a unit, with the datum of another CRS if it is given."""
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
    """Return the CRS that GDAL finds in an image of one pixel with these keys."""
    entries = [number for key in sorted(keys) for number in (key, *keys[key])]
    directory = struct.pack(f"<{4 + len(entries)}H", *VERSION_1_1, len(keys), *entries)
    with MemoryFile(_image({**records, DIRECTORY: directory})) as file, file.open() as image:
        return None if image.crs is None else CRS.from_wkt(image.crs.to_wkt(version="WKT2_2019"))


def _image(records: Mapping[int, bytes]) -> bytes:
    """Return a TIFF of one pixel with geographic keys."""
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
