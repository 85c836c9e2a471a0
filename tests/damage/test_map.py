"""A damage map refuses tables that do not fit, and its folder is complete or absent."""

import json
import sys
import zipfile

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pytest
from affine import Affine
from made_up_map import make_grid, make_images, make_map
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from refusals import raises_naming
from shapely.geometry import shape

from deepnets4eo.damage import GRADES, DamageMap
from deepnets4eo.damage.map import PRODUCTS, MapImages
from deepnets4eo.damage.products import FURTHER, USUAL
from deepnets4eo.damage.products.content import AREAS_FILE
from deepnets4eo.damage.table.vocabulary import TITLES, UNGRADED, colors
from deepnets4eo.errors import InputError, MissingExtraError, OutputError
from deepnets4eo.files import sha256
from deepnets4eo.outputs import EventInfo

ALWAYS = set(PRODUCTS) - {AREAS_FILE, DamageMap.water_file, *FURTHER.values()}
FILES = ALWAYS | {FURTHER[name] for name in USUAL}


@pytest.fixture
def made():
    damage_map = make_map(30)
    pre, post = make_images(make_grid(), damage_map)
    return damage_map, pre, post


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_the_folder_holds_all_products_and_nothing_else(made, tmp_path):
    damage_map, pre, post = made
    paths = damage_map.save(tmp_path / "out", pre=pre, post=post)
    assert names(tmp_path / "out") == FILES == set(paths)
    assert names(tmp_path) == {"out"}
    assert all(path.is_file() for path in paths.values())


def test_further_formats_are_chosen_and_those_of_an_earlier_map_removed(made, tmp_path):
    damage_map, pre, post = made
    out = tmp_path / "out"
    assert set(damage_map.save(out, pre=pre, post=post, also=("kml", "csv"))) == FILES - {"damage.geojson"}
    (out / "notes.txt").write_text("mine")
    paths = damage_map.save(out, pre=pre, post=post, also=(), overwrite=True)
    assert names(out) == ALWAYS | {"notes.txt"}
    assert set(json.loads(paths["manifest.json"].read_text())["outputs"]) == ALWAYS - {"manifest.json"}


def test_every_format_is_written_on_request(made, tmp_path, monkeypatch):
    monkeypatch.setattr("deepnets4eo.damage.products.sheet.DPI", 20)
    damage_map, pre, post = made
    damage_map.add_areas("grid")
    damage_map.save(tmp_path / "out", pre=pre, post=post, also=tuple(FURTHER))
    assert names(tmp_path / "out") == set(PRODUCTS) - {DamageMap.water_file}


def test_an_unknown_format_is_refused_before_anything_is_written(made, tmp_path):
    damage_map, _, post = made
    with raises_naming(InputError, "'kmz'", "'kml'"):
        damage_map.save(tmp_path / "out", post=post, also=("kmz",))
    assert names(tmp_path) == set()


def test_plain_pixels_have_a_table_of_their_rows_and_columns_and_no_other_further_formats(tmp_path):
    grid = make_grid(epsg=None)
    damage_map = make_map(9, grid=grid)
    post = make_images(grid, damage_map)[1]
    assert set(damage_map.save(tmp_path / "out", post=post)) == ALWAYS | {"damage.csv"}
    with raises_naming(InputError, "--also"):
        damage_map.save(tmp_path / "other", post=post, also=("geojson",))


def test_the_event_is_in_every_product(made, tmp_path):
    damage_map, pre, post = made
    damage_map.event = EventInfo("Tornado", "Joplin", "2011-05-20", "2011-05-22", credit="NOAA", producer="Team 7")
    paths = damage_map.save(tmp_path / "out", pre=pre, post=post)
    told = damage_map.event.to_dict()
    for name in ("summary.json", "manifest.json", "damage.geojson"):
        assert json.loads(paths[name].read_text())["event"] == told, name
    assert gpd.read_parquet(paths["damage.parquet"]).attrs["event"] == told
    table = gpd.read_file(paths["damage.gpkg"], layer="event").set_index("field")["value"]
    assert (table["name"], table["date_post"], table["producer"]) == ("Tornado", "2011-05-22", "Team 7")
    assert '"event":{"name":"Tornado"' in paths["report.html"].read_text(encoding="utf-8")
    project = zipfile.ZipFile(paths["damage.qgz"]).read("damage.qgs").decode()
    for text in (paths["damage.kml"].read_text(encoding="utf-8"), project):
        assert "Building damage: Tornado, Joplin" in text
        assert "Credit: NOAA" in text


