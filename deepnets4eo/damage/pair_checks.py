"""What the evidence shows of a pair that is none: images the wrong way round, or one image under two names.

Takes evidence of all buildings; refuses a pair whose pre image is the damaged one, and one in which nothing differs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

LEAST_COUNT, LEAST_SHARE = 10, 0.1  # buildings that only the pre image shows damaged, and their share of all
TIMES = 4.0  # as many as those that only the post image shows damaged

LEAST_BUILDINGS = 5
# Edge similarity that all but a tenth of the buildings exceed: an image and its copy on another grid 0.85 and 0.92; real
# pairs of two days 0.30 at most, in a scene where little was damaged.
ONE_IMAGE, LEAST_ALIKE = 0.75, 10  # the latter a percentile


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
            "PRE is real and older, give - for PRE to assess from the post image alone."
        )


def require_two_pictures(similarity: NDArray[np.float64]) -> None:
    """Refuse a pair in which hardly anything differs: an image and a copy of it.

    similarity : (N,) correlation of the edges of pre and post at each building, −1 to 1, NaN where unknown.
    Errors: InputError.
    """
    known = similarity[np.isfinite(similarity)]
    if len(known) < LEAST_BUILDINGS:
        return
    least = float(np.percentile(known, LEAST_ALIKE))
    if least > ONE_IMAGE:
        raise InputError(
            f"PRE and POST seem to be one image, resampled: at nine of ten buildings their edges correlate with {least:.2f} "
            f"or more (images of two days: below {ONE_IMAGE}). Give the image from before the event, or - for PRE to assess "
            "from the post image alone."
        )
