"""Checks that the images of a pair are of two dates and in their order, by the look of the buildings in each."""

from __future__ import annotations

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import Finding

MIN_COUNT, MIN_SHARE = 10, 0.1  # buildings that only the pre image shows damaged, and their share of all
TIMES = 4.0  # as many as those that only the post image shows damaged
MIN_BUILDINGS = (
    20  # whose roofs are compared before a pair is called copies: five farms agreed by 0.86 where all else had changed
)
DAMAGED_AT = 0.5  # probability from which a building looks damaged
# Agreement of edge directions (`Buildings.agreement`, not the column relative to the site) that all but a tenth of the roofs exceed:
# an image and its copy, moved by half a pixel or at half the size, 0.88 to 0.96 at two places; ten real pairs of two days 0.06 to 0.21,
# 0.66 and 0.86 at two places with five roofs.
ONE_IMAGE, MIN_ALIKE = 0.8, 10  # the latter a percentile
# Median correlation of gradients over the whole ground (`Registration.ground_agreement`), at 18 xBD pairs: copies, moved by half a pixel
# or at half the size, 0.86 to 0.99; the images of two days 0.00 to 0.22. Halfway on either side.
ONE_GROUND = 0.6


def require_order(before: Floats, after: Floats) -> None:
    """Refuse a pair with many buildings that are damaged only before, by (N,) probabilities of each image. Raises InputError."""
    worse_before, worse_after, known = _worse(before, after)
    if worse_before >= max(MIN_COUNT, MIN_SHARE * known) and worse_before >= TIMES * worse_after:
        raise InputError(
            f"{worse_before} of {known} buildings look damaged in PRE and intact in POST, {worse_after} the other way "
            "round: the images seem to be swapped. Give the image from before the event first; or, where the damage in "
            "PRE is real and older, give - for PRE to assess only from the post image."
        )


def order_finding(before: Floats, after: Floats, agreeing: tuple[float, float]) -> Finding:
    """Return the finding for outlines that follow the image after and not the image before.

    If more buildings look damaged before, the dates are swapped.

    before, after : (N,) probabilities of damage by each image; agreeing : shares of the outlines that agree on one offset on each."""
    worse_before, worse_after, known = _worse(before, after)
    values = {
        "agree_before": agreeing[0], "agree_after": agreeing[1], "worse_before": worse_before, "worse_after": worse_after, "known": known,
    }  # fmt: skip
    if worse_before > worse_after:
        return Finding("dates_swapped", "worthless", values)
    return Finding("outlines_fit_after", "caution", values)


def _worse(before: Floats, after: Floats) -> tuple[int, int, int]:
    """Return how many buildings look damaged only before and only after, and how many are known in both."""
    known = np.isfinite(before) & np.isfinite(after)
    pre, post = before[known] >= DAMAGED_AT, after[known] >= DAMAGED_AT
    return int((pre & ~post).sum()), int((post & ~pre).sum()), int(known.sum())


def require_two_pictures(agreement: Floats, ground_agreement: float) -> None:
    """Refuse an image and its copy. Errors: InputError.

    Roofs that look alike do not suffice, since intact roofs may: the ground between them must be the same as well.

    agreement : (N,) of the edge directions of roofs, as measured; ground_agreement : of the ground in both images, NaN if not measured"""
    known = agreement[np.isfinite(agreement)]
    if len(known) < MIN_BUILDINGS or not ground_agreement > ONE_GROUND:
        return
    least = float(np.percentile(known, MIN_ALIKE))
    if least > ONE_IMAGE:
        raise InputError(
            f"PRE and POST seem to be one image, resampled: at nine of ten buildings their edges agree by {least:.2f} "
            f"or more (images of two days: below {ONE_IMAGE}), and the gradients of the ground by {ground_agreement:.2f} "
            f"(below {ONE_GROUND}). Give the image from before the event, or - for PRE to assess only from the post image."
        )
