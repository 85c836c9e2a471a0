"""Addresses as they are shown and stored: without user names, passwords, signatures and tokens.

Takes any text, such as a path, a message or a command line; what is no address in it stays as it is.
"""

from __future__ import annotations

import re
from typing import Any

# Scheme of two letters at least (C:/ is a disk) and one slash or more, as paths of addresses have lost one; a query ends before
# the sentence's own point. GDAL's /vsicurl?url=… holds a whole address in its query.
_ADDRESS = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]+:/{1,3})(?P<user>[^/\s\"<>?#@]*(?:@[^/\s\"<>?#@]*)*@)?(?P<path>[^\s\"<>?#]*)"
    r"(?P<query>\?[^\s\"<>#]*[^\s\"<>#.,:;)'\]])?"
)
_GDAL_QUERY = re.compile(r"(?P<name>/vsi[a-z0-9_]+)\?[^\s\"<>]*[^\s\"<>.,:;)'\]]")


def shown_address(text: str) -> str:
    """Return a text whose addresses have no user, password and query; the function for all that is shown or stored.

    >>> shown_address("https://me:word@example.org/a.tif?sig=x#visual could not be read")
    'https://example.org/a.tif#visual could not be read'
    """
    if ":/" not in text and "/vsi" not in text:
        return text
    return _ADDRESS.sub(r"\g<scheme>\g<path>", _GDAL_QUERY.sub(r"\g<name>", text))


def without_secrets(value: Any) -> Any:
    """The same texts, lists and mappings with addresses as they are shown; other values as they are."""
    if isinstance(value, str):
        return shown_address(value)
    if isinstance(value, dict):
        return {without_secrets(key): without_secrets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    return value
