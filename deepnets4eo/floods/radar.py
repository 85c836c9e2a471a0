"""Water and floods in radar images: smooth water sends the pulse away and is dark.

Each date is filtered, a threshold is found for each polarisation, and the odds of water are averaged over polarisations,
whose errors are not independent. Water in POST that was water in PRE, or has not become darker since, is permanent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.errors import InputError, check_choice
from deepnets4eo.floods.speckle import FILTERS, equivalent_looks, to_decibel
from deepnets4eo.floods.thresholds import (
    DRY,
    FLOOD,
    NOT_SEEN,
    PERMANENT_WATER,
    WATER_PROBABILITY,
    WaterThreshold,
    find_water_threshold,
    grow_water,
)
from deepnets4eo.floods.units import RadarImage, check_radar_pair
from deepnets4eo.rasters.thresholds import THRESHOLDS

UNFILTERED = "none"


@dataclass(frozen=True)
class RadarOptions:
    """How water is found in radar images.

    Parameters
    ----------
    speckle : str
        Filter: "refined-lee", "lee", "lee-sigma", "non-local" or "none".
    looks : float | None
        Equivalent number of looks; measured in each image where None.
    method : str
        Threshold: "otsu", "kittler", "em" or "two-means".
    least_px : int
        The fewest pixels of a water body.
    least_drop_db : float
        By how much a flood is darker than its ground was: half the power.
    steepest_deg : float
        Steeper ground counts as not seen: radar shadow there is as dark as water.
    highest_m : float
        Ground higher than this above its nearest drainage is dry.
    """

    speckle: str = "refined-lee"
    looks: float | None = None
    method: str = "otsu"
    least_px: int = 10
    least_drop_db: float = 3.0
    steepest_deg: float = 15.0
    highest_m: float = 20.0


@dataclass(frozen=True)
class RadarStatistics:
    """What is measured once of a date, to map it by windows.

    Attributes
    ----------
    looks : dict
        Polarisation → equivalent number of looks.
    thresholds : dict
        Polarisation → threshold in dB; None where no part of the image has two modes.
    """

    looks: dict[str, float]
    thresholds: dict[str, WaterThreshold | None]


@dataclass(frozen=True)
class RadarWater:
    """Water in radar images.

    Attributes
    ----------
    classes : (H, W) uint8
        0 dry, 1 permanent water, 2 flood, 255 not seen; without PRE, all water is 1: water, not known since when.
    probability : (H, W) float32
        Probability of water in POST, NaN where not seen.
    statistics : RadarStatistics
        Looks and thresholds of POST.
    """

    classes: ByteImage
    probability: FloatImage
    statistics: RadarStatistics


def measure_radar(image: RadarImage, options: RadarOptions | None = None) -> RadarStatistics:
    """Measure looks and thresholds of one date.

    Parameters
    ----------
    image : RadarImage
        A whole scene, or pieces of it that hold water and land.
    options : RadarOptions | None
        How water is found.

    Returns
    -------
    RadarStatistics
        To map windows of the scene by `radar_water`.
    """
    return prepare_radar(image, options or RadarOptions(), None)[1]


def radar_water(
    pre: RadarImage | None,
    post: RadarImage,
    options: RadarOptions | None = None,
    *,
    slope_deg: FloatImage | None = None,
    above_drainage_m: FloatImage | None = None,
    pre_statistics: RadarStatistics | None = None,
    post_statistics: RadarStatistics | None = None,
) -> RadarWater:
    """Find water in POST, and which of it is new since PRE.

    Parameters
    ----------
    pre : RadarImage | None
        The date before on the same grid; None where there is none.
    post : RadarImage
        The date of the flood.
    options : RadarOptions | None
        How water is found.
    slope_deg, above_drainage_m : (H, W) float32 | None
        Slope of the ground, and its height above the nearest drainage.
    pre_statistics, post_statistics : RadarStatistics | None
        Those of the whole scene, whose dates were checked, where the images are windows of it; measured here where None.

    Returns
    -------
    RadarWater
        Classes, probability of water, looks and thresholds.

    Raises
    ------
    InputError
        Where the dates do not belong together, or an option is unknown.
    """
    options = options or RadarOptions()
    _check_layers(post, {"slope_deg": slope_deg, "above_drainage_m": above_drainage_m})
    if pre is not None and post_statistics is None:
        check_radar_pair(pre, post)
    after, statistics = prepare_radar(post, options, post_statistics)
    probability = water_probability(after, statistics.thresholds)
    if above_drainage_m is not None:
        probability[above_drainage_m > options.highest_m] = 0
    if slope_deg is not None:
        probability[slope_deg > options.steepest_deg] = np.nan
    water = grow_water(probability, options.least_px)
    classes = np.where(water, PERMANENT_WATER, DRY).astype(np.uint8)
    if pre is not None:
        before, of_pre = prepare_radar(pre, options, pre_statistics)
        drop = np.mean([before[name] - after[name] for name in after], axis=0)
        thresholds = {name: _lower(one, statistics.thresholds[name]) for name, one in of_pre.thresholds.items()}
        dry = water_probability(before, thresholds) < WATER_PROBABILITY
        new = water & dry & (drop >= options.least_drop_db)
        classes[grow_water(np.where(new, probability, np.float32(0)), options.least_px)] = FLOOD
        probability[np.isnan(drop)] = np.nan
    classes[np.isnan(probability)] = NOT_SEEN
    return RadarWater(classes, probability, statistics)


def _lower(pre: WaterThreshold | None, post: WaterThreshold | None) -> WaterThreshold | None:
    """The lower threshold of two dates: that of a date without water lies between two kinds of land, far too high."""
    both = [each for each in (pre, post) if each is not None]
    return min(both, key=lambda each: each.value, default=None)


def _check_layers(post: RadarImage, layers: dict[str, FloatImage | None]) -> None:
    shape = next(iter(post.bands.values())).shape
    for name, layer in layers.items():
        if layer is not None and layer.shape != shape:
            raise InputError(
                f"{name} has shape {layer.shape}, that of {post.name}, {shape}, is expected. Warp it to that grid."
            )


def prepare_radar(
    image: RadarImage, options: RadarOptions, statistics: RadarStatistics | None
) -> tuple[dict[str, FloatImage], RadarStatistics]:
    """Polarisation → filtered dB, and the statistics, measured where there are none."""
    check_choice("speckle", options.speckle, [*FILTERS, UNFILTERED])
    check_choice("method", options.method, THRESHOLDS)
    known = statistics.looks if statistics is not None else {}
    looks: dict[str, float] = {}
    bands: dict[str, FloatImage] = {}
    for name, band in image.power().items():
        if options.speckle != UNFILTERED:
            looks[name] = options.looks or known.get(name) or equivalent_looks(band)
            band = FILTERS[options.speckle](band, looks[name])
        bands[name] = to_decibel(band)
    if statistics is None:
        thresholds = {name: find_water_threshold(band, options.method) for name, band in bands.items()}
        statistics = RadarStatistics(looks, thresholds)
    return bands, statistics


def _water_odds(bands: dict[str, FloatImage], thresholds: Mapping[str, WaterThreshold | None]) -> FloatImage:
    """Logarithm of the odds of water (H, W): the mean over all polarisations that have a threshold, −∞ where none has; NaN
    where a band (H, W, dB) has no value."""
    usable = {name: one for name, one in thresholds.items() if one is not None}
    seen = np.logical_and.reduce([np.isfinite(band) for band in bands.values()])
    if not usable:
        return np.where(seen, -np.inf, np.nan).astype(np.float32)
    odds = np.mean([one.log_odds(bands[name]) for name, one in usable.items()], axis=0)
    return np.where(seen, odds, np.nan).astype(np.float32)


def water_probability(bands: dict[str, FloatImage], thresholds: Mapping[str, WaterThreshold | None]) -> FloatImage:
    """Probability of water (H, W) by all polarisations (H, W, dB) that have a threshold; NaN where a band has no value."""
    from scipy.special import expit

    return np.asarray(expit(_water_odds(bands, thresholds)), np.float32)
