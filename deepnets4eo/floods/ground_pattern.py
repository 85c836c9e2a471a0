"""Visibility of the ground's pattern after a flood: water hides it; a wet field, a dark meadow or a cast shadow does not.

Takes images before and after on one grid, in pixels of about 1 m.

The pattern is the directions of edges: ruts, paths, fences, mottle. Where it is found again after, the ground is
visible, and any new water mapped there is refused.

If images are misaligned, the patterns agree nowhere, so nothing is refused.
"""

from __future__ import annotations

import numpy as np
import scipy

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.registration import orientation_field

PATTERN_PX, MOVED_PX = 21, 1  # window in which the pattern of the ground is compared, and how far it may lie off
SAME_PATTERN = (
    0.35  # agreement: exceeded by 1 to 6 % of flooded ground at four places, by 5 to 40 % of dry ground at twelve
)
# Share of a part of new water where the pattern is found again, from which it is none: parts of six floods 0 to 0.08, fields and meadows
# that were taken for water at two places 0.10 to 0.23; and that share of dry ground, times this.
FOUND_AGAIN, OF_DRY = 0.1, 0.5
PART_M2 = 2000.0  # of a part that says it for itself; smaller ones follow the larger ones of the image
# Around what stands out of new water and is smaller; the outer edge counts, by which a field at Moore is refused.
BESIDE_PX = 3


def pattern_agreement(before: FloatImage, after: FloatImage, valid: Mask, houses: Mask | None = None) -> FloatImage:
    """Return how well the directions of edges (h, w) agree around each pixel, at most 1, even if the images are a pixel off each other.

    before, after : (h, w) grey values; valid : (h, w) pixels seen in both; houses : (h, w) pixels whose edges do not count."""
    fields = [orientation_field(grey.astype(np.float32), valid) for grey in (before, after)]
    if houses is not None:
        for field in fields:
            field[houses] = 0
    power = scipy.ndimage.uniform_filter(np.square(np.abs(fields[0])), PATTERN_PX)
    best = np.full(before.shape, -1.0, np.float32)
    for down in range(-MOVED_PX, MOVED_PX + 1):
        for right in range(-MOVED_PX, MOVED_PX + 1):
            moved = np.roll(fields[1], (down, right), (0, 1))  # what comes in from the other side is in the halo
            product = scipy.ndimage.uniform_filter((fields[0] * np.conj(moved)).real, PATTERN_PX)
            both = power * scipy.ndimage.uniform_filter(np.square(np.abs(moved)), PATTERN_PX)
            np.maximum(best, product / np.sqrt(np.maximum(both, 1e-9)), out=best)
    return best


def same_pattern(before: FloatImage, after: FloatImage, valid: Mask, houses: Mask | None = None) -> Mask:
    """Return where (h, w) the pattern of the ground is found again; parameters as in `pattern_agreement`."""
    return np.asarray(pattern_agreement(before, after, valid, houses) > SAME_PATTERN)


def without_seen_ground(new: Mask, before: FloatImage, after: FloatImage, ground: Mask, pixel_m2: float) -> Mask:
    """Return new water (h, w) without the parts through which the earlier pattern of the ground is visible.

    before, after : (3, h, w) red, green and blue; ground : (h, w) seen at both dates and no crown; pixel_m2 : area of a pixel."""
    parts, count = scipy.ndimage.label(new)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * pixel_m2
    large = sizes >= PART_M2
    large[0] = False
    if not large.any() or not (dry := ground & ~new).any():
        return new
    again = same_pattern(before.mean(axis=0), after.mean(axis=0), ground, _houses(new, pixel_m2))
    limit = max(FOUND_AGAIN, OF_DRY * float(again[dry].mean()))
    of_ground = np.bincount(parts[ground], minlength=count + 1)
    shares = np.bincount(parts[ground & again], minlength=count + 1) / np.maximum(of_ground, 1)
    kept = large & (shares < limit)
    return np.asarray(new & (kept[parts] | (~large[parts] & kept.any())))


def _houses(new: Mask, pixel_m2: float) -> Mask:
    """Return objects that rise above new water (h, w), like houses, and their surroundings: their edges are the same before."""
    islands, count = scipy.ndimage.label(scipy.ndimage.binary_fill_holes(new) & ~new)
    small = np.bincount(islands.ravel(), minlength=count + 1) * pixel_m2 < PART_M2
    small[0] = False
    return np.asarray(scipy.ndimage.binary_dilation(small[islands], np.ones((3, 3)), iterations=BESIDE_PX))
