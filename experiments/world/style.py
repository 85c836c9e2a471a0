"""Styles: the ways people build, each one YAML file of shares, sizes and colours; and seasons: grass, leaves and snow by climate and day.

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
from deepnets4eo.synthetic import Season

WINTER_DAYS = 335, 90  # of the year, first and last
# Share of the winter days with snow: more than there are, so that networks learn enough of it.
SNOWY = {"continental": 0.5, "temperate": 0.3, "mediterranean": 0.2, "dry": 0.2}

Span = tuple[float, float]
ENDING = ".yaml"
ROOT = "world"


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
    name : the name of the file
    title : in words
    layout : name of the layout, see `layouts`
    numbers : what the layout needs: spans and shares by name
    roofs : kinds of roofs
    ground : names of the material under everything and of its patches, and the patches' share from and to
    poles : material → two display colours (red, green, blue, near infrared), where the region's differ
    climate : "temperate", "continental", "dry", "tropical" or "mediterranean": seasons, leaves, grass
    trees_per_ha : from and to
    evergreen : share of the trees, from and to
    over_roofs : share of the buildings with a crown over the roof, from and to
    relief_m : standard deviation of the terrain, from and to, metres

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
        """Read a style, one of `style_names()`. Raises InputError where there is no such one."""
        if name not in style_names():
            raise InputError(f'style "{name}" is unknown, expected one of {", ".join(style_names())}.')
        return _load(name)

    def draw(self, rng: np.random.Generator, number: str) -> float:
        """Draw one of the layout's `numbers`: uniform within its span, or the number itself."""
        value = self.numbers[number]
        return float(rng.uniform(*value)) if isinstance(value, (list, tuple)) else float(value)

    def in_colours_of(self, roofs: WorldStyle, ground: WorldStyle, rng: np.random.Generator) -> WorldStyle:
        """Return the same way to build in other places' colours, so that colour says less about shape: flat roofs take
        those of flat ones of `roofs`, pitched of pitched (kinds that it lacks keep theirs), the ground those of
        `ground`."""
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


@dataclass(frozen=True)
class WorldSeason(Season):
    """State of the vegetation, and snow.

    Parameters
    ----------
    greenness : the greenness of lawns, 0 (straw) to 1 (fresh green)
    leaf : leaves on deciduous trees, 0 (bare) to 1 (full)
    tint : autumn colour of leaves, 0 to 1
    snow : 0 for none, 0.2 thin and patchy, 1 over all that is not cleared or wet

    Examples
    --------
    >>> WorldSeason(greenness=0.2, leaf=0.0, snow=0.8).snow
    0.8
    """

    snow: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, climate: str, day: float | None = None) -> WorldSeason:
        """Draw the season of a climate (as in `WorldStyle`) at a day of the year on the northern hemisphere, 1 to 366;
        drawn where None."""
        day = float(rng.uniform(1, 366)) if day is None else day
        shift = rng.normal(0, 0.12)
        if climate in ("temperate", "continental"):
            season = Season.of_day(day)
            green = float(np.clip(season.greenness + shift, 0, 1))
            tint = float(np.clip(season.tint * rng.uniform(0.5, 1.3), 0, 1))
            return cls(green, season.leaf, tint, _draw_snow(rng, climate, day))
        if climate == "mediterranean":
            green = 0.5 + 0.4 * np.cos(2 * np.pi * (day - 60) / 365) + shift
            leaf = float(np.clip(0.75 + 0.6 * np.cos(2 * np.pi * (day - 190) / 365), 0, 1))
            return cls(float(np.clip(green, 0, 1)), leaf, snow=_draw_snow(rng, climate, day))
        wet = 0.5 + 0.5 * np.cos(2 * np.pi * (day - 230) / 365)
        if climate == "dry":
            green = float(np.clip(0.05 + 0.3 * wet + shift, 0, 0.6))
            return cls(green, float(rng.uniform(0.6, 1.0)), snow=_draw_snow(rng, climate, day))
        return cls(float(np.clip(0.35 + 0.6 * wet + shift, 0.05, 1)), float(rng.uniform(0.85, 1.0)))


def _draw_snow(rng: np.random.Generator, climate: str, day: float) -> float:
    """Snow of a day: none, thin and patchy, or deep."""
    first, last = WINTER_DAYS
    if last <= day <= first or rng.random() >= SNOWY[climate]:
        return 0.0
    return float(rng.choice((rng.uniform(0.15, 0.5), rng.uniform(0.6, 1.0))))
