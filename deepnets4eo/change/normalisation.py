"""Radiometric normalisation: the pre image in the light of the post image, or both in the light of the training images.

Relative: by orthogonal regression on pixels that IR-MAD finds unchanged (Canty and Nielsen 2008), or by matching histograms.
To training: each band of each date gets the mean and deviation that a network was trained on. Takes a scene with the layers
`image_pre` and `image_post`; returns maps of values, one a band, and layers seen through them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.classical.pair_scores import IrMad
from deepnets4eo.change.pair import POST, PRE
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.moments import Moments, MomentSums
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.rasters.views import LayerView
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.tiling.sampling import spread_windows

SIDE_PX, WINDOWS = 512, 4  # values are measured on 4 million pixels at most
UNCHANGED = 0.95  # least probability of no change
LEAST_PIXELS = 100
QUANTILES = 257
ROUNDING = 1e-6  # of a mean: a deviation below it is none


class ValueMap(Protocol):
    """Values of an image → values in another light."""

    def apply(self, image: NDArray[Any]) -> FloatImage:
        """image : (C, h, w) → (C, h, w) float32"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for manifests."""


class _GainAndOffset(ABC):
    """Base of maps with a gain and an offset of each band."""

    @abstractmethod
    def _line(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gain and offset, (C,) each."""

    def apply(self, image: NDArray[Any]) -> FloatImage:
        """image : (C, h, w) → (C, h, w) float32"""
        gain, offset = (values.astype(np.float32)[:, None, None] for values in self._line())
        return np.asarray(image * gain + offset, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for manifests."""
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}


