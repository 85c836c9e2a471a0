"""Tables as CSV that no spreadsheet takes for formulas.

Takes rows of text and numbers; gives the text of a file. Refuses nothing: text that would be a formula gets an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

# What spreadsheets take for the beginning of a formula; the last four are = + - @ as wide characters
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """The rows as CSV, each ended by a newline.

    >>> csv_text([["class", "value"], ["=1+1", -2.5], ["-3", "roof, flat"]])
    'class,value\\n\\'=1+1,-2.5\\n-3,"roof, flat"\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def harmless(cell: Any) -> Any:
    """A cell that is shown as it is: an apostrophe before text that would be a formula; numbers stay numbers."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # csv quotes only \n, and \r begins a row as well
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
