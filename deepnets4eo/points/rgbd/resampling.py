"""A frame as the network sees it: its own image, and views around its camera, which agree with it in 3D.

Takes a frame in the pixels of the network; returns faces, layers and labels of views. Labels and colours are looked up by the
ids of faces; what was never measured shows no label, whether its colours are filled or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, Mask
from deepnets4eo.points.rgbd.frame import Frame
from deepnets4eo.points.rgbd.recipe import ResampledViewSection
from deepnets4eo.points.views import Camera, Surface
from deepnets4eo.points.views.camera import FaceView, cameras_near
from deepnets4eo.points.views.labeller import rendered_views
from deepnets4eo.points.views.snapshots import COLOUR, COMPOSITE, LABELS, Third, inverted_depth

VALID = "valid"
GEOMETRY = 2  # bands of the composite that are looked up at vertices: verticality and noise

Layers = dict[str, NDArray[Any]]


def place_views(frame: Frame, views: ResampledViewSection, count: int, *, seed: int = 0) -> list[Camera]:
    """Return `count` cameras around that of a frame, turned about the middle of its scene; `seed` keeps the draws of
    frames apart."""
    return cameras_near(
        frame.camera, count, seed=views.seed + seed, pivot_m=frame.pivot_m, turn_deg=views.turn_deg, shift=views.shift
    )


def own_layers(frame: Frame, surface: Surface, views: ResampledViewSection, names: Sequence[str]) -> Layers:
    """Return what the network sees of a frame: "image" and "composite" (3, h, w) uint8, "valid" (h, w), and with labels
    "labels", those of pixels without depth included. A network without colours sees nothing in holes, unless they
    are filled."""
    composite = np.zeros((3, *frame.shape), np.uint8)
    flat = composite.reshape(3, -1)
    for band, share in zip(range(GEOMETRY), (surface.verticality, surface.noise), strict=True):
        flat[band, surface.point_index] = np.rint(np.clip(share, 0, 1) * 255)
    composite[GEOMETRY] = _depth_band(frame, views.third)
    if views.holes == "nearest":
        composite = fill_nearest(composite, frame.known)
    filled = COLOUR in names or views.holes == "nearest"
    valid = np.ones(frame.shape, bool) if filled else frame.known
    layers: Layers = {COLOUR: frame.colour, COMPOSITE: composite, VALID: valid}
    return layers if frame.labels is None else layers | {LABELS: frame.labels}


def resampled_views(
    frame: Frame, surface: Surface, views: ResampledViewSection, count: int, *, seed: int = 0
) -> Iterator[tuple[FaceView, Layers]]:
    """Yield the faces and layers (as in `own_layers`) of `count` views around the camera of a frame; holes are not
    valid, unless they are filled, and their labels are void."""
    yield from _with_holes(surface, place_views(frame, views, count, seed=seed), views)


def rendered_own_layers(frame: Frame, surface: Surface, views: ResampledViewSection, names: Sequence[str]) -> Layers:
    """Return the layers of the surface of a frame as its own camera sees it, like the views around it, which is the
    published preprocessing; those of `own_layers` where it sees no face."""
    rendered = next(_with_holes(surface, [frame.camera], views), None)
    return own_layers(frame, surface, views, names) if rendered is None else rendered[1]


def _with_holes(
    surface: Surface, cameras: Sequence[Camera], views: ResampledViewSection
) -> Iterator[tuple[FaceView, Layers]]:
    for view, layers in rendered_views(surface, cameras, third=views.third):
        if views.holes == "nearest":
            filled = {name: fill_nearest(layers[name], view.seen) for name in (COLOUR, COMPOSITE)}
            layers = layers | filled | {VALID: np.ones_like(view.seen)}
        yield view, layers


def fill_nearest(image: ByteImage, known: Mask) -> ByteImage:
    """Return an image (C, h, w) whose unknown pixels have the values of the nearest known one.

    >>> fill_nearest(np.array([[[7, 0, 0, 9]]], np.uint8), np.array([[True, False, False, True]])).tolist()
    [[[7, 7, 9, 9]]]
    """
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return image[:, rows, columns]


def _depth_band(frame: Frame, third: Third) -> ByteImage:
    known = frame.known
    face = np.where(known, np.int32(0), np.int32(-1))
    depth_m = np.where(known, frame.depth_m, np.float32(np.inf))
    return inverted_depth(FaceView(face, depth_m, frame.camera), third)
