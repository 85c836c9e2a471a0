"""Images of a view by table look-up: colour, composite, intensity, labels; no second rendering.

A pixel has the values of the first vertex of its face, as published; background is 0, and 255, void, among labels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID
from deepnets4eo.points.views.face_view import FaceView
from deepnets4eo.points.views.surface import Surface

Third = Literal["depth", "depth_m", "height"]

HIGHEST_M = 51.0  # heights above ground count in steps of 0.2 m
INTENSITY_PERCENTILE = 98


def snapshot(surface: Surface, view: FaceView, *, third: Third = "depth") -> dict[str, NDArray[Any]]:
    """Look up the images of a view.

    Parameters
    ----------
    surface
        The surface, with what is known at its vertices.
    view
        Which face each pixel sees.
    third
        Last channel of the composite: "depth", inverted and stretched over each view, nearest 255, farthest 0, as
        published; "depth_m", inverted from the camera's near limit, 255, to its far limit, 0, so that views compare;
        "height" above ground, 0 to 51 m, which suits aerial clouds.

    Returns
    -------
    Layer → array, of those that the surface has measurements for:

    - "image": (3, H, W) uint8, red, green and blue.
    - "composite": (3, H, W) uint8, verticality (0 flat, 255 upright), noise (0 plane), and the third channel.
    - "intensity": (1, H, W) uint8, up to the 98th percentile of the surface's.
    - "labels": (H, W) uint8, codes of the cloud; 255 for background.

    Where a view shows one depth alone, "depth" is 255; a view without faces is background throughout.
    """
    seen = view.seen
    vertex = surface.faces[view.face[seen], 0]
    composite = np.zeros((3, *seen.shape), np.uint8)
    composite[0][seen] = _bytes(surface.verticality[vertex])
    composite[1][seen] = _bytes(surface.noise[vertex])
    composite[2][seen] = _third(surface, view, vertex, third)
    layers: dict[str, NDArray[Any]] = {"composite": composite}
    if surface.colour is not None:
        image = np.zeros((3, *seen.shape), np.uint8)
        image[:, seen] = surface.colour[vertex].T
        layers["image"] = image
    if surface.intensity is not None:
        layers["intensity"] = np.zeros((1, *seen.shape), np.uint8)
        layers["intensity"][0][seen] = _bytes(surface.intensity[vertex] / _bright(surface.intensity))
    if surface.classes is not None:
        layers["labels"] = np.full(seen.shape, VOID, np.uint8)
        layers["labels"][seen] = surface.classes[vertex]
    return layers


def _third(surface: Surface, view: FaceView, vertex: NDArray[np.int32], third: Third) -> ByteImage:
    if third == "height":
        return _bytes(surface.height_m[vertex] / HIGHEST_M)
    depth = view.depth_m[view.seen]
    if third == "depth_m":
        near, far = view.camera.near_m, view.camera.far_m
    else:
        near, far = (float(depth.min()), float(depth.max())) if depth.size else (0.0, 1.0)
    return _bytes(1 - (depth - near) / (far - near)) if far > near else np.full(depth.shape, 255, np.uint8)


def _bright(intensity: NDArray[np.float32]) -> float:
    """The intensity that is shown white: above nearly all others; 1 where none is known or all are 0."""
    finite = intensity[np.isfinite(intensity)]
    return float(np.percentile(finite, INTENSITY_PERCENTILE)) or 1.0 if finite.size else 1.0


def _bytes(share: NDArray[np.floating]) -> ByteImage:
    """0 to 1 as 0 to 255; values beyond are cut off, NaN is 0."""
    return np.rint(np.clip(np.nan_to_num(share, nan=0.0), 0, 1) * 255).astype(np.uint8)
