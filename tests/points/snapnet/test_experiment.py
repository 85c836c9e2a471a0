"""The experiment with SnapNet: rows that resolve, clouds that it writes, and halves that share no point."""

from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_clouds import ORIGIN, scattered, write_las as write_cloud
from made_up_field import make_cloud, write_las

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"

import semantic3d_snapnet as experiment  # noqa: E402

from deepnets4eo.points import open_cloud  # noqa: E402
from deepnets4eo.points.snapnet.recipe import SnapNetRecipe  # noqa: E402
from deepnets4eo.synthetic import City  # noqa: E402
from deepnets4eo.training import load_recipe  # noqa: E402


@pytest.mark.parametrize("name", experiment.ROWS)
@pytest.mark.parametrize("few", [[], experiment.SMOKE])
def test_small_rows_resolve(name, few):
    legend = f"legend={experiment.CITY_LEGEND}"
    recipe, _ = load_recipe(experiment.AERIAL, overrides=[legend, *experiment.SMALL, *experiment.ROWS[name], *few])
    assert isinstance(recipe, SnapNetRecipe)
    assert recipe.train.keep == "last"  # no epoch is chosen by the clouds that are tested on


@pytest.mark.parametrize("name", experiment.PUBLISHED_RECIPES)
def test_rows_on_semantic3d_resolve(name):
    overrides = experiment.semantic3d_overrides(name, Path("runs"), 0)
    recipe, _ = load_recipe(experiment.PUBLISHED_RECIPES[name], overrides=[*overrides, *experiment.SMOKE_AROUND])
    assert recipe.legend == "semantic3d"
    assert (recipe.model.options.get("frozen") is True) == (name == experiment.SNAPNET)
    if name == experiment.SNAPNET:  # a comma separates the runs that the two streams start from
        started = [str(experiment.run_folder(Path("runs"), one)) for one in experiment.ALONE]
        assert recipe.model.encoder_weights.split(",") == started


def test_a_copy_of_a_cloud_has_the_colours_of_an_orthophoto(tmp_path):
    cloud = write_cloud(tmp_path / "a.las", scattered(200), point_format=6)
    image = np.full((3, 100, 100), 7, np.uint8)
    ortho = write_geotiff(tmp_path / "ortho.tif", image, crs="EPSG:2154", origin=(ORIGIN[0], ORIGIN[1] + 50), gsd=0.5)
    copy = experiment.write_coloured(cloud, ortho, tmp_path / "out")
    coloured = open_cloud(copy).read()
    assert (coloured.colour[coloured.return_number == 1] == 7).all()
    assert open_cloud(cloud).read().colour is None
    assert experiment.write_coloured(cloud, tmp_path / "none.tif", tmp_path / "out") == copy  # a copy is used again


def test_text_beside_clouds_is_no_scan_of_semantic3d(tmp_path):
    (tmp_path / "scan.txt").write_text("0 0 0 1 2 3 4\n")
    assert experiment.has_scans_of_text(tmp_path)
    write_cloud(tmp_path / "tile.las", scattered(20))
    assert not experiment.has_scans_of_text(tmp_path)
    assert not experiment.has_scans_of_text(tmp_path / "tile.las")


def test_halves_share_no_point(tmp_path):
    cloud = make_cloud()
    experiment.write_halves(write_las(cloud, tmp_path / "field.las"), tmp_path / "halves")
    west, east = (open_cloud(tmp_path / "halves" / f"{name}.las").read() for name in ("west", "east"))
    assert len(west) + len(east) == len(cloud)
    assert west.xyz[:, 0].max() < east.xyz[:, 0].min()
    np.testing.assert_array_equal(west.colour[0], cloud.colour[0])


def test_points_of_the_city_have_the_colours_of_its_image_and_codes_of_the_legend(tmp_path):
    cloud = open_cloud(experiment.write_city(1, tmp_path, experiment.SMOKE_PX)).read()
    known = {one["value"] for one in experiment.CITY_LEGEND["classes"]} | set(experiment.CITY_LEGEND["file_values"])
    assert set(np.unique(cloud.classification)) <= known
    image = City(1, experiment.SMOKE_PX, 0.5).image[:3].reshape(3, -1).T
    assert set(map(tuple, cloud.colour.tolist())) <= set(map(tuple, image.tolist()))


def test_scores_are_cells_of_a_table():
    scores = {"mean_iou": 0.5, "overall_accuracy": 0.75, "seen_share": 1.0, "iou": {"a": 0.25, "b": None}}
    assert experiment.cells([scores], ["a"], "iou") == [[0.5], [0.75], [1.0], [0.25]]
    assert np.isnan(experiment.cells([scores], ["b"], "iou")[3][0])
