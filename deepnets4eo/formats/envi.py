"""ENVI: the text header (.hdr) and the file of plain numbers next to it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.formats.drivers import NUMBERS, read_head

MAX_BYTES = 64 << 20
MAX_DIGITS = 15
MAGIC = b"ENVI"
COMMENT = ";"
SUFFIX = ".hdr"
TYPE_BYTES = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 9: 16, 12: 2, 13: 4, 14: 8, 15: 8}  # by "data type"
ORDERS = ("bsq", "bil", "bip")
ZERO = re.compile(r"[+-]?(0+\.?0*|\.0+)(e[+-]?\d+)?", re.IGNORECASE)  # also 0.000e+00
BAND_LISTS = (
    "wavelength", "bbl", "fwhm", "data gain values", "data offset values", "data reflectance gain values",
    "data reflectance offset values", "band names",
)  # fmt: skip  # one entry per band: GDAL drops a list of another length
SCALE_FACTOR = "reflectance scale factor"
SAME_SCALE = 1e-6  # relative difference of two scales, from their digits
MAX_SHOWN = 40  # characters of an entry in a message
DATA_SUFFIXES = ("", *NUMBERS)


def is_header(path: Path) -> bool:
    """Return whether a file is named, and begins, like an ENVI header."""
    return path.suffix.lower() == SUFFIX and path.is_file() and read_head(path).lstrip().startswith(MAGIC)


def image_file(header: Path) -> Path:
    """Return the file of numbers of an image. Errors: InputError without such a file, and for a spectral library."""
    if "library" in read_header(header).get("file type", "").lower():
        raise InputError(
            f"{header} belongs to a spectral library, not to an image. Read it with spectral.io.envi of the package spectral."
        )
    return data_file(header)


def data_file(header: Path) -> Path:
    """Return the file of numbers of a header: without .hdr, or with .img, .dat, .raw …; else InputError."""
    stem = header.with_suffix("")  # of a.hdr, or of a.img.hdr
    for suffix in (*DATA_SUFFIXES, *(suffix.upper() for suffix in DATA_SUFFIXES[1:])):
        path = stem.with_name(stem.name + suffix)
        if path.is_file() and path != header:
            return path
    raise InputError(
        f"{header} is the header of an ENVI file whose numbers are not next to it, expected {stem.name} or {stem.name}.img. "
        "Put both into one folder."
    )


def header_of(data: Path) -> Path:
    """Return the header next to a file of numbers: with .hdr instead of its suffix, or after it; else InputError."""
    for suffix in (SUFFIX, SUFFIX.upper()):
        for path in (data.with_suffix(suffix), data.with_name(data.name + suffix)):
            if path.is_file():
                return path
    raise InputError(f"{data} has no header {data.with_suffix(SUFFIX).name} next to it. Put both into one folder.")


def read_header(path: Path) -> dict[str, str]:
    """Entries of an ENVI header: name in lower case → text, lists in their braces."""
    entries: dict[str, str] = {}
    lines = iter(_lines(path))
    for line in lines:
        name, mark, value = line.partition("=")
        if not mark or name.lstrip().startswith(COMMENT):
            continue
        parts = [value.strip()]
        while parts[0].startswith("{") and "}" not in parts[-1]:
            following = next(lines, None)
            if following is None:
                raise InputError(
                    f"{path} ends within the list {name.strip()!r}: a brace is not closed. Write it again."
                )
            parts.append(following.strip())
        entries[name.strip().lower()] = " ".join(parts)
    return entries


def _lines(path: Path) -> list[str]:
    """Lines of a header after the first. Errors: InputError for what is no ENVI header."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} has more than {MAX_BYTES:,} bytes, too many for a header. Check the file.")
    text = path.read_bytes().decode("utf-8", "replace")
    if not text.lstrip("\ufeff \t\r\n").startswith(MAGIC.decode()):
        raise InputError(f"{path} is no ENVI header: it does not begin with ENVI. Check the path.")
    return text.splitlines()[1:]


