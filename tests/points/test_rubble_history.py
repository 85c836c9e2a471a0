"""Made-up houses over four dates: heights, first loss and volumes by date are those of geometry; prisms of CityJSON close."""

import csv
import json
import sys
from collections import Counter

import geopandas as gpd
import numpy as np
import pytest
import shapely
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError, MissingExtraError
from deepnets4eo.points import PointCloud, RubbleOptions, debris_history
from deepnets4eo.points.rubble.history import parse_dated
from deepnets4eo.points.rubble.products import check_products, write_cityjson
from deepnets4eo.points.rubble.roofs import Roof, roofs_before
from deepnets4eo.points.rubble.surfaces import Heights
from deepnets4eo.rasters import Layer

CRS = "EPSG:32633"
LEFT, TOP, SIDE = 400_000.0, 5_800_080.0, 80
DATES = ("2010", "2014", "2018-05", "2023")
# left, bottom, right, top in metres, and the height at each date: stands; falls and is cleared; is built and falls; is first seen later
HOUSES = {
    "stands": (5, 5, 17, 15, (6, 6, 6, 6)),
    "cleared": (45, 5, 59, 15, (5, 5, 1, 0)),
    "new": (5, 45, 17, 57, (0, 8, 8, 1)),
    "unseen": (45, 45, 55, 55, (None, 4, 4, 4)),
}
OPTIONS = RubbleOptions(align=False, assume_registered=True)


def surface(date, seed=0):
    """A surface model of 0.5 m on a slope of 5 %, with noise of 2 cm; heaps are rough."""
    rng = np.random.default_rng([seed, date])
    rows, cols = np.mgrid[: 2 * SIDE, : 2 * SIDE] / 2 + 0.25
    x, y = cols, SIDE - rows
    heights = 100 + 0.05 * x + rng.normal(0, 0.02, x.shape)
    for left, bottom, right, top, levels in HOUSES.values():
        inside = (x > left) & (x < right) & (y > bottom) & (y < top)
        if levels[date] is None:
            heights[inside] = np.nan
        else:
            heights[inside] += levels[date] + (levels[date] == 1) * rng.uniform(-0.4, 0.4, int(inside.sum()))
    return heights.astype(np.float32)


def layer(values):
    from affine import Affine

    from deepnets4eo.grid import Grid

    return Layer.open(values, grid=Grid(values.shape, Affine(0.5, 0, LEFT, 0, -0.5, TOP), CRS), nodata=np.nan)


@pytest.fixture(scope="module")
def houses():
    corner = np.array([LEFT, TOP - SIDE])
    boxes = [shapely.box(*(corner + one[:2]), *(corner + one[2:4])) for one in HOUSES.values()]
    return gpd.GeoDataFrame({"id": list(HOUSES)}, geometry=boxes, crs=CRS)


@pytest.fixture(scope="module")
def result(houses):
    return debris_history([layer(surface(date)) for date in range(4)], DATES, houses, OPTIONS)


def test_heights_by_date_are_those_of_the_houses(result):
    history = result.history
    assert len(history) == 16
    for name, (*_, levels) in HOUSES.items():
        own = history[history["id"] == name]
        assert own["date"].tolist() == list(DATES)
        np.testing.assert_allclose(own["height_m"], [np.nan if one is None else one for one in levels], atol=0.15)
    stands = history[history["id"] == "stands"]
    np.testing.assert_allclose(stands["volume_m3"], 12 * 10 * 6, rtol=0.03)


def test_the_first_loss_is_that_of_the_first_date_with_one(result):
    first = result.buildings.set_index("id")["first_loss"]
    assert first["cleared"] == "2018-05"
    assert first["new"] == "2023"
    assert first[["stands", "unseen"]].isna().all()


