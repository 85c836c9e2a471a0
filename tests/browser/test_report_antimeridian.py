"""A map across the 180th meridian: the card, the saved table and the saved outlines lie where those of the job do."""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import shapely.affinity
from affine import Affine
from made_up_map import make_map
from odc.geo.geobox import GeoBox
from report_visit import by_probability, write

from deepnets4eo.damage import DamageMap
from deepnets4eo.damage.products.exchange_formats import write_csv, write_geojson

pytestmark = pytest.mark.browser

SIDE_PX = 512
METRES = "+proj=aeqd +lat_0=-16.8 +lon_0=180 +units=m"


@dataclass
class Place:
    """A map across 180 with its page, and what the job writes of it."""

    damage_map: DamageMap
    page: Path
    geojson: Path
    csv: Path


def odd_shapes(meridian_px: float) -> list[shapely.Geometry]:
    """Outlines across a column of pixels: a comb whose teeth cross it, courtyards on it and beside it, and two parts."""
    x = meridian_px
    comb = shapely.union_all(
        [shapely.box(x - 30, 200, x - 10, 290)] + [shapely.box(x - 10, y, x + 20, y + 10) for y in (200, 230, 280)]
    )
    yard = shapely.box(x - 40, 300, x + 40, 380)
    holes = [
        shapely.box(x - 10, 310, x + 10, 330),
        shapely.box(x - 30, 340, x - 20, 350),
        shapely.box(x + 15, 340, x + 25, 350),
    ]
    parts = shapely.MultiPolygon([shapely.box(x - 40, 400, x - 20, 420), shapely.box(x + 20, 400, x + 40, 420)])
    return [comb, yard.difference(shapely.union_all(holes)), parts]  # fmt: skip


@pytest.fixture(scope="module", params=["EPSG:32701", "degrees"])
def fiji(request, tmp_path_factory):
    if request.param == "degrees":
        step = 0.5 / 111_320
        grid = GeoBox((SIDE_PX,) * 2, Affine(step, 0, 180 - SIDE_PX / 2 * step, 0, -step, -16.8), "EPSG:4326")
    else:
        x, y = gpd.points_from_xy([-180.0], [-16.8], crs=4326).to_crs(request.param)[0].coords[0]
        grid = GeoBox((SIDE_PX,) * 2, Affine(0.5, 0, x - SIDE_PX / 4, 0, -0.5, y), request.param)
    damage_map = make_map(25, grid=grid, assessed=1.0)  # the middle column of houses crosses 180
    for row, shape in enumerate(odd_shapes(SIDE_PX / 2)):
        damage_map.buildings.loc[row, "geometry"] = shapely.affinity.affine_transform(shape, grid.affine.to_shapely())
    folder = tmp_path_factory.mktemp("fiji")
    page = write(damage_map, folder / "report.html", grid=grid)
    return Place(
        damage_map, page, write_geojson(damage_map, folder / "g.json"), write_csv(damage_map, folder / "t.csv")
    )


def saved(one, kind):
    with one.page.expect_download() as download:
        one.page.locator(f"#{kind}").click()
    return download.value.path()


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


def test_positions_are_those_of_the_table_of_the_job(fiji, visit):
    one, rows = visit(fiji.page), rows_of(fiji.csv)
    assert {round(float(row["longitude"])) for row in rows.values()} == {-180, 180}
    one.page.locator("#table .body .row").first.click()
    lat, lon = map(float, one.page.locator("#card .place span").inner_text().split(", "))
    row = rows[by_probability(fiji.damage_map)[0]]
    assert (lat, lon) == (
        pytest.approx(float(row["latitude"]), abs=2e-6),
        pytest.approx(float(row["longitude"]), abs=2e-6),
    )
    assert f"geo:{lat:.6f},{lon:.6f}" in one.page.locator("#card .place a").first.get_attribute("href")
    one.page.mouse.move(*one.middle("post"))
    _, under = map(float, one.page.locator("#position").inner_text().split(", "))
    assert 179.9 < abs(under) <= 180
    for name, other in rows_of(saved(one, "csv")).items():
        lat, lon = (float(other[axis]) - float(rows[name][axis]) for axis in ("latitude", "longitude"))
        assert abs(lat) < 3e-7, name
        assert abs((lon + 180) % 360 - 180) < 3e-7, f"{name}; -180 is 180"


def test_outlines_across_180_are_cut_as_rfc_7946_says(fiji, visit):
    one = visit(fiji.page)
    collection = json.loads(saved(one, "geojson").read_text(encoding="utf-8"))
    found = gpd.GeoDataFrame.from_features(collection["features"], crs=4326).set_index("id").geometry
    truth = gpd.read_file(fiji.geojson).set_index("id").geometry.loc[found.index]
    assert found.is_valid.all()
    bounds = found.bounds
    assert bounds.minx.min() >= -180
    assert bounds.maxx.max() <= 180
    across = bounds.maxx - bounds.minx > 359
    assert across.sum() >= 6
    assert (across == (truth.bounds.maxx - truth.bounds.minx > 359)).all()
    for part in shapely.get_parts(found.to_numpy()):
        assert part.exterior.is_ccw
        assert not any(hole.is_ccw for hole in part.interiors)
        assert np.ptp(shapely.get_coordinates(part)[:, 0]) < 1e-2, "no part runs round the earth"
    ground, wanted = found.to_crs(METRES), truth.to_crs(METRES)
    overlap = ground.intersection(wanted).area / ground.union(wanted).area
    assert overlap.min() > 0.9
    np.testing.assert_array_equal(
        shapely.get_num_geometries(found.loc[["way/1000", "way/1001", "way/1002"]]), [4, 2, 2]
    )


def test_kml_has_no_longitude_beyond_180(fiji, visit):
    text = saved(visit(fiji.page), "kml").read_text(encoding="utf-8")
    places = [
        tuple(map(float, place.split(",")))
        for ring in re.findall("<coordinates>(.*?)<", text)
        for place in ring.split()
    ]
    lon, lat = np.array(places).T
    assert (np.abs(lon) <= 180).all()
    assert (np.abs(lon) > 179.9).all()
    assert ((lat < -16.7) & (lat > -16.9)).all()
