"""The profiles of Copernicus EMS, UNOSAT, xBD and OpenStreetMap have the names, fields and values of their offices."""

import json

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from made_up_map import make_grid, make_map
from refusals import raises_naming

from deepnets4eo.damage import ProductOptions
from deepnets4eo.damage.products.crosswalk import CROSSWALK
from deepnets4eo.damage.products.profiles import write_cems, write_osm, write_unosat, write_xbd
from deepnets4eo.damage.table.vocabulary import CLASSES, GRADES
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.grid import transform_shapes
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer

# Copernicus EMS Rapid Mapping's manual of vector packages, fields as of package EMSR884; UNOSAT's codes as two public readers have them
CEMS_FIELDS = {
    "obj_type", "name", "info", "simplified", "damage_gra", "det_method", "notation", "or_src_id", "dmg_src_id", "cd_value",
}  # fmt: skip
CEMS_GRADES = {"Destroyed", "Damaged", "Possibly damaged", "No visible damage", "Not Analysed"}
CEMS_METHODS = {"Photo-interpretation", "Semi-automatic extraction", "Automatic extraction", "Modelling"}
UNOSAT_CODES = {1: "Destroyed", 2: "Severe damage", 3: "Moderate damage", 4: "Possible damage", 6: "No visible damage"}
HOT_VALUES = ["none", "minimal", "significant", "complete"]


@pytest.fixture(scope="module")
def damage_map():
    made = make_map(40)
    made.event = EventInfo(
        "Flood 2026: Derna", "Derna", "2026-01-05", "2026-02-03T10:20Z", "", "GeoEye-1", producer="Team 7"
    )
    return made


def test_the_crosswalk_is_that_of_the_offices():
    assert {name.cems for name in CROSSWALK.values()} == CEMS_GRADES
    assert all(UNOSAT_CODES[name.unosat[0]] == name.unosat[1] for name in CROSSWALK.values() if name.unosat)
    without = [""] * (len(CLASSES) - len(GRADES))
    assert [CROSSWALK[name].osm for name in CLASSES] == [*HOT_VALUES, *(None for _ in without)]
    assert [CROSSWALK[name].xbd for name in CLASSES] == [*GRADES, *("un-classified" for _ in without)]
    assert [CROSSWALK[name].ems98 for name in CLASSES] == ["0–2", "2–3", "3–4", "4–5", *without]


def test_a_package_of_copernicus_ems(damage_map, tmp_path):
    grids = {"pre": make_grid(size_px=300), "post": make_grid()}
    path = write_cems(damage_map, tmp_path / "cems.gpkg", grids)
    layers = {"builtUpA_v1", "areaOfInterestA_v1", "imageFootprintA_v1", "source_v1", "summaryTable_v1"}
    assert {name for name, _ in pyogrio.list_layers(path)} == layers
    footprints = gpd.read_file(path, layer="imageFootprintA_v1")
    assert footprints[["src_id", "sensor_gsd"]].to_numpy().tolist() == [[1, "0.5 m"], [2, "0.5 m"]]
    np.testing.assert_allclose(footprints.to_crs(32615).area, [150**2, 128**2], rtol=1e-4)
    (row,) = pyogrio.read_dataframe(path, layer="summaryTable_v1").to_dict("records")
    grades = damage_map.buildings["damage"].fillna("not-assessed").value_counts()
    assert (row["destroyed"], row["not_analysed"], row["total"]) == (grades["destroyed"], grades["not-assessed"], 40)
    assert row["total_affected"] == row["destroyed"] + row["damaged"] + row["possibly_damaged"]
    unnamed = make_map(4)
    unnamed.inputs = {"post": "there/post.tif"}
    sources = pyogrio.read_dataframe(write_cems(unnamed, tmp_path / "unnamed.gpkg"), layer="source_v1")
    assert sources["source_nam"].fillna("").tolist() == ["", "post.tif"]
    built = gpd.read_file(path, layer="builtUpA_v1")
    assert built.crs.to_epsg() == 4326
    assert set(built.columns) == CEMS_FIELDS | {"geometry"}
    assert all(len(name) <= 10 for name in built.columns), "shapefiles cut longer names"
    expected = [CROSSWALK[grade].cems for grade in damage_map.buildings["damage"].fillna("not-assessed")]
    assert built["damage_gra"].tolist() == expected
    assert set(built["det_method"]) <= CEMS_METHODS
    assert built["notation"][0].startswith("way/1000")
    sources = pyogrio.read_dataframe(path, layer="source_v1").set_index("src_id")
    assert set(built["dmg_src_id"]) | set(built["or_src_id"]) == set(sources.index)
    post = sources.loc[2]
    assert (post["source_nam"], post["src_date"], post["source_tm"]) == ("GeoEye-1", "03/02/2026", "T10:20Z")
    assert sources["eventphase"].tolist() == ["Pre-event", "Post-event"]


