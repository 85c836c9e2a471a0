"""One acquisition of the city: image, surface model, labels, point cloud and materials on the image's own grid.

Takes the painted surface and the affine map from image pixels to the canvas; computes each product at first use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from affine import Affine

from deepnets4eo.cards.legend import Legend
from deepnets4eo.grid import Grid
from deepnets4eo.points import PointCloud
from deepnets4eo.synthetic.materials import MaterialSpectra, class_map, material_spectra
from deepnets4eo.synthetic.points import sample_points
from deepnets4eo.synthetic.sensor import blur, radiance, relief_displacement, simulate_sensor_image, view
from deepnets4eo.synthetic.style import Light, Season, Sensor
from deepnets4eo.synthetic.surface import OPAQUE, Surface


@dataclass
class Acquisition:
    """All products of one sensor at one date. `grid` is the stated georeference of the image, `to_pre` the affine map
    from its ground coordinates to the true ones of the pre image, `matrix` the map from pixel centres (col, row) to
    `canvas`, the grid of the surface."""

    surface: Surface
    grid: Grid
    canvas: Grid
    matrix: Affine
    to_pre: Affine
    light: Light
    sensor: Sensor
    season: Season
    seed: int
    dimming: np.ndarray | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the image."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    @cached_property
    def image(self) -> np.ndarray:
        """(4, H, W) uint8: red, green, blue, near infrared."""
        scene = radiance(self.surface, self.light, self.dimming)
        above = np.maximum(self.surface.height, np.where(self.surface.cover > OPAQUE, self.surface.canopy, 0))
        scene = relief_displacement(scene, above, self.sensor, self.surface.gsd_m)
        zoom = abs(self.grid.affine.a) / abs(self.canvas.affine.a)
        if zoom > 1.2:
            scene = np.stack([blur(band, 0.4 * zoom) for band in scene])
        seen = np.stack([view(band, self.matrix, self.shape, 1) for band in scene])
        return simulate_sensor_image(seen, self.sensor, np.random.default_rng([self.seed, 21]))

    @cached_property
    def dsm(self) -> np.ndarray:
        """(H, W) float32: top of everything, metres."""
        return view(self.surface.dsm, self.matrix, self.shape, 1)

    @cached_property
    def dtm(self) -> np.ndarray:
        """(H, W) float32: bare ground, metres."""
        return view(self.surface.ground, self.matrix, self.shape, 1)

    def labels(self, legend: str | Legend = "isprs") -> np.ndarray:
        """Classes as seen from above (crowns hide roofs): (H, W) uint8 in a legend's values."""
        source = Legend.load("minicity")
        target = Legend.load(legend) if isinstance(legend, str) else legend
        labels = view(class_map(self.surface, source), self.matrix, self.shape, 0)
        return labels if target.name == source.name else source.remap_to(target)[labels]

    def building_ids(self) -> np.ndarray:
        """(H, W) int32 number of the building whose plan covers the pixel, 0 for none. Number k is row k − 1 of
        `City.all_buildings`; larger numbers are buildings that only the post date has."""
        return view(self.surface.building, self.matrix, self.shape, 0)

    def points(self, density: float = 8.0) -> PointCloud:
        """An airborne LiDAR cloud at true coordinates, `density` pulses per square metre over this image's extent."""
        extent = self.grid.extent.boundingbox
        return sample_points(self.surface, self.canvas, extent, density, np.random.default_rng([self.seed, 31]))

    def spectra(self, wavelengths_nm: np.ndarray) -> MaterialSpectra:
        """Material of each pixel with reflectance spectra, from which a hyperspectral cube can be made."""
        codes, spectra, names = material_spectra(self.surface, np.asarray(wavelengths_nm, float))
        brightness = self._brightness()
        seen = view(codes, self.matrix, self.shape, 0)
        return MaterialSpectra(names, seen, spectra, view(brightness, self.matrix, self.shape, 0))

    def _brightness(self) -> np.ndarray:
        """Square root of radiance relative to a level white field, averaged over the visible bands."""
        mean = radiance(self.surface, self.light, self.dimming)[:3].mean(axis=0)
        flat = (self.surface.albedo[:3].astype(np.float32) / 255).mean(axis=0)
        return np.clip(mean / np.maximum(flat, 0.05), 0, 1.5).astype(np.float32)
