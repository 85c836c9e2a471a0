"""The miniature city: from a seed and a size one coherent made-up place, before and after an event.

Takes seed, size in pixels, ground size of a pixel and optionally an `Event`; refuses sizes and pixels that make no city.
Everything is a function of the arguments alone; parts are made when asked for. Memory: about 90 bytes per pixel and date.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from shapely.geometry import Polygon, box

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.synthetic.acquisition import Acquisition
from deepnets4eo.synthetic.event import Event
from deepnets4eo.synthetic.event_outcome import EventOutcome
from deepnets4eo.synthetic.ground import ground_materials, terrain
from deepnets4eo.synthetic.layout import draw_plan
from deepnets4eo.synthetic.points import PointSample
from deepnets4eo.synthetic.render_date import CityBase, paint_epoch
from deepnets4eo.synthetic.spectra import MaterialSpectra
from deepnets4eo.synthetic.style import Season, Style
from deepnets4eo.synthetic.textures import Textures
from deepnets4eo.synthetic.vectors import building_frame, footprint_layer, osm_layers, road_frame, water_frame

CRS = "EPSG:32633"
ORIGIN = (392_000.0, 5_820_000.0)
SPARE_PX = 24


class City:
    """A made-up place with its truth.

    seed : everything random comes from it; size_px : one side, or (h, w); gsd_m : ground size of a pixel, 0.05–2
    event : what separates post from pre; None draws one from the seed

    >>> city = City(seed=1, size_px=128)
    >>> city.image.shape, city.image.dtype, city.labels("isprs").shape
    ((4, 128, 128), dtype('uint8'), (128, 128))
    """

    def __init__(
        self, seed: int, size_px: int | tuple[int, int] = 1024, gsd_m: float = 0.3, *, event: Event | None = None
    ) -> None:
        shape = (size_px, size_px) if isinstance(size_px, int) else (int(size_px[0]), int(size_px[1]))
        if min(shape) < 32:
            raise InputError(f"size_px is {size_px}, a city needs at least 32 pixels a side.")
        if not 0.05 <= gsd_m <= 2.0:
            raise InputError(f"gsd_m is {gsd_m}, expected 0.05 to 2 metres a pixel.")
        self.seed, self.shape, self.gsd_m = int(seed), shape, float(gsd_m)
        self.style = Style.drawn(np.random.default_rng([self.seed, 1]))
        self.event = (event or Event.drawn(self.seed)).completed(np.random.default_rng([self.seed, 2]))
        self.grid = Grid(shape, Affine(gsd_m, 0, ORIGIN[0], 0, -gsd_m, ORIGIN[1]), CRS)
        self._margin = self._spare_pixels()

    def _spare_pixels(self) -> int:
        """Canvas beyond the image, so that the displaced post image has no empty edge."""
        corner = float(np.hypot(*self.shape)) / 2
        turn = corner * abs(np.radians(self.event.rotation_deg)) + corner * abs(self.event.scale - 1)
        return int(np.ceil(turn + max(abs(value) for value in self.event.shift_px))) + SPARE_PX

    @cached_property
    def canvas(self) -> Grid:
        """The true grid of the surfaces, larger than the image on all sides."""
        height, width = self.shape[0] + 2 * self._margin, self.shape[1] + 2 * self._margin
        return Grid((height, width), self.grid.affine * Affine.translation(-self._margin, -self._margin), CRS)

    @cached_property
    def place(self) -> CityBase:
        """Plan, ground and textures that both dates share."""
        height, width = self.canvas.shape
        extent_m = (width * self.gsd_m, height * self.gsd_m)
        plan = draw_plan(np.random.default_rng([self.seed, 3]), self.style, extent_m)
        ground = terrain(np.random.default_rng([self.seed, 4]), (height, width), self.gsd_m)
        textures = Textures(np.random.default_rng([self.seed, 5]), self.gsd_m)
        materials, tone = ground_materials((height, width), self.gsd_m, plan, textures, self.seed)
        return CityBase(self.seed, self.gsd_m, self.style, plan, ground, textures, materials, tone)

    @cached_property
    def happening(self) -> EventOutcome:
        """What the event did, object by object."""
        return EventOutcome.drawn(np.random.default_rng([self.seed, 6]), self.event, self.place.plan)

    @cached_property
    def pre(self) -> Acquisition:
        """The image before the event; its georeference is exact."""
        return self._acquire(self.style.season, day=0)

    def _acquire(self, season: Season, day: int) -> Acquisition:
        """An undamaged acquisition on the pre grid."""
        surface = paint_epoch(self.place, season, None)
        crop = Affine.translation(self._margin, self._margin)
        light, sensor = self.style.light, self.style.sensor
        seed = self.seed + 1_000_003 * day
        return Acquisition(surface, self.grid, self.canvas, crop, Affine.identity(), light, sensor, season, seed)

    @cached_property
    def post(self) -> Acquisition:
        """The twin after the event: other light, season and sensor, displaced pixels under the same georeference."""
        event = self.event
        season, light, sensor = event.season, event.light, event.sensor
        assert season, "the constructor completes the event"
        assert light, "the constructor completes the event"
        assert sensor, "the constructor completes the event"
        surface = paint_epoch(self.place, season, self.happening)
        zoom = (event.gsd_m or self.gsd_m) / self.gsd_m
        shape = (round(self.shape[0] / zoom), round(self.shape[1] / zoom))
        grid = Grid(shape, self.grid.affine * Affine.scale(zoom), CRS)
        pixels = self._displacement() * Affine.scale(zoom)
        matrix = Affine.translation(-0.5, -0.5) * Affine.translation(self._margin, self._margin) * pixels
        matrix = matrix * Affine.translation(0.5, 0.5)
        to_pre = self.grid.affine * pixels * ~grid.affine
        seed, dimming = self.seed + 500_009, self._cloud_shadows()
        return Acquisition(surface, grid, self.canvas, matrix, to_pre, light, sensor, season, seed, dimming)

    def _displacement(self) -> Affine:
        """Pre pixel coordinates (col, row) of the content found at post coordinates, both in pre pixels."""
        event = self.event
        middle = (self.shape[1] / 2, self.shape[0] / 2)
        forward = Affine.translation(event.shift_px[1], event.shift_px[0])
        forward = forward * Affine.rotation(event.rotation_deg, middle)
        forward = forward * Affine.translation(*middle) * Affine.scale(event.scale)
        return ~(forward * Affine.translation(-middle[0], -middle[1]))

    def _cloud_shadows(self) -> np.ndarray | None:
        """Share of direct light left under the clouds, (H, W) float32 on the canvas; None without clouds."""
        if not self.event.cloud_shadows:
            return None
        rng = np.random.default_rng([self.seed, 7])
        height, width = self.canvas.shape
        out = np.ones((height, width), np.float32)
        y = np.arange(height, dtype=np.float32)[:, None] * np.float32(self.gsd_m)
        x = np.arange(width, dtype=np.float32)[None] * np.float32(self.gsd_m)
        for _ in range(self.event.cloud_shadows):
            x0, y0 = rng.uniform(0, width * self.gsd_m), rng.uniform(0, height * self.gsd_m)
            radius, depth = rng.uniform(25, 90, 2), np.float32(rng.uniform(0.4, 0.75))
            weight_x = np.exp(-((x - np.float32(x0)) ** 2) / np.float32(radius[0] ** 2))
            weight_y = np.exp(-((y - np.float32(y0)) ** 2) / np.float32(radius[1] ** 2))
            out *= 1 - depth * np.clip(1.6 * weight_x * weight_y, 0, 1)
        return out

    # The pre image's own products, so that a city alone is a scene.
    @property
    def image(self) -> np.ndarray:
        """(4, H, W) uint8 of the pre image: red, green, blue, near infrared."""
        return self.pre.image

    @property
    def dsm(self) -> np.ndarray:
        """(H, W) float32, metres, before the event."""
        return self.pre.dsm

    @property
    def dtm(self) -> np.ndarray:
        """(H, W) float32, metres."""
        return self.pre.dtm

    def labels(self, legend: str | Legend = "isprs") -> np.ndarray:
        """(H, W) uint8 of the pre image."""
        return self.pre.labels(legend)

    def points(self, density: float = 8.0) -> PointSample:
        """LiDAR cloud before the event."""
        return self.pre.points(density)

    def spectra(self, wavelengths_nm: np.ndarray) -> MaterialSpectra:
        """Materials and spectra before the event."""
        return self.pre.spectra(wavelengths_nm)

    def series(self, dates: Iterable[datetime.date]) -> Iterator[tuple[datetime.date, np.ndarray]]:
        """Images (4, H, W) uint8 of the undamaged place through the seasons, one by one."""
        for date in dates:
            day = date.timetuple().tm_yday
            yield date, self._acquire(Season.of_day(day), day=date.toordinal()).image

    @cached_property
    def all_buildings(self) -> gpd.GeoDataFrame:
        """Every planned building of the canvas; row k is number k + 1 of `building_ids`."""
        return building_frame(self.place.plan, self.happening, self.canvas, self.gsd_m)

    @cached_property
    def extent(self) -> Polygon:
        """The pre image's rectangle."""
        bounds = self.grid.extent.boundingbox
        return box(bounds.left, bounds.bottom, bounds.right, bounds.top)

    @cached_property
    def buildings(self) -> gpd.GeoDataFrame:
        """Buildings whose middle lies in the image: id, height_m, roof, covering, use, damage, look, change, geometry."""
        frame = self.all_buildings
        return frame[frame.geometry.centroid.within(self.extent)].reset_index(drop=True)

    @cached_property
    def roads(self) -> gpd.GeoDataFrame:
        """True centre lines of the streets."""
        return road_frame(self.place.plan, self.canvas, self.gsd_m, self.extent)

    def footprints(
        self, offset_m: float = 1.5, missing_share: float = 0.06, extra_share: float = 0.03
    ) -> gpd.GeoDataFrame:
        """A footprint layer as one gets it: off by metres, some missing, some invented (ids starting with x)."""
        rng = np.random.default_rng([self.seed, 41])
        return footprint_layer(self.buildings, rng, offset_m, missing_share, extra_share)

    def to_post(self, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """The same shapes where they appear in the post image."""
        moved = transform_shapes(~self.post.to_pre, frame.geometry.to_numpy())
        return frame.set_geometry(gpd.GeoSeries(moved, frame.index, frame.crs))

    def osm(self, offset_m: float = 2.0, missing_share: float = 0.25) -> dict[str, gpd.GeoDataFrame]:
        """OSM-like layers `buildings`, `roads`, `water`: shifted and incomplete."""
        water = water_frame(self.place.plan, self.canvas, self.gsd_m, self.extent)
        layers = {"buildings": self.buildings[["id", "geometry"]], "roads": self.roads, "water": water}
        return osm_layers(layers, np.random.default_rng([self.seed, 42]), offset_m, missing_share)

    def write(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write all layers into a folder (see `deepnets4eo.synthetic.write`) and return it."""
        from deepnets4eo.synthetic.write import write_city

        return write_city(self, Path(folder), overwrite=overwrite)
