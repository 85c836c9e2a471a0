"""Images of a view by table look-up: colour, composite, intensity, labels; and their scaling.

A pixel has the values of the first vertex of its face, as published; background is 0, and 255, void, among labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, RegionIds
from deepnets4eo.cards import VOID
from deepnets4eo.points.views.camera import FaceView, check_of_surface
from deepnets4eo.points.views.surface import Surface
from deepnets4eo.segmenters import InputSpec, LayerInput


class ViewLayer:
    """Layers of a view, by name."""

    colour: ClassVar[str] = "image"
    composite: ClassVar[str] = "composite"
    intensity: ClassVar[str] = "intensity"
    labels: ClassVar[str] = "labels"


BANDS = {
    ViewLayer.colour: ("red", "green", "blue"),
    ViewLayer.composite: ("verticality", "noise", "depth"),
    ViewLayer.intensity: ("intensity",),
}
MIDDLE, SPAN = 127.5, 255.0  # bytes become -0.5 to 0.5, as published

Third = Literal["depth", "depth_m", "height", "height_root"]

HIGHEST_M = 51.0  # heights above ground count in steps of 0.2 m; their roots in steps of 4 cm at 1 m, of 0.2 m at 12 m
INTENSITY_PERCENTILE = 98
WORD_BYTES = 8  # bytes of a uint64, as many as the layers have bands


def snapshot(surface: Surface, view: FaceView, *, third: Third = "depth") -> dict[str, NDArray[Any]]:
    """Look up the images of a view.

    Parameters
    ----------
    surface : the surface, with the known attributes of its vertices
    view : the face that each pixel sees
    third
        Last channel of the composite: "depth", inverted and stretched over each view, nearest 255, furthest 0, as
        published; "depth_m", inverted from the camera's near limit, 255, to its far limit, 0, so that views compare;
        "height" above ground, 0 to 51 m; "height_root", its root, in which low vegetation differs more from ground, and
        roofs and trees of different heights less.

    Returns
    -------
    Layer → array, for the layers that the surface has measurements for:

    - "image": (3, H, W) uint8, red, green and blue.
    - "composite": (3, H, W) uint8, verticality (0 flat, 255 upright), noise (0 plane), and the third channel.
    - "intensity": (1, H, W) uint8, up to the 98th percentile of the surface's intensities.
    - "labels": (H, W) uint8, codes of the cloud; 255 for background.

    Raises
    ------
    InputError
        The view is of another surface.
    """
    check_of_surface(view, len(surface.faces))
    table = _KEPT.setdefault(surface, {}).get(third) or _KEPT[surface].setdefault(third, _face_table(surface, third))
    layers = table.look_up(view.face)
    if ViewLayer.labels in layers:
        layers[ViewLayer.labels] = layers[ViewLayer.labels][0]
    if not third.startswith("height"):
        layers[ViewLayer.composite][2] = inverted_depth(view, third)
    return layers


@dataclass(frozen=True, eq=False)
class _FaceTable:
    """Bytes of each face (F + 1,), with the bytes of all bands in one word; the last entry is background, face -1."""

    words: NDArray[np.uint64]
    bands: dict[str, slice]

    def look_up(self, face: RegionIds) -> dict[str, NDArray[Any]]:
        """Layer → (C, H, W) uint8 of the faces (H, W)."""
        by_pixel = self.words.take(face.ravel()).view(np.uint8).reshape(-1, WORD_BYTES)
        planes = np.ascontiguousarray(by_pixel.T).reshape(WORD_BYTES, *face.shape)
        return {name: planes[where] for name, where in self.bands.items()}


_KEPT: WeakKeyDictionary[Surface, dict[Third, _FaceTable]] = WeakKeyDictionary()  # as long as their surfaces


def _face_table(surface: Surface, third: Third) -> _FaceTable:
    layers = _vertex_layers(surface, third)
    ends = np.cumsum([len(layer) for layer in layers.values()]).tolist()
    bands = {name: slice(end - len(layer), end) for (name, layer), end in zip(layers.items(), ends, strict=True)}
    of_vertex = np.zeros((len(surface.vertices) + 1, WORD_BYTES), np.uint8)
    of_vertex[:-1, : ends[-1]] = np.concatenate(list(layers.values())).T
    of_vertex[-1, bands.get(ViewLayer.labels, slice(0))] = VOID
    return _FaceTable(of_vertex.view(np.uint64).ravel().take(np.append(surface.faces[:, 0], -1)), bands)


def _vertex_layers(surface: Surface, third: Third) -> dict[str, ByteImage]:
    """Layer → (C, V), of together at most 8 bands."""
    share = (
        np.maximum(surface.height_m, 0) / HIGHEST_M if third.startswith("height") else np.zeros(len(surface.vertices))
    )
    height = _bytes(np.sqrt(share) if third == "height_root" else share)
    layers = {ViewLayer.composite: np.stack([_bytes(surface.verticality), _bytes(surface.noise), height])}
    if surface.colour is not None:
        layers[ViewLayer.colour] = surface.colour.T
    if surface.intensity is not None:
        finite = surface.intensity[np.isfinite(surface.intensity)]
        bright = np.percentile(finite, INTENSITY_PERCENTILE) if finite.size else 0  # shown white
        layers[ViewLayer.intensity] = _bytes(surface.intensity / (float(bright) or 1.0))[None]
    if surface.classes is not None:
        layers[ViewLayer.labels] = surface.classes[None]
    return layers


def inverted_depth(view: FaceView, third: Third) -> ByteImage:
    """Return the depth (H, W) uint8 of a view as a third channel, see `snapshot`; 0 for background."""
    seen = view.seen
    near, far = view.camera.near_m, view.camera.far_m
    if third == "depth":
        near = float(view.depth_m.min())
        far = float(np.max(view.depth_m, where=seen, initial=near if np.isfinite(near) else 0))
    if not far > near:
        return np.where(seen, np.uint8(255), np.uint8(0))
    return _bytes(1 - (view.depth_m - np.float32(near)) / np.float32(far - near))


def _bytes(share: NDArray[np.floating]) -> ByteImage:
    """0 to 1 as 0 to 255; values beyond are cut off, NaN is 0."""
    return np.rint(np.clip(np.where(np.isnan(share), 0, share), 0, 1) * 255).astype(np.uint8)


def snapshot_inputs(layers: Sequence[str], third: Third) -> InputSpec:
    """Return how layers are scaled for a network: bytes to -0.5 … 0.5, as published; what shows nothing is 0."""
    bands = {**BANDS, ViewLayer.composite: (*BANDS[ViewLayer.composite][:2], third.partition("_")[0])}
    sizes = {name: len(bands[name]) for name in layers}
    return InputSpec(
        {name: LayerInput(bands[name], (MIDDLE,) * n, (SPAN,) * n, 0.0, SPAN) for name, n in sizes.items()}
    )
