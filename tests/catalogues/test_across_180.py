"""A box across 180° of longitude: both of its sides are searched, and images and buildings of both are one."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff
from pyproj import Transformer
from refusals import raises_naming

from deepnets4eo.catalogues import Plan
from deepnets4eo.catalogues.candidates import PlannedImage
from deepnets4eo.catalogues.search import _may_meet, _Walk
from deepnets4eo.cli.main import main
from deepnets4eo.degree_boxes import Box, box_parts, box_shape, box_width, check_box
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import find_buildings
from deepnets4eo.formats import parse_time
from deepnets4eo.rasters import Layer

FIJI = "EPSG:32701"
BOX: Box = (179.998, -16.802, -179.998, -16.798)
TIMES: Any = (parse_time("2023-01-01"), parse_time("2023-03-01"))
HOUSES = {  # id: west, east; the house across 180° is cut there, as GeoJSON demands
    "west": [(179.9990, 179.9991)],
    "across": [(179.99995, 180.0), (-180.0, -179.99995)],
    "east": [(-179.9991, -179.9990)],
    "elsewhere": [(0.0, 0.0001)],
}


def houses() -> gpd.GeoDataFrame:
    shapes = [
        shapely.union_all([shapely.box(west, -16.8001, east, -16.8) for west, east in parts])
        for parts in HOUSES.values()
    ]
    return gpd.GeoDataFrame({"id": [*HOUSES]}, geometry=shapes, crs="EPSG:4326")


def fiji_image(path: Path) -> Path:
    """Noise of 800 m around the middle of the box, in the UTM zone east of it."""
    x, y = Transformer.from_crs("EPSG:4326", FIJI, always_xy=True).transform(180, -16.8)
    values = np.random.default_rng(0).integers(1, 255, (3, 200, 200)).astype(np.uint8)
    return write_geotiff(path, values, crs=FIJI, origin=(x - 400, y + 400), gsd=4)


def stac_item(name: str, day: str) -> dict[str, Any]:
    ring = [[179.99, -16.81], [-179.99, -16.81], [-179.99, -16.79], [179.99, -16.79], [179.99, -16.81]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": [179.99, -16.81, -179.99, -16.79],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": f"{day}T10:00:00Z", "gsd": 0.5, "proj:code": FIJI},
        "assets": {"visual": {"href": f"./{name}.tif", "type": "image/tiff; application=geotiff", "roles": ["visual"]}},
    }  # fmt: skip


def test_a_box_across_180_has_two_parts_and_the_width_between_its_sides() -> None:
    assert check_box(BOX) == BOX
    assert box_parts(BOX) == ((179.998, -16.802, 180.0, -16.798), (-180.0, -16.802, -179.998, -16.798))
    assert box_parts((179.0, 0.0, -180.0, 1.0)) == ((179.0, 0.0, 180.0, 1.0),)
    assert box_parts((180.0, 0.0, -179.0, 1.0)) == ((-180.0, 0.0, -179.0, 1.0),)
    assert box_parts((1.0, 2.0, 3.0, 4.0)) == ((1.0, 2.0, 3.0, 4.0),)
    assert box_width(BOX) == pytest.approx(0.004)
    assert box_width((1.0, 2.0, 3.5, 4.0)) == 2.5
    assert box_shape(BOX).area == pytest.approx(0.004**2)


@pytest.mark.parametrize(
    "box", [(36.2, 0, 36.1, 1), (90, 0, -90, 1), (181, 0, -179, 1), (179, 0, -181, 1), (179, 1, -179, 1)]
)
def test_a_box_whose_west_is_east_of_it_is_across_180_only_if_it_is_narrower_than_half_the_earth(box: Any) -> None:
    with raises_naming(InputError, f"{box[0]} {box[1]} {box[2]} {box[3]}", "west before east"):
        check_box(box)
    assert check_box((90.1, 0, -90, 1)) == (90.1, 0, -90, 1)


@pytest.mark.parametrize(
    ("extent", "near"),
    [((-179.99, -17, -179.9, -16), False), ((-179.999, -17, -179.9, -16), True), ((179.9, -17, 179.999, -16), True), ((0, -17, 1, -16), False)],
)  # fmt: skip
def test_a_collection_on_either_side_meets_the_box(extent: Any, near: bool) -> None:
    assert _may_meet({"spatial": {"bbox": [extent]}}, BOX, TIMES) is near


def test_each_side_of_a_box_is_asked_for_and_an_item_of_both_answers_is_one() -> None:
    walk = _Walk("root", "base", None, BOX, TIMES)
    both, east = ({"type": "FeatureCollection", "features": [*map(stac_item, names, names)]} for names in ("ab", "bc"))
    for answer in (both, east):
        walk.take(answer, "base", {}, None)
    assert [item.content["id"] for item in walk.items] == ["a", "b", "c"]


def test_find_chooses_images_and_buildings_of_both_sides_by_a_place_across_180(tmp_path: Path, capsys: Any) -> None:
    for name in ("before", "after"):
        fiji_image(tmp_path / f"{name}.tif")
    items = [stac_item("before", "2023-01-02"), stac_item("after", "2023-02-08")]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    sides = [shapely.box(*part) for part in box_parts(BOX)]
    gpd.GeoDataFrame(geometry=sides, crs="EPSG:4326").to_file(tmp_path / "place.geojson")
    houses().to_file(tmp_path / "houses.gpkg")
    words = ["--place", "place.geojson", "--outlines", "houses.gpkg", "--catalogue", "items.json", "--out", "plan.yaml"]
    words = [str(tmp_path / word) if "." in word else word for word in words]
    assert main(["find", *words, "--date", "2023-02-06"]) == 0, capsys.readouterr().err
    plan = Plan.load(tmp_path / "plan.yaml")
    assert plan.box == pytest.approx(BOX)
    assert plan.before is not None
    assert (plan.before.name, plan.before.covered, plan.after.name) == ("before", 100.0, "after")
    found = gpd.read_file(plan.outlines)
    assert found["id"].tolist() == ["west", "across", "east"]
    layer = Layer.open(plan.crop("after", tmp_path / "plan.yaml"))
    x, y = Transformer.from_crs("EPSG:4326", FIJI, always_xy=True).transform([179.9985, -179.9985], [-16.8, -16.8])
    columns = (~layer.grid.affine * (np.array(x), np.array(y)))[0]
    assert (columns > 0).all()
    assert (columns < layer.grid.shape[1]).all()
    assert layer.grid.shape[1] < 160  # of 4 m: the box is 426 m wide, and its margin 30 m on each side


@pytest.mark.parametrize("shift", [0, 360])
def test_tiles_in_degrees_on_both_sides_are_cropped_next_to_each_other(tmp_path: Path, shift: int) -> None:
    values = np.arange(1, 41, dtype=np.uint8)[None, None].repeat(20, axis=1)
    step, paths = 0.0002, []
    for name, west, part in (("w", 179.996, values[..., :20]), ("e", -180 + shift, values[..., 20:])):
        place = Affine(step, 0, west, 0, -step, -16.798)
        paths.append(str(write_geotiff(tmp_path / f"{name}.tif", part, crs="EPSG:4326", transform=place)))
    image = PlannedImage(files=paths)
    plan = Plan(box=[179.999, -16.8006, -179.999, -16.7994], date="2023-02-06", after=image)
    layer = Layer.open(plan.crop("after", tmp_path / "plan.yaml"))
    row = layer.read()[0][0, 0]
    assert set(range(16, 26)) <= set(row.astype(int).tolist())
    assert (np.diff(row) == 1).all()
    assert len(row) < 20


def test_a_house_that_both_sides_of_a_service_send_is_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def geodataframe(kind: str, bbox: Box) -> gpd.GeoDataFrame:
        asked.append(bbox)
        table = houses()
        return table[table.intersects(shapely.box(*bbox))].set_crs(None, allow_override=True)

    core = types.SimpleNamespace(geodataframe=geodataframe)
    monkeypatch.setitem(sys.modules, "overturemaps", types.SimpleNamespace(core=core))
    found = find_buildings("overture", BOX, online=True).frame
    assert tuple(asked) == box_parts(BOX)
    assert found["id"].tolist() == ["west", "across", "east"]


def test_buildings_of_an_extract_of_openstreetmap_are_of_both_sides(tmp_path: Path) -> None:
    nodes, ways = [], []
    for number, parts in enumerate(HOUSES.values()):
        for part, (west, east) in enumerate(parts):
            first = 100 * number + 10 * part + 1
            corners = [(west, -16.8001), (east, -16.8001), (east, -16.8), (west, -16.8)]
            nodes += [f'<node id="{first + k}" lon="{x}" lat="{y}"/>' for k, (x, y) in enumerate(corners)]
            refs = "".join(f'<nd ref="{first + k}"/>' for k in (0, 1, 2, 3, 0))
            ways.append(f'<way id="{first}">{refs}<tag k="building" v="yes"/></way>')
    (tmp_path / "fiji.osm").write_text(f'<osm version="0.6">{"".join(nodes)}{"".join(ways)}</osm>')
    found = find_buildings(tmp_path / "fiji.osm", BOX).frame["id"].tolist()
    assert sorted(found) == ["way/1", "way/101", "way/111", "way/201"]
