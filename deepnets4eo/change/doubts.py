"""Ground that a map of change cannot know: at one date clouds hide it, or it is dark as in the shadow of clouds.

Takes both images on one grid, after given masks have hidden what they state. Returns a layer of two bands and findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.change.change_scores import is_changed
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.grid import Grid, Window
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.inspection import CloudClassification, bands_in_colour, cloud_finding, shadows_in_image
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerView, read_averaged
from deepnets4eo.registration import UNMOVED, on_post_grid

ROLES = {DateLayers.pre: "pre", DateLayers.post: "post"}  # of the dates, in findings
MUCH_CLOUD = 0.05  # of an image that looks like clouds
SIDE_M = 768.0  # assumed length of an image whose pixels have no size: shadows are at least a sixteenth of it wide
MIN_SHARE = 0.05  # of the changed area; on pairs without clouds white roofs and bare soil reach 0.02
COARSEST_M = 60.0  # pixels in which shadows of clouds are looked for


class DoubtfulGround(LayerView):
    """Two bands on the grid of the map: 1 for clouds at either date, 1 for ground that is dark as in shadow at either date."""

    def __init__(self, image: Layer, clouds: Sequence[Layer], shadows: Sequence[Layer]) -> None:
        super().__init__(image, np.uint8, None, ["clouds", "shadows"])
        self._masks = [self._on_grid(clouds, image.grid), self._on_grid(shadows, image.grid)]

    @staticmethod
    def _on_grid(masks: Sequence[Layer], grid: Grid) -> list[Layer]:
        return [on_post_grid(mask, grid, UNMOVED, resampling="nearest") for mask in masks]

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        doubtful = np.zeros((len(self._masks), window.height, window.width), np.uint8)
        for band, masks in zip(doubtful, self._masks, strict=True):
            for mask in masks:
                values, inside = mask.read(window)
                band |= ((values[0] > 0) & inside).astype(np.uint8)
        return doubtful[[band - 1 for band in bands]], np.ones((window.height, window.width), bool)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        return read_averaged(self, shape, bands)


def doubtful_ground(
    images: Mapping[str, Layer], classified: Mapping[str, CloudClassification]
) -> tuple[Layer | None, tuple[Finding, ...]]:
    """Return what clouds or shadows of one date make doubtful, None if nothing does, and a caution for each date with many clouds.

    images : of both dates, on one grid, not valid where a mask hides them
    classified : of the dates whose clouds no mask states
    """
    clouds, shadows, findings = list[Layer](), list[Layer](), list[Finding]()
    for name, other in ((DateLayers.pre, DateLayers.post), (DateLayers.post, DateLayers.pre)):
        image = images[name]
        if image.embedding is None and (dark := _shadows(image, images[other])) is not None:
            shadows.append(dark)
        assumed_m = _assumed_gsd_m(image)
        bright = classified[name].or_bright(image, images[other], assumed_m) if name in classified else None
        if bright is None:
            continue
        clouds.append(bright)
        finding = cloud_finding(bright, image, ROLES[name], "mask_clouds_of_change", "clouds_mapped")
        if assumed_m is None and finding is not None and finding.share >= MUCH_CLOUD:
            findings.append(finding)
    if not shadows and _assumed_gsd_m(images[DateLayers.post]) is not None:
        clouds = []  # white roofs, if their size is not known; clouds have shadows
    if not clouds and not shadows:
        return None, tuple(findings)
    return Layer(DoubtfulGround(images[DateLayers.post], clouds, shadows)), tuple(findings)


def _assumed_gsd_m(image: Layer) -> float | None:
    """Return the assumed size of the pixels of an image without a CRS, None for images with one."""
    return SIDE_M / max(image.shape) if image.grid.crs is None else None


def _shadows(image: Layer, other: Layer) -> Layer | None:
    gsd_m = _assumed_gsd_m(image) or image.gsd_m
    colours = bands_in_colour(image), bands_in_colour(other)
    if colours[0] is None or colours[1] is None or gsd_m > COARSEST_M:
        return None
    return shadows_in_image(colours[0], colours[1], gsd_m)


def doubt_findings(score: Layer, doubt: Layer | None) -> list[Finding]:
    """Return a finding if much of the changed area of a map is doubtful. score : packed, of the whole map."""
    if doubt is None:
        return []
    areas, ground = np.zeros(4), GroundArea(score.grid)  # changed, and of it under clouds, in shadow, either
    for window in score.blocks():
        data, valid = score.read(window)
        changed = valid & is_changed(data[0])
        under, dark = doubt.read(window)[0] > 0
        areas += ground.of(window, changed, changed & under, changed & dark, changed & (under | dark))
    if not areas[3] >= MIN_SHARE * areas[0] > 0:
        return []
    clouds, shadows, share = (areas[1:] / areas[0]).tolist()
    values = {"share": share, "clouds": clouds, "shadows": shadows}
    return [Finding("change_under_clouds", "caution", values, share=share)]
