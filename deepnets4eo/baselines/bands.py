"""An image in its own units whose bands have names and are picked by what they show: red, nir, height …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import layer_names, role_indices
from deepnets4eo.segmenters import InputSpec

BYTES = np.array([[0, 255]], np.float32)


@dataclass(frozen=True)
class Bands:
    """A scene, or part of one, as features use it.

    values : (C, h, w) float32 in the files' own units; pixels that are not valid have the training mean
    names : C names, "layer.band"
    gsd_m : ground size of a pixel
    span : (C, 2) the values scaled to 0 and 1 where a feature needs that (0 and 255 of bytes, else the 1st and 99th
        percentile of the layer in training); None: 0 and 255
    """

    values: FloatImage
    names: tuple[str, ...]
    gsd_m: float | None = None
    span: NDArray[np.float32] | None = None
    _band_indices: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._band_indices.update(role_indices(self.names))

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) in pixels."""
        return self.values.shape[1], self.values.shape[2]

    def has(self, *roles: str) -> bool:
        """Return whether there is a band for each of these roles."""
        return all(role in self._band_indices for role in roles)

    def pick(self, *roles: str) -> FloatImage:
        """Return the bands of these roles, (len(roles), h, w). Errors: InputError naming the roles that no band has."""
        missing = [role for role in roles if role not in self._band_indices]
        if missing:
            raise InputError(
                f"no band shows {' or '.join(missing)}; there are {', '.join(self.names)}. Name the bands in the recipe "
                "(model.bands={image: [red, green, blue]}), give the layer, or leave out the feature that needs it."
            )
        return self.values[[self._band_indices[role] for role in roles]]

    def unit(self, *roles: str) -> FloatImage:
        """Return bands of these roles scaled to 0–1 by their span; clipped."""
        picked = self.pick(*roles)
        low, high = self._limits([self._band_indices[role] for role in roles])
        return np.clip((picked - low) / (high - low), 0, 1)

    def spectral_indices(self) -> list[int]:
        """Return the indices of all bands of the layer `image`, or of the first layer if there is no layer `image`."""
        layer = "image" if any(name.startswith("image.") for name in self.names) else self.names[0].split(".")[0]
        return [index for index, name in enumerate(self.names) if name.split(".")[0] == layer]

    def spectral_unit(self) -> FloatImage:
        """Return the spectral bands scaled to 0–1 as by `unit`, (c, h, w)."""
        indices = self.spectral_indices()
        low, high = self._limits(indices)
        return np.clip((self.values[indices] - low) / (high - low), 0, 1)

    def grey(self) -> FloatImage:
        """Return the mean of the spectral bands scaled to 0–1, (h, w). Textures are computed from this mean."""
        return self.spectral_unit().mean(axis=0, dtype=np.float32)

    def cut(self, window: Window) -> Bands:
        """Return the bands of a window, which must be inside the image."""
        rows, cols = window.slices
        return Bands(self.values[:, rows, cols], self.names, self.gsd_m, self.span)

    def _limits(self, indices: Sequence[int]) -> tuple[FloatImage, FloatImage]:
        """Return the lowest and highest value of each band, (c, 1, 1)."""
        span = np.tile(BYTES, (len(indices), 1)) if self.span is None else self.span[list(indices)]
        low, high = span[:, 0], np.maximum(span[:, 1], span[:, 0] + 1e-6)
        return low[:, None, None].astype(np.float32), high[:, None, None].astype(np.float32)


def band_names(inputs: InputSpec, own_names: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
    """Return the names "layer.band" of all bands of an input spec.

    own_names : layer → names, for files without names

    Errors: InputError where `own_names` has another number of names than there are bands.
    """
    names: list[str] = []
    for layer, expected in inputs.layers.items():
        names += [f"{layer}.{name}" for name in layer_names(layer, expected.bands, (own_names or {}).get(layer))]
    return tuple(names)


def unstandardise(prepared: FloatImage, inputs: InputSpec, names: Sequence[str]) -> Bands:
    """Return a prepared tile (C, h, w) in its own units; whole numbers are whole again, as thresholds need."""
    layers = list(inputs.layers.values())
    mean = np.concatenate([np.asarray(layer.mean, np.float32) for layer in layers])
    std = np.concatenate([np.asarray(layer.std, np.float32) for layer in layers])
    values = prepared * std[:, None, None]
    values += mean[:, None, None]
    whole = np.concatenate([np.full(len(layer.bands), np.dtype(layer.dtype).kind in "iu") for layer in layers])
    for band in np.flatnonzero(whole):
        np.rint(values[band], out=values[band])
    limits = [BYTES if layer.dtype == "uint8" else np.array([[layer.low, layer.high]], np.float32) for layer in layers]
    span = np.concatenate([limit.repeat(len(layer.bands), axis=0) for limit, layer in zip(limits, layers, strict=True)])
    return Bands(values, tuple(names), inputs.gsd_m, span)
