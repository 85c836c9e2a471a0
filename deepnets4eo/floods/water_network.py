"""The small network that comes with the toolbox and finds water in optical images with pixels of about 1 m.

Takes red, green and blue of one date, stretched to 8 bits, and the brightness of the whole scene. Returns the
probability of water.

Without PyTorch or the weights, `open_water_network` returns None, and water is found by its surfaces only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.errors import RunError
from deepnets4eo.floods.optical import mirror_unseen
from deepnets4eo.lazy import is_installed
from deepnets4eo.segmenters import AnySize, InputSpec, LayerInput, Run, RunFolder, load_run, shipped_run, window_scalers

SHIPPED = "floods/water"
INPUTS = InputSpec({"image": LayerInput.display_rgb})
WATER = "water"  # class of its legend


@dataclass(frozen=True)
class SceneTone:
    """Means of red, green and blue and their common spread over a scene, which standardise bands for the network.

    To the network, a dark scene looks like a bright scene, and the same in every tile.

    >>> SceneTone.measure(np.full((3, 4, 4), 104.0, np.float32), np.ones((4, 4), bool)).spread
    0.0
    """

    means: tuple[float, ...]
    spread: float

    @classmethod
    def measure(cls, image: FloatImage, valid: Mask) -> SceneTone:
        """Return the tone of the valid pixels (h, w) of an image (3, h, w) of display values; without any, means 0 and spread 1."""
        pixels = _standardised(image)[:, valid]
        if not pixels.size:
            return cls((0.0,) * len(image), 1.0)
        means = pixels.mean(axis=1, dtype=np.float64)
        spread = np.sqrt(np.square(pixels - means[:, None].astype(np.float32)).mean(dtype=np.float64))
        return cls(tuple(float(mean) for mean in means), float(spread))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SceneTone:
        """Return the tone whose fields these are."""
        return cls(tuple(float(mean) for mean in values["means"]), float(values["spread"]))


class WaterNetwork:
    """A run that finds water in one optical image. run : a run of the task `world-water`, whose first layer scales
    images by the scene, which `probability` does instead."""

    def __init__(self, run: Run) -> None:
        if WATER not in run.legend.names or run.inputs.layers != INPUTS.layers:
            raise RunError(
                f"the run has the classes {', '.join(run.legend.names)}: it does not find water in red, green and blue. "
                "Give a run of `deepnets4eo train floods/water`."
            )
        self.run, self.water = run, run.legend.value(WATER)
        self.identity = str(run.card["files"][RunFolder(run.folder).weights.name]["sha256"])
        for layer in window_scalers(run.segmenter):
            layer.scaled_beforehand = True

    @property
    def int8(self) -> Any:
        """Return the run's int8 weights; None without them."""
        return getattr(self.run.segmenter, "int8", None)

    def probability(self, image: FloatImage, valid: Mask, tone: SceneTone) -> FloatImage:
        """Return the probability of water.

        image : (3, h, w) float32, red, green and blue, 0–255, in pixels of about 1 m
        valid : (h, w) bool, where the image is seen; elsewhere it is mirrored
        tone : the tone of the whole scene

        Returns (h, w) float32.
        """
        scaled = _standardised(image) - np.array(tone.means, np.float32)[:, None, None]
        scaled /= np.float32(tone.spread + AnySize.min_spread)
        scaled = mirror_unseen(scaled, valid)
        return np.asarray(self.run.segmenter.predict_proba(scaled[None])[0, self.water], np.float32)


def _standardised(image: FloatImage) -> FloatImage:
    return INPUTS.prepare({"image": image, "valid": np.ones(image.shape[1:], bool)})


def shipped_folder() -> Path | None:
    """Return the folder of the run; None if this copy of the toolbox comes without its weights."""
    return shipped_run(SHIPPED)


def open_water_network() -> WaterNetwork | None:
    """Return the network that comes with the toolbox; None if the network or PyTorch is missing."""
    folder = shipped_folder()
    return None if folder is None or not is_installed("torch") else _open(folder)


@lru_cache(maxsize=1)
def _open(folder: Path) -> WaterNetwork:
    return WaterNetwork(load_run(folder))
