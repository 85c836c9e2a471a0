"""A date of an optical image with infrared bands: water by its indices (NDWI, MNDWI), without snow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.floods.optical import SurfaceRules
from deepnets4eo.floods.spectrum import PLAIN_WIDTH, index_odds, index_threshold, measure_land_nir, water_indices
from deepnets4eo.floods.water_date import (
    NewWater,
    Recognised,
    Sample,
    Tile,
    WaterDate,
    WaterSearch,
    by_roles,
    new_water,
)
from deepnets4eo.rasters import COLOURS, Layer

# A flood moves a pixel at least this share of the way from land to water; dark streets in another light move less.
MIN_STEP = 0.25


@dataclass(frozen=True)
class SpectrumDate(WaterDate):
    """Water by indices of green and infrared.

    Parameters
    ----------
    land_nir : median near infrared of land, which snow exceeds
    """

    kind: ClassVar[str] = "spectrum"
    in_words: ClassVar[str] = "an optical image with infrared bands"
    expects: ClassVar[str] = "green with near or short-wave infrared"
    optical: ClassVar[bool] = True
    wants_cloud_mask: ClassVar[bool] = True

    land_nir: float = 0.0

    @classmethod
    def recognise(cls, layer: Layer, sensor: str) -> Recognised | None:
        roles = layer.sensor.roles
        infrared = [role for role in ("nir", "swir") if role in roles]
        image = by_roles(layer, ["green", *infrared])
        fine = layer.grid.crs is not None and layer.gsd_m <= SurfaceRules.coarsest_m
        return None if image is None or not infrared or fine else Recognised(image, cls(tuple(image.band_names)))

    def colours(self, layer: Layer) -> Layer | None:
        return by_roles(layer, COLOURS)

    def measure(self, sample: Sample, search: WaterSearch) -> SpectrumDate:
        date = replace(self, bands=tuple(sample.layer.band_names))
        bands = date._named(sample.values)
        land_nir = measure_land_nir(bands, sample.valid)
        indices, snow = water_indices(bands, land_nir)
        known = {name: np.where(sample.valid & ~snow, index, np.nan) for name, index in indices.items()}
        thresholds = {name: index_threshold(index, search.options.method) for name, index in known.items()}
        return replace(date, thresholds=thresholds, land_nir=land_nir)

    def water(self, tile: Tile) -> FloatImage:
        from scipy.special import expit

        indices, snow = water_indices(self._named(tile.values), self.land_nir)
        known = {name: np.where(tile.seen, index, np.nan) for name, index in indices.items()}
        probability = np.asarray(expit(index_odds(known, self.thresholds)), np.float32)
        return np.where(snow & tile.seen, np.float32(0), probability)

    def new_since(self, before: WaterDate, earlier: Tile, tile: Tile) -> NewWater:
        """Compare the water of both dates; between two dates with infrared, ground must have become wetter as well."""
        if not isinstance(before, SpectrumDate):
            return super().new_since(before, earlier, tile)
        water, dry = self.water(tile.within(earlier.seen)), before.water(earlier)
        step = self._towards_water(tile.values) - before._towards_water(earlier.values)
        dry = np.where(step < MIN_STEP, np.float32(1), dry)
        return NewWater(new_water(dry, water, tile.search.options.least_px), water)

    def snow(self, bands: Mapping[str, FloatImage], seen: Mask) -> Mask | None:
        return water_indices(bands, measure_land_nir(bands, seen))[1]

    def _towards_water(self, values: FloatImage) -> FloatImage:
        """Return (h, w) the position of each pixel between land, 0, and water, 1, by the mean of its indices."""
        indices, _ = water_indices(self._named(values))
        ways = []
        for name, index in indices.items():
            threshold = self.thresholds[name]
            water, land = (0.5, -0.5) if threshold is None else threshold.classes.means.tolist()
            ways.append((index - land) / max(water - land, PLAIN_WIDTH))
        return np.asarray(np.mean(ways, axis=0), np.float32)

    def _named(self, values: FloatImage) -> dict[str, FloatImage]:
        return dict(zip(self.bands, values, strict=True))
