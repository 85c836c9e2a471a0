"""A pair in the light of training images: each band of each date gets the mean and deviation that a network was trained on.

Takes a scene with the layers `image_pre` and `image_post`; returns layers seen through a line of each band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer, LayerView, Moments, MomentSums, Scene
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.tiling import spread_windows

SIDE_PX, WINDOWS = 512, 4  # values are measured on 4 million pixels at most
ROUNDING = 1e-6  # of a mean: a deviation below it is none


@dataclass(frozen=True)
class TrainingLight:
    """Mean and deviation (C,) of an image, and the mean and deviation of the training images that replace them."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    trained_mean: NDArray[np.float64]
    trained_std: NDArray[np.float64]

    def apply(self, image: NDArray[Any]) -> FloatImage:
        """Normalise an image (C, h, w) to (C, h, w) float32."""
        gain = self.trained_std / self.std
        offset = self.trained_mean - gain * self.mean
        slope, level = (values.astype(np.float32)[:, None, None] for values in (gain, offset))
        return np.asarray(image * slope + level, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for manifests."""
        return {name: value.tolist() for name, value in vars(self).items()}


def light_of_training(scene: Scene, inputs: InputSpec) -> dict[str, TrainingLight]:
    """Return the light of each date, which maps it to the light of the training images: a network would report another
    light as change.

    Scenes that are mostly of one kind, such as water, get a contrast that they do not have. Raises InputError without
    valid pixels or variance.
    """
    sums = {DateLayers.pre: MomentSums(), DateLayers.post: MomentSums()}
    for window in spread_windows(scene.shape, (SIDE_PX, SIDE_PX), WINDOWS):
        sample = scene.read(window, [DateLayers.pre, DateLayers.post])
        for layer, of_layer in sums.items():
            of_layer.add(sample[layer][:, sample["valid"]])
    return {layer: _light(layer, of_layer.moments(), inputs.layers[layer]) for layer, of_layer in sums.items()}


def normalise(scene: Scene, inputs: InputSpec) -> tuple[Scene, dict[str, Any]]:
    """Return the scene (float32) in the light of the training images of `inputs`, and plain values of what was measured."""
    lights = light_of_training(scene, inputs)
    layers = {layer: Layer(_MappedSource(scene.layers[layer], light)) for layer, light in lights.items()}
    measured = {layer: light.to_dict() for layer, light in lights.items()}
    return Scene(layers, scene.grid), {"method": "training"} | measured


def _light(layer: str, moments: Moments, trained: LayerInput) -> TrainingLight:
    std = np.sqrt(np.diag(moments.covariance))
    flat = np.flatnonzero(std <= ROUNDING * np.abs(moments.mean))
    if flat.size:
        raise InputError(
            f"band {', '.join(str(band + 1) for band in flat)} of {layer} has one value in all valid pixels; it cannot be "
            "normalised. Do without."
        )
    return TrainingLight(moments.mean, std, np.array(trained.mean), np.array(trained.std))


class _MappedSource(LayerView):
    """A layer in another light; read as float32."""

    def __init__(self, layer: Layer, values: TrainingLight) -> None:
        super().__init__(layer, np.float32, None)
        self.values = values

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.layer.read(window)
        return self.values.apply(data)[[band - 1 for band in bands]], valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid, _ = self.layer.thumbnail(max(shape))
        return self.values.apply(data)[[band - 1 for band in bands]], valid
