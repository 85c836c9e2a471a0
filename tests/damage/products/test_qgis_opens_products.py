"""QGIS itself opens the products of a damage map; skipped where no interpreter has its Python modules."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_map import make_grid, make_images, make_map
from PIL import Image

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.products.qgis_layout import (
    CAUTION_BOX,
    LEGEND_BOX,
    MAP_BOX,
    NORTH_BOX,
    RED,
    SCALE_BOX,
    SOURCES_BOX,
)
from deepnets4eo.damage.review import write_sample
from deepnets4eo.damage.review.counts import ANSWERS
from deepnets4eo.damage.table.vocabulary import UNGRADED, colors
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import Layer

SCRIPT = Path(__file__).with_name("open_in_qgis.py")
INTERPRETERS = (sys.executable, "/usr/bin/python3", "/Applications/QGIS.app/Contents/MacOS/bin/python3")


def qgis_environment():
    """Without a window, and without our packages, which are of another interpreter."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"QT_QPA_PLATFORM": "offscreen"}


@cache
def qgis_interpreter():
    """The first interpreter that imports QGIS, or None."""
    for python in INTERPRETERS:
        probe = [python, "-c", "import qgis.core, qgis.gui"]
        if Path(python).exists() and not subprocess.run(probe, env=qgis_environment(), capture_output=True).returncode:
            return python
    return None


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A saved map, what QGIS reports of it, what it draws: the map and the printed page."""
    python = qgis_interpreter()
    if python is None:
        pytest.skip("QGIS is not installed with its Python modules (Debian: python3-qgis, qgis-providers)")
    folder = tmp_path_factory.mktemp("qgis")
    grid = make_grid()
    damage_map = make_map(20, grid=grid)
    damage_map.event = EventInfo("Flood", "Derna", producer="Team 7")
    damage_map.findings = (Finding("coarse", "caution", {"message": "Pixels are large."}),)
    damage_map.extent_without_outlines = damage_map.assessed_extent.copy()
    damage_map.add_areas("grid:50")
    images = {}
    for name, image in zip(("pre", "post"), make_images(grid, damage_map), strict=True):
        write_geotiff(folder / f"{name}.tif", image.read()[0], crs=grid.crs, transform=grid.affine)
        images[name] = Layer.open(folder / f"{name}.tif")
    damage_map.save(folder / "out", **images)
    write_sample(folder / "out" / "review.gpkg", folder / "out" / "damage.parquet", looks=6)
    command = [python, str(SCRIPT), *(str(folder / name) for name in ("out", "map.png", "page.png"))]
    done = subprocess.run(command, env=qgis_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pictures = []
    for name in ("map.png", "page.png"):
        with Image.open(folder / name) as picture:
            pictures.append(np.asarray(picture.convert("RGB")).astype(int))
    return damage_map, json.loads(done.stdout.splitlines()[-1]), *pictures


def counts_by_grade(damage_map):
    grades = damage_map.buildings["damage"].astype(object).where(damage_map.buildings["damage"].notna(), UNGRADED)
    return {grade: int((grades == grade).sum()) for grade in (*GRADES, UNGRADED)}


def test_every_layer_of_the_project_is_in_its_tree_and_valid(opened):
    _, report, *_ = opened
    project = report["project"]
    assert project["read"]
    assert project["error"] == ""
    assert project["title"] == "Building damage: Flood, Derna"
    assert "Producer: Team 7" in project["abstract"]
    names = ["Buildings by visible damage", "Assessed extent", "Imaged ground without outlines"]
    names += ["post.tif", "pre.tif"]
    assert [layer["name"] for layer in project["layers"]] == names  # QGIS drops those whose keys it does not accept
    assert len(project["keys"]) == len(names) + 2, "confidence and areas are there, and not shown at first"
    assert all(layer["valid"] and layer["crs"] == "EPSG:32615" for layer in project["layers"])
    assert project["crs"] == "EPSG:32615"
    left, bottom, right, top = project["view"]
    assert left < 360_000 < 360_128 < right
    assert bottom < 4_099_872 < 4_100_000 < top


def test_buildings_are_drawn_by_grade_and_images_in_colour(opened):
    damage_map, report, picture, _ = opened
    buildings, *_, post, pre = report["project"]["layers"]
    assert buildings["renderer"] == "categorizedSymbol"
    assert buildings["drawn"] == counts_by_grade(damage_map)
    assert buildings["features"] == len(damage_map.buildings) == sum(buildings["drawn"].values())
    assert buildings["map_tip"]
    assert post["renderer"] == pre["renderer"] == "multibandcolor"
    for grade, count in counts_by_grade(damage_map).items():
        near = np.abs(picture - colors()[grade]).max(axis=2) < 12
        assert near.sum() >= 20 * count, grade  # an outline of at least 10 m, drawn 7 pixels a metre


def test_each_theme_shows_its_layers(opened):
    _, report, *_ = opened
    around = ["Assessed extent", "Imaged ground without outlines", "post.tif", "pre.tif"]
    assert {name: sorted(layers) for name, layers in report["project"]["themes"].items()} == {
        "damage": sorted(["Buildings by visible damage", *around]),
        "confidence": sorted(["Confidence in the grade", *around]),
        "areas": sorted(["Share of damaged buildings by area", *around]),
        "before": ["Assessed extent", "pre.tif"],
        "after": ["Assessed extent", "post.tif"],
    }


def test_the_layout_prints_map_legend_and_caution(opened):
    damage_map, report, _, page = opened
    (layout,) = report["project"]["layouts"]
    assert layout == {
        "name": "Damage map", "theme": "damage", "follows": True, "printed": True,
        "legend": ["Buildings by visible damage", "Assessed extent", "Imaged ground without outlines"],
    }  # fmt: skip
    dots_per_mm = page.shape[1] / 297
    assert page.shape[0] == pytest.approx(210 * dots_per_mm, abs=1)

    def part(left, top, width, height):
        rows, columns = (
            slice(round(a * dots_per_mm), round((a + b) * dots_per_mm)) for a, b in ((top, height), (left, width))
        )
        return page[rows, columns]

    for grade, count in counts_by_grade(damage_map).items():
        if grade != UNGRADED and count:
            near = [np.abs(part(*box) - colors()[grade]).max(axis=2) < 25 for box in (MAP_BOX, LEGEND_BOX)]
            assert all(each.sum() >= 20 for each in near), grade
    red = np.abs(part(*CAUTION_BOX) - RED).max(axis=2) < 60
    assert red.sum() >= 50, "letters of the caution"
    for box in (SCALE_BOX, NORTH_BOX, SOURCES_BOX):
        assert (part(*box) < 80).all(axis=2).sum() >= 50, box


def test_the_geopackage_brings_its_styles(opened):
    damage_map, report, *_ = opened
    tables = {table["name"]: table for table in report["damage.gpkg"]}
    assert all(table["valid"] for table in tables.values())
    styled = {name for name, table in tables.items() if table["default_style"]}
    assert styled == {
        "buildings",
        "assessed_extent",
        "imaged_without_outlines",
        "areas",
    }  # the others are tables without shapes
    assert tables["buildings"]["drawn"] == counts_by_grade(damage_map)
    assert tables["buildings"]["fields"] == ["fid", *damage_map.buildings.columns.drop("geometry")]


def test_geojson_and_kml_open_with_all_buildings_on_the_earth(opened):
    damage_map, report, *_ = opened
    (geojson,) = report["damage.geojson"]
    assert (geojson["features"], geojson["crs"]) == (len(damage_map.buildings), "EPSG:4326")
    folders = [table for table in report["damage.kml"] if table["features"]]
    assert sum(table["features"] for table in folders) == len(damage_map.buildings)
    for table in (geojson, *folders):
        assert table["valid"]
        assert table["crs"] == "EPSG:4326"
        assert table["valid_geometries"] == table["features"]
    assert {table["renderer"] for table in folders} == {"embeddedSymbol"}  # the colours that the file has


def test_a_sample_is_filled_in_its_project_by_a_list_of_answers(opened):
    _, report, *_ = opened
    review = report["review"]
    assert review["read"]
    assert review["valid"]
    assert review["crs"] == "EPSG:32615"
    assert (review["features"], review["drawn"]) == (6, {"open": 6, "answered": 0})
    assert (review["widget"], review["answers"]) == ("ValueMap", [[answer] for answer in ANSWERS])
    assert review["saved"]
    assert review["drawn_then"] == {"open": 5, "answered": 1}
    assert review["first"] == "damage_map_review"
    hidden = [key for key, checked in review["checked"].items() if not checked]
    assert sorted(hidden) == [f"damage_map_{name}" for name in ("areas", "buildings", "buildings_by_confidence")], (
        "the map leads no answer"
    )
