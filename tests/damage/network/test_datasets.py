"""The three layouts, written from made-up cities and read again."""

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from geotiff import write_geotiff
from made_up_pairs import GSD_M, SIDE_PX, make_city, pixel_outlines, write_bright, write_xbd
from rasterio.features import rasterize
from refusals import raises_naming
from scipy import ndimage

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.network import read_pairs
from deepnets4eo.damage.network.datasets import _column_grades
from deepnets4eo.damage.network.pairs import MAX_OPEN
from deepnets4eo.damage.network.recipe import DamageData
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.grid import Window, whole
from deepnets4eo.rasters import Layer


def read(*folders: Path, **keys: object) -> list:
    return read_pairs(DamageData(folders=tuple(map(str, folders)), **keys))


def test_xbd_buildings_have_their_grade_and_their_pixels(tmp_path):
    pairs = read(write_xbd(tmp_path / "tier3", (3, 4)))
    assert [(pair.name, pair.event) for pair in pairs] == [
        ("made-up-event-0_00000004", "made-up-event-0"),
        ("made-up-event-1_00000003", "made-up-event-1"),
    ]
    pair, city = pairs[1], make_city(3)
    assert pair.grades[1:].tolist() == [GRADES.index(name) for name in city.buildings["damage"][1:]]
    assert pair.gsd_m == GSD_M
    painted = pair.outlines.paint(whole(pair.grid))
    shapes = [(outline, row + 1) for row, outline in enumerate(pixel_outlines(city))]
    assert (painted + 1 == rasterize(shapes, out_shape=city.shape)).all()
    data, _ = pair.scene.layers["post"].read()
    assert (data == city.post.image[:3]).all()


def test_unclassified_buildings_are_ignored_and_counted(tmp_path):
    pair = read(write_xbd(tmp_path, (3,), unclassified=2))[0]
    assert pair.grades[:2].tolist() == [255, 255]
    assert pair.ignored == {"un-classified": 2}
    assert (read(write_xbd(tmp_path / "none", (3,), unclassified=99), layout="xbd")[0].grades == 255).all()


def test_a_folder_of_xbd_folders_is_read_and_images_without_buildings_are_left_out(tmp_path):
    write_xbd(tmp_path / "a", (3,))
    write_xbd(tmp_path / "b", (4,))
    empty = {"features": {"xy": [], "lng_lat": []}, "metadata": {}}
    (tmp_path / "b" / "labels" / "made-up-event-0_00000004_post_disaster.json").write_text(json.dumps(empty))
    assert [pair.name for pair in read(tmp_path)] == ["made-up-event-1_00000003"]


def test_bright_masks_become_buildings_and_radar_is_repeated(tmp_path):
    pair = read(write_bright(tmp_path, (4,)))[0]
    mask, _ = Layer.open(tmp_path / "target" / f"{pair.name}_building_damage.tif").read()
    expected = 0
    for value, grade in ((1, 0), (2, 2), (3, 3)):
        labelled, count = ndimage.label(mask[0] == value)
        large = int((np.bincount(labelled.ravel(), minlength=count + 1)[1:] >= 9).sum())
        assert int((pair.grades == grade).sum()) == large
        expected += large
    assert len(pair.outlines) == expected
    painted = pair.outlines.paint(whole(pair.grid))
    assert (np.isin(mask[0][painted >= 0], (1, 2, 3))).all()
    post, _ = pair.scene.layers["post"].read()
    assert post.shape == (3, SIDE_PX, SIDE_PX)
    assert (post == post[:1]).all()


def test_outlines_of_brights_instance_challenge_are_read_where_they_touch_too(tmp_path):
    folder = write_bright(tmp_path, (4,))
    shutil.rmtree(folder / "target")
    rings = {1: [10, 10, 20, 10, 20, 20, 10, 20], 3: [20, 10, 30, 10, 30, 20, 20, 20]}
    card = {"annotations": [{"category_id": value, "segmentation": [ring]} for value, ring in rings.items()]}
    path = folder / "target_instance_level" / "made-up-event-0_00000004_instance_damage.json"
    path.parent.mkdir()
    path.write_text("\ufeff" + json.dumps(card), encoding="utf-8")
    pair = read(folder)[0]
    assert (pair.name, pair.event, pair.grades.tolist()) == ("made-up-event-0_00000004", "made-up-event-0", [0, 3])
    assert np.bincount(pair.outlines.paint(whole(pair.grid)).ravel() + 1)[1:].tolist() == [100, 100]
    for segmentation in ({"counts": "x"}, [[1, 2, 3]], [["a", "b"]], [[1e999, 0, 5, 5, 5, 0]], 7, None):
        path.write_text(json.dumps({"annotations": [{"category_id": 1, "segmentation": segmentation}]}))
        with raises_naming(InputError, "made-up-event-0_00000004_instance_damage.json"):
            read(folder)
    for value in (7, 300, -1, 10**30):
        path.write_text(json.dumps({"annotations": [{"category_id": value, "segmentation": []}]}))
        with raises_naming((InputError, LabelError), "made-up-event-0_00000004_instance_damage.json"):
            read(folder)