@pytest.mark.parametrize(
    ("given", "stem"),
    [("EMSR884_AOI06", "EMSR884_AOI06_GRA_PRODUCT_v1"), ("EMSR1004_AOI10_GRA_MONIT02_v3",) * 2, (None, "damage_cems")],
)
def test_the_package_has_the_name_of_its_activation(given, stem, tmp_path):
    damage_map, post = make_map(4), Layer.open(np.ones((3, *make_grid().shape), np.uint8), grid=make_grid())
    out = tmp_path / "out"
    damage_map.save(out, post=post, also=["cems"], options=ProductOptions(cems="EMSR999_AOI01"))
    (out / "EMSR111_AOI01_GRA_PRODUCT_v1.gpkg").write_bytes(b"of the user")
    paths = damage_map.save(out, post=post, also=["cems"], options=ProductOptions(cems=given), overwrite=True)
    assert paths[f"{stem}.gpkg"].is_file()
    version = stem[-3:] if given else "_v1"
    assert {name for name, _ in pyogrio.list_layers(out / f"{stem}.gpkg")} == {
        f"{name}{version}" for name in ("builtUpA", "areaOfInterestA", "imageFootprintA", "source", "summaryTable")
    }  # fmt: skip
    others = {path.stem for path in out.glob("*.gpkg")} - {"damage", stem}
    assert others == {"EMSR111_AOI01_GRA_PRODUCT_v1"}, "that of the earlier map is gone, those of others stay"


@pytest.mark.parametrize(
    "given", ["EMSR884", "emsr884_AOI06", "EMSR884_AOI06/../x", "EMSR88_AOI06", "EMSR884_AOI06_DEL_PRODUCT_v1", ""]
)
def test_other_names_are_refused(given):
    with raises_naming(InputError, "EMSRNNN_AOINN", "EMSR884_AOI06"):
        ProductOptions(cems=given)


def test_points_of_unosat(damage_map, tmp_path):
    sites = gpd.read_file(write_unosat(damage_map, tmp_path / "unosat.gpkg"))
    assessed = damage_map.buildings[damage_map.buildings["status"] == "assessed"]
    assert set(sites.geom_type) == {"Point"}
    assert sites["SiteID"].tolist() == assessed["id"].tolist(), "what was not assessed has no record"
    codes = dict(zip(CLASSES, (6, 4, 2, 1), strict=False))
    assert sites["Main_Damage_Site_Class"].tolist() == [codes[grade] for grade in assessed["damage"]]
    assert set(sites["FieldValidation"]) == {"Not yet field validated"}
    assert set(sites["Confidence"]) <= {"Very certain", "Certain", "Uncertain"}
    assert sites.to_crs(assessed.crs).within(assessed.reset_index(drop=True).buffer(0.1)).all()


def test_a_label_file_of_xbd_is_read_back(damage_map, tmp_path):
    path = write_xbd(damage_map, tmp_path / "post_disaster.json", make_grid())
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content) == {"features", "metadata"}
    assert [len(content["features"][name]) for name in ("lng_lat", "xy")] == [40, 40]
    assert content["metadata"] | {"gsd": 0.5, "capture_date": "2026-02-03T10:20Z", "width": 256} == content["metadata"]
    back = read_footprints(path, image=make_grid())
    assert back.frame["id"].tolist() == damage_map.buildings["id"].tolist()
    np.testing.assert_allclose(back.frame.to_crs(damage_map.buildings.crs).area, damage_map.buildings.area, rtol=5e-3)
    pixels = shapely.from_wkt(content["features"]["xy"][0]["wkt"])
    left, _, _, top = damage_map.buildings.geometry[0].bounds
    np.testing.assert_allclose(pixels.bounds[:2], [(left - 360_000) * 2, (4_100_000 - top) * 2], atol=1e-6)


def test_a_label_file_of_xbd_without_a_crs_is_in_pixels(tmp_path):
    grid = make_grid(epsg=None)
    made = make_map(5, grid=grid)
    path = write_xbd(made, tmp_path / "post_disaster.json", grid)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["features"]["lng_lat"], content["metadata"]["gsd"]) == ([], None)
    back = read_footprints(path, image=grid)
    assert back.frame["id"].tolist() == made.buildings["id"].tolist()
    expected = transform_shapes(~grid.affine, made.buildings.geometry.to_numpy())
    assert shapely.equals_exact(back.in_pixels(grid), expected, 1e-6, normalize=True).all()


def test_tags_of_openstreetmap(damage_map, tmp_path):
    collection = json.loads(write_osm(damage_map, tmp_path / "osm.geojson").read_text(encoding="utf-8"))
    assert collection["caveats"]
    tags = {feature["properties"].pop("id"): feature["properties"] for feature in collection["features"]}
    assert {tag["damage:flood_2026_derna"] for tag in tags.values()} <= set(HOT_VALUES)
    destroyed = damage_map.buildings.loc[damage_map.buildings["damage"] == "destroyed", "id"]
    assert {one for one, tag in tags.items() if "destroyed:building" in tag} == set(destroyed)
    assert not any("building" in tag for tag in tags.values()), "what a building is stays apart from its damage"
    assert {tag["damage:flood_2026_derna:assessment"] for tag in tags.values()} == {"2026-02-03T10:20Z"}
    assert {tag["source:damage:flood_2026_derna"] for tag in tags.values()} == {"Team 7"}
