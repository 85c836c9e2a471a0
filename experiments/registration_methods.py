"""Ways to register two images that the trials compare, each as a function of two layers that says how one lies against the other.

`register` takes the layers as they are; all others get grey images on one grid of the coarser pixel size, and their "ok" is theirs:
a peak, a correlation or a number of agreeing points above a limit. OpenCV is imported where it is used (`pip install opencv-python-headless`); DISK with LightGlue (extra `match`)
and SuperPoint come by files of weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import Points
from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import disk_lightglue, register, superpoint, xfeat
from deepnets4eo.registration.matchers import Matcher

GreyImage: TypeAlias = NDArray[np.float32]
MIN_PEAK, MIN_CORRELATION, MIN_POINTS, MIN_SHARE = 0.05, 0.3, 15, 0.25
THRESHOLD_PX = 2.0


@dataclass(frozen=True)
class Estimate:
    """How the pre image lies: a map of ground coordinates from post to pre, and whether the method trusts it."""

    status: str
    to_pre: Callable[[Points], Points]


Method: TypeAlias = Callable[[Layer, Layer], Estimate]


def ours(pre: Layer, post: Layer) -> Estimate:
    """`register` with its defaults."""
    registration = register(pre, post)
    return Estimate(registration.status, registration.to_pre)


def on_one_grid(method: Callable[[GreyImage, GreyImage], tuple[str, Affine]]) -> Method:
    """A method of two grey images, whose result maps (col, row) of post to those of pre, as one of two layers."""

    def run(pre: Layer, post: Layer) -> Estimate:
        step = max(pre.grid.affine.a, post.grid.affine.a)
        height, width = (math.floor(side * post.grid.affine.a / step) for side in post.shape)
        grid = GeoBox((height, width), post.grid.affine * Affine.scale(step / post.grid.affine.a), post.grid.crs)
        images = []
        for layer in (pre, post):
            data, valid = layer.on(grid, "average" if layer.grid.affine.a < step else "bilinear").read()
            images.append(np.where(valid, data[0], data[0][valid].mean() if valid.any() else 0).astype(np.float32))
        status, pixels = method(*images)
        ground = grid.affine * pixels * ~grid.affine
        return Estimate(status, lambda points: apply_affine(ground, points))

    return run


def phase_correlation(pre: GreyImage, post: GreyImage) -> tuple[str, Affine]:
    """OpenCV's phase correlation with a Hann window; ok from a response of 0.05."""
    cv2 = _opencv()
    window = cv2.createHanningWindow(post.shape[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(post, pre, window)
    return ("ok" if response >= MIN_PEAK else "failed"), Affine.translation(x, y)


def ecc(pre: GreyImage, post: GreyImage) -> tuple[str, Affine]:
    """OpenCV's enhanced correlation coefficient, affine, over a pyramid; ok from a correlation of 0.3."""
    cv2 = _opencv()
    matrix, correlation = np.eye(2, 3, dtype=np.float32), -1.0
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)
    for level in (3, 2, 1, 0):
        size = tuple(max(1, side >> level) for side in post.shape[::-1])
        if min(size) < 32:
            continue
        scale = size[0] / post.shape[1]
        small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (post, pre)]
        start = matrix.copy()
        start[:, 2] *= scale
        try:
            correlation, start = cv2.findTransformECC(*small, start, cv2.MOTION_AFFINE, criteria, None, 5)
        except cv2.error:
            return "failed", Affine.identity()
        matrix = start.copy()
        matrix[:, 2] /= scale
    return ("ok" if correlation >= MIN_CORRELATION else "failed"), _affine_of_centres(matrix)


def sift(pre: GreyImage, post: GreyImage) -> tuple[str, Affine]:
    """RootSIFT with a ratio test of 0.8 and OpenCV's MAGSAC; ok from 15 agreeing points and a quarter of the matches."""
    cv2 = _opencv()
    detector = cv2.SIFT_create(8000, contrastThreshold=0.01)
    points, vectors = [], []
    for image in (post, pre):
        low, high = np.percentile(image, (1, 99))
        grey = np.clip((image - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
        keypoints, descriptors = detector.detectAndCompute(grey, None)
        if descriptors is None or len(keypoints) < 3:
            return "failed", Affine.identity()
        vectors.append(np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)))
        points.append(np.array([keypoint.pt for keypoint in keypoints]))
    pairs = [pair for pair in cv2.BFMatcher(cv2.NORM_L2).knnMatch(*vectors, k=2) if len(pair) == 2]
    good = [first for first, second in pairs if first.distance < 0.8 * second.distance]
    index = np.array([(match.queryIdx, match.trainIdx) for match in good], int).reshape(-1, 2)
    return magsac(points[0][index[:, 0]], points[1][index[:, 1]])


def _opencv() -> Any:
    """OpenCV, which the toolbox itself does without. Errors: InputError where it is not installed."""
    try:
        return import_module("cv2")
    except ModuleNotFoundError as error:
        raise InputError(
            "this method is OpenCV's, which is not installed. Install opencv-python-headless, or leave the method out by --only."
        ) from error


def magsac(source: Points, target: Points) -> tuple[str, Affine]:
    """OpenCV's affine through matched points by MAGSAC."""
    cv2 = _opencv()
    if len(source) < 4:
        return "failed", Affine.identity()
    matrix, agreeing = cv2.estimateAffine2D(
        source, target, method=cv2.USAC_MAGSAC, ransacReprojThreshold=THRESHOLD_PX, maxIters=10_000, confidence=0.999
    )
    if matrix is None:
        return "failed", Affine.identity()
    good = agreeing.sum() >= max(MIN_POINTS, MIN_SHARE * len(source))
    return ("ok" if good else "failed"), _affine_of_centres(matrix)


def of_matcher(matcher: Matcher) -> Callable[[GreyImage, GreyImage], tuple[str, Affine]]:
    """A matcher's key points, then MAGSAC as for SIFT; no window has a say."""

    def match(pre: GreyImage, post: GreyImage) -> tuple[str, Affine]:
        points, targets = matcher(post, pre)
        return magsac(points - 0.5, targets - 0.5)

    return match


def with_weights(
    disk: Path | None, lightglue: Path | None, of_superpoint: Path | None, *, with_xfeat: bool = False
) -> dict[str, Method]:
    """Return the methods that need weights: only key points, and ours that takes them if nothing else is ok."""
    matchers: dict[str, Matcher] = {}
    if with_xfeat:
        matchers["xfeat"] = xfeat()
    if disk and lightglue:
        matchers["disk"] = disk_lightglue(disk, lightglue)
    if of_superpoint:
        matchers["superpoint"] = superpoint(of_superpoint)
    methods: dict[str, Method] = {}
    for name, matcher in matchers.items():
        methods[name] = on_one_grid(of_matcher(matcher))
        methods[f"ours with {name}"] = partial(_with_key_points, matcher)
    return methods


def _with_key_points(matcher: Matcher, pre: Layer, post: Layer) -> Estimate:
    registration = register(pre, post, matcher=matcher)
    return Estimate(registration.status, registration.to_pre)


def _affine_of_centres(matrix: NDArray[np.floating]) -> Affine:
    """OpenCV counts from the centre of the first pixel; (col, row) here counts from its corner."""
    half = Affine.translation(0.5, 0.5)
    return half * Affine(*np.asarray(matrix, float).ravel()) * ~half


METHODS: dict[str, Method] = {
    "ours": ours,
    "phase": on_one_grid(phase_correlation),
    "ecc": on_one_grid(ecc),
    "sift": on_one_grid(sift),
}