@dataclass(frozen=True)
class LinearMap(_GainAndOffset):
    """Gain and offset (C,) of each band, post = gain · pre + offset where nothing changed, and the correlation of both
    dates over the pixels used."""

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    correlation: NDArray[np.float64]
    pixels: int

    def _line(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.gain, self.offset


@dataclass(frozen=True)
class HistogramMap:
    """Ascending values (C, Q) of both dates at equal shares of their pixels; in between by straight lines."""

    pre: NDArray[np.float64]
    post: NDArray[np.float64]

    def apply(self, image: NDArray[Any]) -> FloatImage:
        """image : (C, h, w) → (C, h, w) float32"""
        tables = [_without_ties(pre, post) for pre, post in zip(self.pre, self.post, strict=True)]
        return np.stack([np.interp(band, *table) for band, table in zip(image, tables, strict=True)]).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for manifests."""
        return {"pre": self.pre.tolist(), "post": self.post.tolist()}


@dataclass(frozen=True)
class TrainingLight(_GainAndOffset):
    """Mean and deviation (C,) of an image, and those of the training images that it gets."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    trained_mean: NDArray[np.float64]
    trained_std: NDArray[np.float64]

    def _line(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        gain = self.trained_std / self.std
        return gain, self.trained_mean - gain * self.mean


def invariant_regression(scene: Scene, *, unchanged: float = UNCHANGED) -> LinearMap:
    """Return gain and offset of each band from pre to post by orthogonal regression on pixels that IR-MAD finds
    unchanged with a probability of at least `unchanged`. Raises InputError for fewer than 100 such pixels, or a band
    without variance in them."""
    inputs = InputSpec.measure([scene], [PRE, POST])
    windows = spread_windows(scene.shape, (SIDE_PX, SIDE_PX), WINDOWS)

    def blocks() -> Iterator[tuple[FloatImage, Mask]]:
        for window in windows:
            sample = scene.read(window, [PRE, POST])
            yield inputs.prepare(sample), sample["valid"]

    method = IrMad()
    method.fit(blocks)
    sums = MomentSums()
    count = 0
    for window in windows:
        sample = scene.read(window, [PRE, POST])
        probability = method.fitted.no_change(inputs.prepare(sample)[:, sample["valid"]])
        values = np.concatenate([sample[PRE], sample[POST]])[:, sample["valid"]][:, probability > unchanged]
        count += values.shape[1]
        sums.add(values)
    if count < LEAST_PIXELS:
        raise InputError(
            f"{count} pixels are unchanged with a probability above {unchanged}; a regression needs {LEAST_PIXELS}. Use "
            "histograms instead."
        )
    return _orthogonal(sums, count)


def match_histograms(scene: Scene) -> HistogramMap:
    """Return the values of both dates at 257 shares of at most a million spread pixels, from pre to post. Raises
    InputError where no pixel is valid in both."""
    samples: list[FloatImage] = []
    for window in spread_windows(scene.shape, (SIDE_PX // 2, SIDE_PX // 2), WINDOWS):
        sample = scene.read(window, [PRE, POST])
        samples.append(np.concatenate([sample[PRE], sample[POST]])[:, sample["valid"]])
    values = np.concatenate(samples, axis=1)
    if not values.size:
        raise InputError("no pixel is valid in both images. Check nodata, clouds and the common extent.")
    quantiles = np.quantile(values, np.linspace(0, 1, QUANTILES), axis=1).T
    pre, post = np.split(quantiles, 2)
    return HistogramMap(pre, post)


def light_of_training(scene: Scene, inputs: InputSpec) -> dict[str, TrainingLight]:
    """Return maps that give each band of each date the mean and deviation of the training images: another light looks
    like change to a network. Scenes that are mostly of one kind, such as water, get a contrast that they do not
    have. Raises InputError without valid pixels or variance."""
    sums = {PRE: MomentSums(), POST: MomentSums()}
    for window in spread_windows(scene.shape, (SIDE_PX, SIDE_PX), WINDOWS):
        sample = scene.read(window, [PRE, POST])
        for layer, of_layer in sums.items():
            of_layer.add(sample[layer][:, sample["valid"]])
    return {layer: _light(layer, of_layer.moments(), inputs.layers[layer]) for layer, of_layer in sums.items()}


def normalise(scene: Scene, method: str, inputs: InputSpec) -> tuple[Scene, dict[str, Any]]:
    """The scene (float32) in another light, and plain values of the maps that were measured.

    method : "regression" or "histogram" shows the pre image in the light of the post image, "training" both in that of the
    training images. inputs : those of the network that sees the scene. Errors: InputError for another method."""
    methods: dict[str, Callable[[], Mapping[str, ValueMap]]] = {
        "regression": lambda: {PRE: invariant_regression(scene)},
        "histogram": lambda: {PRE: match_histograms(scene)},
        "training": lambda: light_of_training(scene, inputs),
    }
    if method not in methods:
        raise InputError(f"normalisation {method!r} is unknown. Choose from {', '.join(methods)}.")
    maps = methods[method]()
    mapped = {layer: Layer(_MappedSource(scene.layers[layer], values)) for layer, values in maps.items()}
    layers = {layer: scene.layers[layer] for layer in (PRE, POST)} | mapped
    return Scene(layers, scene.grid), {"method": method} | {layer: values.to_dict() for layer, values in maps.items()}


def _light(layer: str, moments: Moments, trained: LayerInput) -> TrainingLight:
    std = np.sqrt(np.diag(moments.covariance))
    flat = np.flatnonzero(std <= ROUNDING * np.abs(moments.mean))
    if flat.size:
        raise InputError(
            f"band {', '.join(str(band + 1) for band in flat)} of {layer} has one value in all valid pixels; it cannot be "
            "normalised. Do without."
        )
    return TrainingLight(moments.mean, std, np.array(trained.mean), np.array(trained.std))


def _orthogonal(sums: MomentSums, count: int) -> LinearMap:
    """Slopes of the longest axis of each band's pairs of values. (2 C,) moments, pre before post"""
    moments = sums.moments()
    bands = len(moments.mean) // 2
    variances, cross = np.diag(moments.covariance), np.diag(moments.covariance[:bands, bands:])
    before, after = variances[:bands], variances[bands:]
    if not (np.minimum(before, after) > 0).all():
        raise InputError("a band has one value in all unchanged pixels; it cannot be normalised. Leave the band out.")
    if not (cross > 0).all():
        bands_of = ", ".join(str(band + 1) for band in np.flatnonzero(cross <= 0))
        raise InputError(
            f"in band {bands_of} the unchanged pixels that are brighter before are darker after: no gain brings one date to "
            "the light of the other. Check the order of the bands, or use histograms instead."
        )
    difference = after - before
    gain = (difference + np.sqrt(difference**2 + 4 * cross**2)) / (2 * cross)
    offset = moments.mean[bands:] - gain * moments.mean[:bands]
    return LinearMap(gain, offset, cross / np.sqrt(before * after), count)


class _MappedSource(LayerView):
    """A layer whose values pass through a map; read as float32."""

    def __init__(self, layer: Layer, values: ValueMap) -> None:
        super().__init__(layer, np.float32, None)
        self.values = values

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.layer.read(window)
        return self.values.apply(data)[[band - 1 for band in bands]], valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid, _ = self.layer.thumbnail(max(shape))
        return self.values.apply(data)[[band - 1 for band in bands]], valid


def _without_ties(
    pre: NDArray[np.float64], post: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same table with each value of pre once: many pixels of one value get the mean of theirs, not the highest."""
    values, inverse, counts = np.unique(pre, return_inverse=True, return_counts=True)
    return values, np.bincount(inverse, post) / counts
