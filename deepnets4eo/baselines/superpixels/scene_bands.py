"""The bands of a scene by window, scaled the same everywhere.

Takes a scene or one layer; returns `Bands` and validity of any window. Raises InputError for scenes with labels only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import LABELS, Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec


@dataclass(frozen=True)
class SceneBands:
    """Reads windows of a scene as bands in their own units; pixels that are not valid hold the mean."""

    scene: Scene
    inputs: InputSpec
    names: tuple[str, ...]

    @classmethod
    def open(cls, scene: Scene | Layer, bands: Mapping[str, Sequence[str]] | None = None) -> SceneBands:
        """Open all layers but the labels; their range is measured on evenly spread windows.

        bands : layer → names, where files have none. Errors: InputError where there is no layer, or nothing is valid.
        """
        if isinstance(scene, Layer):
            scene = Scene({"image": scene})
        layers = [name for name in scene.layers if name != LABELS]
        if not layers:
            raise InputError("the scene has labels only; superpixels need an image. Give image=FILE.")
        inputs = InputSpec.measure([scene], layers)
        return cls(scene, inputs, band_names(inputs, bands))

    def read(self, window: Window) -> tuple[Bands, NDArray[np.bool_]]:
        """Return bands of a window, and (h, w) where all layers are valid."""
        sample = self.scene.read(window, self.inputs.names)
        return unstandardise(self.inputs.prepare(sample), self.inputs, self.names), sample["valid"]
