"""The coverage of each building, which decides if it can be assessed: how much of its outline the images show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import BuildingSums, Floats, Mask, Texts
from deepnets4eo.damage.images.working_grid import WorkingGrid
from deepnets4eo.damage.structure.block import BuildingGeometry
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.zonal import FinePixels

MIN_VISIBLE_SHARE = 0.7  # of the footprint's area
MAX_CLOUDY_SHARE = 0.3  # of the footprint's area


@dataclass(frozen=True)
class Coverage:
    """Visibility of N buildings in the images.

    reason : (N,) why each cannot be assessed, else ''
    seen_before : (N,) buildings that the pre image shows as well"""

    reason: Texts
    seen_before: Mask

    @property
    def compared(self) -> Mask:
        """Return (N,) buildings that can be assessed from both images."""
        return np.asarray((self.reason == "") & self.seen_before)

    def without(self, hidden: Mask, why: Reason) -> Coverage:
        """Leave out (N,) buildings that cannot be assessed either."""
        return Coverage(np.where(hidden & (self.reason == ""), why, self.reason), self.seen_before)


def too_small(area_px: Floats, area_m2: Floats) -> Mask:
    """Return (N,) buildings with too few pixels or square metres to be assessed."""
    fine = FinePixels()
    return (area_px < fine.min_building_px) | (area_m2 < fine.min_building_m2)


def assess_coverage(sums: dict[str, BuildingSums], geometry: BuildingGeometry, working_grid: WorkingGrid) -> Coverage:
    """Return whether each building can be assessed, and whether both images show it."""
    count = len(geometry.sides)
    pixels = _total(sums, "pixels", count)
    full = geometry.sides.areas
    area = np.maximum(full, pixels)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen_post, seen_pre = (_total(sums, f"{name}_inside", count) / area for name in ("post", "pre"))
        blank = _total(sums, "post_blank", count) / area
        cloudy = _total(sums, "cloud", count) / np.maximum(pixels, 1)
    reason: Texts = np.full(count, "", dtype=object)
    few, cut = pixels < (1 - MIN_VISIBLE_SHARE) * full, pixels < MIN_VISIBLE_SHARE * full
    inside = geometry.inside_share >= MIN_VISIBLE_SHARE
    small = too_small(full, full * working_grid.gsd_m**2)
    rules = [
        (seen_post < MIN_VISIBLE_SHARE, Reason.NODATA),
        (cut & ~inside, Reason.CUT),
        (small | (few & inside), Reason.SMALL),  # slivers enclose no centre of a pixel
        (cloudy > MAX_CLOUDY_SHARE, Reason.CLOUD),
        ((seen_post < MIN_VISIBLE_SHARE) & (blank > (1 - MIN_VISIBLE_SHARE) / 2), Reason.BLANK),
        (few & ~inside, Reason.OUTSIDE),
        (~(full > 0), Reason.EMPTY),
    ]
    for rule, why in rules:  # later rules say more about why
        reason[rule] = why
    reason = np.where(geometry.left_out != "", geometry.left_out, reason)
    return Coverage(reason, np.asarray(seen_pre >= MIN_VISIBLE_SHARE))


def _total(sums: dict[str, BuildingSums], name: str, count: int) -> NDArray[np.float64]:
    return sums[name][:, 0] if name in sums else np.zeros(count)


def mark_too_little(reasons: Texts, inside: Floats, area_px: Floats, area_m2: Floats) -> None:
    """Mark the buildings among N whose outline is cut by the image, too small or outside. inside : (N,) share of each within the image."""
    reasons[inside < MIN_VISIBLE_SHARE] = Reason.CUT
    reasons[too_small(area_px, area_m2)] = Reason.SMALL
    reasons[inside < 1 - MIN_VISIBLE_SHARE] = Reason.OUTSIDE
