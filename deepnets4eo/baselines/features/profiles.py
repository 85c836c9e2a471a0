"""Morphological profiles: how bright and dark regions vanish as the required size or contrast grows.

Takes the grey values, and the heights if there are any; regions of `largest_px` or more stay unchanged, which makes
the values exact within a halo. Peak memory: about 250 bytes per pixel, and 16 per node and column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import at_sites
from deepnets4eo.baselines.features.max_tree import MaxTree

GREY_LEVELS = 255
HEIGHT_STEP_M = 0.25
LARGEST_PX = 65  # a halo of 64
SIDES = ("opening", "closing")


@dataclass(frozen=True)
class Relief:
    """What a profile is computed of: whole levels (h, w), the value of one level, and that of level 0."""

    name: str
    levels: NDArray[np.int64]
    step: float
    base: float

    def values(self, levels: NDArray[np.int64]) -> FloatImage:
        """Return levels in grey values (0–1) or metres."""
        return (levels * self.step + self.base).astype(np.float32)


def reliefs(bands: Bands) -> list[Relief]:
    """Return grey values in 1/255, and heights (`height`, else `ndsm`) in 0.25 m if there are any.

    Steps are absolute, so that they are the same in all tiles of a scene.
    """
    result = [Relief("grey", np.rint(bands.grey() * GREY_LEVELS).astype(np.int64), 1 / GREY_LEVELS, 0.0)]
    for role in _heights(bands):
        steps = np.floor(bands.pick(role)[0] / HEIGHT_STEP_M).astype(np.int64)
        lowest = int(steps.min())
        result.append(Relief(role, steps - lowest, HEIGHT_STEP_M, lowest * HEIGHT_STEP_M))
    return result


@dataclass(frozen=True)
class DifferentialProfile:
    """What openings (bright regions) and closings (dark regions) by reconstruction with growing disks remove, step by step.

    Columns: the value itself; value − opening by the first disk, first − second opening, …; the same for closings.
    Source: Pesaresi and Benediktsson 2001; Benediktsson, Palmason and Sveinsson 2005. Theirs is `largest_px=None`, in
    which a value may depend on pixels beyond any halo.
    """

    name: str = "differential_profile"
    radii_px: tuple[int, ...] = (2, 4, 8, 16)
    largest_px: int = LARGEST_PX

    @property
    def halo_px(self) -> int:
        """Pixels around a site within which values are exact."""
        return max(self.largest_px - 1, max(self.radii_px))

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns."""
        one = ["", *(f".{side}{radius}" for side in SIDES for radius in self.radii_px)]
        return [source + column for source in _sources(bands) for column in one]

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (F, h, w) float32 at the sites, grey values 0–1 and metres."""
        parts = []
        for relief in reliefs(bands):
            bright, dark = (
                differences(open_by_disks(levels, self.radii_px, largest_px=self.largest_px, stride_px=stride_px))
                for levels in (relief.levels, relief.levels.max() - relief.levels)
            )
            own = relief.values(at_sites(relief.levels, stride_px))[None]
            parts += [own, (np.concatenate([bright, dark]) * relief.step).astype(np.float32)]
        return np.concatenate(parts)


@dataclass(frozen=True)
class AttributeProfile:
    """Bright and dark regions kept from a certain area, length or contrast on: openings and closings of one tree.

    areas_px : pixels. extents_px : longer side of the upright bounding box in pixels. deviations : standard deviation
    of the levels within the region, in 1/255 of grey and in steps of 0.25 m (a thinning: regions inside may stay).
    Columns: the value itself, then the filtered values. Source: Dalla Mura et al. 2010.
    """

    name: str = "attribute_profile"
    areas_px: tuple[int, ...] = (25, 100, 400, 1600)
    extents_px: tuple[int, ...] = ()
    deviations: tuple[float, ...] = (5.0, 10.0, 20.0)
    largest_px: int = LARGEST_PX

    @property
    def halo_px(self) -> int:
        """Pixels around a site within which values are exact."""
        return self.largest_px - 1

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns."""
        limits_by_kind = [("area", self.areas_px), ("extent", self.extents_px), ("deviation", self.deviations)]
        one = [f".{side}.{kind}{limit:g}" for side in SIDES for kind, limits in limits_by_kind for limit in limits]
        return [source + column for source in _sources(bands) for column in ["", *one]]

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (F, h, w) float32 at the sites, grey values 0–1 and metres."""
        parts = []
        for relief in reliefs(bands):
            highest = relief.levels.max()
            bright = self.open_levels(relief.levels, stride_px)
            dark = highest - self.open_levels(highest - relief.levels, stride_px)
            own = at_sites(relief.levels, stride_px)[None]
            parts += [relief.values(part) for part in (own, bright, dark)]
        return np.concatenate(parts)

    def open_levels(self, levels: NDArray[np.int64], stride_px: int = 1) -> NDArray[np.int64]:
        """Return levels at the sites without the regions below each limit, (limits, h, w)."""
        tree = MaxTree.build(levels)
        area, extent = tree.area(), tree.extent()
        keep = [area >= limit for limit in self.areas_px]
        keep += [extent >= limit for limit in self.extents_px]
        if self.deviations:
            deviation = tree.deviation()
            keep += [deviation >= limit for limit in self.deviations]
        large = extent >= self.largest_px
        return _at_sites(tree, tree.filter_levels(np.stack(keep, axis=1) | large[:, None]), stride_px)


def open_by_disks(
    levels: NDArray[np.int64], radii_px: Sequence[int], *, largest_px: int | None = LARGEST_PX, stride_px: int = 1
) -> NDArray[np.int64]:
    """Return the levels (h, w), then their openings by reconstruction with disks, at the sites, (1 + radii, h, w).

    largest_px : regions of this length and more stay whether a disk fits into them or not; None: the plain opening.
    Neighbours are the four next pixels; pixels beyond the edge do not limit a disk.
    """
    tree = MaxTree.build(levels)
    keep = None if largest_px is None else tree.extent() >= largest_px
    narrow = levels.astype(np.min_scalar_type(int(levels.max())))  # bytes are compared ten times as fast
    opened = [tree.reconstruct(marker, keep) for marker in erode_by_disks(narrow, radii_px)]
    return _at_sites(tree, np.stack([tree.level, *opened], axis=1), stride_px)


def differences(profile: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what each step of a profile of openings removed, (F + 1, h, w) → (F, h, w), ≥ 0."""
    return profile[:-1] - profile[1:]


