"""Text that does no harm to its readers: CSV cells that are not formulas, Markdown without marks, and pages that need no other file."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from deepnets4eo.files import plain

if TYPE_CHECKING:
    import pandas as pd

# Characters that begin a formula in spreadsheets; the last four are = + - @ as wide characters
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What spreadsheets take for a number; -inf and +1_0, which Python takes for one, are formulas to them
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

MARKDOWN = re.compile(
    r"([\\`*\[\]|])"
)  # what begins code, emphasis, links and cells; an underscore within a word is none

COLOURS = "colours.css"  # of all pages


def markdown_text(text: Any) -> str:
    """Return text for a line or cell of Markdown: no HTML, no further cell, link or line.

    >>> print(markdown_text("roof|flat <b> [x](y)"))
    roof\\|flat &lt;b&gt; \\[x\\](y)
    """
    return MARKDOWN.sub(r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV text; text that a spreadsheet would run as a formula gets an apostrophe in front.

    >>> csv_text([["class", "value"], ["=1+1", -2.5], ["-3", "roof, flat"]])
    'class,value\\n\\'=1+1,-2.5\\n-3,"roof, flat"\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([escape_formula(cell) for cell in row] for row in rows)
    return text.getvalue()


def table_csv(table: pd.DataFrame) -> str:
    """Return a table without geometry as CSV text, as `csv_text` does; cells that are not known are empty."""
    return csv_text([list(table.columns), *table.astype(object).where(table.notna(), "").to_numpy().tolist()])


def escape_formula(cell: Any) -> Any:
    """Return the cell with an apostrophe before text that would be a formula; numbers stay numbers."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # csv quotes only \n, and \r begins a row as well
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(text) else text


def fill_template(template: str, parts: Mapping[str, str]) -> str:
    """Put escaped parts in `%%NAME%%` of a template at once, without replacing inside parts; KeyError if a part is missing.

    >>> fill_template("<h1>%%TITLE%%</h1>", {"TITLE": "Roofs, 5 %%"})
    '<h1>Roofs, 5 %%</h1>'
    """
    pieces = template.split("%%")
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def asset_text(package: str, name: str) -> str:
    """Return the text of an asset of a package."""
    return (files(package) / "assets" / name).read_text(encoding="utf-8")


def document_head(title: str) -> str:
    """Return the head of a page without scripts, open for further styles, in the colours of all pages, light and dark."""
    style = "".join(asset_text("deepnets4eo.outputs", name) for name in (COLOURS, "document.css"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>"
    )


def wide(html: str) -> str:
    """Put a table or drawing into a box that scrolls sideways, by keys too, if it is wider than the page."""
    return f'<div class="wide" tabindex="0">{html}</div>'


def script_safe(value: Any) -> str:
    """Return JSON that cannot end its enclosing script element, whatever its texts contain; NaN becomes null.

    >>> script_safe({"id": "</b>"}) == '{"id":"' + chr(92) + 'u003c/b>"}'
    True
    """
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def image_address(encoded: bytes, kind: Literal["png", "webp", "jpeg"]) -> str:
    """Return an image file as an address that contains it.

    >>> image_address(b"RIFF", "webp")
    'data:image/webp;base64,UklGRg=='
    """
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
