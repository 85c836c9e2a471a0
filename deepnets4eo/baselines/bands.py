"""An image in its own units whose bands have names: what features and rules are computed from.

Takes prepared tiles of an `InputSpec`, or arrays; gives bands by what they show (red, nir, height …), whatever a file
calls them. Refuses to guess: a role that no band has is an error that lists the bands there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.band_roles import layer_names, role_indices
from deepnets4eo.segmenters.inputs import InputSpec

BYTES = np.array([[0, 255]], np.float32)


@dataclass(frozen=True)
class Bands:
    """A (part of a) scene as features see it.

    values : (C, h, w) float32 in the files' own units (grey values, metres); pixels that were not valid hold the
    training mean. names : C names, "layer.band", as in "image.red" or "dsm.height". gsd_m : ground size of a pixel.
    span : (C, 2) the values that stand for 0 and 1 where a feature needs such: 0 and 255 of bytes, else the 1st and 99th
    percentile of the layer in training; without, all are taken for bytes.

    >>> bands = Bands(np.zeros((4, 2, 2), np.float32), ("image.red", "image.green", "image.blue", "dsm.height"))
    >>> bands.pick("height").shape, bands.has("nir")
    ((1, 2, 2), False)
    """

    values: FloatImage
    names: tuple[str, ...]
    gsd_m: float | None = None
    span: NDArray[np.float32] | None = None
    _places: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._places.update(role_indices(self.names))

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        return self.values.shape[1], self.values.shape[2]

    def has(self, *roles: str) -> bool:
        """Whether there is a band for each of these roles."""
        return all(role in self._places for role in roles)

    def pick(self, *roles: str) -> FloatImage:
        """The bands of these roles, (len(roles), h, w). Errors: InputError naming the roles that no band has."""
        missing = [role for role in roles if role not in self._places]
        if missing:
            raise InputError(
                f"no band shows {' or '.join(missing)}; there are {', '.join(self.names)}. Name the bands in the recipe "
                "(model.bands={image: [red, green, blue]}), give the layer, or leave out the feature that needs it."
            )
        return self.values[[self._places[role] for role in roles]]

    def unit(self, *roles: str) -> FloatImage:
        """Bands of these roles scaled to 0–1 by their span; clipped."""
        picked = self.pick(*roles)
        low, high = self._limits([self._places[role] for role in roles])
        return np.clip((picked - low) / (high - low), 0, 1)

    def spectral(self) -> FloatImage:
        """All bands of the layer `image`, or of the first layer where there is none, (c, h, w)."""
        return self.values[self.spectral_places()]

    def spectral_places(self) -> list[int]:
        """Places of the bands that `spectral` gives."""
        layer = "image" if any(name.startswith("image.") for name in self.names) else self.names[0].split(".")[0]
        return [place for place, name in enumerate(self.names) if name.split(".")[0] == layer]

    def spectral_unit(self) -> FloatImage:
        """The spectral bands scaled to 0–1 as by `unit`, (c, h, w)."""
        places = self.spectral_places()
        low, high = self._limits(places)
        return np.clip((self.values[places] - low) / (high - low), 0, 1)

    def grey(self) -> FloatImage:
        """Mean of the spectral bands scaled to 0–1, (h, w): what texture is measured on."""
        return self.spectral_unit().mean(axis=0, dtype=np.float32)

    def cut(self, window: Window) -> Bands:
        """A part of it; the window lies inside."""
        rows, cols = window.slices
        return Bands(self.values[:, rows, cols], self.names, self.gsd_m, self.span)

    def _limits(self, places: Sequence[int]) -> tuple[FloatImage, FloatImage]:
        """Lowest and highest value of each band, (c, 1, 1)."""
        span = np.tile(BYTES, (len(places), 1)) if self.span is None else self.span[list(places)]
        low, high = span[:, 0], np.maximum(span[:, 1], span[:, 0] + 1e-6)
        return low[:, None, None].astype(np.float32), high[:, None, None].astype(np.float32)


def band_names(inputs: InputSpec, given: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
    """Names "layer.band" of all bands of an input spec, in order.

    given : layer → names, for files whose bands have none; see `layer_names` for what these are else taken for.
    Errors: InputError where `given` names another number of bands than there are.
    """
    names: list[str] = []
    for layer, expected in inputs.layers.items():
        names += [f"{layer}.{name}" for name in layer_names(layer, expected.bands, (given or {}).get(layer))]
    return tuple(names)


def unstandardise(prepared: FloatImage, inputs: InputSpec, names: Sequence[str]) -> Bands:
    """A prepared tile (C, h, w) back in its own units; whole numbers are whole again, as thresholds expect."""
    layers = list(inputs.layers.values())
    mean = np.concatenate([np.asarray(layer.mean, np.float32) for layer in layers])
    std = np.concatenate([np.asarray(layer.std, np.float32) for layer in layers])
    values = prepared * std[:, None, None]
    values += mean[:, None, None]
    whole = np.concatenate([np.full(len(layer.bands), np.dtype(layer.dtype).kind in "iu") for layer in layers])
    for place in np.flatnonzero(whole):
        np.rint(values[place], out=values[place])
    limits = [BYTES if layer.dtype == "uint8" else np.array([[layer.low, layer.high]], np.float32) for layer in layers]
    span = np.concatenate([limit.repeat(len(layer.bands), axis=0) for limit, layer in zip(limits, layers, strict=True)])
    return Bands(values, tuple(names), inputs.gsd_m, span)
