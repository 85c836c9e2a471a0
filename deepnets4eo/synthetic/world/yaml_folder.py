"""The YAML files that come with the miniature world, by folder and name: `styles` and `hazards`.

Takes the name of a folder and of a file in it, without its ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml

Span = tuple[float, float]
ENDING = ".yaml"
ROOT = "deepnets4eo.synthetic.world"


def names_in(folder: str) -> tuple[str, ...]:
    """Return the sorted names of the files of a folder, `styles` or `hazards`."""
    paths = (files(ROOT) / folder).iterdir()
    return tuple(sorted(path.name.removesuffix(ENDING) for path in paths if path.name.endswith(ENDING)))


def chosen_names(folder: str, chosen: Sequence[str], left_out: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a folder that a training learns from: those chosen (all where none is) without those left
    out. Raises InputError for unknown names, and where none is left."""
    known = names_in(folder)
    unknown = sorted({*chosen, *left_out} - {*known})
    kept = tuple(name for name in chosen or known if name not in left_out)
    if unknown or not kept:
        wrong = f"unknown {folder} {', '.join(unknown)}" if unknown else f"no {folder} to learn from"
        raise InputError(f"data has {wrong}. Choose data.{folder} from {', '.join(known)}.")
    return kept


def read_named(folder: str, name: str) -> dict[str, Any]:
    """Return the content of a file of a folder, `styles` or `hazards`."""
    content: dict[str, Any] = read_yaml(str(files(ROOT) / folder / f"{name}{ENDING}"))
    return content


def to_span(values: Sequence[float]) -> Span:
    """Return two numbers of a file as from and to."""
    low, high = values
    return float(low), float(high)
