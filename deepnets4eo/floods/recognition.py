"""Recognition of water in the image of a flood: whether it is possible at all, and if not, which ground is surely dry.

If the flood image does not show a river or lake known from before, water is not recognised there. The same applies if no
flood is found at all.

"Dry" then proves nothing: ground counts as dry only where its pattern from before is found again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

from deepnets4eo.arrays import Mask
from deepnets4eo.floods.ground_pattern import PATTERN_PX, SAME_PATTERN, pattern_agreement
from deepnets4eo.floods.layer_names import POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.optical import SurfaceRules, crowns
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, parts_with
from deepnets4eo.grid import Window, crop, grow_shapes
from deepnets4eo.outputs import Finding, Phrase, Value
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.tiling import Packed, spread_windows


@dataclass(frozen=True)
class RecognitionRules:
    """When water counts as not recognised, and which ground is surely dry."""

    max_whole_px: int = 1024  # scenes up to this side are read as a whole
    window_px: int = 512
    windows: int = 3  # along each side of larger scenes
    min_lost_share: float = 0.5  # of known water that the map does not show
    min_sure_share: float = 0.1  # of known water that a network is sure of: a ploughed field taken for water had 0
    # of other ground that looks like the lost water: that field had 0.22; four unrecognisable floods 0.71 to 0.81 or a sure share of 0.04 to 0.26; no other of 14 pairs lost its water
    min_alike_share: float = 0.4
    max_known_share: float = 0.9  # of visible ground: more is no river or lake, but an image as dark as water
    min_new_share: float = 0.002  # of the ground, for a flood that was recognised
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
    alike : share of other ground that looks like the lost water
    small : whether the image is too small for a surface of water, such as a patch around one building
    """

    seen: int = 0
    new: int = 0
    known: int = 0
    lost: int = 0
    sure: float = 0.0
    alike: float = 0.0
    small: bool = False

    @property
    def is_lost(self) -> bool:
        """Return whether known water is not recognised."""
        proven = self.sure >= RecognitionRules.min_sure_share or self.alike >= RecognitionRules.min_alike_share
        is_part = 0 < self.known <= RecognitionRules.max_known_share * self.seen
        return is_part and self.lost > RecognitionRules.min_lost_share * self.known and proven

    @property
    def is_none_found(self) -> bool:
        """Return whether there is nearly no new water."""
        return self.new < RecognitionRules.min_new_share * max(self.seen, 1)

    def is_reliable(self, flooded: bool | None) -> bool:
        """Return whether dry ground is known to be dry. flooded : whether the event is a flood, None if unknown."""
        if flooded and (self.is_none_found or self.small):
            return False
        return flooded is False or not (self.is_lost or self._hides_flood)

    @property
    def _hides_flood(self) -> bool:
        """Return whether a small image shows some flood, only by its colour, and no shore."""
        return self.small and not self.is_none_found

    def finding(self, flooded: bool | None, remedy: str) -> Finding | None:
        """Report that the flooded ground is unknown; None if it is known. remedy : key of the phrase that states what to do."""
        if self.is_reliable(flooded):
            return None
        why = Phrase("image_too_small" if self._hides_flood else "no_new_water_found")
        if self.is_lost:
            why = Phrase("known_water_lost", {"share": self.lost / self.known})
        values: dict[str, Value] = {"why": why, "unknown": None, "buildings": None, "remedy": Phrase(remedy)}
        return Finding("water_not_told", "caution", values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
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
    counts, sure, alike = np.zeros(4, np.int64), 0, []
    least_px, post = SurfaceRules.min_area_m2 / mapper.pixel_m2, mapper.dates[POST]
    for window in windows:
        sample = scene.read(window)
        classes, valid = (part[0] if part.ndim > 2 else part for part in labels.read(window))
        valid = valid & (classes != NOT_SEEN)
        known, certain = mapper.known_water(sample)
        known = parts_with(known & valid, known & valid, least_px)
        lost = known & (classes == DRY)
        flood = classes == FLOOD if mapper.before else classes != DRY
        counts += [valid.sum(), (valid & flood).sum(), known.sum(), lost.sum()]
        sure += int((certain & known).sum())
        if (
            lost.any()
            and (share := post.share_alike(lost, sample[POST].astype(np.float32), valid & ~known)) is not None
        ):
            alike.append(share)
    seen, new_px, known_px, lost_px = counts.tolist()
    alike_share = float(np.mean(alike)) if alike else 0.0
    is_patch = post.is_patch(float(np.prod(labels.shape) * mapper.pixel_m2))
    return Recognition(seen, new_px, known_px, lost_px, sure / max(known_px, 1), alike_share, is_patch)


def write_sure_water(
    labels: Layer,
    path: Path,
    scene: Scene,
    mapper: WaterMapper,
    outlines: NDArray[np.object_] | None = None,
    probability: Layer | None = None,
) -> Layer:
    """Write a map of water where water is not recognised, and return it: dry ground that is not surely dry has no data.

    Parameters
    ----------
    labels : the map of water
    path : the file that is written
    scene, mapper : what the map was made of, and what made it
    outlines : (N,) of buildings in the CRS of the map, which look the same in water and out of it
    probability : of dry ground, as the prediction packs it, where water was measured by infrared or radar

    Returns
    -------
    The map that was written.
    """
    with CogWriter(path, labels.grid, nodata=NOT_SEEN) as writer:
        for window in writer.windows:
            classes, valid = labels.read(window)
            if mapper.dates[POST].by_appearance:
                sure = _same_ground(scene, mapper, window, outlines)
            else:
                sure = _measured_dry(window, probability)
            writer.write(window, np.where(valid & ((classes[0] != DRY) | sure), classes[0], NOT_SEEN).astype(np.uint8))
    return Layer.open(path)


def _measured_dry(window: Window, probability: Layer | None) -> Mask:
    """Return the mask of ground that infrared or radar is sure to be dry."""
    if probability is None:
        return np.zeros((window.height, window.width), bool)
    shares, known = probability.read(window)
    return np.asarray(known & (shares[0] >= (1 - RecognitionRules.max_water_probability) * Packed.one))


def _same_ground(scene: Scene, mapper: WaterMapper, window: Window, outlines: NDArray[np.object_] | None) -> Mask:
    """Return the mask (h, w) of ground with its earlier pattern, without crowns and buildings, which rise above water."""
    first = next((name for name in mapper.before if mapper.dates[name].by_appearance), None)
    if first is None:
        return np.zeros((window.height, window.width), bool)
    wide = window.grow(PATTERN_PX)
    sample = scene.read(wide, [first, POST])
    before, after = (np.nan_to_num(sample[name]) for name in (first, POST))
    ground = sample["valid"] & ~np.isnan(sample[first][0]) & ~crowns(after)
    if outlines is not None:
        grid = crop(scene.grid, wide)
        near = outlines[shapely.intersects(outlines, grid.extent.geom)]
        grown = grow_shapes(grid, near, RecognitionRules.eaves_m, mapper.pixel_m2**0.5)
        ground &= (
            ~rasterize(grown, ground.shape, transform=grid.affine, default_value=1, fill=0).astype(bool)
            if len(near)
            else True
        )
    enough = ndimage.uniform_filter(ground.astype(np.float32), PATTERN_PX) > RecognitionRules.min_open_share
    same = pattern_agreement(before.mean(axis=0), after.mean(axis=0), ground) > SAME_PATTERN
    return np.asarray((same & ground & enough)[window.within(wide).slices])
