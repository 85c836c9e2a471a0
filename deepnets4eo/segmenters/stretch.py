"""Images of more than 8 bits as a run that learnt from 8-bit images takes them: a linear stretch for each band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Pixels
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer, LayerView, Scene, find_outliers
from deepnets4eo.segmenters.inputs import BYTE, RANGE_SHRUNK, InputSpec, LayerInput
from deepnets4eo.tiling import spread_windows

PERCENTILES = (2.0, 98.0)
DEVIATIONS = 2.0  # from the mean of training to where these are shown: about where they lie in images of 8 bits
ENDS = (0.1, 99.9)  # percentiles between which values are those of 8 bits: a few hot pixels make no other image
COLOURS = 3  # bands at least: heights and maps keep their values
MIN_SPAN = 25.0  # of the values of training: fewer are classes or marks
SAMPLES, SAMPLE_PX = 16, 64  # windows along each axis, and their side: a million pixels whatever the size of the image


@dataclass(frozen=True)
class Stretch:
    """Display stretch of each band: its 2nd and 98th percentile `low`, `high` (C,) become `shown_low`, `shown_high`.

    >>> stretch = Stretch((300.0,), (1300.0,), (0.0,), (200.0,))
    >>> stretch.apply(np.array([[[100, 300, 800, 1300, 1550, 9000]]], np.uint16)).ravel().tolist()
    [0.0, 0.0, 100.0, 200.0, 250.0, 255.0]
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    shown_low: tuple[float, ...]
    shown_high: tuple[float, ...]

    def apply(self, data: NDArray[Any]) -> FloatImage:
        """Return stored values (C, h, w) as they are shown, float32, 0–255; NaN stays NaN."""
        low, high, shown_low, shown_high = (
            np.array(values)[:, None, None] for values in (self.low, self.high, self.shown_low, self.shown_high)
        )
        step = (high - low) / (shown_high - shown_low)
        black, white = low - shown_low * step, low + (BYTE - shown_low) * step
        return np.asarray((np.clip(data, black, white) - black) / step, np.float32)

    def to_dict(self) -> dict[str, list[float]]:
        """Plain values, as kept in manifests and tags."""
        return {name: list(values) for name, values in asdict(self).items()}

    def __str__(self) -> str:
        """Return the stretch in words, as part of a sentence."""
        return f"stretched to 8 bits, from the 2nd to the 98th percentile of each band ({self.low_text} and {self.high_text})"

    @property
    def low_text(self) -> str:
        """The 2nd percentile of each band."""
        return _listed(self.low)

    @property
    def high_text(self) -> str:
        """The 98th percentile of each band."""
        return _listed(self.high)


class StretchedLayer(LayerView):
    """A layer as a stretch shows it, float32."""

    def __init__(self, layer: Layer, stretch: Stretch) -> None:
        super().__init__(layer, np.float32, None)
        self._stretch = stretch

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        """Values (C, h, w), 0–255, and validity (h, w)."""
        data, valid = self.layer.read(window)
        return self._stretch.apply(data)[[band - 1 for band in bands]], valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        data, valid = self.layer.read_coarse(shape)
        return self._stretch.apply(data)[[band - 1 for band in bands]], valid


def show(layer: Layer, stretch: Stretch | None) -> Layer:
    """Return the layer with a stretch applied; unchanged without a stretch, or if it has another number of bands."""
    if stretch is None or layer.count != len(stretch.low):
        return layer
    return Layer(StretchedLayer(layer, stretch))


def show_scene(scene: Scene, stretches: Mapping[str, Stretch]) -> Scene:
    """Return the scene with stretches, by layer name, applied to some layers."""
    if not stretches:
        return scene
    return Scene({name: show(layer, stretches.get(name)) for name, layer in scene.layers.items()}, scene.grid)


def needed_stretches(inputs: InputSpec, scene: Scene) -> dict[str, Stretch]:
    """Return the stretch of every layer that needs one."""
    stretches = {
        name: needed_stretch(expected, scene.layers[name])
        for name, expected in inputs.layers.items()
        if name in scene.layers
    }
    return {name: stretch for name, stretch in stretches.items() if stretch is not None}


def needed_stretch(expected: LayerInput, layer: Layer) -> Stretch | None:
    """Return the stretch of an image for a run of 8-bit images, by at most 256 windows without collars and far values.

    None for images of 8 bits or that range, flat ones, and runs of other values or without colours.
    """
    learnt_bytes = expected.dtype == "uint8" and expected.high - expected.low >= MIN_SPAN
    if not learnt_bytes or len(expected.bands) < COLOURS or layer.count != len(expected.bands):
        return None
    if layer.dtype.itemsize == 1 or layer.dtype.kind not in "iuf":
        return None
    pixels = _sample(layer)
    if not pixels.shape[1] or _is_display(pixels, layer.dtype):
        return None
    low, high = np.array([np.percentile(_without_outliers(band), PERCENTILES) for band in pixels]).T
    if not (high > low).any():
        return None
    high = np.where(high > low, high, low + 1)
    mean, reach = np.array(expected.mean), DEVIATIONS * np.array(expected.std)
    targets = np.clip(mean - reach, 0, BYTE), np.clip(mean + reach, 0, BYTE)
    return Stretch(*(tuple(values.round(9).tolist()) for values in (low, high, *targets)))


def _sample(layer: Layer) -> Floats:
    """Pixels (C, n) of spread windows that are valid and not 0 in every band."""
    pixels = []
    for window in spread_windows(layer.shape, (SAMPLE_PX, SAMPLE_PX), SAMPLES):
        data, valid = layer.read(window)
        pixels.append(data[:, valid & (data != 0).any(axis=0)].astype(np.float64))
    return np.concatenate(pixels, axis=1)


def _is_display(pixels: Floats, dtype: np.dtype[Any]) -> bool:
    """Return whether values of a type wider than 8 bits are display values all the same; fractions are not."""
    low, high = np.percentile(pixels, ENDS)
    return bool(high <= BYTE and (dtype.kind != "f" or high - low >= BYTE / RANGE_SHRUNK))


def _without_outliers(band: Floats) -> Floats:
    outliers = find_outliers(band)
    return band if outliers is None else np.asarray(outliers.usual_values(band))


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
