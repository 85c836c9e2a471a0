"""Styles: the ways people build, each one YAML file of shares, sizes and colours.

Takes the name of a file in `styles/`; refuses names that are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml

Span = tuple[float, float]
ENDING = ".yaml"
ROOT = "deepnets4eo.synthetic.world"


@dataclass(frozen=True)
class RoofType:
    """One kind of roof of a style: share of the buildings 0–1, `construction` of `plan.CONSTRUCTIONS`, shares of shapes
    (`plan.ROOF_KINDS`), `surface` of `plan.SURFACES`, display colours of which each roof takes one and varies it,
    and `rise`, the height of the ridge over half the span."""

    share: float
    construction: str
    kinds: dict[str, float]
    surface: str
    colours: tuple[tuple[int, int, int], ...]
    rise: Span = (0.3, 0.5)


@dataclass(frozen=True)
class WorldStyle:
    """A way to build.

    Parameters
    ----------
    name
        The name of the file.
    title
        In words.
    layout
        Name of the layout, see `layouts`.
    numbers
        What the layout needs: spans and shares by name.
    roofs
        Kinds of roofs.
    ground
        Names of the material under everything and of its patches, and the patches' share from and to.
    poles
        Material → two display colours (red, green, blue, near infrared), where the region's differ.
    climate
        "temperate", "continental", "dry", "tropical" or "mediterranean": seasons, leaves, grass.
    trees_per_ha
        From and to.
    evergreen
        Share of the trees, from and to.
    over_roofs
        Share of the buildings with a crown over the roof, from and to.
    relief_m
        Standard deviation of the terrain, from and to, metres.

    Examples
    --------
    >>> "suburb" in style_names()
    True
    """

    name: str
    title: str
    layout: str
    numbers: dict[str, Any]
    roofs: tuple[RoofType, ...]
    ground: tuple[str, str, Span]
    poles: dict[str, list[list[float]]]
    climate: str
    trees_per_ha: Span
    evergreen: Span
    over_roofs: Span
    relief_m: Span

    @classmethod
    def load(cls, name: str) -> WorldStyle:
        """Read a style.

        Parameters
        ----------
        name
            One of `style_names()`.

        Raises
        ------
        InputError
            There is no such style.
        """
        if name not in style_names():
            raise InputError(f'style "{name}" is unknown, expected one of {", ".join(style_names())}.')
        return _load(name)

    def draw(self, rng: np.random.Generator, number: str) -> float:
        """Draw one of the layout's numbers: uniform within its span, or the number itself.

        Parameters
        ----------
        rng
            Source of the draw.
        number
            A key of `numbers`.
        """
        value = self.numbers[number]
        return float(rng.uniform(*value)) if isinstance(value, (list, tuple)) else float(value)

    def in_colours_of(self, roofs: WorldStyle, ground: WorldStyle, rng: np.random.Generator) -> WorldStyle:
        """The same way to build in other places' colours, so that colour says less about shape.

        Parameters
        ----------
        roofs
            Whose roofs lend surface and colours: flat ones to flat ones, pitched ones to pitched ones.
        ground
            Whose materials lie on the ground.
        rng
            Source of the draws.

        Returns
        -------
        WorldStyle
            Name, layout, shapes, trees and climate are its own; a kind of roof that `roofs` does not have as well.
        """
        recoloured = tuple(_in_colours_of(one, roofs.roofs, rng) for one in self.roofs)
        return replace(self, roofs=recoloured, ground=ground.ground, poles=ground.poles)


@cache
def style_names() -> tuple[str, ...]:
    """Names of all styles.

    Returns
    -------
    The files in `styles/` without their ending, sorted.
    """
    return names_in("styles")


@cache
def _load(name: str) -> WorldStyle:
    content = read_named("styles", name)
    ground, patches, share = content["ground"]
    return WorldStyle(
        name=name,
        title=content["title"],
        layout=content["layout"],
        numbers=content["numbers"],
        roofs=tuple(map(_roof_type, content["roofs"])),
        ground=(ground, patches, to_span(share)),
        poles=content.get("poles", {}),
        climate=content["climate"],
        trees_per_ha=to_span(content["trees_per_ha"]),
        evergreen=to_span(content["evergreen"]),
        over_roofs=to_span(content["over_roofs"]),
        relief_m=to_span(content["relief_m"]),
    )


def _in_colours_of(roof: RoofType, others: tuple[RoofType, ...], rng: np.random.Generator) -> RoofType:
    alike = [one for one in others if _is_flat(one) == _is_flat(roof)]
    if not alike:
        return roof
    shares = np.array([one.share for one in alike])
    other = alike[rng.choice(len(alike), p=shares / shares.sum())]
    # as many colours as its own, so that all later draws of the place stay the same
    colours = tuple(other.colours[pick] for pick in rng.integers(len(other.colours), size=len(roof.colours)))
    return replace(roof, surface=other.surface, colours=colours)


def _is_flat(roof: RoofType) -> bool:
    """Whether most roofs of the kind are flat."""
    return roof.kinds.get("flat", 0.0) > 0.5 * sum(roof.kinds.values())


def _roof_type(row: dict[str, Any]) -> RoofType:
    colours = tuple((int(red), int(green), int(blue)) for red, green, blue in row["colours"])
    rise = to_span(row.get("rise", (0.3, 0.5)))
    return RoofType(row["share"], row["construction"], row["kinds"], row["surface"], colours, rise)


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
