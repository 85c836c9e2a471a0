"""Water and land separated by a threshold that is found where both occur.

The image is split into quarters, again and again, until the two modes of a quarter are well separated (Chini et al. 2017).

The pooled histogram of these tiles has enough water and enough land to set a threshold, even if water is only one
hundredth of the scene.

Takes any value (H, W) that is low over water, such as dB, with NaN in pixels that are not seen. A scene without such tiles
has no threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.errors import check_choice
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Histogram, TwoGaussians

AT_ONCE = 1 << 20  # values that are counted at once
MODES = ("amounts", "means", "variances")
SEED_PROBABILITY = 0.9
DRY, PERMANENT_WATER, FLOOD, NOT_SEEN = 0, 1, 2, 255  # the classes of every map of water
WATER_PROBABILITY = 0.5  # to which water grows from its seeds


@dataclass(frozen=True)
class ModeRules:
    """Rules by which values have two modes, water and land."""

    min_separation: float = 2.0  # Ashman's D of two modes (Ashman et al. 1994)
    min_pooled: float = 2.4  # the same of all tiles together, if physics gives a threshold in its place
    truly_bimodal: float = 3.0  # the same, from which the valley between the modes counts, however bright it is
    min_share: float = 0.1  # of the smaller mode in a tile (Chini et al. 2017)
    min_tile_px: int = 64
    max_tiles: int = 64  # tested of each size, evenly spread
    bins: int = 256
    # percentiles between which values are counted: speckle has few much darker and brighter pixels
    tails: tuple[float, float] = (0.1, 99.9)


@dataclass(frozen=True)
class WaterLevels:
    """Physical limits of calibrated values, low over water.

    threshold : used if no threshold is measured
    lowest, highest : bounds of a measured threshold
    water_at_most : largest mean of a mode that can be water
    water, land, spread : usual means, and a standard deviation
    own_valley : whether the valley of a scene with two modes decides, however bright it is, if the lower mode can be water
    """

    threshold: float
    lowest: float
    highest: float
    water_at_most: float
    water: float
    land: float
    spread: float = 2.0
    own_valley: bool = False

    def default_threshold(self) -> WaterThreshold:
        """Return the threshold that is used if no threshold is measured."""
        amounts, means, variances = np.full(2, 0.5), np.array([self.water, self.land]), np.full(2, self.spread**2)
        return WaterThreshold(
            self.threshold, TwoGaussians(amounts, means, variances, np.empty((2, 0))), [], measured=False
        )


@dataclass(frozen=True)
class WaterThreshold:
    """The threshold that separates water from land, and both distributions.

    Attributes
    ----------
    value : the threshold: equally probable as water and as land
    classes : distributions of water, the first, and land
    tiles : windows of the measurement
    measured : whether the distributions were measured rather than taken from physical levels
    bounded : whether physical limits moved the value, since the modes are closer together than the modes of land and open water
    """

    value: float
    classes: TwoGaussians
    tiles: list[Window]
    measured: bool = True
    bounded: bool = False

    @property
    def water_is_above(self) -> bool:
        """Return whether water is above the threshold, as with an index, and not below it, as with radar."""
        water, land = self.classes.means.tolist()
        return bool(water > land)

    def negate(self) -> WaterThreshold:
        """Return the threshold of the negative of the values."""
        classes = replace(self.classes, means=-self.classes.means)
        return replace(self, value=-self.value, classes=classes)

    def log_odds(self, values: FloatImage) -> FloatImage:
        """Return the logarithm of the odds of water (H, W): 0 at the threshold, constant beyond both means."""
        odds = self._odds(values)
        at_threshold = self._odds(np.array([self.value]))[0]
        return np.asarray(np.subtract(odds, at_threshold, out=odds, dtype=np.float64, casting="same_kind"), np.float32)

    def to_dict(self) -> dict[str, float | bool | str | list[float]]:
        """Return plain values: the threshold, and both distributions without their shares of each bin."""
        both = {name: getattr(self.classes, name).tolist() for name in MODES}
        water = "above" if self.water_is_above else "below"
        return {"value": self.value, "water": water, "measured": self.measured, "bounded": self.bounded, **both}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WaterThreshold:
        """Return the threshold that `to_dict` described, without its tiles."""
        both = {name: np.array(values[name], float) for name in MODES}
        classes = TwoGaussians(**both, shares=np.empty((2, 0)))
        check_choice(
            "water", values["water"], ("above", "below")
        )  # which earlier versions did not write: they kept negatives
        return cls(float(values["value"]), classes, [], bool(values["measured"]), bool(values["bounded"]))

    def _odds(self, values: FloatImage) -> FloatImage:
        """Clipped at the means, since beyond them the wider of two Gaussians would win on both sides."""
        means, variances = self.classes.means.tolist(), self.classes.variances.tolist()
        inside, both = np.clip(values, min(means), max(means)), []
        for mean, variance in zip(means, variances, strict=True):
            distance = inside - mean
            np.square(distance, out=distance)
            distance /= variance
            distance /= 2
            distance += math.log(variance) / 2
            both.append(distance)
        water, land = both
        return np.subtract(land, water, out=land)


def find_water_threshold(
    values: FloatImage, method: str = "otsu", levels: WaterLevels | None = None
) -> WaterThreshold | None:
    """Find the threshold between water and land; without a part that has two modes, None or the fixed threshold of `levels`.

    values : (H, W) float32, low over water, such as dB; NaN in pixels that are not seen
    method : "otsu", "kittler", "em" or "two-means"
    levels : physical levels of the values, whose bounds limit the threshold; its valley may be brighter if the modes are well
        separated, or, by `own_valley`, if the scene as a whole has two modes
    """
    tiles = bimodal_tiles(values, math.inf if levels is None else levels.water_at_most)
    is_whole = levels is not None and levels.own_valley and tiles == [Window(0, 0, *values.shape)]
    otherwise = None if levels is None else levels.default_threshold()
    if not tiles:
        return otherwise
    histogram = _histogram([values[tile.slices] for tile in tiles])
    classes = histogram.two_gaussians()
    if levels is not None and classes.separation < ModeRules.min_pooled and not is_whole:
        return otherwise
    value = float(np.clip(histogram.threshold(method), *classes.means))
    if levels is None:
        return WaterThreshold(value, classes, tiles)
    apart = is_whole or classes.separation >= ModeRules.truly_bimodal
    likely = float(
        max(value if apart else min(value, levels.highest), levels.lowest)
    )  # calm water pulls the middle down
    return WaterThreshold(likely, classes, tiles, bounded=likely != value and not apart)


def bimodal_tiles(values: FloatImage, water_at_most: float = math.inf) -> list[Window]:
    """Return the largest quarters of quarters of the image with two modes of enough pixels each, the lower possibly water."""
    chosen: list[Window] = []
    waiting = [Window(0, 0, *values.shape)]
    while waiting:
        tested = waiting[:: max(1, len(waiting) // ModeRules.max_tiles)]
        accepted = {tile for tile in tested if is_bimodal(values[tile.slices], water_at_most)}
        chosen += sorted(accepted)
        waiting = [part for tile in waiting if tile not in accepted for part in _quarters(tile)]
    return chosen


def is_bimodal(values: FloatImage, water_at_most: float = math.inf) -> bool:
    """Return whether a tile has two separate modes, each with a share of the pixels, and the lower mean is at most `water_at_most`."""
    if (values <= water_at_most).sum() < ModeRules.min_share / 2 * np.isfinite(values).sum():
        return False  # half of a mode lies below its mean: spares the fit
    histogram = _histogram([values])
    if histogram.counts.sum() < ModeRules.min_tile_px**2 / 2 or np.count_nonzero(histogram.counts) < 3:
        return False
    fit = histogram.two_gaussians()
    return bool(
        fit.separation > ModeRules.min_separation
        and fit.amounts.min() > ModeRules.min_share
        and fit.means.min() <= water_at_most
    )


def grow_water(probability: FloatImage, least_px: int) -> Mask:
    """Grow water from its seeds.

    probability : (H, W) float32, probability of water, NaN in pixels that are not seen
    least_px : regions with fewer pixels are left out

    Returns (H, W) bool: connected pixels that are more probably water than not and contain a sure pixel.
    """
    return parts_with(
        probability >= WATER_PROBABILITY, probability >= SEED_PROBABILITY, least_px, np.ones((3, 3), bool)
    )


def parts_with(mask: Mask, seeds: Mask, least_px: float = 1, structure: Mask | None = None) -> Mask:
    """Return the connected parts of a mask that contain a seed and enough pixels; without `structure`, parts touch by sides."""
    from scipy.ndimage import label

    parts, count = label(mask, structure)
    inside = parts[mask]
    sizes = np.bincount(inside, minlength=count + 1)
    seeded = np.bincount(inside[seeds[mask]], minlength=count + 1)
    kept = np.zeros(mask.shape, bool)
    kept[mask] = ((sizes >= least_px) & (seeded > 0))[inside]
    return kept


def _quarters(tile: Window) -> list[Window]:
    height, width = tile.height // 2, tile.width // 2
    if min(height, width) < ModeRules.min_tile_px:
        return []
    return [
        Window(tile.row + down * height, tile.col + right * width, height, width) for down in (0, 1) for right in (0, 1)
    ]


def _histogram(blocks: Sequence[FloatImage]) -> Histogram:
    """Return the histogram of the values of all blocks without the tails."""
    parts = [block[np.isfinite(block)] for block in blocks]
    seen = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if not seen.size:
        return Histogram(np.zeros(ModeRules.bins), 0.0, 1.0)
    low, high = (float(end) for end in np.percentile(seen, ModeRules.tails, overwrite_input=True))
    if low == high:
        return Histogram(np.eye(1, ModeRules.bins)[0] * seen.size, low, low + 1)
    some = (seen[start : start + AT_ONCE] for start in range(0, seen.size, AT_ONCE))
    return Histogram.of((part[(part >= low) & (part < high)] for part in some), high, ModeRules.bins, low)
