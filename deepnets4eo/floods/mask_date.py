"""A map of permanent water in place of an image before: what it marks is water, and nothing is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.floods.thresholds import WATER_PROBABILITY
from deepnets4eo.floods.water_date import Tile, WaterDate


@dataclass(frozen=True)
class MaskDate(WaterDate):
    """Water as a map states it: pixels that are not 0."""

    kind: ClassVar[str] = "map"
    in_words: ClassVar[str] = "a map of water"
    is_image: ClassVar[bool] = False
    shows_lasting: ClassVar[bool] = True

    def water(self, tile: Tile) -> FloatImage:
        """Return 0 or 1, NaN if not seen."""
        return np.where(tile.seen, tile.values[0] != 0, np.nan).astype(np.float32)

    def lasting_water(self, tile: Tile) -> tuple[Mask, Mask]:
        water = self.water(tile) > WATER_PROBABILITY
        return water, water
