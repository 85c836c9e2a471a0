"""What the training part of the scenes looks like: mean, deviation and range of every band; pixels of every class.

Takes parts of scenes; reads windows one by one, so memory does not grow with the scenes. Only valid pixels of the
training part count. Refuses layers whose band counts differ, and training parts without any valid pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.inputs import InputSpec, LayerInput, scene_gsd_m
from deepnets4eo.lattice.sampling import ClassCells
from deepnets4eo.training.parts import TRAIN, Parts, Place

WINDOW_PX = 256
MOST_WINDOWS = 1000  # of them, evenly spread, the statistics are made: 65 million pixels
KEPT_PIXELS = 1000  # a window, for the percentiles


class Moments:
    """Mean and variance per band of values that come in pieces (Chan, Golub and LeVeque 1979)."""

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(bands)
        self._squares: NDArray[np.float64] = np.zeros(bands)

    def update(self, pixels: NDArray[np.float32]) -> None:
        """pixels : (C, n)."""
        count = pixels.shape[1]
        if not count:
            return
        mean = pixels.mean(axis=1, dtype=np.float64)
        squares = np.square(pixels - mean[:, None]).sum(axis=1)
        delta, total = mean - self.mean, self.count + count
        self._squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count = total

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of all values so far."""
        return np.sqrt(self._squares / max(self.count, 1))


def measure_inputs(parts: Parts, layers: Sequence[str]) -> InputSpec:
    """Scaling, range and GSD of the training part. Peak memory: one window and 1 MB a layer and band."""
    moments = {layer: Moments(_bands(parts, layer)) for layer in layers}
    kept: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    for place in _spread(parts.places(TRAIN, WINDOW_PX)):
        sample = parts.scenes[place.scene].scene.read(place.window, layers)
        counted = sample["valid"] & parts.mask(place.scene, TRAIN, place.window)
        for layer in layers:
            pixels = sample[layer][:, counted]
            moments[layer].update(pixels)
            kept[layer].append(pixels[:, :: max(1, pixels.shape[1] // KEPT_PIXELS)])
    if not all(moment.count for moment in moments.values()):
        raise InputError("the training part has no valid pixel. Check the nodata of the layers, and data.split.")
    known = [gsd for named in parts.scenes if (gsd := scene_gsd_m(named.scene)) is not None]
    specs = {layer: _layer_input(parts, layer, moments[layer], np.concatenate(kept[layer], axis=1)) for layer in layers}
    return InputSpec(specs, round(float(np.median(known)), 6) if known else None)


def class_cells(parts: Parts) -> list[ClassCells]:
    """Where each class lies in the training part of each scene; reads all labels once."""
    found = []
    for number, named in enumerate(parts.scenes):
        found.append(ClassCells.build(named.scene, named.labels.legend, parts.usable(number, TRAIN)))
    return found


def _spread(places: Sequence[Place]) -> list[Place]:
    """At most MOST_WINDOWS of them, evenly spread."""
    if len(places) <= MOST_WINDOWS:
        return list(places)
    return [places[round(at)] for at in np.linspace(0, len(places) - 1, MOST_WINDOWS)]


def _bands(parts: Parts, layer: str) -> int:
    counts = {named.scene.layers[layer].count for named in parts.scenes}
    if len(counts) > 1:
        raise InputError(
            f"layer {layer!r} has {sorted(counts)} bands in different scenes. Choose the same with data.bands."
        )
    return counts.pop()


def _layer_input(parts: Parts, name: str, moments: Moments, pixels: NDArray[np.float32]) -> LayerInput:
    layer = parts.scenes[0].scene.layers[name]
    low, high = np.percentile(pixels, (1, 99))
    return LayerInput(
        bands=tuple(layer.band_names),
        mean=tuple(moments.mean.round(6).tolist()),
        std=tuple(np.where(moments.std > 1e-6, moments.std, 1.0).round(9).tolist()),
        low=float(low),
        high=float(high),
        dtype=str(layer.dtype),
    )
