"""Relative radiometric normalisation: the pre image in the light of the post image.

By orthogonal regression on pixels that IR-MAD finds unchanged (Canty and Nielsen 2008), or by matching histograms.
Takes a scene with the layers `image_pre` and `image_post`; returns maps of values, one a band, and layers seen through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.classical.pair_scores import IrMad
from deepnets4eo.change.pair import POST, PRE
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.moments import MomentSums
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling.spread import spread_windows

SIDE_PX, WINDOWS = 512, 4  # values are measured on 4 million pixels at most
UNCHANGED = 0.95  # least probability of no change
LEAST_PIXELS = 100
QUANTILES = 257


class ValueMap(Protocol):
    """Values of the pre image → values as the post image would have them."""

    def apply(self, image: NDArray[Any]) -> FloatImage:
        """image : (C, h, w) → (C, h, w) float32"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for manifests."""


@dataclass(frozen=True)
class LinearMap:
    """Gain and offset of each band.

    Parameters
    ----------
    gain, offset
        (C,): post = gain · pre + offset where nothing changed.
    correlation
        (C,) of both dates over the pixels used.
    pixels
        Number of these.
    """

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    correlation: NDArray[np.float64]
    pixels: int

    def apply(self, image: NDArray[Any]) -> FloatImage:
        """image : (C, h, w) → (C, h, w) float32"""
        gain, offset = (values.astype(np.float32)[:, None, None] for values in (self.gain, self.offset))
        return np.asarray(image * gain + offset, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for manifests."""
        return {"method": "regression"} | {name: np.asarray(value).tolist() for name, value in vars(self).items()}


@dataclass(frozen=True)
class HistogramMap:
    """Values of both dates at equal shares of their pixels; in between by straight lines.

    Parameters
    ----------
    pre, post
        (C, Q), ascending.
    """

    pre: NDArray[np.float64]
    post: NDArray[np.float64]

    def apply(self, image: NDArray[Any]) -> FloatImage:
        """image : (C, h, w) → (C, h, w) float32"""
        bands = [
            np.interp(band, *table) for band, table in zip(image, zip(self.pre, self.post, strict=True), strict=True)
        ]
        return np.stack(bands).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for manifests."""
        return {"method": "histogram", "pre": self.pre.tolist(), "post": self.post.tolist()}


def invariant_regression(scene: Scene, *, unchanged: float = UNCHANGED) -> LinearMap:
    """Gain and offset of each band by orthogonal regression on pixels that IR-MAD finds unchanged.

    Parameters
    ----------
    scene
        With the layers `image_pre` and `image_post`, of the same bands.
    unchanged
        Least probability of no change of the pixels used, between 0 and 1.

    Returns
    -------
    LinearMap
        From pre to post.

    Raises
    ------
    InputError
        Fewer than 100 such pixels, or a band without variance in them.
    """
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
    """Values of the pre image at which each share of its pixels lies below → those of the post image.

    Parameters
    ----------
    scene
        With the layers `image_pre` and `image_post`, of the same bands.

    Returns
    -------
    HistogramMap
        From pre to post, of 257 shares of a million spread pixels at most.

    Raises
    ------
    InputError
        No pixel is valid in both.
    """
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


def normalise_pre(scene: Scene, method: str) -> tuple[Scene, ValueMap]:
    """The scene with its pre image in the light of the post image, and the map of values.

    method : "regression" or "histogram". Errors: InputError for another one, and as the two functions.
    """
    methods: dict[str, Callable[[Scene], ValueMap]] = {
        "regression": invariant_regression,
        "histogram": match_histograms,
    }
    if method not in methods:
        raise InputError(f"normalisation {method!r} is unknown. Choose from {', '.join(methods)}.")
    values = methods[method](scene)
    pre = Layer(_MappedSource(scene.layers[PRE], values))
    return Scene({PRE: pre, POST: scene.layers[POST]}, scene.grid), values


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


class _MappedSource:
    """A layer whose values pass through a map; read as float32."""

    def __init__(self, layer: Layer, values: ValueMap) -> None:
        self.layer, self.values = layer, values
        self.name, self.paths, self.tags, self.grid = layer.source, layer.paths, layer.tags, layer.grid
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.nodata: float | None = None
        self.wavelengths_nm: list[float | None] | None = None
        self.bands, self.band_names = list(range(1, layer.count + 1)), layer.band_names

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.layer.read(window)
        return self.values.apply(data)[[band - 1 for band in bands]], valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid, _ = self.layer.thumbnail(max(shape))
        return self.values.apply(data)[[band - 1 for band in bands]], valid

    def open_dataset(self) -> Any:
        raise TypeError("a layer seen through a map of values is not warped again")
