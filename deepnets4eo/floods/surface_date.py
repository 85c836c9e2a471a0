"""A date of a fine optical image: water by large surfaces of one colour, with a network or without."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.floods.optical import SurfaceRules, optical_water, without_bare_ground
from deepnets4eo.floods.thresholds import DRY, WATER_PROBABILITY
from deepnets4eo.floods.water_date import NewWater, Recognised, Sample, Tile, WaterDate, WaterSearch, by_roles
from deepnets4eo.floods.water_network import SceneTone
from deepnets4eo.grid import Grid, mean_gsd_m
from deepnets4eo.rasters import COLOURS, Layer
from deepnets4eo.segmenters import LayerInput, needed_stretch, show

# What surfaces decide against a network gets a probability this close to one half.
BARELY = 0.01


@dataclass(frozen=True)
class SurfaceDate(WaterDate):
    """Water by surfaces of one colour in red, green and blue of at most 2 m pixels.

    Parameters
    ----------
    tone : the brightness of the scene for the network; None if no network is used
    """

    kind: ClassVar[str] = "surface"
    in_words: ClassVar[str] = "an optical image of fine pixels"
    expects: ClassVar[str] = f"red, green and blue of at most {SurfaceRules.coarsest_m:g} m"
    optical: ClassVar[bool] = True
    by_appearance: ClassVar[bool] = True
    uses_network: ClassVar[bool] = True
    shows_lasting: ClassVar[bool] = True
    halo_px: ClassVar[int] = 128  # a body of water is recognised by its surroundings

    tone: SceneTone | None = None

    @classmethod
    def recognise(cls, layer: Layer, sensor: str) -> Recognised | None:
        image = by_roles(layer, COLOURS)
        return None if image is None else Recognised(image, cls(tuple(COLOURS)))

    def check_image(self, image: Layer) -> None:
        if image.grid.crs is None:
            raise InputError(
                f"{image.source} has no CRS, and water in it is found by the size of its surfaces in metres. State the size of "
                "its pixels: --gsd METRES."
            )
        if image.gsd_m > SurfaceRules.coarsest_m:
            raise InputError(
                f"{image.source} has only red, green and blue, and pixels of {image.gsd_m:.3g} m; in such pixels water "
                f"is found by near or short-wave infrared, without them in pixels of at most {SurfaceRules.coarsest_m:g} m. Give these bands."
            )

    def working_grid(self, post_grid: Grid) -> Grid:
        return surface_grid(post_grid, mean_gsd_m(post_grid))

    def display(self, averaged: Layer, image: Layer) -> Layer:
        """Return the image stretched to 8 bits."""
        return show(averaged, needed_stretch(LayerInput.display_rgb, image))

    def measure(self, sample: Sample, search: WaterSearch) -> SurfaceDate:
        date = replace(self, bands=tuple(sample.layer.band_names))
        return date if search.network is None else replace(date, tone=SceneTone.measure(sample.values, sample.valid))

    def water(self, tile: Tile) -> FloatImage:
        """Return the probability of water; 0 or 1 without a network."""
        classes, water = self._surfaces(tile)
        return np.where(classes == DRY, np.minimum(water, 0.5 - BARELY), np.maximum(water, 0.5 + BARELY))

    def new_since(self, before: WaterDate, earlier: Tile, tile: Tile) -> NewWater:
        """Compare the surfaces of two fine images; other dates by their water."""
        if not isinstance(before, SurfaceDate):
            return super().new_since(before, earlier, tile)
        return self._surfaces(tile.within(earlier.seen), before, earlier)

    def lasting_water(self, tile: Tile) -> tuple[Mask, Mask]:
        water = self.water(tile)
        lasting = without_bare_ground(np.asarray(water > WATER_PROBABILITY), tile.values)
        return lasting, lasting & (water >= SurfaceRules.min_seed_probability)

    def is_patch(self, area_m2: float) -> bool:
        return area_m2 < SurfaceRules.small_image_m2

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"tone": None if self.tone is None else asdict(self.tone)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WaterDate:
        return super().from_dict({**values, "tone": values["tone"] and SceneTone.from_dict(values["tone"])})

    def _surfaces(self, tile: Tile, before: SurfaceDate | None = None, earlier: Tile | None = None) -> NewWater:
        """Classes and the probability of water, 0 or 1 without a network."""
        network = tile.search.network
        after_water, pre, before_water = None if network is None else self._by_network(tile), None, None
        if before is not None and earlier is not None:
            pre = _bytes(earlier.values)
            before_water = None if network is None else lambda: before._by_network(earlier)
        classes = optical_water(
            pre, _bytes(tile.values), gsd_m=tile.search.gsd_m, valid=tile.seen, before_water=before_water,
            after_water=after_water, whole_m2=tile.search.whole_m2,
        )  # fmt: skip
        water = (classes > DRY).astype(np.float32) if after_water is None else after_water
        return NewWater(classes, np.where(tile.seen, water, np.float32(np.nan)))

    def _by_network(self, tile: Tile) -> FloatImage:
        assert tile.search.network is not None
        assert self.tone is not None  # measured whenever there is a network
        return tile.search.network.probability(tile.values, tile.seen, self.tone)


def surface_grid(post_grid: Grid, gsd_m: float) -> Grid:
    """Return the grid of a fine optical image averaged to pixels of about 1 m, the size at which surfaces are measured.

    post_grid : grid of the image
    gsd_m : side of its pixels, metres

    Whole pixels are averaged; the last row and column may reach over the image.
    """
    factor = max(1, round(SurfaceRules.working_m / gsd_m))
    if factor == 1:
        return post_grid
    rows, cols = (math.ceil(side / factor) for side in (post_grid.shape[0], post_grid.shape[1]))
    return GeoBox((rows, cols), post_grid.affine * Affine.scale(factor), post_grid.crs)


def _bytes(values: FloatImage) -> ByteImage:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
