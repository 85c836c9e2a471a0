"""Radar images as they are compared: one unit, the same polarisations, one direction of flight, PRE before POST.

Takes bands (H, W) in dB, linear power or amplitudes with what their file states; refuses dates that do not belong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import numpy as np

from deepnets4eo.arrays import FloatImage, Floats
from deepnets4eo.errors import InputError
from deepnets4eo.floods.speckle import to_decibel
from deepnets4eo.rasters import ORBIT_TAGS, RadarUnit, relative_orbit, stated_unit

Orbit = Literal["ascending", "descending"]

# Power is above zero. What the removal of noise leaves below is small beside the bright ground, and above -1 if calibrated.
LOW, HIGH = 1.0, 99.0  # percentiles
MAX_POWER_LOW, MAX_NOISE = -1.0, 0.1  # a lower percentile is of dB, unless it is a small share of the higher one
LARGEST_SHIFT_DB = 15.0  # between the medians of two dates; snow, leaves and floods change whole images by less
LEVELS = (
    50,
    75,
    90,
)  # percentiles that another calibration shifts alike; a flood of half of the ground moves no more than one
SAMPLE_PX = 1000  # along each side of a band that is looked at
IN_WORDS: dict[RadarUnit, str] = {"decibel": "in dB", "power": "linear power", "amplitude": "amplitudes"}


@dataclass(frozen=True)
class RadarImage:
    """One date of a radar sensor.

    Parameters
    ----------
    name : the file, as messages name it
    bands : polarisation ("VV", "VH", …) → values (H, W) float32, NaN in pixels that are not seen
    tags : of the file; unit and direction of flight are read from them
    day : acquisition day, if known
    stated : the unit, if the file states it elsewhere, for example in the names of its bands
    """

    name: str
    bands: Mapping[str, FloatImage]
    tags: Mapping[str, str] = field(default_factory=dict)
    day: date | None = None
    stated: RadarUnit | None = None

    def unit(self) -> RadarUnit:
        """Return the unit of the values: what the file states, else "decibel" or "power" by their range. Raises InputError
        if both disagree, or nothing was seen and nothing states it."""
        stated = self.stated or stated_unit((), (), self.tags)
        limits = _limits(self)
        if limits is None:
            if stated is not None:
                return stated
            raise InputError(f"{self.name} has no values: all are without data. Give a file that covers the site.")
        low, high = limits
        by_values: RadarUnit = "decibel" if low < MAX_POWER_LOW and -low > MAX_NOISE * high else "power"
        if stated is None:
            return by_values
        if (stated == "decibel") != (by_values == "decibel"):
            raise InputError(
                f"{self.name} states that its values are {IN_WORDS[stated]}, but 98 % of them lie from {low:.3g} to {high:.3g}, as those "
                f"{'of linear power' if by_values == 'power' else 'in dB'} do. Correct what the file states, or convert the values."
            )
        return stated

    def power(self) -> dict[str, FloatImage]:
        """Return the bands as linear power."""
        unit = self.unit()
        return {name: to_power(band, unit) for name, band in self.bands.items()}

    def orbit(self) -> Orbit | None:
        """Return the direction of flight, or None if no tag states it."""
        word = (_tag(self.tags, ORBIT_TAGS) or "").lower()
        directions: tuple[Orbit, ...] = ("ascending", "descending")
        return next((direction for direction in directions if word and direction.startswith(word)), None)

    def track(self) -> int | None:
        """Return the relative orbit, None if unknown."""
        return relative_orbit(self.name, self.tags)

    def date(self) -> date | None:
        """Return the day, None if unknown."""
        return self.day


def check_radar_pair(pre: RadarImage, post: RadarImage) -> None:
    """Refuse two dates whose comparison would be meaningless.

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
            f"{pre.name} is {IN_WORDS[units[0]]} and {post.name} is {IN_WORDS[units[1]]}; one unit is expected. Convert "
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


def two_tracks(pre: RadarImage, post: RadarImage) -> tuple[int, ...]:
    """Return the relative orbits of two dates if they differ, else nothing: the sensor then looks at the ground at another angle."""
    tracks = pre.track(), post.track()
    return (
        tuple(track for track in tracks if track is not None) if None not in tracks and tracks[0] != tracks[1] else ()
    )


def level_shift_db(pre: RadarImage, post: RadarImage) -> float:
    """Return by how many dB the later of two dates is brighter all over, the largest shift of the bands; 0 if only a part is.

    A flood darkens the ground that it covers; another calibration shifts the median and bright ground alike.
    """
    shifts = [0.0]
    for band in post.bands:
        dark, *others = (
            _level_percentiles(post.bands[band], post.unit()) - _level_percentiles(pre.bands[band], pre.unit())
        ).tolist()
        if np.isfinite([dark, *others]).all() and all(shift * dark > 0 for shift in others):
            shifts.append(min(dark, *others, key=abs))
    return max(shifts, key=abs)


def _level_percentiles(band: FloatImage, unit: RadarUnit) -> Floats:
    sample = _sample(band)
    power = to_power(sample[np.isfinite(sample)], unit)
    lit = power[power > 0]
    return np.asarray(to_decibel(np.percentile(lit, LEVELS))) if lit.size else np.full(len(LEVELS), np.nan)


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


def _limits(image: RadarImage) -> tuple[float, float] | None:
    """Return the percentiles that enclose nearly all values, over the bands together; None if nothing was seen."""
    samples = [_sample(band) for band in image.bands.values()]
    values = np.concatenate([sample[np.isfinite(sample)] for sample in samples]) if samples else np.zeros(0)
    if not values.size:
        return None
    low, high = np.percentile(values, [LOW, HIGH]).tolist()
    return low, high


def _sample(band: FloatImage) -> FloatImage:
    """Return up to a million evenly spread values."""
    return band[:: max(1, band.shape[0] // SAMPLE_PX), :: max(1, band.shape[1] // SAMPLE_PX)]


def _median_db(band: FloatImage, unit: RadarUnit) -> float:
    return float(np.nanmedian(to_decibel(to_power(_sample(band), unit))))


def to_power(values: FloatImage, unit: RadarUnit) -> FloatImage:
    """Return the linear power of values in a unit, of the same shape."""
    if unit == "amplitude":
        return np.square(np.maximum(values, np.float32(0)))
    return np.asarray(values if unit == "power" else 10 ** (values / np.float32(10)), np.float32)


def _tag(tags: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Return the first tag with one of these names, in any letter case."""
    lower = {name.lower(): value for name, value in tags.items()}
    return next((str(lower[name]).strip() for name in names if name in lower), None)
