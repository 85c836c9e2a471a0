"""Zeros that are no values: stripes and collars without data whose file declares no nodata value.

Takes a layer; looks at a few windows. Zeros count as undeclared where many pixels are 0 in every band and hardly any are near it.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.inspection.pairs import sample_windows
from deepnets4eo.rasters.scene import Layer

LEAST_SHARE = 0.005  # of the valid pixels
LEAST_VALUES = 64  # different values of an image; masks and labels have fewer, and their 0 says something
NEAR, NEAR_STEPS = 0.02, 2  # a pixel is near 0 up to this share of the median, or these steps of whole numbers
RARE = 0.1  # of the zeros: more pixels near 0 than that, and 0 is a value like others


def undeclared_zeros(layer: Layer) -> float:
    """Share of valid pixels, in the windows looked at, that are 0 in every band and no values; 0.0 where zeros may be values.

    Parameters
    ----------
    layer
        An image of numbers that are brightness, backscatter or reflectance.

    Returns
    -------
    Share between 0 and 1.
    """
    largest = [
        np.abs(data[:, valid].astype(np.float64)).max(axis=0)
        for data, valid in map(layer.read, sample_windows(layer.shape))
    ]
    values = np.concatenate(largest)
    seen = values[values > 0]
    zeros = values.size - seen.size
    if zeros < max(1, LEAST_SHARE * values.size) or len(np.unique(seen)) < LEAST_VALUES:
        return 0.0
    near = max(NEAR * float(np.median(seen)), NEAR_STEPS if layer.dtype.kind in "iu" else 0.0)
    return zeros / values.size if (seen <= near).sum() <= RARE * zeros else 0.0
