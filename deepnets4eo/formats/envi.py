"""ENVI: the text header (.hdr) and the file of plain numbers beside it.

Takes the path of a header; returns its entries, and the file of numbers. Refuses headers that are no ENVI headers or too long,
and headers whose numbers are not there.
"""

from __future__ import annotations

from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.formats.drivers import read_head

MOST_BYTES = 64 << 20
MAGIC = b"ENVI"
SUFFIX = ".hdr"
DATA_SUFFIXES = ("", ".img", ".dat", ".raw", ".bsq", ".bil", ".bip", ".bin", ".cube", ".sli", ".slb")


def is_header(path: Path) -> bool:
    """Whether a file is called, and begins, like an ENVI header."""
    return path.suffix.lower() == SUFFIX and path.is_file() and read_head(path).lstrip().startswith(MAGIC)


def image_file(header: Path) -> Path:
    """The file of numbers of an image. Errors: InputError where there is none, or where the header is that of a spectral library."""
    if "library" in read_header(header).get("file type", "").lower():
        raise InputError(
            f"{header} belongs to a spectral library, not to an image. Read it with deepnets4eo.hyperspectral.SpectralLibrary.open."
        )
    return data_file(header)


def data_file(header: Path) -> Path:
    """The file of numbers that a header belongs to: its name without .hdr, or with .img, .dat, .raw … instead.

    Errors: InputError where there is none.
    """
    stem = header.with_suffix("")  # of a.hdr, or of a.img.hdr
    for suffix in (*DATA_SUFFIXES, *(suffix.upper() for suffix in DATA_SUFFIXES[1:])):
        path = stem.with_name(stem.name + suffix)
        if path.is_file() and path != header:
            return path
    raise InputError(
        f"{header} is the header of an ENVI file whose numbers are not beside it, expected {stem.name} or {stem.name}.img. "
        "Put both into one folder."
    )


def header_of(data: Path) -> Path:
    """The header beside a file of numbers: with .hdr instead of its suffix, or after it. Errors: InputError without one."""
    for path in (data.with_suffix(SUFFIX), data.with_name(data.name + SUFFIX)):
        if path.is_file():
            return path
    raise InputError(f"{data} has no header {data.with_suffix(SUFFIX).name} beside it. Put both into one folder.")


def read_header(path: Path) -> dict[str, str]:
    """Entries of a header: name in lower case → text, lists in their braces. Errors: InputError for what is no ENVI header."""
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES:,} bytes, too many for a header. Check the file.")
    text = path.read_bytes().decode("utf-8", "replace")
    if not text.lstrip("\ufeff \t\r\n").startswith(MAGIC.decode()):
        raise InputError(f"{path} is no ENVI header: it does not begin with ENVI. Check the path.")
    entries: dict[str, str] = {}
    lines = iter(text.splitlines()[1:])
    for line in lines:
        name, mark, value = line.partition("=")
        if not mark:
            continue
        parts = [value.strip()]
        while parts[0].startswith("{") and "}" not in parts[-1]:
            following = next(lines, None)
            if following is None:
                raise InputError(f"{path} ends within the list {name.strip()!r}: a brace is not closed. Write it anew.")
            parts.append(following.strip())
        entries[name.strip().lower()] = " ".join(parts)
    return entries