def test_states_and_volumes_by_date_are_against_the_first_or_the_date_that_is_new(result):
    rows = result.history.set_index(["id", "date"])
    assert [rows.loc[("cleared", day), "state"] for day in DATES[1:]] == ["standing", "collapsed", "cleared"]
    assert rows.loc[("cleared", "2018-05"), "lost_m3"] == pytest.approx(14 * 10 * 4, rel=0.03)
    assert rows.loc[("cleared", "2023"), "lost_m3"] == pytest.approx(14 * 10 * 5, rel=0.03)
    assert rows.loc[("new", "2023"), "compared_with"] == "2014"
    assert rows.loc[("new", "2023"), "lost_m3"] == pytest.approx(12 * 12 * 7, rel=0.03)
    assert rows.loc[("new", "2014"), "state"] == "standing"
    assert rows.loc[("unseen", "2010"), "state"] == "not-assessed"
    assert rows.loc[("unseen", "2023"), ["compared_with", "state"]].tolist() == ["2014", "standing"]
    last = result.buildings.set_index("id")
    assert last["state"].to_dict() == {
        "stands": "standing",
        "cleared": "cleared",
        "new": "collapsed",
        "unseen": "standing",
    }
    assert set(result.rubble["id"]) == {"new"}


def test_dates_out_of_order_and_twice_are_refused(houses):
    heights = [layer(surface(0) + np.float32(date) / 100) for date in range(3)]
    for dates, message in (
        (("2010", "2009", "2023"), "the oldest first"), (("a", "a", "b"), "a date of its own"), (("a", "b"), "3 sources")
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            debris_history(heights, dates, houses, OPTIONS)
    with raises_naming(GridError, "4 footprints"):
        debris_history(heights, ("a", "b", "c"), houses.translate(9e4).to_frame("geometry"), OPTIONS)
    assert parse_dated("no-date=a.tif") == ("no-date=a", "no-date=a.tif")
    assert parse_dated("2018-14=a.tif") == ("2018-14=a", "2018-14=a.tif"), "there is no such month"


def test_the_verb_writes_table_page_and_cityjson(houses, tmp_path, capsys):
    from affine import Affine

    for date in range(3):
        transform = Affine(0.5, 0, LEFT, 0, -0.5, TOP)
        write_geotiff(tmp_path / f"{date}.tif", surface(date), transform=transform, crs=CRS, nodata=np.nan)
    houses.to_file(tmp_path / "houses.gpkg")
    words = ["rubble", f"2018={tmp_path}/2.tif", "--pre", f"2010={tmp_path}/0.tif", "--pre", f"2014={tmp_path}/1.tif"]
    out = tmp_path / "out"
    rest = ["--footprints", f"{tmp_path}/houses.gpkg", "--out", str(out), "--set", "align=no"]
    for wrong, message in (
        (f"2009={tmp_path}/1.tif", "the oldest first"),
        ("2014=none.tif", "none.tif does not exist"),
    ):
        assert main([*words[:-1], wrong, *rest, "--dry-run"]) == 2
        assert message in capsys.readouterr().err
    assert main([*words, *rest]) == 0
    rows = list(csv.DictReader((out / "history.csv").open(encoding="utf-8")))
    assert [(row["id"], row["date"], row["state"]) for row in rows[3:6]] == [
        ("cleared", "2010", ""), ("cleared", "2014", "standing"), ("cleared", "2018", "collapsed")
    ]  # fmt: skip
    page = (out / "history.html").read_text(encoding="utf-8")
    assert "cleared: collapsed, first loss 2018" in page
    assert page.count("<article>") == 4
    assert "<script" not in page
    assert "-0.0 m" not in page
    city = json.loads((out / "buildings.city.json").read_text())
    assert city["CityObjects"]["cleared"]["attributes"]["first_loss"] == "2018"
    assert city["CityObjects"]["cleared"]["attributes"]["heights_m"]["2014"] == pytest.approx(5, abs=0.1)
    named = json.loads((out / "manifest.json").read_text())["products"]
    assert {"history.csv", "history.html", "buildings.city.json"} <= set(named)


@pytest.fixture
def court():
    """A house around a court, a house of two wings, and one whose height is unknown."""
    ring = shapely.box(10, 10, 30, 30).difference(shapely.box(16, 16, 24, 24))
    wings = shapely.MultiPolygon([shapely.box(50, 10, 60, 20), shapely.box(70, 10, 80, 20)])
    frame = gpd.GeoDataFrame(
        {"id": ["court", "wings", "low"], "terrain_m": [7.25, 8, np.nan], "height_pre_m": [6.0, 3.5, 4.0]},
        geometry=shapely.transform(np.array([ring, wings, shapely.box(0, 0, 5, 5)]), lambda xy: xy + (LEFT, TOP)), crs=CRS,
    )  # fmt: skip
    return frame.assign(state=["collapsed", "standing", "not-assessed"], lost_m3=[100.0, np.nan, np.nan])


def test_cityjson_has_closed_prisms_whose_volume_is_that_of_the_buildings(court, tmp_path):
    city = json.loads(write_cityjson(court, tmp_path / "a.city.json", "Rubble", "2023-02-06").read_text())
    assert (city["type"], city["version"]) == ("CityJSON", "2.0")
    assert city["metadata"] == {
        "title": "Rubble", "referenceDate": "2023-02-06", "referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/32633"
    }  # fmt: skip
    assert all(isinstance(step, int) for vertex in city["vertices"] for step in vertex)
    xyz = np.array(city["vertices"]) * city["transform"]["scale"] + city["transform"]["translate"]
    volumes = {}
    for name, one in city["CityObjects"].items():
        assert one["type"] == "Building"
        assert all(
            (solid["type"], solid["lod"], len(solid["boundaries"])) == ("Solid", "1", 1) for solid in one["geometry"]
        )
        volumes[name] = sum(signed_volume(solid["boundaries"][0], xyz) for solid in one["geometry"])
    assert volumes == {"court": pytest.approx((400 - 64) * 6), "wings": pytest.approx(200 * 3.5), "low": 0}
    assert len(city["CityObjects"]["wings"]["geometry"]) == 2
    attributes = city["CityObjects"]["court"]["attributes"]
    assert (attributes["conditionOfConstruction"], attributes["lost_m3"]) == ("ruin", 100)
    assert city["CityObjects"]["wings"]["attributes"]["lost_m3"] is None
    assert "conditionOfConstruction" not in city["CityObjects"]["low"]["attributes"]


def by_official_validator(path):
    """Refuse what the schemas of CityJSON 2.0 and the checks beside them refuse; has no wheel for every Python."""
    cjvalpy = pytest.importorskip("cjvalpy")
    validator = cjvalpy.CJValidator([path.read_text()])
    assert validator.validate(), validator.get_report()


def by_cjio(path):
    """Refuse vertices that are there twice or that nothing uses, and what its reader does not take."""
    cityjson = pytest.importorskip("cjio.cityjson")
    with path.open() as file:
        city = cityjson.reader(file)
    assert (city.remove_orphan_vertices(), city.remove_duplicate_vertices()) == (0, 0)


def by_cityjson_lib(path):
    """Refuse what a strict reader in Rust does not take."""
    library = pytest.importorskip("cityjson_lib")
    summary = library.CityModel.parse_document_bytes(path.read_bytes()).summary()
    assert summary.cityobject_count == len(json.loads(path.read_text())["CityObjects"])


READERS = [by_official_validator, by_cjio, by_cityjson_lib]


def with_roof(buildings):
    """The roof of the first house: two triangles, one that a millimetre makes a line, and a corner of none."""
    x, y = buildings.geometry.iloc[0].bounds[:2]
    corners = np.array([(0, 0, 12), (9, 0, 12), (9, 9, 14), (0, 9, 14), (5, 5, 13), (9.0002, 0, 12)], float) + (x, y, 0)
    return {buildings["id"].iloc[0]: Roof(corners, np.array([(0, 1, 2), (0, 2, 3), (0, 1, 5)], np.int32))}


def test_cityjson_holds_each_vertex_once_and_none_that_nothing_uses(court, tmp_path):
    sliver = shapely.Polygon(
        court.geometry.iloc[0].exterior, [shapely.box(LEFT + 12, TOP + 12, LEFT + 12.0002, TOP + 12.0003).exterior]
    )
    court.loc[0, "geometry"] = sliver
    city = json.loads(write_cityjson(court, tmp_path / "a.city.json", "Rubble", roofs=with_roof(court)).read_text())
    geometries = [one for building in city["CityObjects"].values() for one in building["geometry"]]
    used = {index for one in geometries for index in flat(one["boundaries"])}
    assert used == set(range(len(city["vertices"])))
    assert len({tuple(vertex) for vertex in city["vertices"]}) == len(city["vertices"])
    (roof,) = [one for one in geometries if one["lod"] == "2"]
    assert len(roof["boundaries"]) == len(roof["semantics"]["values"]) == 2


def flat(nested):
    """All numbers of lists in lists."""
    for one in nested:
        if isinstance(one, list):
            yield from flat(one)
        else:
            yield one


@pytest.mark.parametrize("reader", READERS)
def test_public_readers_take_cityjson(court, tmp_path, reader):
    reader(write_cityjson(court, tmp_path / "a.city.json", "Rubble", "2023-02-06", with_roof(court)))


def roof_scan(pitch=0.5, density=12, seed=0):
    """Points of a gable roof of 12 × 8 m, eaves at 4 m, on level ground of 7 m; and its building."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform((-5, -5), (17, 13), (density * 22 * 18, 2))
    inside = (xy > 0).all(axis=1) & (xy < (12, 8)).all(axis=1)
    z = np.where(inside, 11 + pitch * (4 - np.abs(xy[:, 1] - 4)), 7.0)
    building = gpd.GeoDataFrame(
        {"id": ["gable"], "terrain_m": [7.0], "height_pre_m": [4 + 2 * pitch], "state": ["standing"]},
        geometry=[shapely.box(LEFT, TOP, LEFT + 12, TOP + 8)], crs=CRS,
    )  # fmt: skip
    return PointCloud(np.column_stack([xy + (LEFT, TOP), z])), building


def test_dense_roofs_are_triangles_on_the_roof_and_their_area_is_along_it(tmp_path):
    pytest.importorskip("open3d", exc_type=ImportError)
    cloud, building = roof_scan()
    roofs = roofs_before(Heights.open(cloud), building)
    path = write_cityjson(building, tmp_path / "a.city.json", "Rubble", roofs=roofs)
    city = json.loads(path.read_text())
    one = city["CityObjects"]["gable"]
    solid, surface = one["geometry"]
    assert (solid["type"], solid["lod"], surface["type"], surface["lod"]) == ("Solid", "1", "MultiSurface", "2")
    assert surface["semantics"]["values"] == [0] * len(surface["boundaries"])
    xyz = np.array(city["vertices"]) * city["transform"]["scale"] + city["transform"]["translate"]
    triangles = xyz[np.array(surface["boundaries"])[:, 0]]
    expected = 11 + 0.5 * (4 - np.abs(triangles[..., 1] - TOP - 4))
    np.testing.assert_allclose(triangles[..., 2], expected, atol=0.002)
    across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert (across[:, 2] > 0).all()  # counterclockwise from above
    area = np.linalg.norm(across, axis=1).sum() / 2
    assert area == pytest.approx(12 * 8 * np.sqrt(1.25), rel=0.12)  # the rim lies up to half a voxel inside
    assert one["attributes"]["roof_area_m2"] == pytest.approx(area, abs=0.1)


def test_sparse_roofs_trees_and_buildings_of_unknown_height_stay_prisms():
    pytest.importorskip("open3d", exc_type=ImportError)
    sparse, building = roof_scan(density=3)
    assert roofs_before(Heights.open(sparse), building) == {}
    cloud, _ = roof_scan()
    crown = PointCloud(cloud.xyz, classification=np.full(len(cloud), 5, np.uint8))
    assert roofs_before(Heights.open(crown), building) == {}
    assert roofs_before(Heights.open(cloud), building.assign(terrain_m=np.nan)) == {}


def test_roofs_without_points_before_the_event_are_refused_at_the_door(tmp_path):
    pytest.importorskip("open3d", exc_type=ImportError)
    for pre in (None, "dsm.tif"):
        with pytest.raises(InputError, match="roofs need points before the event"):
            check_products(["roofs"], pre)


def test_roofs_without_open3d_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with raises_naming(MissingExtraError, "deepnets4eo"):
        check_products(["roofs"], "pre.laz")


def signed_volume(shell, xyz):
    """Volume of a shell whose faces are counterclockwise from outside; each edge is passed once in each direction."""
    edges = Counter()
    volume = 0.0
    for face in shell:
        for ring in face:
            edges.update(zip(ring, [*ring[1:], ring[0]], strict=True))
            corners = xyz[ring] - xyz[0]
            for second, third in zip(corners[1:-1], corners[2:], strict=True):
                volume += np.dot(corners[0], np.cross(second, third)) / 6
    assert all(number == 1 and edges[end, start] == 1 for (start, end), number in edges.items())
    return volume
