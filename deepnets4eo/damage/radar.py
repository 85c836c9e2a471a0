"""Whether an image is radar, seen from its speckle: brightness varies by a share of itself, even on smooth ground.

Takes a layer; looks at a few windows of it. The weight-free model reads optical images only, so radar must be known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.tiling.spread import spread_windows

WINDOW_PX = 512
WINDOWS = 3  # along each side
SIDE_PX = 5
DARK = 0.03  # of the brightest: below, the share is noise
SMOOTHEST = 10  # percentile of the variation over a window: its smooth ground
SPECKLED = 0.09  # smooth ground of 18 optical samples varied by 0.02 to 0.08, of 4 radar samples by 0.11 to 0.22


def is_radar(layer: Layer) -> bool:
    """Whether a layer of one (or one and the same) band is speckled like radar amplitude; False for colour images."""
    windows = spread_windows(layer.shape, (WINDOW_PX, WINDOW_PX), WINDOWS)
    variation = [value for window in windows if np.isfinite(value := _variation(layer, window))]
    return bool(variation) and float(np.median(variation)) > SPECKLED


def _variation(layer: Layer, window: Window) -> float:
    """Standard deviation over mean of the smoothest ground in a window; NaN where nothing is bright, or in colour."""
    data, valid = layer.read(window)
    bands = data[:3].astype(np.float32)
    if not valid.any() or (bands != bands[:1])[:, valid].any():
        return float("nan")
    return _smoothest(np.where(valid, bands[0], 0), valid)


def _smoothest(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    mean = uniform_filter(image, SIDE_PX)
    spread = np.sqrt(np.maximum(uniform_filter(image * image, SIDE_PX) - mean * mean, 0))
    usable = (uniform_filter(valid.astype(np.float32), SIDE_PX) > 0.999) & (mean > DARK * image.max())
    return float(np.percentile(spread[usable] / mean[usable], SMOOTHEST)) if usable.any() else float("nan")
