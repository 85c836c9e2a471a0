"""Buildings in a flood: the share of new water in each outline and in the ring around it.

A roof hides the water under it, so a building is in the flood if the ring of ground around it is.

If tree crowns hide the ring, the nearest visible ground decides: a house between trees is in the water that is
visible all around them.

Takes a raster of the legend `water`, and outlines in its CRS. Memory: zonal counts of 16,384 outlines, and 50 bytes per
building.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.floods.optical import SurfaceRules, hidden_ground
from deepnets4eo.floods.thresholds import FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.footprints import order_by_place
from deepnets4eo.grid import Window, grow_shapes
from deepnets4eo.rasters import CogWriter, Layer, LayerView
from deepnets4eo.zonal import Outlines, chunks, class_counts


@dataclass(frozen=True)
class RingRules:
    """Rules for when water around a building counts as surrounding it."""

    inner_m: float = 2.0  # eaves hide what is nearer
    outer_m: float = 12.0  # farther ground is the neighbours'
    min_width_px: float = 1.5  # so that coarse pixels fill the ring
    min_wet_share: float = 0.4
    min_wet_share_in_reach: float = 0.5  # of a wider ring, if the position of the building is uncertain
    min_visible_share: float = 0.5  # below this the ring is unknown
    min_visible_wet_share: float = 0.08  # enough if water fills all that is visible
    min_visible_ground_m2: float = 150.0  # smallest visible area that may stand in for a hidden ring
    min_visible_ground_px: float = 20.0  # the same in pixels of a coarse raster
    # distances from the outline within which visible ground is searched, the nearest first
    reaches_m: tuple[float, ...] = (12.0, 16.0, 20.0, 25.0, 30.0, 37.0, 45.0, 60.0, 80.0)
    min_wet_share_nearby: float = 0.5  # of that ground


YES, NO, NOT_KNOWN = "yes", "no", "not known"


@dataclass(frozen=True)
class BuildingWater:
    """Water in and around buildings.

    Attributes
    ----------
    share, ring_share : (N,) float64, share of water in the outline and in its ring, 0–1, NaN if no pixel was seen
    inundated : (N,) object, "yes", "no" or "not known"
    near_share : (N,) float64, share of water in the nearest visible ground of buildings with a hidden ring; NaN for others and without such ground
    """

    share: NDArray[np.float64]
    ring_share: NDArray[np.float64]
    inundated: NDArray[np.object_]
    near_share: NDArray[np.float64] | None = None

    @property
    def surrounded(self) -> NDArray[np.bool_]:
        """Return (N,) whether each building is in the water."""
        return np.asarray(self.inundated == YES)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Return (N,) whether it is known if each building is in the water."""
        return np.asarray(self.inundated != NOT_KNOWN)

    @staticmethod
    def read_column(inundated: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (N,) which buildings are in the water by the column `inundated` of a table, and (N,) for which this is known."""
        column = np.asarray(inundated, object)
        return column == YES, column != NOT_KNOWN

    @property
    def hidden_share(self) -> NDArray[np.float64]:
        """Return (N,) the likelihood that a building with a hidden ring is in water, by the nearest visible ground; else NaN."""
        return np.full(len(self.share), np.nan) if self.near_share is None else self.near_share

    def where_seen(self, seen: NDArray[np.bool_]) -> BuildingWater:
        """Return the buildings with the nearby ground disregarded for buildings (N,) that are hidden themselves, for example by a cloud."""
        guessed = ~seen & ~np.isnan(self.hidden_share)
        return replace(
            self,
            inundated=np.where(guessed, NOT_KNOWN, self.inundated).astype(object),
            near_share=np.where(seen, self.hidden_share, np.nan),
        )

    def of_unknown_date(self) -> BuildingWater:
        """Return the buildings for water of unknown date: buildings in the water become "not known" instead of inundated."""
        return replace(
            self, inundated=np.where(self.surrounded, NOT_KNOWN, self.inundated).astype(object), near_share=None
        )

    def unproven(self) -> BuildingWater:
        """Return the buildings for ground that is not known to be dry: "no" becomes "not known"."""
        return replace(self, inundated=np.where(self.surrounded, self.inundated, NOT_KNOWN).astype(object))

    def doubted_by(self, seen: BuildingWater) -> BuildingWater:
        """Return the buildings with "no" only where ground that an image shows as dry proves it; others have the water of `seen`.

        seen : the same buildings by a map without the ground that the image hides
        """
        doubtful = (self.inundated == NO) & (seen.inundated != NO)
        return BuildingWater(
            np.where(doubtful, seen.share, self.share),
            np.where(doubtful, seen.ring_share, self.ring_share),
            np.where(doubtful, seen.inundated, self.inundated).astype(object),
            np.where(doubtful, seen.hidden_share, self.hidden_share),
        )

    def by_colour(self) -> BuildingWater:
        """Return the buildings for water that only its colour shows: buildings in the water become "not known", with its share as their likelihood.

        Pairs of patches of one city show it at 20 to 47 % of the buildings in water and at 0 to 9 % of dry ones, by blocks left out;
        at another coast, which was not looked at, it has no skill, and a patch does not show at which of both it was taken.
        """
        near = np.where(self.surrounded, self.ring_share, np.nan)
        return replace(
            self, inundated=np.where(self.surrounded, NOT_KNOWN, self.inundated).astype(object), near_share=near
        )


class OpenGround(LayerView):
    """A raster without the pixels of roofs. roofs : (N,) outlines in its coordinates"""

    def __init__(self, layer: Layer, roofs: NDArray[np.object_]) -> None:
        super().__init__(layer, layer.dtype, layer.nodata)
        self._roofs = Outlines.on(roofs, layer.grid)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read(window)
        return data, valid & (self._roofs.paint(window) < 0)


def water_around(
    water: Layer,
    outlines: NDArray[np.object_],
    *,
    any_water: bool = False,
    reach_m: float = 0.0,
    pixel_m: float = 1.0,
    nearby: bool = True,
    workers: int | None = None,
) -> BuildingWater:
    """Measure the water in and around each building.

    Parameters
    ----------
    water : labels 0 dry, 1 permanent water, 2 flood, 255 not seen
    outlines : (N,) polygons in the CRS of the raster
    any_water : whether permanent water counts, too
    reach_m
        Maximum distance between a building and its outline: the ring is wider by this distance, and its share of water is the
        probability that the building is in the water.
    pixel_m : side of a pixel of a raster without CRS, metres
    nearby : whether the nearest visible ground decides if a ring is hidden; False if dry ground looks like water
    workers : threads

    Returns
    -------
    BuildingWater
        A building is in water if water fills more than 0.4 of the ring from 2 to 12 m around the outline; the ring is at least one and
        a half pixels wide. With a reach, more than half of the wider ring must be water. If less than half of the ring is visible, and
        it shows no water, more than half of the nearest 200 m² of visible ground without roofs, at most 80 m away, must be water.

    Examples
    --------
    >>> labels = np.zeros((60, 60), np.uint8)
    >>> labels[:, :30] = 2
    >>> houses = np.array([shapely.box(10, 10, 18, 18), shapely.box(45, 45, 53, 53)])
    >>> water_around(Layer.open(labels), houses).inundated.tolist()
    ['yes', 'no']
    """
    side_m = pixel_m if water.grid.crs is None else water.gsd_m
    ring_m = RingRules.inner_m, max(RingRules.outer_m + reach_m, RingRules.min_width_px * side_m + RingRules.inner_m)
    classes = [FLOOD, PERMANENT_WATER] if any_water else [FLOOD]
    share, ring_share, seen = np.empty((3, len(outlines)))
    by_place = order_by_place(shapely.bounds(outlines)[:, 1::-1])
    for rows in chunks(len(outlines)):  # grown outlines take more room than all else that is known of a building
        part = by_place[rows]
        share[part], ring_share[part], seen[part] = _shares(water, outlines[part], ring_m, pixel_m, classes, workers)
    least = RingRules.min_wet_share_in_reach if reach_m else RingRules.min_wet_share
    wet = (seen >= RingRules.min_visible_wet_share) & (ring_share > least)
    hidden = ~wet & (seen < RingRules.min_visible_share)
    near = np.full(len(outlines), np.nan)
    if nearby and hidden.any():
        near = _nearest_ground(water, outlines, by_place[hidden[by_place]], classes, side_m, workers)
    inundated = np.where(wet | (near > RingRules.min_wet_share_nearby), YES, np.where(hidden, NOT_KNOWN, NO)).astype(
        object
    )
    return BuildingWater(share, ring_share, inundated, near)


def _nearest_ground(
    water: Layer,
    outlines: NDArray[np.object_],
    rows: NDArray[np.intp],
    classes: list[int],
    side_m: float,
    workers: int | None,
) -> NDArray[np.float64]:
    """Return the (N,) share of water in the nearest visible ground around some of the buildings; NaN for others and if there is too little ground."""
    share, left, tree = np.full(len(outlines), np.nan), rows, shapely.STRtree(outlines)
    around = np.zeros(len(outlines), bool)
    for part in chunks(len(rows)):
        around[tree.query(grow_shapes(water.grid, outlines[rows[part]], RingRules.reaches_m[-1], side_m))[1]] = True
    ground = Layer(OpenGround(water, grow_shapes(water.grid, outlines[around], RingRules.inner_m, side_m)))
    least_px = max(RingRules.min_visible_ground_px, RingRules.min_visible_ground_m2 / side_m**2)
    for reach_m in RingRules.reaches_m:
        for part in chunks(len(left)):
            grown = grow_shapes(water.grid, outlines[left[part]], reach_m, side_m)
            counts = class_counts(ground, grown, FLOOD + 1, workers=workers).counts
            seen, wet = counts.sum(axis=1), counts[:, classes].sum(axis=1)
            share[left[part]] = np.where(seen >= least_px, wet / np.maximum(seen, 1), np.nan)
        left = left[np.isnan(share[left])]
        if not len(left):
            break
    return share


def _shares(
    water: Layer,
    outlines: NDArray[np.object_],
    ring_m: tuple[float, float],
    pixel_m: float,
    classes: list[int],
    workers: int | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of water in each outline and in the ring between two distances, and the visible share of the ring."""
    inner, outer = (grow_shapes(water.grid, outlines, far, pixel_m) for far in ring_m)
    counts = class_counts(water, np.concatenate([outlines, inner, outer]), FLOOD + 1, workers=workers).counts
    own, within, whole = np.split(np.column_stack([counts.sum(axis=1), counts[:, classes].sum(axis=1)]), 3)
    ring = whole - within
    share, ring_share = (
        np.divide(wet, total, out=np.full(len(total), np.nan), where=total > 0) for total, wet in (own.T, ring.T)
    )
    all_px = (shapely.area(outer) - shapely.area(inner)) / abs(water.grid.affine.determinant)
    return share, ring_share, np.divide(ring[:, 0], all_px, out=np.zeros(len(outlines)), where=all_px > 0)


def write_seen_water(water: Layer, post: Layer, pixel_m: float, path: Path) -> Layer:
    """Write a map of water, and return it, without ground next to new water that crowns and shadows hide, because it may be wet or dry.

    Parameters
    ----------
    water, post : labels of water; red, green and blue after, on the same grid
    pixel_m : side of a pixel, metres
    path : the raster to write

    Returns
    -------
    Layer
        The written raster, void where ground may be wet or dry.
    """
    halo = round(SurfaceRules.near_water_m / pixel_m) + 1
    with CogWriter(path, water.grid, nodata=NOT_SEEN) as writer:
        for window in writer.windows:
            wide = window.grow(halo)
            classes, valid = water.read(wide)
            hidden = hidden_ground((classes[0] == FLOOD) & valid, post.read(wide)[0].astype(np.float32), pixel_m)
            seen = np.where(hidden | ~valid, NOT_SEEN, classes[0])[window.within(wide).slices]
            writer.write(window, seen.astype(np.uint8))
    return Layer.open(path)
