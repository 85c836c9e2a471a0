"""Output of verbs: text without control characters, and JSON to stdout or to a file.

Takes text and plain values; NaN becomes null. Control characters in names, columns and tags are escaped.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import typer

from deepnets4eo.errors import OutputError
from deepnets4eo.files import plain, write_json

STDOUT = Path("-")
_format_warning = warnings.formatwarning

# Control characters but tab and newline, marks that turn the direction of writing, and halves of characters
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_OR_BREAKING = re.compile(_CONTROL.pattern[:-1] + "\t\n]")


def visible(text: Any, *, one_line: bool = False) -> str:
    """Returns text whose control characters are escaped as in JSON; with `one_line` also tabs and newlines.

    >>> visible("red\\x1b[31m\\nroof"), visible("a\\nb", one_line=True)
    ('red\\\\u001b[31m\\nroof', 'a\\\\nb')
    """
    pattern = _CONTROL_OR_BREAKING if one_line else _CONTROL
    return pattern.sub(lambda match: json.dumps(match[0])[1:-1], str(text))


def echo(message: Any, *, err: bool = False, nl: bool = True) -> None:
    """Print a line, to stderr with `err`; all verbs print with this function. Errors: OutputError where it cannot go.

    A line that stderr does not take is lost: it is no result, and ends no job.
    """
    try:
        typer.echo(visible(message), err=err, nl=nl)
    except OSError as error:
        if err:
            return
        if isinstance(error, BrokenPipeError):
            raise  # the reader has seen enough, e.g. `head`
        raise OutputError(f"nothing can be printed: {error.strerror}. Free some space, or print elsewhere.") from error


def open_closed_streams() -> None:
    """Give streams that the caller closed (`2>&-`) to the null device, before a file of the job takes their number.

    Libraries that print to that number would write into the file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDWR)
            try:
                os.fstat(number)
            except OSError:  # still free: the lowest, unless it is taken by then
                os.dup2(file, number)
            setattr(sys, name, os.fdopen(file, "w" if number else "r", encoding="utf-8"))


class VisibleFormatter(logging.Formatter):
    """Log lines whose control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the message of a record."""
        return visible(super().format(record))


def visible_warning(*parts: Any, **named: Any) -> str:
    """Returns a library's warning as Python formats it, without control characters; replaces `formatwarning`."""
    return visible(_format_warning(*parts, **named))


def show_json(value: Any, target: Path) -> None:
    """Write JSON to `target` and print its path; `-` prints the JSON itself."""
    if target == STDOUT:
        echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        echo(write_json(target, value))
