"""Water and floods in radar images: smooth water sends the pulse away and is dark.

Each date is filtered.

Each polarisation gets a threshold, which is within the physical limits of calibrated values. It is fixed if no
part of the image shows water and land as two groups.

A pixel is water when any polarisation shows water: wind brightens VV long before VH, and the noise of the sensor
hides calm water in VH.

Water in POST is permanent if it was water in PRE, or has not become darker since.

New water can also be found by change vector analysis (Malila 1980): the length of the vector of changes of all
polarisations has a separate threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.errors import check_choice
from deepnets4eo.floods.speckle import equivalent_looks, filter_names, filter_speckle, to_decibel
from deepnets4eo.floods.thresholds import (
    DRY,
    FLOOD,
    NOT_SEEN,
    PERMANENT_WATER,
    WATER_PROBABILITY,
    WaterLevels,
    WaterThreshold,
    find_water_threshold,
    grow_water,
)
from deepnets4eo.floods.units import RadarImage, check_radar_pair
from deepnets4eo.rasters import THRESHOLDS

UNFILTERED = "none"
DROP, CHANGE_VECTOR = "drop", "change-vector"
COMPARISONS = (DROP, CHANGE_VECTOR)
LIKE = WaterLevels(-15.0, -17.0, -13.0, -15.0, -20.0, -10.5)  # dB of sigma nought, at 30–45° from the vertical
# The separation D of VH of a whole chip: 3.2 and 3.8 with 27 and 51 % of water (Spain, Nigeria), 1.3 to 1.7 with 0 to 2 % (Ghana,
# Mekong, Somalia); no other chip was looked at. Fields and woods are two modes as well, which the limit of the lower mean refuses.
CROSS = WaterLevels(-22.0, -22.5, -20.0, -21.0, -26.5, -17.0, own_valley=True)
LEVELS = {"VV": LIKE, "HH": LIKE, "VH": CROSS, "HV": CROSS}
CALIBRATED_DB = (-35.0, 5.0)  # within which the median of a scene lies; amplitudes of 8 bits lie far above


@dataclass(frozen=True)
class RadarOptions:
    """Options of the search for water in radar images.

    Parameters
    ----------
    speckle : filter: "refined-lee", "lee-sigma" or "none"
    looks : equivalent number of looks; None: measured in each image
    method : threshold: "otsu", "kittler", "em" or "two-means"
    least_px : minimum number of pixels of a water body
    least_drop_db : minimum darkening from ground to flood
    highest_m : ground higher than this above its nearest drainage is dry
    comparison
        Definition of new water: water in POST that was dry and is darker by `least_drop_db` ("drop"), or ground that was dry and whose
        vector of changes is long and points to darkness ("change-vector").
    """

    speckle: str = "refined-lee"
    looks: float | None = None
    method: str = "otsu"
    least_px: int = 10
    least_drop_db: float = 3.0
    highest_m: float = 20.0
    comparison: str = DROP

    @property
    def by_change_vector(self) -> bool:
        """Return True if the vector of changes decides which water is new."""
        return self.comparison == CHANGE_VECTOR

    def by_drop(self) -> RadarOptions:
        """Return the options in which the drop in brightness decides which water is new."""
        return replace(self, comparison=DROP)


@dataclass(frozen=True)
class RadarStatistics:
    """Measurements of a date, made once so that the date can be mapped in windows.

    Attributes
    ----------
    looks : polarisation → equivalent number of looks
    thresholds
        Polarisation → threshold in dB; if no part of the image has two modes, a fixed threshold, or None for uncalibrated values.
    change : threshold of the change vector to POST, negative for darker ground; None if it is not needed, or has no two modes
    """

    looks: dict[str, float]
    thresholds: dict[str, WaterThreshold | None]
    change: WaterThreshold | None = None


@dataclass(frozen=True)
class RadarWater:
    """Water in radar images.

    Attributes
    ----------
    classes : (H, W) uint8: 0 dry, 1 permanent water (all water without PRE), 2 flood, 255 not seen
    probability : (H, W) float32, of water in POST, NaN in pixels that are not seen
    statistics : looks and thresholds of POST
    """

    classes: ByteImage
    probability: FloatImage
    statistics: RadarStatistics


@dataclass(frozen=True)
class FilteredRadar:
    """A date of radar without speckle.

    bands : polarisation → (H, W) float32, dB, NaN in pixels that are not seen
    statistics : looks and thresholds"""

    bands: dict[str, FloatImage]
    statistics: RadarStatistics

    def water_probability(self, *, at_most: RadarStatistics | None = None) -> FloatImage:
        """Return the probability of water (H, W) by the polarisation that shows it most clearly; NaN if a band has no value.

        at_most : statistics of a later date, if this is a date before: its lower thresholds count, because the thresholds of a
        date without water are between two kinds of land. All polarisations decide together, because land can be dark in one."""
        from scipy.special import expit

        thresholds = self.statistics.thresholds
        if at_most is not None:
            thresholds = {name: _lower(threshold, at_most.thresholds[name]) for name, threshold in thresholds.items()}
        usable = {name: threshold for name, threshold in thresholds.items() if threshold is not None}
        seen = reduce(np.logical_and, map(np.isfinite, self.bands.values()))
        if not usable:
            return np.where(seen, 0, np.nan).astype(np.float32)
        each = (threshold.log_odds(self.bands[name]) for name, threshold in usable.items())
        odds = reduce(np.maximum, each) if at_most is None else reduce(np.add, each) / len(usable)
        odds[~seen] = np.nan
        return np.asarray(expit(odds, out=odds))


def measure_radar(image: RadarImage, options: RadarOptions | None = None) -> RadarStatistics:
    """Measure looks and thresholds of one date.

    Parameters
    ----------
    image : a whole scene, or pieces of it that hold water and land
    options : how water is found

    Returns
    -------
    RadarStatistics
        To map windows of the scene by `radar_water`.
    """
    return filter_radar(image.power(), options or RadarOptions(), None).statistics


def radar_water(
    pre: RadarImage | None,
    post: RadarImage,
    options: RadarOptions | None = None,
    *,
    pre_statistics: RadarStatistics | None = None,
    post_statistics: RadarStatistics | None = None,
) -> RadarWater:
    """Find water in POST, and which of it is new since PRE.

    Parameters
    ----------
    pre : the date before on the same grid; None without a date before
    post : the date of the flood
    options : settings that find water
    pre_statistics, post_statistics
        Statistics of the whole scene, whose dates were checked, if the images are windows of it; None: measured here.

    Returns
    -------
    RadarWater
        Classes, probability of water, looks and thresholds.

    Raises
    ------
    InputError
        If the dates do not belong together, or an option is unknown.
    """
    options = options or RadarOptions()
    if pre is not None and post_statistics is None:
        check_radar_pair(pre, post)
    after = filter_radar(post.power(), options, post_statistics)
    if pre is None:
        return compare_radar(None, after, options)
    before = filter_radar(pre.power(), options, pre_statistics)
    if options.by_change_vector and pre_statistics is None:
        change = find_change_threshold(before, after, options.method)
        before = replace(before, statistics=replace(before.statistics, change=change))
    return compare_radar(before, after, options)


def compare_radar(before: FilteredRadar | None, after: FilteredRadar, options: RadarOptions) -> RadarWater:
    """Find water in a filtered date, and the part that is new since another date; without another date, all of it is 1."""
    check_choice("comparison", options.comparison, COMPARISONS)
    probability = after.water_probability()
    water = grow_water(probability, options.least_px)
    classes = np.where(water, PERMANENT_WATER, DRY).astype(np.uint8)
    if before is not None:
        drop = _drop(before, after)
        dry = before.water_probability(at_most=after.statistics) < WATER_PROBABILITY
        if options.by_change_vector:
            new = _new_by_vector(_signed_change(before, after), before.statistics.change, options)
        else:
            new = np.where(water & (drop >= options.least_drop_db), probability, np.float32(0))
        new[~dry] = 0
        classes[grow_water(new, options.least_px)] = FLOOD
        probability[np.isnan(drop)] = np.nan
    classes[np.isnan(probability)] = NOT_SEEN
    return RadarWater(classes, probability, after.statistics)


def find_change_threshold(before: FilteredRadar, after: FilteredRadar, method: str) -> WaterThreshold | None:
    """Return the threshold of the change vector from one date to the next; None if its length has no two modes anywhere."""
    return find_water_threshold(_signed_change(before, after), method)


def filter_radar(
    power: Mapping[str, FloatImage], options: RadarOptions, statistics: RadarStatistics | None
) -> FilteredRadar:
    """Return a date without speckle in dB, and its statistics, measured if not given. power : polarisation → linear power (H, W)."""
    check_choice("speckle", options.speckle, [*filter_names(), UNFILTERED])
    check_choice("method", options.method, THRESHOLDS)
    known = statistics.looks if statistics is not None else {}
    looks: dict[str, float] = {}
    bands: dict[str, FloatImage] = {}
    for name, band in power.items():
        if options.speckle != UNFILTERED:
            looks[name] = options.looks or known.get(name) or equivalent_looks(band)
            bands[name] = to_decibel(filter_speckle(band, looks[name], options.speckle))
        else:
            bands[name] = to_decibel(band)
    if statistics is None:
        thresholds = {
            name: find_water_threshold(band, options.method, levels_of(name, band)) for name, band in bands.items()
        }
        statistics = RadarStatistics(looks, thresholds)
    return FilteredRadar(bands, statistics)


def levels_of(name: str, band: FloatImage) -> WaterLevels | None:
    """Return the physical levels of a polarisation (H, W) in dB; None for unknown polarisations and uncalibrated values."""
    median = float(np.nanmedian(band[:: max(1, band.shape[0] // 1000), :: max(1, band.shape[1] // 1000)]))
    return LEVELS.get(name) if CALIBRATED_DB[0] <= median <= CALIBRATED_DB[1] else None


def _new_by_vector(change: FloatImage, threshold: WaterThreshold | None, options: RadarOptions) -> FloatImage:
    """Return the probability (H, W) that ground became water, by the change vector; 0 if it is short or has no threshold."""
    from scipy.special import expit

    if threshold is None:
        return np.zeros(change.shape, np.float32)
    return np.where(change <= -options.least_drop_db, expit(threshold.log_odds(change)), 0).astype(np.float32)


def _drop(before: FilteredRadar, after: FilteredRadar) -> FloatImage:
    """By how many dB the ground (H, W) became darker, the mean of all polarisations."""
    return np.asarray(
        reduce(np.add, (before.bands[name] - after.bands[name] for name in after.bands)) / len(after.bands)
    )


def _signed_change(before: FilteredRadar, after: FilteredRadar) -> FloatImage:
    """Return the length (H, W) of the change vector of all polarisations, dB by the root of their mean square; negative if darker."""
    changes = np.stack([after.bands[name] - before.bands[name] for name in after.bands])
    return np.asarray(np.sqrt(np.mean(changes**2, axis=0)) * np.sign(changes.mean(axis=0)), np.float32)


def _lower(pre: WaterThreshold | None, post: WaterThreshold | None) -> WaterThreshold | None:
    """Return the lower threshold of two dates."""
    both = [image for image in (pre, post) if image is not None]
    return min(both, key=lambda each: each.value, default=None)
