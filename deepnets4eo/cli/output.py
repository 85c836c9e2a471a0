"""What verbs print as their result: JSON to stdout, or to a file whose path is printed.

Takes plain values; NaN becomes null.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from deepnets4eo.files import plain, write_json

STDOUT = Path("-")


def show_json(value: Any, target: Path) -> None:
    """Write JSON to `target` and print its path; `-` prints the JSON itself."""
    if target == STDOUT:
        typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(write_json(target, value))
