"""The cameras of a recipe over a surface, and the scaling of what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deepnets4eo.points.snapnet.recipe import COLOUR, COMPOSITE, INTENSITY, ViewSection
from deepnets4eo.points.views import Camera, Surface, cameras_above, cameras_around, cameras_indoors
from deepnets4eo.points.views.snapshots import Third
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput

BANDS = {COLOUR: ("red", "green", "blue"), COMPOSITE: ("verticality", "noise", "depth"), INTENSITY: ("intensity",)}
MIDDLE, SPAN = 127.5, 255.0  # bytes become -0.5 to 0.5, as published


def place_cameras(surface: Surface, views: ViewSection, *, seed: int = 0) -> list[Camera]:
    """Return the cameras that a recipe places over a surface; indoors `directions` times the distances, around points
    in proportion to the ground. `seed` keeps the draws of clouds apart."""
    if views.cameras == "above":
        return cameras_above(
            surface, gsd_m=views.gsd_m, overlap=views.overlap, tilt_deg=views.tilt_deg, headings=views.headings
        )
    if views.cameras == "indoors":
        return cameras_indoors(surface, views.directions, seed=views.seed + seed, distances_m=views.distances_m)
    directions = math.ceil(views.directions * covered_m2(surface) / views.area_m2)
    return cameras_around(
        surface, directions, seed=views.seed + seed, distances_m=views.distances_m,
        elevation_deg=views.elevation_deg,
    )  # fmt: skip


def covered_m2(surface: Surface) -> float:
    """Return the ground that has vertices, counted in square metres of whole coordinates, so that tiles add up to their
    cloud."""
    x, y = np.floor(surface.vertices[:, :2]).astype(np.int64).T
    return float(len(np.unique((x << 32) + y)))


def reach_m(views: ViewSection) -> float:
    """Return how far from the point that it looks at a camera sees the ground, whole metres."""
    if views.cameras == "above":
        return math.ceil(Camera.width_px / 2 * views.gsd_m)
    return math.ceil(max(views.distances_m) * math.tan(math.radians(Camera.field_of_view_deg) / 2))


def snapshot_inputs(layers: Sequence[str], third: Third) -> InputSpec:
    """Return how the layers of snapshots are scaled: bytes to -0.5 … 0.5, as published; what shows nothing is 0."""
    bands = {**BANDS, COMPOSITE: (*BANDS[COMPOSITE][:2], third.partition("_")[0])}
    return InputSpec({name: _byte_layer(bands[name]) for name in layers})


def _byte_layer(bands: Sequence[str]) -> LayerInput:
    count = len(bands)
    return LayerInput(tuple(bands), (MIDDLE,) * count, (SPAN,) * count, 0.0, SPAN)