def check_image(data: Path) -> None:
    """Refuse a wrong header, and a file that is too short: GDAL reads what is missing as zeros."""
    header = header_of(data)
    entries = read_header(header)
    for line in _lines(header):  # GDAL reads a list there, up to the next closing brace
        if line.lstrip().startswith(COMMENT) and "=" in line and "{" in line and "}" not in line:
            raise InputError(
                f"{header} has a comment with an open brace, {line.strip()!r}, which hides the entries after it. Remove the brace."
            )
    pixels = _number(header, entries, "samples", 1) * _number(header, entries, "lines", 1)
    bands, kind = _number(header, entries, "bands", 1, "1"), _number(header, entries, "data type", 1, "1")
    if kind not in TYPE_BYTES:
        raise InputError(
            f"{header} has data type = {kind}, expected one of {', '.join(map(str, TYPE_BYTES))}. Correct the header."
        )
    order = entries.get("interleave", "bsq")
    if not order.lower().startswith(ORDERS):
        raise InputError(f"{header} has interleave = {order}, expected {', '.join(ORDERS)}. Correct the header.")
    for key in BAND_LISTS:
        count = len(_list(entries, key))
        if count not in (0, bands):
            raise InputError(
                f"{header} lists {count} value{'s' * (count > 1)} as {key}, expected one for each of its {bands} bands. Correct the list, "
                "or take it out."
            )
    _check_scalars(header, entries)
    if entries.get("file compression", "0") == "0":
        check_size(data, _number(header, entries, "header offset", 0, "0") + pixels * bands * TYPE_BYTES[kind])


def _check_scalars(header: Path, entries: Mapping[str, str]) -> None:
    """Refuse (InputError) what states one number for all bands and is no number, and two scales that differ."""
    for key in (SCALE_FACTOR, "data ignore value"):
        text = entries.get(key)
        if text is not None and not _is_number(text):
            raise InputError(
                f"{header} has {key} = {text[:MAX_SHOWN]}, expected one number for all bands. Correct the header, or take the entry out."
            )
    factor, gains = entries.get(SCALE_FACTOR), _list(entries, "data gain values")
    if factor is None or not all(map(_is_number, gains)) or not float(factor):
        return
    if not all(math.isclose(float(gain) * float(factor), 1, rel_tol=SAME_SCALE) for gain in gains):
        raise InputError(
            f"{header} states two scales: data gain values of {gains[0]} …, and {SCALE_FACTOR} = {factor}, by which values are divided. Take out the "
            "one that its numbers do not have."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_size(data: Path, expected_bytes: int) -> None:
    """Raise InputError if a file of plain numbers is shorter than its header states."""
    size = data.stat().st_size
    if size < expected_bytes:
        raise InputError(
            f"{data} has {size:,} bytes, its header names {expected_bytes:,}: the file is truncated, or the header belongs to "
            "another one. Copy both again."
        )


def marked_bands(data: Path) -> list[int]:
    """Numbers of the bands (1-based) that the header of an image calls bad: 0 in its list bbl."""
    try:
        header = header_of(data)
        entries = read_header(header) if is_header(header) else {}
    except InputError:  # no ENVI file
        return []
    return [band for band, entry in enumerate(_list(entries, "bbl"), start=1) if ZERO.fullmatch(entry)]


def _number(header: Path, entries: Mapping[str, str], key: str, least: int, default: str | None = None) -> int:
    text = entries.get(key, default)
    if text is None:
        raise InputError(f"{header} has no {key}, expected a whole number of {least} or more. Correct the header.")
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS) or int(text) < least:
        raise InputError(
            f"{header} has {key} = {text}, expected a whole number of {least} or more. Correct the header."
        )
    return int(text)


def _list(entries: Mapping[str, str], key: str) -> list[str]:
    entries_of_list = entries.get(key, "").strip().strip("{}").split(",")
    return [entry.strip() for entry in entries_of_list if entry.strip()]
