"""Permanent water that the image before proves: brown soil that became dark is none, and other ground that looks like water now is not known.

Takes scenes of fine images in red, green and blue, whose water is found by a network or by surfaces of one colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.floods.layer_names import POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.optical import SurfaceRules
from deepnets4eo.floods.thresholds import NOT_SEEN, PERMANENT_WATER
from deepnets4eo.grid import Window, blocks
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import BLOCK_PX, CogWriter, Layer, Scene, excess_green


@dataclass(frozen=True)
class SoilRules:
    """Rules for when a surface is bare soil rather than water, by its mean colour in a small window; brightness is of 255.

    Looked at: fields of Florence 520 have an excess green over brightness of 0.04 to 0.06 and red above blue over brightness of 0.05 to 0.08,
    fields of Santa Rosa 115 0.02 and 0.06. Water: a brown river 0.08 and 0.05 (Harvey 377), lakes and ponds 0.2 to 0.3 (Midwest, Nepal, Florence 318).
    Fields under water are 25 to 35 darker than before, compared with the rest of the scene; rivers become brighter in a flood.
    """

    window_px: int = SurfaceRules.chroma_window_px
    max_greenness: float = 0.07
    min_redness: float = 0.03
    min_darkening: float = 12.0
    shore_px: int = SurfaceRules.core_depth_px  # the shore of known water is as old as the water
    min_unknown_share: float = 0.01  # of the ground; less does not change the figures


def is_darkened_soil(before: FloatImage, after: FloatImage) -> Mask:
    """Mark ground (h, w) that is brown like soil in the image before and darker after, compared with the scene. Images are (3, h, w), of 255."""
    red, green, blue = (scipy.ndimage.uniform_filter(band, SoilRules.window_px) for band in before)
    total = np.maximum(red + green + blue, 1)
    brown = (excess_green(red, green, blue) < SoilRules.max_greenness * total) & (
        red - blue > SoilRules.min_redness * total
    )
    change = scipy.ndimage.uniform_filter(after.mean(axis=0) - before.mean(axis=0), SoilRules.window_px)
    return np.asarray(brown & (change < np.median(change) - SoilRules.min_darkening))


def soil_by_date(scene: Scene, mapper: WaterMapper, window: Window) -> tuple[Mask, Mask]:
    """Return ground (h, w) that was brown soil and became darker, and ground that is brown soil and was darker.

    Both are empty unless both dates are fine red, green and blue."""
    pair = _pair_around(scene, mapper, window)
    if pair is None:
        nowhere = np.zeros((window.height, window.width), bool)
        return nowhere, nowhere
    before, after, inner = pair
    return is_darkened_soil(before, after)[inner], is_darkened_soil(after, before)[inner]


def _former_soil(scene: Scene, mapper: WaterMapper, window: Window) -> Mask:
    """Return only the first of `soil_by_date`."""
    pair = _pair_around(scene, mapper, window)
    if pair is None:
        return np.zeros((window.height, window.width), bool)
    before, after, inner = pair
    return is_darkened_soil(before, after)[inner]


def _pair_around(
    scene: Scene, mapper: WaterMapper, window: Window
) -> tuple[FloatImage, FloatImage, tuple[slice, slice]] | None:
    """Return both fine images of a window with its surroundings, and where the window is in them; None without a fine pair."""
    first = first_by_appearance(mapper)
    if first is None:
        return None
    wide = window.grow(SoilRules.window_px)
    before, after, _ = read_pair(scene, first, wide)
    return before, after, window.within(wide).slices


def first_by_appearance(mapper: WaterMapper) -> str | None:
    """Return the name of the first date before that is fine red, green and blue as POST is; None if there is none."""
    if not mapper.dates[POST].by_appearance:
        return None
    return next((name for name in mapper.before if mapper.dates[name].by_appearance), None)


def read_pair(scene: Scene, first: str, window: Window) -> tuple[FloatImage, FloatImage, Mask]:
    """Return the images (3, h, w) of the date before `first` and of POST, 0 without data, and where both are seen."""
    sample = scene.read(window, [first, POST])
    before, after = (np.nan_to_num(sample[name]).astype(np.float32) for name in (first, POST))
    return before, after, np.asarray(sample["valid"] & ~np.isnan(sample[first][0]))


def write_proven_water(
    labels: Layer, path: Path, scene: Scene, mapper: WaterMapper
) -> tuple[Layer, tuple[Finding, ...]]:
    """Write a map whose permanent water is known from a date before, and return it with the finding how much is not known.

    Other ground that looks like water after is not known to be dry, flooded or permanent water: it has no data. The map is returned unchanged if
    nearly all permanent water is known, or if a date before measures water, such as by infrared or radar; then no file is written.
    Memory: one bit per pixel of blocks with permanent water.
    """
    if first_by_appearance(mapper) is None or not all(mapper.dates[name].shows_lasting for name in mapper.before):
        return labels, ()
    unknown = seen = 0
    unproven_in: dict[Window, NDArray[np.uint8]] = {}  # one bit per pixel
    for window in blocks(labels.shape, BLOCK_PX):
        classes, valid = labels.read(window)
        unproven = valid & (classes[0] == PERMANENT_WATER)
        if unproven.any():
            unproven &= ~_proven_water(scene, mapper, window)
            unproven_in[window] = np.packbits(unproven)
        unknown, seen = unknown + int(unproven.sum()), seen + int(valid.sum())
    share = unknown / max(seen, 1)
    if share < SoilRules.min_unknown_share:
        return labels, ()
    with CogWriter(path, labels.grid, nodata=NOT_SEEN) as writer:
        for window in writer.windows:
            classes, valid = labels.read(window)
            if (bits := unproven_in.get(window)) is not None:
                valid &= ~np.unpackbits(bits, count=valid.size).astype(bool).reshape(valid.shape)
            writer.write(window, np.where(valid, classes[0], NOT_SEEN).astype(np.uint8))
    return Layer.open(path), (Finding("age_of_water_unknown", "note", {"share": share}),)


def _proven_water(scene: Scene, mapper: WaterMapper, window: Window) -> Mask:
    """Return water (h, w) of a date before with its shore, without soil that became darker, and what a map of permanent water states."""
    wide = window.grow(mapper.tiling.halo_px)
    sample = scene.read(wide)
    known, _ = mapper.known_water(sample)
    known &= ~_former_soil(scene, mapper, wide)
    for name in mapper.before:
        if not mapper.dates[name].is_image:
            known |= np.nan_to_num(sample[name][0]) != 0
    return np.asarray(scipy.ndimage.binary_dilation(known, iterations=SoilRules.shore_px)[window.within(wide).slices])
