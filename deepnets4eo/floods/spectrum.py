"""Water in the bands of an optical image with infrared: its indices, the odds of water by them, and what snow is.

Takes bands by what they show, in one unit; returns values of each pixel. Nothing is refused here: `sensors` chose the bands.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.floods.thresholds import WaterThreshold, find_water_threshold
from deepnets4eo.rasters import normalised_difference

INDICES = {"ndwi": ("green", "nir"), "mndwi": ("green", "swir")}  # McFeeters 1996, Xu 2006
PLAIN_WIDTH = 0.1  # of an index, from its zero, where the scene has no two modes
# in near infrared snow and ice are brighter than land; muddy water has their indices alone
SNOW_MNDWI, SNOW_NDWI = 0.4, 0.15


def water_indices(bands: Mapping[str, FloatImage], land_nir: float = 0.0) -> tuple[dict[str, FloatImage], Mask]:
    """Return the indices of water that the bands allow, and the mask of snow and ice.

    Parameters
    ----------
    bands : "green" with "nir", "swir" or both → (H, W) float32, in one unit
    land_nir : near infrared of land, see `measure_land_nir`, which snow exceeds; muddy water has its indices, but is darker

    Returns
    -------
    (dict, (H, W) bool)
        "ndwi" (McFeeters 1996) and "mndwi" (Xu 2006), −1…1, NaN in pixels with 0 in both bands; snow is known in pixels with both indices.
    """
    indices = {
        name: normalised_difference(np.maximum(bands[first], 0), np.maximum(bands[second], 0))
        for name, (first, second) in INDICES.items()
        if second in bands
    }
    if len(indices) < len(INDICES):
        return indices, np.zeros(bands["green"].shape, bool)
    snow = (indices["mndwi"] > SNOW_MNDWI) & (indices["ndwi"] < SNOW_NDWI) & (bands["nir"] > land_nir)
    return indices, np.asarray(snow)


def measure_land_nir(bands: Mapping[str, FloatImage], seen: Mask) -> float:
    """Return the median near infrared of pixels with negative MNDWI, unlike snow and water; 0 without such pixels or a band."""
    if not {"green", "nir", "swir"} <= bands.keys():
        return 0.0
    land = bands["nir"][seen & (bands["green"] < bands["swir"])]
    return float(np.median(land)) if land.size else 0.0


def index_threshold(index: FloatImage, method: str) -> WaterThreshold | None:
    """Return the threshold of an index (H, W), above which is water; None if no part of the scene has two modes. NaN in pixels that are not seen."""
    below = find_water_threshold(-index, method)
    return None if below is None else below.negate()


def index_odds(indices: Mapping[str, FloatImage], thresholds: Mapping[str, WaterThreshold | None]) -> FloatImage:
    """Mean of the odds of water of all indices; from zero of an index if the scene has no two modes of it."""
    odds = []
    for name, values in indices.items():
        threshold = thresholds[name]
        odds.append(values / np.float32(PLAIN_WIDTH) if threshold is None else threshold.log_odds(values))
    return np.asarray(np.mean(odds, axis=0), np.float32)
