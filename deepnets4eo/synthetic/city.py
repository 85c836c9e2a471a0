"""The miniature city: one synthetic scene before and after an event, computed from a seed.

Everything is a function of only the arguments and computed at first use. Memory: about 90 bytes per pixel and date."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from shapely.geometry import Polygon, box

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.points import PointCloud
from deepnets4eo.synthetic.cube import MadeUpCube, acquire_cube
from deepnets4eo.synthetic.event import Event, EventOutcome, apply_harmless_change
from deepnets4eo.synthetic.ground import ground_materials, terrain
from deepnets4eo.synthetic.layout import draw_plan
from deepnets4eo.synthetic.materials import CODE, MaterialSpectra
from deepnets4eo.synthetic.render_date import CityBase, paint_surface
from deepnets4eo.synthetic.sensor import Acquisition, cloud_shadows
from deepnets4eo.synthetic.style import Season, Style
from deepnets4eo.synthetic.surface import Textures
from deepnets4eo.synthetic.write import (
    RasterLayer,
    building_frame,
    footprint_layer,
    osm_layers,
    road_frame,
    water_frame,
    write_layers,
)

HEAP_M, HEAP_SHARE = 2.5, 0.35  # walls higher than this, and than this share of the height before, still stand
DEBRIS = tuple(CODE[name] for name in ("rubble", "burnt"))

CRS = "EPSG:32633"
ORIGIN = (392_000.0, 5_820_000.0)
SPARE_PX = 24


class City:
    """A synthetic city with its truth: images of two dates, heights, labels, vectors, point cloud, spectra.

    Errors: InputError (`size_px` or `gsd_m` is out of range).

    Parameters
    ----------
    seed : start of all random numbers
    size_px : side of a square image, or (height, width); at least 32 pixels a side
    gsd_m : ground size of a pixel in metres, 0.05 to 2
    event : what happens between the two dates; None draws one from the seed

    Examples
    --------
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
            raise InputError(f"gsd_m is {gsd_m}, expected 0.05 to 2 metres per pixel.")
        self.seed, self.shape, self.gsd_m = int(seed), shape, float(gsd_m)
        self.style = Style.draw(np.random.default_rng([self.seed, 1]))
        self.event = (event or Event.draw(self.seed)).draw_unset(np.random.default_rng([self.seed, 2]))
        self.grid = Grid(shape, Affine(gsd_m, 0, ORIGIN[0], 0, -gsd_m, ORIGIN[1]), CRS)
        self._margin = self._spare_pixels()

    def _spare_pixels(self) -> int:
        """Width of the margin, without which the displaced post image would have empty edges."""
        corner = float(np.hypot(*self.shape)) / 2
        turn = corner * abs(np.radians(self.event.rotation_deg)) + corner * abs(self.event.scale - 1)
        return int(np.ceil(turn + max(abs(value) for value in self.event.shift_px))) + SPARE_PX

    @cached_property
    def canvas(self) -> Grid:
        """Return the grid of the surfaces: the image's grid with a margin."""
        height, width = self.shape[0] + 2 * self._margin, self.shape[1] + 2 * self._margin
        return Grid((height, width), self.grid.affine * Affine.translation(-self._margin, -self._margin), CRS)

    @cached_property
    def base(self) -> CityBase:
        """Plan, ground and textures, the same at both dates."""
        height, width = self.canvas.shape
        extent_m = (width * self.gsd_m, height * self.gsd_m)
        plan = draw_plan(np.random.default_rng([self.seed, 3]), self.style, extent_m)
        ground = terrain(np.random.default_rng([self.seed, 4]), (height, width), self.gsd_m)
        textures = Textures(np.random.default_rng([self.seed, 5]), self.gsd_m)
        materials, tone = ground_materials((height, width), self.gsd_m, plan, textures, self.seed)
        return CityBase(self.seed, self.gsd_m, self.style, plan, ground, textures, materials, tone)

    @cached_property
    def outcome(self) -> EventOutcome:
        """Damage and changes of every building and tree."""
        return EventOutcome.draw(np.random.default_rng([self.seed, 6]), self.event, self.base.plan)

    @cached_property
    def pre(self) -> Acquisition:
        """The acquisition before the event; its georeference is exact."""
        return self._acquire(self.style.season, day=0)

    def _acquire(self, season: Season, day: int) -> Acquisition:
        """Simulate an undamaged acquisition on the pre grid."""
        surface = paint_surface(self.base, season, None)
        crop = Affine.translation(self._margin, self._margin)
        light, sensor = self.style.light, self.style.sensor
        seed = self.seed + 1_000_003 * day
        return Acquisition(surface, self.grid, self.canvas, crop, Affine.identity(), light, sensor, season, seed)

    @cached_property
    def post(self) -> Acquisition:
        """The acquisition after the event: its pixels are displaced, its georeference is not."""
        event = self.event
        season, light, sensor = event.season, event.light, event.sensor
        assert season, "the constructor completes the event"
        assert light, "the constructor completes the event"
        assert sensor, "the constructor completes the event"
        surface = paint_surface(self.base, season, self.outcome)
        zoom = (event.gsd_m or self.gsd_m) / self.gsd_m
        shape = (round(self.shape[0] / zoom), round(self.shape[1] / zoom))
        grid = Grid(shape, self.grid.affine * Affine.scale(zoom), CRS)
        pixels = self._displacement() * Affine.scale(zoom)
        matrix = Affine.translation(-0.5, -0.5) * Affine.translation(self._margin, self._margin) * pixels
        matrix = matrix * Affine.translation(0.5, 0.5)
        to_pre = self.grid.affine * pixels * ~grid.affine
        height, width = self.canvas.shape
        rng = np.random.default_rng([self.seed, 7])
        clouds = cloud_shadows(rng, (height, width), self.gsd_m, event.cloud_shadows)
        return Acquisition(
            surface, grid, self.canvas, matrix, to_pre, light, sensor, season, self.seed + 500_009, clouds
        )

    def _displacement(self) -> Affine:
        """Affine map from (col, row) of the post image to (col, row) of the pre image, both in pre pixels."""
        event = self.event
        middle = (self.shape[1] / 2, self.shape[0] / 2)
        forward = Affine.translation(event.shift_px[1], event.shift_px[0])
        forward = forward * Affine.rotation(event.rotation_deg, middle)
        forward = forward * Affine.translation(*middle) * Affine.scale(event.scale)
        return ~(forward * Affine.translation(-middle[0], -middle[1]))

    @property
    def image(self) -> np.ndarray:
        """Image before the event, (4, H, W) uint8: red, green, blue, near infrared."""
        return self.pre.image

    @property
    def dsm(self) -> np.ndarray:
        """Surface model before the event, (H, W) float32, metres."""
        return self.pre.dsm

    @property
    def dtm(self) -> np.ndarray:
        """Terrain model, (H, W) float32, metres."""
        return self.pre.dtm

    def labels(self, legend: str | Legend = "isprs") -> np.ndarray:
        """Return the class (H, W) uint8 of every pixel before the event, values of the legend."""
        return self.pre.labels(legend)

    def points(self, density: float = 8.0) -> PointCloud:
        """Simulate a LiDAR cloud before the event, with `density` pulses per square metre."""
        return self.pre.points(density)

    def spectra(self, wavelengths_nm: np.ndarray) -> MaterialSpectra:
        """Return the material of every pixel before the event, with reflectance at wavelengths (B,) of 350 to 2500 nm."""
        return self.pre.spectra(wavelengths_nm)

    def cube(self, date: Literal["pre", "post"] = "post", *, bands: int = 105, factor: int = 4) -> MadeUpCube:
        """Simulate a hyperspectral cube of at least 4 bands, 400 to 2500 nm, before or after the event.

        It includes the materials of its pixels. A pixel is `factor` pixels of the image wide. Raises InputError for fewer bands, and
        a factor that leaves no pixel.
        """
        buildings, acquisition = self.base.plan.buildings, self.pre
        if date == "post":
            acquisition, outcome = self.post, self.outcome
            buildings = [*map(apply_harmless_change, buildings, outcome.changes), *outcome.added]
        coverings = [building.covering for building in buildings]
        return acquire_cube(acquisition, coverings, self.tags, bands=bands, factor=factor)

    def series(self, dates: Iterable[datetime.date]) -> Iterator[tuple[datetime.date, np.ndarray]]:
        """Yield date and image (4, H, W) uint8 of the undamaged city; the day of the year sets the season."""
        for date in dates:
            day = date.timetuple().tm_yday
            yield date, self._acquire(Season.of_day(day), day=date.toordinal()).image

    @cached_property
    def all_buildings(self) -> gpd.GeoDataFrame:
        """Every planned building, also those in the margin; row k is number k + 1 of `building_ids`."""
        return building_frame(self.base.plan, self.outcome, self.canvas, self.gsd_m)

    @cached_property
    def extent(self) -> Polygon:
        """The rectangle of the pre image, in ground coordinates."""
        bounds = self.grid.extent.boundingbox
        return box(bounds.left, bounds.bottom, bounds.right, bounds.top)

    @cached_property
    def buildings(self) -> gpd.GeoDataFrame:
        """Buildings with their centre in the image: id, height_m, roof, covering, use, damage, look, change, geometry."""
        frame = self.all_buildings
        return frame[frame.geometry.centroid.within(self.extent)].reset_index(drop=True)

    @cached_property
    def roads(self) -> gpd.GeoDataFrame:
        """Centre lines of the streets, with width and surface."""
        return road_frame(self.base.plan, self.canvas, self.gsd_m, self.extent)

    def footprints(
        self, offset_m: float = 1.5, missing_share: float = 0.06, extra_share: float = 0.03
    ) -> gpd.GeoDataFrame:
        """Return building outlines (id, geometry) with the errors of real files: a common offset in metres, a share of
        buildings without outline, and of outlines without building, whose ids start with "x"."""
        rng = np.random.default_rng([self.seed, 41])
        return footprint_layer(self.buildings, rng, offset_m, missing_share, extra_share)

    def to_post(self, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Return geometries of the city's CRS at their position in the post image."""
        moved = transform_shapes(~self.post.to_pre, frame.geometry.to_numpy())
        return frame.set_geometry(gpd.GeoSeries(moved, frame.index, frame.crs))

    def osm(self, offset_m: float = 2.0, missing_share: float = 0.25) -> dict[str, gpd.GeoDataFrame]:
        """Return layers `buildings`, `roads` and `water` as of OpenStreetMap: each shifted (standard deviation in metres),
        and incomplete by a share 0–1."""
        water = water_frame(self.base.plan, self.canvas, self.gsd_m, self.extent)
        layers = {"buildings": self.buildings[["id", "geometry"]], "roads": self.roads, "water": water}
        return osm_layers(layers, np.random.default_rng([self.seed, 42]), offset_m, missing_share)

    @property
    def tags(self) -> dict[str, str]:
        """The tag that marks every file of a city as synthetic."""
        return {"SYNTHETIC": f"deepnets4eo miniature city, seed={self.seed}"}

    def write(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write all layers to a folder and return it. Raises OutputError if it contains a city.

        Files: pre.tif post.tif dsm_pre.tif dsm_post.tif dtm.tif labels.tif labels_post.tif footprints.gpkg osm.gpkg
        truth.gpkg city.json."""
        vectors = {
            "truth": {"buildings": self.buildings, "roads": self.roads},
            "footprints": {"footprints": self.footprints()},
            "osm": self.osm(),
        }
        return write_layers(Path(folder), self._rasters(), vectors, self._description(), self.tags, overwrite=overwrite)

    def _rasters(self) -> Iterator[RasterLayer]:
        """Yield the rasters of both dates, one by one; labels in the legend `minicity`."""
        legend = Legend.load("minicity")
        for name, scene in (("pre", self.pre), ("post", self.post)):
            suffix = "" if name == "pre" else "_post"
            yield RasterLayer(name, scene.grid, scene.image)
            yield RasterLayer(f"dsm_{name}", scene.grid, scene.dsm)
            yield RasterLayer(f"labels{suffix}", scene.grid, scene.labels(legend), legend)
        yield RasterLayer("dtm", self.grid, self.dtm)

    def _description(self) -> dict[str, Any]:
        """Content of `city.json`."""
        return {
            "synthetic": self.tags["SYNTHETIC"],
            "seed": self.seed,
            "shape": list(self.shape),
            "gsd_m": self.gsd_m,
            "post_to_pre": list(self.post.to_pre)[:6],
            "style": dataclasses.asdict(self.style),
            "event": dataclasses.asdict(self.event),
        }


def building_volumes(city: City) -> pd.DataFrame:
    """Compute the volumes of the planned buildings.

    Parameters
    ----------
    city : the city

    Returns
    -------
    Table with the rows of `city.buildings`: id; area_m2 of the plan; volume_pre_m3 and volume_post_m3, standing or lying
    material on the plan above the ground; lost_m3, the fall of the surface on the plan; debris_m3, rubble or burnt remains
    on the plan, without standing walls; roof_height_loss_m, mean fall of the surface; rubble_share, of the plan's area, 0–1.

    Examples
    --------
    >>> table = building_volumes(City(seed=1, size_px=96))
    >>> bool((table["volume_pre_m3"] >= 0).all())
    True
    """
    before, after = city.pre.surface, city.post.surface
    number = before.building.ravel()  # of the plan: an extension of the post date is new, not part of it
    cell = before.gsd_m**2
    fall = (before.height - after.height).ravel()
    size = len(city.all_buildings) + 1
    pixels = np.bincount(number, minlength=size)[1:size]

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, weights=values.ravel(), minlength=size)[1:size]

    with np.errstate(invalid="ignore"):
        limit = np.nan_to_num(np.maximum(HEAP_M, HEAP_SHARE * total(before.height) / pixels))
        limit = np.concatenate([[0.0], limit, np.zeros(max(int(number.max()) - size + 1, 0))])
        debris = np.isin(after.material, DEBRIS).ravel() & (after.height.ravel() <= limit[number])
        columns = {
            "area_m2": pixels * cell,
            "volume_pre_m3": total(before.height) * cell,
            "volume_post_m3": total(after.height) * cell,
            "lost_m3": total(np.maximum(fall, 0)) * cell,
            "debris_m3": total(np.where(debris, after.height.ravel(), 0)) * cell,
            "roof_height_loss_m": total(fall) / pixels,
            "rubble_share": total(debris) / pixels,
        }
    table = pd.DataFrame({"id": city.all_buildings["id"], **columns})
    return table[table["id"].isin(city.buildings["id"])].reset_index(drop=True)