def erode_by_disks(image: NDArray[Any], radii_px: Sequence[int]) -> list[NDArray[Any]]:
    """Return the lowest value within each radius, for all radii together; only pixels of the image count.

    A disk is a pile of rows: minima along rows are made once, one pixel wider at a time.
    """
    rows = [image]
    for _ in range(max(radii_px)):
        wider = rows[-1].copy()
        np.minimum(wider[:, 1:], rows[-1][:, :-1], out=wider[:, 1:])
        np.minimum(wider[:, :-1], rows[-1][:, 1:], out=wider[:, :-1])
        rows.append(wider)
    eroded = []
    for radius in radii_px:
        lowest = rows[radius].copy()
        for down in range(1, radius + 1):
            row = rows[math.isqrt(radius * radius - down * down)]
            np.minimum(lowest[down:], row[:-down], out=lowest[down:])
            np.minimum(lowest[:-down], row[down:], out=lowest[:-down])
        eroded.append(lowest)
    return eroded


def _at_sites(tree: MaxTree, levels: NDArray[np.int64], stride_px: int) -> NDArray[np.int64]:
    """Return levels of the nodes (m, F) as images of the sites, (F, h, w)."""
    return np.moveaxis(np.take(levels, at_sites(tree.node_of, stride_px), axis=0), -1, 0)


def _heights(bands: Bands) -> list[str]:
    return [role for role in ("height", "ndsm") if bands.has(role)][:1]


def _sources(bands: Bands) -> list[str]:
    return ["grey", *_heights(bands)]


DIFFERENTIAL_PROFILE = DifferentialProfile()
ATTRIBUTE_PROFILE = AttributeProfile()
