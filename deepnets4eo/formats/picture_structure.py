"""Structure of a picture file: whether it is whole, its orientation, and its number of images; no pixel is decoded.

Reads the chunks of PNG, WebP and GIF, and the directories of TIFF. GDAL reads only the first image, ignores most words on
orientation, and for a truncated 8-bit PNG returns whatever its memory contained.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from deepnets4eo.errors import InputError
from deepnets4eo.formats.access import is_remote
from deepnets4eo.formats.remote_file import RemoteFile
from deepnets4eo.formats.web import WebRequest, is_web_address

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

UPRIGHT = 1
EXIF_ORIENTATION = "EXIF_Orientation"  # as GDAL calls the tag of a JPEG
ORIENTATIONS = range(1, 9)
MAX_PAGES = 65_535  # the bands that GDAL reads
ORIENTATION_TAG, SUBFILE_TAG, OLD_SUBFILE_TAG = 274, 254, 255
REDUCED, MASK = 1, 4  # bits of the kind of a TIFF directory: overviews and masks are no pages
OLD_REDUCED = 2
MAX_EXIF_BYTES = 1 << 20
PNG_HEAD, CHUNK_HEAD, CHUNK_TAIL = 8, 8, 4  # bytes
SHORTS = {3: "H", 4: "I", 16: "Q"}  # types of whole numbers in TIFF directories


class Structure(NamedTuple):
    """Structure of a file; `directories`: the 0-based TIFF directories of its pages, for a TIFF of several."""

    orientation: int = UPRIGHT
    pages: int = 1
    whole: bool = True
    directories: tuple[int, ...] = ()

    @classmethod
    def of_dataset(cls, dataset: DatasetReader) -> Structure:
        """Return the structure of an open raster, by its file if that can be read, else by GDAL's words.

        The place of a raster with a place decides: world files and tags refer to pixels as they are stored."""
        name, has_place = dataset.name, dataset.crs is not None or bool(dataset.gcps[0])
        has_place = has_place or not dataset.transform.is_identity
        structure = structure_of(name, dataset.driver)
        if not has_place and is_web_address(name) and dataset.driver in REMOTE_READERS:
            structure = Structure(remote_orientation(name, dataset.driver))
        if dataset.driver == "GTiff" and is_remote(name) and not name.startswith("/vsimem/"):
            structure = structure._replace(pages=max(1, len(dataset.subdatasets)))
        orientation, exif = structure.orientation, dataset.tags().get(EXIF_ORIENTATION, "").strip()
        if orientation == UPRIGHT and exif in map(str, ORIENTATIONS):
            orientation = int(exif)
        return structure._replace(orientation=UPRIGHT if has_place else orientation)

    @property
    def turned(self) -> bool:
        """Return whether its pixels are stored in another orientation than they are displayed in."""
        return self.orientation != UPRIGHT

    def check(self, source: str, honours: Collection[str] = ()) -> None:
        """Refuse (InputError) a file that is not whole, and one that is turned or has pages unless `honours` has the word."""
        if not self.whole:
            raise InputError(f"{source} is truncated: the file ends before its last part. Fetch it again.")
        if self.pages > 1 and "pages" not in honours:
            raise InputError(
                f"{source} has {self.pages} pages, of which only the first would be read; pages of a TIFF are bands where each has one band "
                "of one size and type. Write the page that is meant into a file of its own, e.g. gdal_translate GTIFF_DIR:1:IN.tif OUT.tif"
            )
        if self.turned and "orientation" not in honours:
            raise InputError(
                f"{source} states an orientation (EXIF or TIFF {self.orientation}) that is not followed here. Write its pixels "
                "upright, e.g. mogrify -auto-orient FILE."
            )


def structure_of(name: str, driver: str) -> Structure:
    """Return how a local file is built, by GDAL's name of its format; of other names and formats nothing is known."""
    reader = _READERS.get(driver)
    if reader is None or is_remote(name) or not os.path.isfile(name):
        return Structure()
    status = os.stat(name)
    return _read(Path(name), driver, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1 << 10)
def remote_orientation(address: str, driver: str) -> int:
    """Return the orientation of a picture at an address of http(s), by a few ranges of its bytes; upright if its server gives none."""
    try:
        return REMOTE_READERS[driver](RemoteFile(address))
    except (*WebRequest.errors, struct.error):  # GDAL, which reads it, names what is wrong
        return UPRIGHT


@lru_cache(maxsize=1 << 14)
def _read(path: Path, driver: str, mtime_ns: int, size: int) -> Structure:
    """Read the structure of a file once, although each thread opens the file separately."""
    try:
        with path.open("rb") as file:
            return _READERS[driver](file, size)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    except struct.error:  # GDAL, which decodes it, names what is wrong
        return Structure()


def _png_orientation(file: BinaryIO) -> int:
    """Return the orientation that a PNG states before its pixels."""
    at = PNG_HEAD
    while True:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(CHUNK_HEAD))
        if kind == b"eXIf":
            return _exif_orientation(file.read(min(length, MAX_EXIF_BYTES)))
        if kind in (b"IDAT", b"IEND"):
            return UPRIGHT
        at += CHUNK_HEAD + length + CHUNK_TAIL


