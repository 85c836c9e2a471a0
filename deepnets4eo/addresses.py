"""Addresses as shown and stored: without user names, passwords, signatures and tokens.

`name_of` is for one source, a path or an address: products store the result as soon as they receive a source. `shown_address` is for
sentences that may contain addresses, such as messages of libraries.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

# Scheme of two letters at least (C:/ is a disk) and one slash or more, as paths of addresses have lost one; a query ends before
# the sentence's own point. GDAL's /vsicurl?url=… holds a whole address in its query.
_SCHEME = r"\b[A-Za-z][A-Za-z0-9+.-]+:/{1,3}"
_ADDRESS = re.compile(
    rf"(?P<scheme>{_SCHEME})(?P<user>[^/\s\"<>?#@]*(?:@[^/\s\"<>?#@]*)*@)?(?P<path>[^\s\"<>?#]*)"
    r"(?P<query>\?[^\s\"<>#]*[^\s\"<>#.,:;)'\]])?"
)
_GDAL_QUERY = re.compile(r"(?P<name>/vsi[a-z0-9_]+)\?[^\s\"<>]*[^\s\"<>.,:;)'\]]")
_BEGIN = re.compile(rf"{_SCHEME}|/vsi[a-z0-9_]+\?")
_WITH_SCHEME = re.compile(r"[A-Za-z0-9+.-]{2,}://")
_DRIVE = re.compile(r"/+[A-Za-z]:(?=[/\\])")
# Names that Windows gives to devices, whatever their suffix
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])(?=\.|$)", re.IGNORECASE)
_OPTION = re.compile(rf"(?:[^\s=]+=)?(?:{_BEGIN.pattern})")  # SOURCE or NAME=SOURCE


def shown_address(text: str) -> str:
    """Return a sentence whose addresses have no user, password and query.

    >>> shown_address("https://me:word@example.org/a.tif?sig=x#visual could not be read")
    'https://example.org/a.tif#visual could not be read'
    """
    if ":/" not in text and "/vsi" not in text:
        return text
    return _ADDRESS.sub(r"\g<scheme>\g<path>", _GDAL_QUERY.sub(r"\g<name>", text))


def name_of(source: object) -> str:
    """Return what products and logs call a source: its path, or its address without user, password and query.

    Unlike `shown_address` it takes all behind the question mark of an address as its query, whatever characters it has.

    >>> name_of('https://me:word@example.org/a.tif?sig=x"y z#visual')
    'https://example.org/a.tif#visual'
    >>> name_of("data/a?b.tif")
    'data/a?b.tif'
    """
    text = str(source)
    if (begin := _BEGIN.search(text)) is None:
        return text
    address, _, query = text[begin.start() :].partition("?")
    _, mark, fragment = query.partition("#")
    return shown_address(f"{text[: begin.start()]}{address}") + mark + fragment


def file_name_of(source: object) -> str:
    """Return the last part of a source's name, without folders, host and query.

    >>> file_name_of("https://example.org/day/a.tif?sig=x")
    'a.tif'
    """
    name = name_of(source)
    return PurePath(name.partition("#")[0] if _BEGIN.search(name) else name).name or name


def has_scheme(text: str) -> bool:
    """Return whether a text is or holds an address: a scheme of two letters at least, since C: is a disk, and two slashes.

    >>> has_scheme("https://example.org/a.tif"), has_scheme("C://maps/a.tif")
    (True, False)
    """
    return _WITH_SCHEME.search(text) is not None


def portable_name(text: str) -> str:
    """Return a text as a file name that every system accepts: other characters become _, and it is no device of Windows.

    >>> portable_name("Rue 5: nord/sud"), portable_name("aux.tif"), portable_name("..")
    ('Rue_5__nord_sud', '_aux.tif', '_')
    """
    name = re.sub(r"[^\w.-]", "_", text).rstrip(".")
    return f"_{name}" if not name or _DEVICE.match(name) else name


def path_of(href: str) -> str:
    """Return the path that a file:// address means, with its drive or server on Windows; other texts as they are.

    >>> path_of("file:///C:/maps/a%20b.tif"), path_of("file:///maps/a.tif"), path_of("a%20b.tif")
    ('C:/maps/a b.tif', '/maps/a.tif', 'a%20b.tif')
    >>> path_of("file://server/maps/a.tif")
    '//server/maps/a.tif'
    """
    if not href.lower().startswith("file://"):
        return href
    path = unquote("".join(href[len("file://") :].partition("/")[1:]))
    if server := server_of(href):
        return f"//{server}{path}"
    return path.lstrip("/") if _DRIVE.match(path) else path


def server_of(href: str) -> str:
    """Return the other computer that a file:// address names, "" if it names none.

    >>> server_of("file://server/maps/a.tif"), server_of("file:///maps/a.tif"), server_of("https://example.org/a.tif")
    ('server', '', '')
    """
    host = href[len("file://") :].partition("/")[0] if href.lower().startswith("file://") else ""
    return "" if host.lower() == "localhost" else host


def without_secrets(value: Any) -> Any:
    """Return the options of a job with every source in them by its name; other values stay as they are."""
    if isinstance(value, str):
        return name_of(value) if _OPTION.match(value) and " " not in value else shown_address(value)
    if isinstance(value, dict):
        return {without_secrets(key): without_secrets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    return value
