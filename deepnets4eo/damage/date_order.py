"""Were the images given the wrong way round? Then the pre image shows more damage than the post image.

Takes probabilities of damage as each image alone gives them; refuses a pair whose pre image is the damaged one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

LEAST_COUNT, LEAST_SHARE = 10, 0.1  # buildings that only the pre image shows damaged, and their share of all
TIMES = 4.0  # as many as those that only the post image shows damaged


def require_order(before: NDArray[np.float64], after: NDArray[np.float64]) -> None:
    """Refuse a pair of images in which many buildings are damaged before the event alone.

    before, after : (N,) probability of major damage or worse as the pre and the post image alone give it, NaN where
    one of them does not show the building.
    Errors: InputError.
    """
    known = np.isfinite(before) & np.isfinite(after)
    worse_before = int(((before >= 0.5) & (after < 0.5))[known].sum())
    worse_after = int(((after >= 0.5) & (before < 0.5))[known].sum())
    if worse_before >= max(LEAST_COUNT, LEAST_SHARE * known.sum()) and worse_before >= TIMES * worse_after:
        raise InputError(
            f"{worse_before} of {known.sum()} buildings look damaged in PRE and intact in POST, {worse_after} the other way "
            "round: the images seem to be swapped. Give the image from before the event first; or, where the damage in "
            "PRE is real and older, give - for PRE to judge from the post image alone."
        )