def _tiff_orientation(file: BinaryIO) -> int:
    """Return the orientation of the first image of a TIFF."""
    order, big, at = _tiff_head(file.read(16))
    value = _read_directory(file, at, order, big)[0].get(ORIENTATION_TAG, UPRIGHT)
    return value if value in ORIENTATIONS else UPRIGHT


def _read_png(file: BinaryIO, size: int) -> Structure:
    orientation, frames, at = UPRIGHT, 1, PNG_HEAD
    while at + CHUNK_HEAD + CHUNK_TAIL <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(CHUNK_HEAD))
        if kind == b"eXIf":
            orientation = _exif_orientation(file.read(min(length, MAX_EXIF_BYTES)))
        elif kind == b"acTL":
            frames = max(1, struct.unpack(">I", file.read(4))[0])
        elif kind == b"IEND":
            return Structure(orientation, frames, whole=True)
        at += CHUNK_HEAD + length + CHUNK_TAIL
    return Structure(orientation, frames, whole=False)


def _read_webp(file: BinaryIO, size: int) -> Structure:
    file.seek(4)
    end = CHUNK_HEAD + struct.unpack("<I", file.read(4))[0]  # of the container, whatever follows it
    orientation, frames, at = UPRIGHT, 0, 12
    while at + CHUNK_HEAD <= min(size, end):
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(CHUNK_HEAD))
        if kind == b"EXIF":
            orientation = _exif_orientation(file.read(min(length, MAX_EXIF_BYTES)))
        frames += kind == b"ANMF"
        at += CHUNK_HEAD + length + length % 2
    return Structure(orientation, max(1, frames), whole=size >= end)


def _read_gif(file: BinaryIO, size: int) -> Structure:
    """Count the images: GIF has no list of them."""
    file.seek(10)
    _skip_colours(file, file.read(3)[0])
    frames = 0
    while mark := file.read(1):
        if mark == b"\x21":  # an extension: its label, then blocks
            file.seek(1, os.SEEK_CUR)
        elif mark == b"\x2c":
            frames += 1
            _skip_colours(file, file.read(9)[8])
            file.seek(1, os.SEEK_CUR)
        else:
            break
        while (length := file.read(1)) not in (b"", b"\0"):
            file.seek(length[0], os.SEEK_CUR)
    return Structure(pages=max(1, frames))


def _skip_colours(file: BinaryIO, flags: int) -> None:
    """Skip the table of colours of a GIF, if it has one."""
    if flags & 0x80:
        file.seek(3 * 2 ** ((flags & 7) + 1), os.SEEK_CUR)


def _read_tiff(file: BinaryIO, size: int) -> Structure:
    order, big, at = _tiff_head(file.read(16))
    orientation, directories, seen = UPRIGHT, list[int](), set[int]()
    while at and at < size and at not in seen and len(seen) <= MAX_PAGES:
        seen.add(at)
        tags, at = _read_directory(file, at, order, big)
        kind = tags.get(SUBFILE_TAG, 0)
        if not kind & (REDUCED | MASK) and tags.get(OLD_SUBFILE_TAG) != OLD_REDUCED:
            orientation = tags.get(ORIENTATION_TAG, UPRIGHT) if not directories else orientation
            directories.append(len(seen) - 1)
    turned = orientation if orientation in ORIENTATIONS else UPRIGHT
    return Structure(turned, max(1, len(directories)), directories=tuple(directories))


def _tiff_head(head: bytes) -> tuple[str, bool, int]:
    """Return the order of bytes, whether it is a BigTIFF, and where the first directory is."""
    order = "<" if head.startswith(b"II") else ">"
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    return order, big, struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0]


def _read_directory(file: BinaryIO, at: int, order: str, big: bool) -> tuple[dict[int, int], int]:
    """Return the tags of one whole number of a TIFF directory, and where the next one is."""
    file.seek(at)
    count = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))[0]
    if count > 1 << 16:
        raise struct.error(f"{count} tags")
    entry_bytes, value_at = (20, 12) if big else (12, 8)
    entries, tags = file.read(count * entry_bytes), {}
    for start in range(0, len(entries) - entry_bytes + 1, entry_bytes):
        tag, kind = struct.unpack_from(f"{order}HH", entries, start)
        if tag in (ORIENTATION_TAG, SUBFILE_TAG, OLD_SUBFILE_TAG) and kind in SHORTS:
            tags[tag] = struct.unpack_from(f"{order}{SHORTS[kind]}", entries, start + value_at)[0]
    following = file.read(8 if big else 4)
    return tags, struct.unpack(f"{order}{'Q' if big else 'I'}", following)[0]


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, which is built like a TIFF; upright if it has none."""
    import io

    content = exif.removeprefix(b"Exif\0\0")
    try:
        order, big, at = _tiff_head(content[:16])
        value = _read_directory(io.BytesIO(content), at, order, big)[0].get(ORIENTATION_TAG, UPRIGHT)
    except struct.error:
        return UPRIGHT
    return value if value in ORIENTATIONS else UPRIGHT


REMOTE_READERS = {"PNG": _png_orientation, "GTiff": _tiff_orientation}  # GDAL has the tags of JPEG itself
_READERS = {"PNG": _read_png, "WEBP": _read_webp, "GIF": _read_gif, "GTiff": _read_tiff}
