"""Tables as CSV text in which no cell is a formula for a spreadsheet, and text for Markdown that is no mark of it."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

# Characters that begin a formula in spreadsheets; the last four are = + - @ as wide characters
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What spreadsheets take for a number; -inf and +1_0, which Python takes for one, are formulas to them
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


MARKDOWN = re.compile(
    r"([\\`*\[\]|])"
)  # what begins code, emphasis, links and cells; an underscore within a word is none


def markdown_text(text: Any) -> str:
    """Return text for a line or cell of Markdown: no HTML, no further cell, link or line.

    >>> print(markdown_text("roof|flat <b> [x](y)"))
    roof\\|flat &lt;b&gt; \\[x\\](y)
    """
    return MARKDOWN.sub(r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV text; text that a spreadsheet would run as a formula gets an apostrophe in front.

    Parameters
    ----------
    rows
        Sequences of text and numbers, one per line.

    Returns
    -------
    str
        Comma-separated, each row ended by a newline.

    >>> csv_text([["class", "value"], ["=1+1", -2.5], ["-3", "roof, flat"]])
    'class,value\\n\\'=1+1,-2.5\\n-3,"roof, flat"\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([escape_formula(cell) for cell in row] for row in rows)
    return text.getvalue()


def escape_formula(cell: Any) -> Any:
    """Return the cell with an apostrophe before text that would be a formula; numbers stay numbers."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # csv quotes only \n, and \r begins a row as well
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(text) else text
