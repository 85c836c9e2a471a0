"""Pages that need no other file: a template whose places are filled, and images as data addresses."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Literal

from deepnets4eo.files import plain


def fill_template(template: str, parts: Mapping[str, str]) -> str:
    """Put parts in the places `%%NAME%%` of a template, all at once: a part that holds `%%` is not looked into.

    Parameters
    ----------
    template
        HTML.
    parts
        HTML by name, already escaped.

    Returns
    -------
    str
        The page.

    Raises
    ------
    KeyError
        For a place without a part.

    Examples
    --------
    >>> fill_template("<h1>%%TITLE%%</h1>", {"TITLE": "Roofs, 5 %%"})
    '<h1>Roofs, 5 %%</h1>'
    """
    pieces = template.split("%%")
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def script_safe(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in, whatever its texts hold.

    Parameters
    ----------
    value
        Plain values, or those of NumPy; NaN becomes null.

    Returns
    -------
    str
        The text.

    >>> script_safe({"id": "</b>"}) == '{"id":"' + chr(92) + 'u003c/b>"}'
    True
    """
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def image_address(encoded: bytes, kind: Literal["png", "webp", "jpeg"]) -> str:
    """An image file as an address that holds it.

    >>> image_address(b"RIFF", "webp")
    'data:image/webp;base64,UklGRg=='
    """
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