def test_the_manifest_hashes_every_other_file_and_every_input(made, tmp_path):
    damage_map, pre, post = made
    image = tmp_path / "post.tif"
    image.write_bytes(b"not read here")
    damage_map.inputs = {"post": str(image), "folder": str(tmp_path), "pre": "an array"}
    paths = damage_map.save(tmp_path / "out", pre=pre, post=post)
    manifest = json.loads(paths["manifest.json"].read_text())
    assert set(manifest["outputs"]) == FILES - {"manifest.json"}
    for name, told in manifest["outputs"].items():
        assert told == {"sha256": sha256(paths[name]), "bytes": paths[name].stat().st_size}
    assert manifest["inputs"]["post"]["sha256"] == sha256(image)
    assert "post.tif" in manifest["inputs"]["folder"]["files"]
    assert manifest["inputs"]["pre"]["sha256"] is None
    assert manifest["versions"]["deepnets4eo"]
    assert manifest["created_utc"].endswith("+00:00")


def test_a_full_folder_is_refused_without_overwrite(made, tmp_path):
    damage_map, _, post = made
    (tmp_path / "notes.txt").write_text("mine")
    with raises_naming(OutputError, "--overwrite"):
        damage_map.save(tmp_path, post=post)
    damage_map.save(tmp_path, post=post, overwrite=True)
    assert names(tmp_path) == FILES | {"notes.txt"}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    damage_map.save(tmp_path, post=post, overwrite=True)
    assert names(tmp_path) == FILES | {"notes.txt"}


@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_on_the_way_leaves_nothing(made, tmp_path, monkeypatch, exists):
    damage_map, _, post = made
    out = tmp_path / "out"
    if exists:
        out.mkdir()

    def no_space(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepnets4eo.damage.products.write.write_manifest", no_space)
    with pytest.raises(OutputError, match="No space left on device"):
        damage_map.save(out, post=post)
    assert out.exists() == exists
    assert names(tmp_path) <= {"out"}
    assert not exists or names(out) == set()


def test_a_file_in_the_place_of_the_folder_is_refused(made, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="is a file, expected a folder"):
        made[0].save(tmp_path / "out", post=made[2], overwrite=True)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("damage", "gone", "buildings.damage holds .*gone.*, expected no-damage, minor-damage"),
        ("status", "maybe", "buildings.status holds"),
        ("method", "guess", "buildings.method holds"),
        ("damage_prob", 1.5, r"outside \[0, 1\]"),
        ("id", "way/1001", "way/1001 occurs more than once"),
    ],
)
def test_values_that_do_not_fit_are_refused(column, value, message):
    damage_map = make_map(5, assessed=1.0)
    damage_map.buildings.loc[0, column] = value
    with pytest.raises(InputError, match=message):
        DamageMap(damage_map.buildings, damage_map.assessed_extent)


def test_a_grade_without_assessment_and_missing_columns_are_refused():
    damage_map = make_map(5, assessed=0.0)
    damage_map.buildings["damage"] = "destroyed"
    with raises_naming(InputError, "not_assessed"):
        DamageMap(damage_map.buildings, damage_map.assessed_extent)
    with raises_naming(InputError, "damage_prob"):
        DamageMap(damage_map.buildings.drop(columns="damage_prob"), damage_map.assessed_extent)
    with raises_naming(InputError, "assessed_extent", "0 rows", "expected 1"):
        DamageMap(make_map(5).buildings, gpd.GeoDataFrame(geometry=[]))


def test_a_map_that_holds_its_images_is_saved_without_naming_them(made, tmp_path):
    damage_map, pre, post = made
    damage_map.images = MapImages(pre, post)
    try:
        assert set(damage_map.save(tmp_path / "own")) == FILES
    finally:
        damage_map.images = None
    given = damage_map.save(tmp_path / "given", pre=pre, post=post)
    sizes = [(tmp_path / name / "report.html").stat().st_size for name in ("own", "given")]
    assert abs(sizes[0] - sizes[1]) < 100
    assert given
    with raises_naming(InputError, "Layer.open"):
        damage_map.save(tmp_path / "none")


def test_the_key_of_a_plot_stays_in_the_figure_that_the_caller_made(made):
    damage_map, _, post = made
    axes = plt.subplots()[1]
    damage_map.plot(post, axes=axes)
    axes.figure.canvas.draw()
    key = axes.get_legend().get_window_extent()
    assert key.x1 <= axes.figure.bbox.x1 + 1
    assert key.x0 >= axes.get_window_extent().x1 - 1
    counts = damage_map.buildings["damage"].fillna("not assessed").value_counts()
    lines = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(int(line.rpartition("(")[2].rstrip(")")) for line in lines) == sorted(counts)  # none of 0
    plt.close(axes.figure)


