"""Recognition of water in the image of a flood: whether it is possible at all, and if not, which ground is surely dry.

If the flood image does not show a river or lake known from before, water is not recognised there and around it. If there is
a flood without any detected water, water is recognised nowhere.

"Dry" then proves nothing: ground counts as dry only where its pattern from before is found again.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from deepnets4eo.arrays import Mask
from deepnets4eo.floods.ground_pattern import PATTERN_PX, same_pattern
from deepnets4eo.floods.layer_names import POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.optical import SurfaceRules, crowns
from deepnets4eo.floods.permanent import first_by_appearance, read_pair, soil_by_date
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER, parts_with
from deepnets4eo.grid import Window, crop, grow_shapes
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.tiling import Packed, spread_windows


@dataclass(frozen=True)
class RecognitionRules:
    """Rules for when water counts as not recognised, and which ground is certainly dry."""

    max_whole_px: int = 1024  # scenes up to this side are read as a whole
    window_px: int = 512
    windows: int = 3  # along each side of larger scenes
    min_lost_share: float = 0.5  # of known water that the map does not show
    # of known water that a network is sure of: 0.08 of a river that mud covers (Harvey 377), 0.04 to 0.26 at four drowned places, 0 of
    # fields at Moore; other fields are left out by their look (`SurfaceRules.max_known_chroma_sd`)
    min_sure_share: float = 0.03
    # Around lost water: the farthest ground that stands in for a hidden ring. Chosen before any place was looked at with it.
    lost_reach_m: float = 80.0
    max_known_share: float = 0.9  # of visible ground: more is no river or lake, but an image as dark as water
    min_new_share: float = 0.002  # of the ground, for a flood that was recognised
    # Of the ground, and of new water, from which known water that is dry now speaks for swapped images. Swapped, 0.18 to 0.67 of the ground fell
    # dry at six floods (Florence 480 and 520, Harvey 126, Midwest 00 and 06, Nepal 408) and at most 0.04 was new; in order, mud hid a river of 0.06 (Harvey 377).
    min_receded_share: float = 0.1
    min_receded_per_new: float = 5.0
    min_open_share: float = 0.3  # of a window without roofs and crowns
    eaves_m: float = 3.0  # how far walls and eaves reach over outlines
    max_water_probability: float = 0.1  # of surely dry ground, measured by infrared or radar


@dataclass(frozen=True)
class Recognition:
    """Measurements of how well water is recognised after the event.

    Parameters
    ----------
    seen, new : numbers of inspected pixels, and of new water among them
    known, lost : numbers of pixels of water known from before, and of the pixels among them that do not show as water
    sure : share of known water that is sure, such as water of a map
    small : whether the image is too small for a surface of water, such as a patch around one building
    receded : number of pixels of known water that show as dry ground, or as brown soil that was darker
    muddy : "found" if muddy water was found by its colour, "suspected" if ground may be muddy water, else ""; see `mud.py`
    """

    seen: int = 0
    new: int = 0
    known: int = 0
    lost: int = 0
    sure: float = 0.0
    small: bool = False
    receded: int = 0
    muddy: Literal["", "found", "suspected"] = ""

    @property
    def is_lost(self) -> bool:
        """Return whether known water is not recognised."""
        is_part = 0 < self.known <= RecognitionRules.max_known_share * self.seen
        is_sure = self.sure >= RecognitionRules.min_sure_share
        return is_part and is_sure and self.lost > RecognitionRules.min_lost_share * self.known

    @property
    def is_none_found(self) -> bool:
        """Return whether there is nearly no new water."""
        return self.new < RecognitionRules.min_new_share * max(self.seen, 1)

    def doubted_m(self, flooded: bool | None) -> float:
        """Return the distance from lost water, in metres, within which dry ground is not known to be dry.

        It is infinite if that holds everywhere, and 0 if all dry ground is dry. flooded : whether the event is a flood, None if unknown
        """
        if flooded is False:
            return 0.0
        if (flooded and (self.is_none_found or self.small)) or self._hides_flood or self.muddy == "suspected":
            return math.inf
        return RecognitionRules.lost_reach_m if self.is_lost else 0.0

    @property
    def _hides_flood(self) -> bool:
        """Return whether a small image shows some flood, only by its colour, and no shore."""
        return self.small and not self.is_none_found

    def finding(self, flooded: bool | None, remedy: str) -> Finding | None:
        """Report that the flooded ground is unknown; None if it is known. remedy : key of the phrase that states what to do."""
        reach_m = self.doubted_m(flooded)
        if not reach_m:
            return None
        why = Phrase("image_too_small" if self._hides_flood else "no_new_water_found")
        if self.is_lost:
            why = Phrase("known_water_lost", {"share": self.lost / self.known})
        elif self.muddy == "suspected":
            why = Phrase("muddy_ground_seen")
        values = {"why": why, "unknown": None, "buildings": None, "remedy": Phrase(remedy)}
        if math.isinf(reach_m):
            return Finding("water_not_told", "caution", values)
        return Finding("water_not_told", "caution", {**values, "reach_m": reach_m}, wording="water_not_told_nearby")

    def order_finding(self) -> tuple[Finding, ...]:
        """Report that the images seem to be in the wrong order if much of the known water receded, and little water is new."""
        is_much = self.receded >= RecognitionRules.min_receded_share * self.seen
        if (
            self.muddy
            or not self.receded
            or not is_much
            or self.receded < RecognitionRules.min_receded_per_new * self.new
        ):
            return ()
        values = {"dried": self.receded / self.seen, "flooded": self.new / self.seen}
        return (Finding("dates_swapped", "caution", values, wording="water_fell_back"),)

    def mud_finding(self) -> tuple[Finding, ...]:
        """Report that muddy water was found by its colour, and the limits of that method."""
        return (Finding("muddy_water_found", "note"),) if self.muddy == "found" else ()

    def unproven(self, flooded: bool | None, advice: Phrase | None) -> Finding | None:
        """Report that colours without new water do not prove that ground is dry; None if the hazard decides.

        advice : how to name the hazard, None if it is named
        """
        if flooded is not None or not self.is_none_found:
            return None
        return Finding("water_not_excluded", "note", {"remedy": advice or Phrase("give_water")})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def measure_recognition(scene: Scene, mapper: WaterMapper, labels: Layer) -> Recognition:
    """Compare the water known from before with the map at its place.

    Parameters
    ----------
    scene : the dates and layers that the map was made from
    mapper : the mapper that made the map, which has the water from before
    labels : the map of water on the grid of the scene

    Returns
    -------
    Counts and shares over the whole map, or over windows of a large map.
    """
    small = max(labels.shape) <= RecognitionRules.max_whole_px
    side = max(labels.shape) if small else RecognitionRules.window_px
    windows = spread_windows(labels.shape, (side, side), 1 if small else RecognitionRules.windows)
    counts = np.zeros(6, np.int64)
    for window in windows:
        counts += [mask.sum() for mask in _water_in(scene, mapper, labels, window)]
    seen, new, known, lost, sure, receded = counts.tolist()
    return Recognition(seen, new, known, lost, sure / max(known, 1), mapper.is_patch(labels.shape), receded)


class _WaterMasks(NamedTuple):
    """Seen ground (h, w), new water, water known from before, what of it the map shows as dry ground, what of it is sure, and what of it receded."""

    seen: Mask
    new: Mask
    known: Mask
    lost: Mask
    sure: Mask
    receded: Mask


def _water_in(scene: Scene, mapper: WaterMapper, labels: Layer, window: Window) -> _WaterMasks:
    (classes,), valid = labels.read(window)
    seen, dry = valid & (classes != NOT_SEEN), classes == DRY
    new = classes == FLOOD if mapper.before else ~dry
    known, sure = mapper.known_water(scene.read(window))
    known = parts_with(known & seen, known & seen, SurfaceRules.min_area_m2 / mapper.pixel_m2)
    was_soil, is_soil = soil_by_date(scene, mapper, window)
    receded = known & ~was_soil & (dry | is_soil)
    return _WaterMasks(seen, seen & new, known, known & dry, known & sure, receded)


def write_sure_water(
    labels: Layer,
    path: Path,
    scene: Scene,
    mapper: WaterMapper,
    outlines: NDArray[np.object_] | None = None,
    probability: Layer | None = None,
    reach_m: float = math.inf,
) -> Layer:
    """Write a map of water where water is not recognised, and return it: ground that is not certainly wet or dry has no data.

    Parameters
    ----------
    labels : the map of water
    path : the file that is written
    scene, mapper : what the map was made of, and what made it
    outlines : (N,) of buildings in the CRS of the map, which look the same in water and out of it
    probability : of dry ground, as the prediction packs it, where water was measured by infrared or radar
    reach_m : distance from lost water within which water is not recognised; infinite: everywhere

    Returns
    -------
    The map that was written.
    """
    with CogWriter(path, labels.grid, nodata=NOT_SEEN) as writer:
        for window in writer.windows:
            classes, valid = labels.read(window)
            if mapper.dates[POST].by_appearance:
                sure = _same_ground(scene, mapper, window, outlines)
                # other surfaces that had one colour before are fields, sand or cloud
                lasting = (classes[0] == PERMANENT_WATER) & _known_water(scene, mapper, window)
            else:
                sure, lasting = _measured_dry(window, probability), classes[0] == PERMANENT_WATER
            if not math.isinf(reach_m):
                sure |= ~_near_lost_water(scene, mapper, labels, window, reach_m)
            kept = valid & ((classes[0] == FLOOD) | lasting | sure)
            writer.write(window, np.where(kept, classes[0], NOT_SEEN).astype(np.uint8))
    return Layer.open(path)


def write_without_flood(labels: Layer, path: Path) -> Layer | None:
    """Write a map of water without its flood, which becomes no data, and return it; None if the map has no flood."""
    removed = False
    with CogWriter(path, labels.grid, nodata=NOT_SEEN) as writer:
        for window in writer.windows:
            classes, valid = labels.read(window)
            kept = valid & (classes[0] != FLOOD)
            removed |= bool((valid & ~kept).any())
            writer.write(window, np.where(kept, classes[0], NOT_SEEN).astype(np.uint8))
    return Layer.open(path) if removed else None


def _known_water(scene: Scene, mapper: WaterMapper, window: Window) -> Mask:
    """Return the mask of water known from before, all True without a date before."""
    if not mapper.before:
        return np.ones((window.height, window.width), bool)
    wide = window.grow(mapper.tiling.halo_px)
    return np.asarray(mapper.known_water(scene.read(wide))[0][window.within(wide).slices])


def _near_lost_water(scene: Scene, mapper: WaterMapper, labels: Layer, window: Window, reach_m: float) -> Mask:
    """Return the mask of ground within a distance of water known from before that the map shows as dry ground."""
    reach_px = math.ceil(reach_m / mapper.pixel_m2**0.5)
    wide = window.grow(reach_px + mapper.tiling.halo_px)
    lost = _water_in(scene, mapper, labels, wide).lost
    near = scipy.ndimage.distance_transform_edt(~lost) <= reach_px if lost.any() else lost
    return np.asarray(near[window.within(wide).slices])


def _measured_dry(window: Window, probability: Layer | None) -> Mask:
    """Return the mask of ground that infrared or radar is sure to be dry."""
    if probability is None:
        return np.zeros((window.height, window.width), bool)
    shares, known = probability.read(window)
    return np.asarray(known & (shares[0] >= (1 - RecognitionRules.max_water_probability) * Packed.one))


def _same_ground(scene: Scene, mapper: WaterMapper, window: Window, outlines: NDArray[np.object_] | None) -> Mask:
    """Return the mask (h, w) of ground with its earlier pattern, without crowns and buildings, which rise above water."""
    first = first_by_appearance(mapper)
    if first is None:
        return np.zeros((window.height, window.width), bool)
    wide = window.grow(PATTERN_PX)
    before, after, both_seen = read_pair(scene, first, wide)
    ground = both_seen & ~crowns(after)
    if outlines is not None:
        grid = crop(scene.grid, wide)
        near = outlines[shapely.intersects(outlines, grid.extent.geom)]
        grown = grow_shapes(grid, near, RecognitionRules.eaves_m, mapper.pixel_m2**0.5)
        ground &= (
            ~rasterize(grown, ground.shape, transform=grid.affine, default_value=1, fill=0).astype(bool)
            if len(near)
            else True
        )
    enough = scipy.ndimage.uniform_filter(ground.astype(np.float32), PATTERN_PX) > RecognitionRules.min_open_share
    same = same_pattern(before.mean(axis=0), after.mean(axis=0), ground)
    return np.asarray((same & ground & enough)[window.within(wide).slices])
