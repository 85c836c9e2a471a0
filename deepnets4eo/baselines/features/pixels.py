"""The band values, by themselves and with their neighbourhood.

Takes bands in their own units; the estimator does the scaling (unscaled metres beside grey values mislead an SVM).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import DenseFeature

RADII_PX = (2, 5)


def neighbourhood(bands: Bands) -> FloatImage:
    """Return mean and standard deviation in squares of 5 and 11 pixels, and gradient magnitude, of each band: F = 5 C."""
    parts = []
    for radius in RADII_PX:
        side = (0, 2 * radius + 1, 2 * radius + 1)
        # about the mean: float32 squares of metres above sea level are too coarse for the differences
        level = bands.values.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
        centred = bands.values - level
        mean = ndimage.uniform_filter(centred, side, mode="nearest")
        square = ndimage.uniform_filter(centred * centred, side, mode="nearest")
        parts += [mean + level, np.sqrt(np.maximum(square - mean * mean, 0))]
    down, right = (ndimage.sobel(bands.values, axis=axis, mode="nearest") for axis in (1, 2))
    parts.append(np.hypot(down, right) / 8)
    return np.concatenate(parts)


def _neighbourhood_names(bands: Bands) -> list[str]:
    sides = [2 * radius + 1 for radius in RADII_PX]
    kinds = [f"{kind}{side}" for side in sides for kind in ("mean", "deviation")] + ["gradient"]
    return [f"{kind}.{band}" for kind in kinds for band in bands.names]


PIXELS = DenseFeature("pixels", 0, lambda bands: list(bands.names), lambda bands: bands.values)
NEIGHBOURHOOD = DenseFeature("neighbourhood", max(RADII_PX), _neighbourhood_names, neighbourhood)
