"""What verbs print: text in which nothing from a file acts on the terminal, and JSON to stdout or to a file.

Takes text and plain values; NaN becomes null. Control characters of names, columns and tags are shown, not sent.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from pathlib import Path
from typing import Any

import typer

from deepnets4eo.files import plain, write_json

STDOUT = Path("-")
_format_warning = warnings.formatwarning

# Control characters but tab and newline, marks that turn the direction of writing, and halves of characters
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ACTING_OR_BREAKING = re.compile(_ACTING.pattern[:-1] + "\t\n]")


def visible(text: Any, *, one_line: bool = False) -> str:
    """Text whose control characters are written as JSON writes them; with `one_line` also tabs and newlines.

    >>> visible("red\\x1b[31m\\nroof"), visible("a\\nb", one_line=True)
    ('red\\\\u001b[31m\\nroof', 'a\\\\nb')
    """
    pattern = _ACTING_OR_BREAKING if one_line else _ACTING
    return pattern.sub(lambda match: json.dumps(match[0])[1:-1], str(text))


def echo(message: Any, *, err: bool = False, nl: bool = True) -> None:
    """Print a line, to stderr with `err`; the one way in which verbs print."""
    typer.echo(visible(message), err=err, nl=nl)


class VisibleFormatter(logging.Formatter):
    """Log lines whose control characters are shown."""

    def format(self, record: logging.LogRecord) -> str:
        """The message of a record."""
        return visible(super().format(record))


def visible_warning(*parts: Any, **named: Any) -> str:
    """A library's warning as Python writes it, which may quote names in files; takes the place of that function."""
    return visible(_format_warning(*parts, **named))


def show_json(value: Any, target: Path) -> None:
    """Write JSON to `target` and print its path; `-` prints the JSON itself."""
    if target == STDOUT:
        echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        echo(write_json(target, value))
