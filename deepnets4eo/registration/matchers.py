"""First models from the key points of any matcher, such as DISK with LightGlue, by files of weights; the windows decide what they are worth.

A matcher takes two grey images and returns where both show one thing. arXiv 2006.13566 (DISK), 2306.13643 (LightGlue).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from affine import Affine

from deepnets4eo.arrays import FloatImage, Points
from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.registration.coarse import PART_PX, middle_views
from deepnets4eo.registration.fit import residuals, robust_fit
from deepnets4eo.registration.tiepoints import SampledPair

if TYPE_CHECKING:
    from torch import nn

Matcher: TypeAlias = Callable[[FloatImage, FloatImage], tuple[Points, Points]]

MOST_POINTS = 2048
DESCRIPTORS = 128  # numbers of a descriptor of DISK
NEAR_PX = 6.0  # roofs and trees lie that far from the ground's model where view angles differ
LEAST_MATCHES, LEAST_SHARE = 30, 0.4  # that agree; of unrelated images some ten do

log = logging.getLogger(__name__)


@name_missing_extra()
def disk_lightglue(disk: str | Path, lightglue: str | Path, *, most_points: int = MOST_POINTS) -> Matcher:
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
    from kornia.feature import DISK, LightGlue

    networks = _loaded(DISK(DESCRIPTORS), disk), _loaded(LightGlue(None, input_dim=DESCRIPTORS), lightglue)
    return partial(_match, *networks, most_points)


def _loaded(network: nn.Module, file: str | Path) -> nn.Module:
    """A network with the weights of a file, ready to be used."""
    from deepnets4eo.segmenters.pretrained import read_tensors

    tensors, own = read_tensors(file), network.state_dict()
    learnt = {name for name, _ in network.named_parameters()}
    odd = [name for name in learnt if name not in tensors or tensors[name].shape != own[name].shape]
    if odd:
        raise InputError(
            f"{file} does not have the weights of {type(network).__name__}: {sorted(odd)[0]} is missing or of another shape. Give kornia's, saved as safetensors."
        )
    network.load_state_dict({name: value for name, value in tensors.items() if name in own}, strict=False)
    return network.eval()


def _match(disk: Any, lightglue: Any, most_points: int, first: FloatImage, second: FloatImage) -> tuple[Points, Points]:
    """(N, 2) columns and rows, from the upper left corner, of what both images (h, w) show; brightness is stretched."""
    import torch

    sides, positions = [], []
    with torch.inference_mode():
        for image in (first, second):
            low, high = np.percentile(image, (1, 99))
            level = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
            pixels = torch.from_numpy(level)[None, None].repeat(1, 3, 1, 1)
            features = disk(pixels, n=most_points, pad_if_not_divisible=True)[0]
            positions.append(features.keypoints.numpy().astype(np.float64) + 0.5)
            size = torch.tensor([image.shape[::-1]])
            sides.append(
                {"keypoints": features.keypoints[None], "descriptors": features.descriptors[None], "image_size": size}
            )
        if min(map(len, positions)) < LEAST_MATCHES:
            return np.empty((0, 2)), np.empty((0, 2))
        index = lightglue({"image0": sides[0], "image1": sides[1]})["matches"][0].numpy()
    return positions[0][index[:, 0]], positions[1][index[:, 1]]


def matched_model(pair: SampledPair, matcher: Matcher, seed: int) -> Affine | None:
    """The similarity from post to pre that most matches agree on; None where too few do."""
    (pre, _), (post, _), gsd_m = middle_views(pair, PART_PX)
    corner = pair.middle[0] - np.array(post.shape[::-1]) * gsd_m / 2
    in_metres = Affine.translation(*corner) * Affine.scale(gsd_m)
    points, targets = (apply_affine(in_metres, np.asarray(one, float)) for one in matcher(post, pre))
    if len(points) < LEAST_MATCHES:
        return None
    tolerance = NEAR_PX * gsd_m
    model = robust_fit("similarity", points, targets, tolerance, np.random.default_rng(seed))
    agreeing = int((residuals(model, points, targets) <= tolerance).sum())
    log.info("%d of %d matches agree on one place", agreeing, len(points))
    return model if agreeing >= max(LEAST_MATCHES, LEAST_SHARE * len(points)) else None
