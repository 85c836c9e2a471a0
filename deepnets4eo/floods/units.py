"""Radar images as they are compared: one unit, the same polarisations, one direction of flight, PRE before POST.

Takes bands (H, W) in dB or linear power with what their tags say; refuses dates that do not belong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import numpy as np

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.floods.speckle import to_decibel
from deepnets4eo.outputs import acquisition_day

Unit = Literal["decibel", "power"]
Orbit = Literal["ascending", "descending"]

NEGATIVE_SHARE = 0.01  # power is never below zero; what noise removal leaves there are few pixels
LARGEST_SHIFT_DB = 15.0  # between the medians of two dates; snow, leaves and floods change whole images by less
UNIT_WORDS: dict[str, Unit] = {
    "db": "decibel",
    "decibel": "decibel",
    "decibels": "decibel",
    "linear": "power",
    "power": "power",
}
UNIT_TAGS = ("unit", "units", "unittype", "scale")
ORBIT_TAGS = ("orbit", "pass", "orbit_pass", "orbit_direction", "orbitproperties_pass", "sat:orbit_state")


@dataclass(frozen=True)
class RadarImage:
    """One date of a radar sensor.

    Parameters
    ----------
    name : the file, as messages name it
    bands : polarisation ("VV", "VH", …) → values (H, W) float32, NaN where nothing was seen
    tags : of the file; unit, direction of flight and date are read from them
    day : when it was taken; by default as the tags state
    """

    name: str
    bands: Mapping[str, FloatImage]
    tags: Mapping[str, str] = field(default_factory=dict)
    day: date | None = None

    def unit(self) -> Unit:
        """Return the unit of the values: what the tags say, else "decibel" where values are negative. Raises InputError
        where both disagree, or nothing was seen and no tag says it."""
        word = _tag(self.tags, UNIT_TAGS)
        stated = UNIT_WORDS.get((word or "").lower())
        negative = _negative_share(self)
        if negative is None:
            if stated is not None:
                return stated
            raise InputError(f"{self.name} has no values: all are without data. Give a file that covers the site.")
        by_values: Unit = "decibel" if negative > NEGATIVE_SHARE else "power"
        if stated is not None and stated != by_values:
            raise InputError(
                f"{self.name} says that its values are {_in_words(stated)}, but {negative:.0%} of them are negative; "
                f"that is expected of {_in_words(by_values)}. Correct the tag of the unit, or convert the values."
            )
        return by_values

    def power(self) -> dict[str, FloatImage]:
        """Return the bands as linear power."""
        unit = self.unit()
        return {name: to_power(band, unit) for name, band in self.bands.items()}

    def orbit(self) -> Orbit | None:
        """Return the direction of flight, None where no tag says it."""
        word = (_tag(self.tags, ORBIT_TAGS) or "").lower()
        directions: tuple[Orbit, ...] = ("ascending", "descending")
        return next((direction for direction in directions if word and direction.startswith(word)), None)

    def date(self) -> date | None:
        """Return the day, None where no tag says it."""
        stated = acquisition_day(self.tags) if self.day is None else None
        return self.day if stated is None else stated[1]


def check_radar_pair(pre: RadarImage, post: RadarImage) -> None:
    """Refuse two dates of which a comparison would mean nothing.

    Parameters
    ----------
    pre, post : the dates before and after the flood

    Raises
    ------
    InputError
        Units, polarisations, shapes or directions of flight differ, PRE is later than POST, or one date is another quantity by its median.
    """
    _check_bands(pre, post)
    units = pre.unit(), post.unit()
    if units[0] != units[1]:
        raise InputError(
            f"{pre.name} is {_in_words(units[0])} and {post.name} is {_in_words(units[1])}; one unit is expected. Convert "
            "one of them: dB = 10 · log10(power)."
        )
    orbits = pre.orbit(), post.orbit()
    if None not in orbits and orbits[0] != orbits[1]:
        raise InputError(
            f"{pre.name} was taken {orbits[0]} and {post.name} {orbits[1]}; slopes and walls look different from the other "
            "side. Give two dates of one direction, best of one relative orbit."
        )
    days = pre.date(), post.date()
    if days[0] is not None and days[1] is not None and days[0] > days[1]:
        raise InputError(
            f"PRE {pre.name} is of {days[0]}, later than POST {post.name} of {days[1]}; PRE is expected first. Swap them."
        )
    for band in post.bands:
        levels = [_median_db(image.bands[band], units[0]) for image in (pre, post)]
        if abs(levels[0] - levels[1]) > LARGEST_SHIFT_DB:
            raise InputError(
                f"the median of {band} is {levels[0]:.1f} dB in {pre.name} and {levels[1]:.1f} dB in {post.name}; they are "
                f"expected within {LARGEST_SHIFT_DB:.0f} dB. Calibrate both to the same quantity, e.g. sigma nought."
            )


def _check_bands(pre: RadarImage, post: RadarImage) -> None:
    missing: Sequence[tuple[str, set[str]]] = [
        (image.name, other.bands.keys() - image.bands.keys()) for image, other in ((pre, post), (post, pre))
    ]
    for name, bands in missing:
        if bands:
            raise InputError(
                f"{name} has no {' and no '.join(sorted(bands))}, which the other date has; the same polarisations are expected "
                "of both. Give both dates with all of them, or leave the bands out of the other date."
            )
    shapes = {band.shape for image in (pre, post) for band in image.bands.values()}
    if len(shapes) > 1:
        raise InputError(
            f"bands of {pre.name} and {post.name} have shapes {sorted(shapes)}; one grid is expected. Warp one date to the other."
        )


def _negative_share(image: RadarImage) -> float | None:
    """The share of values below zero; None where nothing was seen."""
    negative = seen = 0
    for band in image.bands.values():
        finite = np.isfinite(band)
        seen += np.count_nonzero(finite)
        negative += np.count_nonzero(np.logical_and(finite, band < 0, out=finite))
    return negative / seen if seen else None


def _median_db(band: FloatImage, unit: Unit) -> float:
    """The median of a million evenly spread values at most."""
    sample = band[:: max(1, band.shape[0] // 1000), :: max(1, band.shape[1] // 1000)]
    return float(np.nanmedian(to_decibel(to_power(sample, unit))))


def to_power(values: FloatImage, unit: Unit) -> FloatImage:
    """Linear power of values in a unit, of the same shape."""
    return np.asarray(values if unit == "power" else 10 ** (values / np.float32(10)), np.float32)


def _tag(tags: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The first tag with one of these names, in any case of letters."""
    lower = {name.lower(): value for name, value in tags.items()}
    return next((str(lower[name]).strip() for name in names if name in lower), None)


def _in_words(unit: Unit) -> str:
    return "in dB" if unit == "decibel" else "linear power"
