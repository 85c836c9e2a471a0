"""Images of three channels from bands, as encoders trained on photographs need them: colours, height, normals.

Takes `Bands`; returns (3, h, w) float32 in the scaling of ImageNet. Heights are scaled by their span in training.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.rasters.band_roles import COLOURS, role_indices

Inputs = Literal["rgb", "rgbd", "rgbd+"]
IMAGE_KINDS: dict[str, tuple[str, ...]] = {
    "rgb": ("colours",),
    "rgbd": ("colours", "height"),
    "rgbd+": ("colours", "height", "normals"),
}
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]  # of ImageNet's photographs, red, green, blue
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
HEIGHT_SPAN_M = (0.0, 50.0)  # where bands have no span
NORMALS_REACH_PX = 1


def encoder_images(bands: Bands, inputs: Inputs) -> FloatImage:
    """Return the images that an encoder gets, (M, 3, h, w) float32: colours ("rgb"), height ("rgbd"), normals ("rgbd+").

    Errors: InputError where no band is a height.
    """
    makers = {"colours": _colours, "height": _height, "normals": _normals}
    return np.stack([(makers[name](bands) - MEAN) / STD for name in IMAGE_KINDS[inputs]])


def _colours(bands: Bands) -> FloatImage:
    """Return 0–1: red, green, blue, or near infrared, red, green where there is no blue, or grey."""
    for roles in (COLOURS, ("nir", "red", "green")):
        if bands.has(*roles):
            return bands.unit(*roles)
    return np.broadcast_to(bands.grey(), (3, *bands.shape))


def _height(bands: Bands) -> FloatImage:
    """Return 0–1 over the span in training; above ground where a band is that."""
    role = _height_role(bands)
    low, high = HEIGHT_SPAN_M if bands.span is None else bands.span[role_indices(bands.names).get(role, 0)]
    scaled = np.clip((bands.pick(role) - low) / np.float32(max(high - low, 1e-3)), 0, 1)
    return np.broadcast_to(scaled, (3, *bands.shape))


def _normals(bands: Bands) -> FloatImage:
    """Return normals of the surface (east, south, up), from −1…1 to 0–1; in metres where the size of a pixel is known."""
    (height,) = bands.pick(_height_role(bands))
    down, right = (np.gradient(height, axis=axis) / np.float32(bands.gsd_m or 1.0) for axis in (0, 1))
    length = np.sqrt(right * right + down * down + 1)
    return np.stack([-right / length, -down / length, 1 / length]) / 2 + np.float32(0.5)


def _height_role(bands: Bands) -> str:
    return "ndsm" if bands.has("ndsm") else "height"
