"""How images are scaled for the network: by all training images, or each scene by its own values.

Takes scenes and where their buildings lie; reads a few windows there. The scaling of the training is kept in the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.network.pairs import POST, PRE, LabelledPair
from deepnets4eo.errors import InputError
from deepnets4eo.footprints.outlines import order_by_place
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.tiling.sampling import spread_indices
from deepnets4eo.training.statistics import Moments

WINDOWS, WINDOW_PX = 16, 256
KEPT_PIXELS = 1000  # a window, for the percentiles
MOST_PAIRS = 64  # evenly spread, the statistics of all training are made of


def measure_pairs(pairs: Sequence[LabelledPair], *, most_pairs: int = MOST_PAIRS) -> InputSpec:
    """Bands, range, scaling and ground size of a pixel, near the buildings of at most `most_pairs` training pairs.

    Errors: InputError where pairs differ in their bands, or show nothing valid near a building.
    """
    chosen = [pairs[index] for index in spread_indices(len(pairs), most_pairs)]
    layers = {name: _measure(chosen, name) for name in (PRE, POST)}
    known = [pair.gsd_m for pair in pairs if pair.gsd_m is not None]
    return InputSpec(layers, round(float(np.median(known)), 6) if known else None)


def scaled_to(inputs: InputSpec, scene: Scene, centres: NDArray[np.int64]) -> InputSpec:
    """The same inputs with the mean and deviation of one scene; a layer without valid pixels keeps those of training.

    centres : (N, 2) row and column of its buildings.
    """
    layers = {}
    for name, expected in inputs.layers.items():
        moments = Moments(len(expected.bands))
        for pixels in _sample_around_buildings(scene, name, centres):
            moments.update(pixels)
        mean, std = _scaling(moments)
        layers[name] = replace(expected, mean=mean, std=std) if moments.count else expected
    return InputSpec(layers, inputs.gsd_m)


def _measure(pairs: Sequence[LabelledPair], name: str) -> LayerInput:
    counts = {pair.scene.layers[name].count: pair.name for pair in pairs}
    if len(counts) > 1:
        listed = ", ".join(f"{bands} ({pair})" for bands, pair in sorted(counts.items()))
        raise InputError(f"the {name} images have different numbers of bands: {listed}. Train on one kind at a time.")
    moments, kept = Moments(next(iter(counts))), []
    for pair in pairs:
        for pixels in _sample_around_buildings(pair.scene, name, pair.centres):
            moments.update(pixels)
            kept.append(pixels[:, :: max(1, pixels.shape[1] // KEPT_PIXELS)])
    if not moments.count:
        raise InputError(f"the {name} images have no valid pixel near a building. Check their nodata.")
    layer = pairs[0].scene.layers[name]
    low, high = np.percentile(np.concatenate(kept, axis=1), (1, 99))
    mean, std = _scaling(moments)
    return LayerInput(
        tuple(layer.band_names), mean, std, float(low), float(high), str(layer.dtype),
        values="stored" if layer.reads_stored else "physical",
    )  # fmt: skip


def _scaling(moments: Moments) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by band."""
    std = np.where(moments.std > 1e-6, moments.std, 1.0)
    return tuple(moments.mean.round(6).tolist()), tuple(std.round(9).tolist())


def _sample_around_buildings(scene: Scene, name: str, centres: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """Valid pixels (C, n) of windows around evenly spread buildings, whatever their order."""
    pixels = []
    for row, col in centres[order_by_place(centres)[spread_indices(len(centres), WINDOWS)]]:
        window = Window(int(row) - WINDOW_PX // 2, int(col) - WINDOW_PX // 2, WINDOW_PX, WINDOW_PX)
        data, valid = scene.layers[name].read(window.clip(scene.shape))
        pixels.append(data[:, valid].astype(np.float32))
    return pixels
