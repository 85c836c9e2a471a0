"""Shift of single buildings between two registered images: roofs lean, ground does not.

Takes patches of both images around each building; what a destroyed building cannot say, its neighbours say for it.
Source of the pattern: template matching per building with neighbours' consent, as responders' tools do it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from deepnets4eo.damage.registration.correlation import Peaks, find_peaks, orientation_field
from deepnets4eo.damage.registration.ground import Points
from deepnets4eo.damage.registration.neighbours import regularise

CHUNK = 64
MIN_PEAK, MIN_RATIO = 0.12, 1.15  # below these a match is no better than between unrelated patches
AGREE_M = 1.5


class LocalOffsets(NamedTuple):
    """Offset of each building, right and down in metres: the thing in post lies there in pre, after registration."""

    offsets_m: Points  # (N, 2)
    own: NDArray[np.bool_]  # (N,) the building's own match, else its neighbours' median
    peaks: Peaks


def match_patches(pre_patches: NDArray[np.float32], post_patches: NDArray[np.float32]) -> Peaks:
    """Find each post patch in the larger pre patch around it, by the orientation of gradients.

    pre_patches : (N, H, W) float32. post_patches : (N, h, w) float32, h < H and w < W, both centred on the building.
    returns : Peaks; rows and columns to add to a place in post to find it in pre, at most (H − h) / 2; value −1 to 1.
    Peak memory: six patches of the pre size for each of 64 buildings.
    """
    parts = [
        _match(pre_patches[start : start + CHUNK], post_patches[start : start + CHUNK])
        for start in range(0, len(pre_patches), CHUNK)
    ]
    return Peaks(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def local_offsets(
    pre_patches: NDArray[np.float32], post_patches: NDArray[np.float32], points: Points, gsd_m: float
) -> LocalOffsets:
    """Offsets of many buildings, each kept only where it is clear and its neighbours agree.

    pre_patches, post_patches : as in `match_patches`. points : (N, 2) metres, where the buildings stand.
    gsd_m : size of a pixel of the patches. Buildings without agreeing neighbours keep the registration (offset 0).
    """
    peaks = match_patches(pre_patches, post_patches)
    shift = np.column_stack((peaks.cols, peaks.rows)) * gsd_m
    reach = (pre_patches.shape[1] - post_patches.shape[1]) // 2
    rim = np.maximum(np.abs(peaks.rows), np.abs(peaks.cols)) > reach - 1
    clear = (peaks.values > MIN_PEAK) & (peaks.ratios > MIN_RATIO) & ~rim
    offsets, own = regularise(points, shift, clear, np.zeros(2), AGREE_M)
    return LocalOffsets(offsets, own, peaks)


def _match(pre: NDArray[np.float32], post: NDArray[np.float32]) -> Peaks:
    height, width = post.shape[1:]
    reach = min((pre.shape[1] - height) // 2, (pre.shape[2] - width) // 2)
    field = np.stack([orientation_field(patch) for patch in pre])
    template = np.zeros_like(field)
    template[:, :height, :width] = np.stack([orientation_field(patch) for patch in post])
    support = np.zeros(pre.shape[1:], np.float32)
    support[:height, :width] = 1
    power = fft.fft2(np.abs(field) ** 2) * np.conj(fft.fft2(support))
    energy = np.maximum(fft.ifft2(power).real, 1e-3) * (np.abs(template) ** 2).sum(axis=(1, 2))[:, None, None]
    score = fft.ifft2(fft.fft2(field) * np.conj(fft.fft2(template))).real / np.sqrt(np.maximum(energy, 1e-6))
    top, left = (pre.shape[1] - height) // 2 - reach, (pre.shape[2] - width) // 2 - reach
    side = 2 * reach + 1
    return find_peaks(score[:, top : top + side, left : left + side].astype(np.float32))
