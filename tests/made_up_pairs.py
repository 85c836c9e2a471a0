"""Miniature cities written in the layouts of xBD, of BRIGHT, and as images with a labelled vector file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import shapely
from geotiff import write_geotiff
from rasterio.features import rasterize

from deepnets4eo.damage import GRADES
from deepnets4eo.synthetic import City, Event

SIDE_PX, GSD_M = 128, 0.5


@cache
def make_city(seed: int) -> City:
    """A city with aligned images and all grades in equal shares, at random positions."""
    event = Event(shift_px=(0.0, 0.0), rotation_deg=0.0, damage_shares=(1, 1, 1, 1), clustering=0.0)
    return City(seed, SIDE_PX, GSD_M, event=event)


def pixel_outlines(city: City) -> list[shapely.Geometry]:
    """Outlines of the buildings in pixels, x = column, y = row."""
    back = ~city.grid.affine
    coefficients = [back.a, back.b, back.d, back.e, back.c, back.f]
    return [shapely.affinity.affine_transform(outline, coefficients) for outline in city.buildings.geometry]


def write_xbd(root: Path, seeds: tuple[int, ...], unclassified: int = 1) -> Path:
    """A folder as xBD's tier3, without targets; the first `unclassified` buildings of each image have no grade."""
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for seed in seeds:
        city = make_city(seed)
        stem = f"made-up-event-{seed % 2}_{seed:08d}"
        for date, image in (("pre", city.pre.image), ("post", city.post.image)):
            write_geotiff(root / "images" / f"{stem}_{date}_disaster.png", image[:3], crs=None, driver="PNG")
            labels = [_feature(city, row, date, unclassified) for row in range(len(city.buildings))]
            card = {"features": {"xy": labels, "lng_lat": []}, "metadata": {"gsd": GSD_M}}
            (root / "labels" / f"{stem}_{date}_disaster.json").write_text(json.dumps(card))
    return root


def write_bright(root: Path, seeds: tuple[int, ...]) -> Path:
    """A folder as BRIGHT: optical before, one band of radar-like amplitude after, a mask of 0 … 3."""
    for seed in seeds:
        city = make_city(seed)
        stem = f"made-up-event-{seed % 2}_{seed:08d}"
        grades = city.buildings["damage"].map(dict(zip(GRADES, (1, 2, 2, 3), strict=True)))
        shapes = zip(city.buildings.geometry, grades, strict=True)
        mask = rasterize(shapes, out_shape=city.shape, transform=city.grid.affine, dtype="uint8")
        for folder, name, image in (
            ("pre-event", "pre_disaster", city.pre.image[:3]),
            ("post-event", "post_disaster", city.post.image[:1]),
            ("target", "building_damage", mask[None]),
        ):
            write_geotiff(root / folder / f"{stem}_{name}.tif", image, crs="EPSG:32633", transform=city.grid.affine)
    return root


def _feature(city: City, row: int, date: str, unclassified: int) -> dict[str, object]:
    grade = "un-classified" if row < unclassified else city.buildings["damage"].iloc[row]
    subtype = {"subtype": grade} if date == "post" else {}
    outline = pixel_outlines(city)[row]
    return {"wkt": outline.wkt, "properties": {"feature_type": "building", "uid": f"{city.seed}-{row}", **subtype}}
