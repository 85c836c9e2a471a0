"""Real images with graded or intact buildings for the damage job, none of them ever chosen on.

Takes the folder of the samples. Images of xBD come without georeference and are given as they come: a job takes their
pixels as 0.5 m, which holds for `xbd_midwest` and is half the truth for `xbd_post_scenes`; a site of its own gives these
with pixels of 1 m.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import real_tiles
import shapely
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters.scene import Layer
from places.working_grid import SMALLEST_M2, crs_of, metric_grid, regions_of

INTACT = GRADES[0]
PIXELS = {"footprints_crs": "pixels"}
ON_ROOFS = {"align": False}  # outlines that come from the image itself, too few to align
CORNERS = np.ones((3, 3), int)  # diagonal pixels belong together


@dataclass(frozen=True)
class DamageCase:
    """One job.

    Parameters
    ----------
    site
        Rows of one site are scored together.
    pre, post
        Images; pre is None for a job on the post image alone.
    outlines
        `id` and geometry.
    truth
        `id` and `damage`; buildings without a row are assessed and not scored.
    name
        Of the image, where a site has several.
    changes
        Settings of the job that this case needs.
    """

    site: str
    pre: Layer | None
    post: Layer
    outlines: gpd.GeoDataFrame
    truth: pd.DataFrame
    name: str = ""
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DamageSite:
    """A site: its folder in the folder of the samples, a remark, and its cases."""

    name: str
    folder: str
    note: str
    read: Callable[[Path], Iterator[DamageCase]]


def _joplin(folder: Path) -> Iterator[DamageCase]:
    outlines = gpd.read_file(folder / "footprints_overlap.geojson")
    labels = pd.DataFrame(gpd.read_file(folder / "damage_labels.geojson")[["id", "damage"]])
    pre, post = Layer.open(folder / "pre"), Layer.open(folder / "post")
    yield DamageCase("joplin", pre, post, outlines, labels)


def _joplin_before(folder: Path) -> Iterator[DamageCase]:
    outlines = gpd.read_file(folder / "footprints_overlap.geojson")
    yield DamageCase("joplin before", None, Layer.open(folder / "pre"), outlines, intact(outlines))


def _midwest(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "footprints_px.geojson")
    pre, post = (Layer.open(folder / f"{date}.png") for date in ("pre", "post"))
    truth = pd.DataFrame({"id": table["id"].astype(str), "damage": table["grade"]})
    outlines = _on_image(table["id"], table.geometry, post)
    yield DamageCase("xbd_midwest", pre, post, outlines, truth, changes=PIXELS)


def _midwest_before(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "footprints_px.geojson")
    pre = Layer.open(folder / "pre.png")
    outlines = _on_image(table["id"], table.geometry, pre)
    yield DamageCase("xbd_midwest before", None, pre, outlines, intact(outlines), changes=PIXELS)


def _xbd_post(folder: Path) -> Iterator[DamageCase]:
    for number in range(4):
        yield _xbd_scene("xbd_post_scenes", folder, number, Layer.open(folder / f"post_{number}_rgb500.png"))


def _xbd_post_1_m(folder: Path) -> Iterator[DamageCase]:
    for number in range(4):
        bands = Layer.open(folder / f"post_{number}_rgb500.png").read()[0]
        image = Layer.open(bands, grid=metric_grid(bands.shape[1:], (1.0, 1.0)))
        yield _xbd_scene("xbd_post_scenes, 1 m", folder, number, image)


def _xbd_scene(site: str, folder: Path, number: int, image: Layer) -> DamageCase:
    mask = Layer.open(folder / f"damage_{number}_500.png").read()[0][0]
    outlines, grades = graded_regions(mask, image)
    truth = pd.DataFrame({"id": outlines["id"], "damage": grades})
    changes = PIXELS if image.grid.crs is None else {}
    name = f"scene {number}"
    return DamageCase(site, None, image, outlines, truth, name, changes)


def _vegas(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "tiff_3channel_uint8.geojson")
    yield _intact_case("vegas", Layer.open(folder / "tiff_3channel_uint8.tif"), table[table["label"] == 1])


def _kampala(folder: Path) -> Iterator[DamageCase]:
    yield _intact_case("kampala", Layer.open(folder / "block0_image.tif"), gpd.read_file(folder / "labels.geojson"))


def _atlanta(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "data" / "geotiff_labels.geojson")
    yield _intact_case("atlanta", Layer.open(folder / "data" / "sample_geotiff.tif"), table)


def _ign(folder: Path) -> Iterator[DamageCase]:
    yield _intact_tile("ign", real_tiles.ign(folder), 0.2)


def _potsdam(folder: Path) -> Iterator[DamageCase]:
    yield _intact_tile("potsdam", real_tiles.potsdam(folder), 0.05)


SITES = (
    DamageSite("joplin", "joplin", "tornado, labelled half", _joplin),
    DamageSite("xbd_midwest", "xbd_midwest", "flood, small roofs under trees", _midwest),
    DamageSite("xbd_post_scenes", "xbd_post_scenes", "post alone; scene 2 fire, scene 3 hurricane", _xbd_post),
    DamageSite("xbd_post_scenes, 1 m", "xbd_post_scenes", "the same with their pixel size stated", _xbd_post_1_m),
    DamageSite("xbd_midwest before", "xbd_midwest", "intact: the image before the flood as post alone", _midwest_before),
    DamageSite("vegas", "wv3_vegas", "intact", _vegas),
    DamageSite("kampala", "fair_kampala", "intact", _kampala),
    DamageSite("atlanta", "spacenet", "intact, panchromatic", _atlanta),
    DamageSite("ign", "ign_lidar_hd", "intact; outlines from LiDAR classes, not aligned", _ign),
    DamageSite("potsdam", "isprs_potsdam_crop", "intact, 26 m of ground; outlines not aligned", _potsdam),
    DamageSite("joplin before", "joplin", "intact: the image before the tornado as post alone", _joplin_before),
)  # fmt: skip
INTACT_SITES = ("vegas", "kampala", "atlanta", "ign", "potsdam", "joplin before")
HURRICANE = "scene 3"


def intact(outlines: gpd.GeoDataFrame) -> pd.DataFrame:
    """Truth of buildings none of which is damaged."""
    return pd.DataFrame({"id": outlines["id"].astype(str), "damage": INTACT})


def graded_regions(mask: NDArray[np.uint8], image: Layer) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Outlines of the regions of a mask of grades (1 to 4, 0 none), on the image, and the grade of most of their pixels."""
    numbers, count = label(mask > 0, CORNERS)
    grades = []
    for number, window in enumerate(find_objects(numbers), start=1):
        values = mask[window][numbers[window] == number]
        grades.append(GRADES[int(np.bincount(values).argmax()) - 1])
    polygons = [regions_of((numbers == number).astype(np.uint8)) for number in range(1, count + 1)]
    merged = gpd.GeoSeries([gpd.GeoSeries(list(pieces)).union_all() for pieces in polygons])
    return _on_image([f"r{number:04d}" for number in range(1, count + 1)], merged, image), grades