def test_a_city_is_read_by_patterns_and_registered(tmp_path):
    make_city(4).write(tmp_path / "c4")
    keys = {"labels_layer": "buildings", "grade_column": "damage"}
    as_they_lie = read(tmp_path, **keys, register_images=False)[0]
    assert as_they_lie.name == "c4"
    assert as_they_lie.grades.tolist() == [GRADES.index(name) for name in make_city(4).buildings["damage"]]
    assert as_they_lie.synthetic
    with raises_naming(InputError, "'grade'"):
        read(tmp_path, labels_layer="buildings", grade_column="grade")
    with pytest.raises(LabelError, match="grades no building: found .*expected no-damage"):
        read(tmp_path, labels_layer="buildings", grade_column="roof")


def test_a_column_with_words_that_are_no_grades_is_refused():
    words = ["Destroyed", "Affected", "cannot-tell", None]
    shapes = [shapely.box(2 * k, 0, 2 * k + 1, 1) for k in range(4)]
    outlines = read_footprints(gpd.GeoDataFrame({"state": words}, geometry=shapes, crs=32633))
    with pytest.raises(LabelError, match=r"no grades: Affected \(1\)\. Expected no-damage"):
        _column_grades(outlines, "state")
    outlines.attributes["state"] = ["Destroyed", "Major Damage", "cannot-tell", None]
    assert _column_grades(outlines, "state")[0].tolist() == [3, 2, 255, 255]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux lists them")
def test_many_pairs_keep_few_files_open(tmp_path):
    folder = write_xbd(tmp_path, (3,))
    for path in [*folder.rglob("*.png"), *folder.rglob("*.json")]:
        for number in range(100, 160):
            shutil.copy(path, path.with_name(path.name.replace("00000003", f"{number:08d}")))
    for pair in (pairs := read(folder)):
        pair.scene.read(Window(0, 0, 8, 8))
    opened = [link for link in Path("/proc/self/fd").iterdir() if str(link.resolve()).startswith(str(tmp_path))]
    assert len(pairs) == 60 + 1
    assert 0 < len(opened) <= 2 * MAX_OPEN


def test_folders_that_are_not_as_the_layout_has_them_are_refused(tmp_path):
    with pytest.raises(InputError, match="no data were given"):
        read()
    with pytest.raises(InputError, match="nowhere is not a folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no folders images, labels, which the layout xbd needs"):
        read(tmp_path, layout="xbd")
    with pytest.raises(InputError, match="no file in .* matches"):
        read(tmp_path)
    for part in ("pre-event", "post-event", "target"):
        (tmp_path / part).mkdir()
    with raises_naming(InputError, "_building_damage.tif"):
        read(tmp_path)


def test_labels_without_their_image_or_of_another_size_are_refused(tmp_path):
    folder = write_xbd(tmp_path / "x", (3,))
    (folder / "images" / "made-up-event-1_00000003_pre_disaster.png").unlink()
    with raises_naming(InputError, "made-up-event-1_00000003_pre_disaster.png"):
        read(folder)
    bright = write_bright(tmp_path / "b", (3,))
    target = bright / "target" / "made-up-event-1_00000003_building_damage.tif"
    write_geotiff(target, np.ones((9, 9), np.uint8), crs=None)
    with raises_naming(InputError, "128", "9"):
        read(bright)


@pytest.mark.parametrize("content", ["{", "[]", '{"features": {"xy": [{"wkt": "POINT"}]}}', '{"features": {}}'])
def test_label_files_that_are_none_are_named(tmp_path, content):
    folder = write_xbd(tmp_path, (3,))
    (folder / "labels" / "made-up-event-1_00000003_post_disaster.json").write_text(content)
    with raises_naming(InputError, "made-up-event-1_00000003_post_disaster.json"):
        read(folder)


@pytest.mark.real_data
def test_the_joplin_labels_are_read_and_foreign_classes_counted(real_data):
    keys = {"layers": {"pre": "pre", "post": "post", "labels": "damage_labels.geojson"}}
    pair = read(real_data / "joplin", layout="vector", register_images=False, **keys)[0]
    assert np.bincount(pair.grades)[:4].tolist() == [13, 16, 19, 110]
    assert pair.ignored == {"no-building": 22}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((("metadata", "gsd"), value) for value in (float("nan"), -1, 0, 1e400, -1e400, "x", True, [0.5])),
        *((("features", "xy", 0, "wkt"), value) for value in (["POINT (0 0)"], None, 3, "POLYGON ((", ["a", ["b"]])),
        (("features", "xy"), {"a": 1}),
        (("metadata",), None),
    ],
)
def test_labels_of_xbd_that_cannot_be_are_refused(place, value, tmp_path):
    folder = write_xbd(tmp_path / "tier3", (3,))
    path = next((folder / "labels").glob("*_post_disaster.json"))
    content = json.loads(path.read_text())
    node = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=path.stem):
        read(folder)
