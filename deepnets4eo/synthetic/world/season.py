"""Seasons of the miniature world: grass, leaves and snow by climate and day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.synthetic.style import Season

WINTER_DAYS = 335, 90  # of the year, first and last
# Share of the winter days with snow: more than there are, so that networks learn enough of it.
SNOWY = {"continental": 0.5, "temperate": 0.3, "mediterranean": 0.2, "dry": 0.2}


@dataclass(frozen=True)
class WorldSeason(Season):
    """State of the vegetation, and snow.

    Parameters
    ----------
    greenness
        The greenness of lawns, 0 (straw) to 1 (fresh green).
    leaf
        Leaves on deciduous trees, 0 (bare) to 1 (full).
    tint
        Autumn colour of leaves, 0 to 1.
    snow
        0 for none, 0.2 thin and patchy, 1 over all that is not cleared or wet.

    Examples
    --------
    >>> WorldSeason(greenness=0.2, leaf=0.0, snow=0.8).snow
    0.8
    """

    snow: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, climate: str, day: float | None = None) -> WorldSeason:
        """Draw the season of a climate.

        Parameters
        ----------
        rng
            Source of the draw.
        climate
            The same as in `WorldStyle`.
        day
            The day of the year on the northern hemisphere, 1 to 366; drawn where None.
        """
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