def _intact_case(site: str, image: Layer, table: gpd.GeoDataFrame) -> DamageCase:
    extent = gpd.GeoSeries([image.grid.extent.geom], crs=crs_of(image)).to_crs(table.crs).iloc[0]
    there = table[table.intersects(extent)]
    ids = [f"b{number:04d}" for number in range(len(there))]
    outlines = gpd.GeoDataFrame({"id": ids}, geometry=there.geometry.to_numpy(), crs=table.crs)
    return DamageCase(site, None, image, outlines, intact(outlines))


def _intact_tile(site: str, tile: real_tiles.RealTile, side_m: float) -> DamageCase:
    """A tile of `real_tiles`, its regions of the class building as outlines."""
    bands = np.asarray(tile.layers["image"][0], np.uint8)
    image = Layer.open(bands, grid=metric_grid(bands.shape[1:], (side_m, side_m)))
    pieces = regions_of((tile.labels == tile.legend.value("building")).astype(np.uint8))
    pieces = pieces[shapely.area(pieces) * side_m**2 >= SMALLEST_M2]
    outlines = _on_image([f"r{number:04d}" for number in range(len(pieces))], gpd.GeoSeries(list(pieces)), image)
    return DamageCase(site, None, image, outlines, intact(outlines), changes=ON_ROOFS)


def _on_image(ids: Iterable[str], pixels: gpd.GeoSeries, image: Layer) -> gpd.GeoDataFrame:
    """Outlines in pixels of an image (x right, y down) as outlines in its CRS; without one they stay in pixels."""
    shapes = np.asarray(pixels.to_numpy(), object)
    if image.grid.crs is None:
        return gpd.GeoDataFrame({"id": list(ids)}, geometry=shapes).astype({"id": str})
    on_ground = transform_shapes(image.grid.affine, shapes)
    return gpd.GeoDataFrame({"id": list(ids)}, geometry=on_ground, crs=crs_of(image)).astype({"id": str})
