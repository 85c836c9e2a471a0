"""Whether an optical image was taken by day, and in colour, from a few of its windows.

Takes layers; refuses nothing.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.inspection.pairs import sample_windows
from deepnets4eo.rasters.scene import Layer

BRIGHT_PERCENTILE, DARKEST = 95, 40  # by day the brightest pixels of real scenes have 90 and more of 255
STEP = 7  # every so many pixels of a window are looked at


def bright_value(image: Layer) -> float | None:
    """Display value that 95 % of an image's values do not reach.

    Parameters
    ----------
    image
        uint8; a few windows are read.

    Returns
    -------
    0–255; None where no pixel of these windows is valid. Below `DARKEST` the image is as dark as by night.
    """
    values = [data[:, valid].ravel()[::STEP] for data, valid in map(image.read, sample_windows(image.shape))]
    pixels = np.concatenate(values)
    return float(np.percentile(pixels, BRIGHT_PERCENTILE)) if pixels.size else None


def is_grey(image: Layer) -> bool:
    """Whether all bands of an image hold the same values: a panchromatic image that was saved with several bands.

    Parameters
    ----------
    image
        The image of two bands or more; a few windows are read.

    Returns
    -------
    bool
        False where no pixel of these windows is valid.
    """
    seen = False
    for data, valid in map(image.read, sample_windows(image.shape)):
        if (data[:1, valid] != data[1:, valid]).any():
            return False
        seen = seen or bool(valid.any())
    return seen
