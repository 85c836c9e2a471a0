"""The YAML files that come with the miniature world, by folder and name: `styles` and `hazards`.

Takes the name of a folder and of a file in it, without its ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from deepnets4eo.files import read_yaml

Span = tuple[float, float]
ENDING = ".yaml"
ROOT = "deepnets4eo.synthetic.world"


def names_in(folder: str) -> tuple[str, ...]:
    """Names of the files of a folder, sorted.

    Parameters
    ----------
    folder
        `styles` or `hazards`.
    """
    paths = (files(ROOT) / folder).iterdir()
    return tuple(sorted(path.name.removesuffix(ENDING) for path in paths if path.name.endswith(ENDING)))


def read_named(folder: str, name: str) -> dict[str, Any]:
    """Content of a file.

    Parameters
    ----------
    folder
        `styles` or `hazards`.
    name
        One of `names_in(folder)`.
    """
    content: dict[str, Any] = read_yaml(str(files(ROOT) / folder / f"{name}{ENDING}"))
    return content


def to_span(values: Sequence[float]) -> Span:
    """Two numbers of a file, from and to.

    Parameters
    ----------
    values
        Two numbers.
    """
    low, high = values
    return float(low), float(high)