def test_the_box_of_a_map_across_180_degrees_goes_the_short_way(tmp_path):
    east = Transformer.from_crs(4326, 32701, always_xy=True).transform(-180.0, -16.8)
    grid = GeoBox((200, 200), Affine(0.5, 0, east[0] - 40, 0, -0.5, east[1] + 50), "EPSG:32701")
    made = make_map(8, grid=grid)
    item = json.loads(made.save(tmp_path, post=make_images(grid, made)[1], also=("stac",))["item.json"].read_text())
    west, south, east, north = item["bbox"]
    assert 179.99 < west < 180
    assert -180 < east < -179.99
    assert -17 < south < north < -16.7


def test_a_stac_item_has_every_product_with_its_checksum(made, tmp_path):
    damage_map, pre, post = made
    damage_map.event = EventInfo("Tornado", "Joplin", "2011-05-20", "2011-05-22T17:41Z")
    paths = damage_map.save(tmp_path / "out", pre=pre, post=post, also=("stac", "geojson", "cems"))
    item = json.loads(paths["item.json"].read_text(encoding="utf-8"))
    assert (item["type"], item["stac_version"], item["links"]) == ("Feature", "1.1.0", [])
    west, south, east, north = item["bbox"]
    lonlat = damage_map.buildings.to_crs(4326).total_bounds
    assert west <= lonlat[0] < lonlat[2] <= east
    assert south <= lonlat[1] < lonlat[3] <= north
    assert shape(item["geometry"]).bounds == (west, south, east, north)
    said = item["properties"]
    assert said["datetime"] == said["end_datetime"] == "2011-05-22T17:41:00+00:00"
    assert said["start_datetime"] == "2011-05-20T00:00:00+00:00"
    assert said["proj:code"] == "EPSG:32615"
    counts = {each["name"]: each["count"] for each in said["label:overviews"][0]["counts"]}
    assert counts == {grade: int((damage_map.buildings["damage"] == grade).sum()) for grade in GRADES}
    assets = {each["href"][2:]: each for each in item["assets"].values()}
    assert set(assets) == names(tmp_path / "out") - {"item.json", "manifest.json"}
    assert item["assets"]["labels"]["href"] == "./damage.geojson"
    for name, asset in assets.items():
        assert (asset["file:checksum"], asset["file:size"]) == (
            "1220" + sha256(paths[name]),
            paths[name].stat().st_size,
        )


def test_a_map_for_notebooks_has_every_building_in_the_colour_of_its_grade_and_asks_no_server_for_tiles(made):
    pytest.importorskip("folium")
    made[0].synthetic = True
    page = made[0].explore().get_root().render()
    buildings, legend = made[0].buildings, colors()
    assert all(f'"id": "{one}"' in page for one in buildings["id"])
    for grade, count in buildings["damage"].fillna(UNGRADED).value_counts().items():
        colour = "#" + "".join(f"{value:02x}" for value in legend[grade])
        assert page.count(f'"__folium_color": "{colour}"') == count, grade
        assert TITLES[grade] in page
    assert "(SYNTHETIC)" in page
    assert "tileLayer" not in page
    assert "tileLayer" in made[0].explore("OpenStreetMap").get_root().render()


def test_a_layer_of_lonboard_has_the_colours_of_the_grades(made):
    lonboard = pytest.importorskip("lonboard")
    layer = made[0].to_lonboard()
    assert isinstance(layer, lonboard.PolygonLayer)
    grades = layer.table["damage"].to_pylist()
    assert grades == [grade or None for grade in made[0].buildings["damage"].fillna("")]
    rgba = np.array(layer.get_fill_color.combine_chunks().to_pylist())
    assert rgba[:, :3].tolist() == [list(colors()[grade or UNGRADED]) for grade in grades]
    with raises_naming(InputError, "CRS"):
        make_map(3, grid=make_grid(epsg=None)).to_lonboard()


def test_maps_for_notebooks_name_the_extra_that_they_need(made, monkeypatch):
    for module in ("folium", "lonboard"):
        monkeypatch.setitem(sys.modules, module, None)
    for method in (made[0].explore, made[0].to_lonboard):
        with raises_naming(MissingExtraError, "deepnets4eo"):
            method()
