"""`deepnets4eo register` prints the result and writes it."""

import json

import geopandas as gpd
import pytest
from affine import Affine
from moved_place import UTM, as_layer, houses, moved, noisy, place, roofs

from deepnets4eo.cli.main import main
from deepnets4eo.grid import whole
from deepnets4eo.rasters.cog import CogWriter


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    outlines = houses(0, 49, 200.0)
    image = roofs(outlines, (400, 400))
    for name, data in (
        ("pre", moved(image, Affine.translation(6, 4))),
        ("post", noisy(image)),
        ("other", place(8, (400, 400))),
    ):
        layer = as_layer(data)
        with CogWriter(folder / f"{name}.tif", layer.grid, count=1, dtype="uint8") as writer:
            writer.write(whole(layer.grid), layer.read()[0])
    gpd.GeoDataFrame({"id": range(49)}, geometry=outlines, crs=UTM).to_file(folder / "houses.gpkg")
    return folder


def test_it_says_where_things_lie_and_writes_json_and_tie_points(files, tmp_path, capsys):
    arguments = ["register", f"{files}/pre.tif", f"{files}/post.tif", "--footprints", f"{files}/houses.gpkg"]
    assert main([*arguments, "--json", f"{tmp_path}/r.json", "--tie-points", f"{tmp_path}/ties.gpkg"]) == 0
    said = capsys.readouterr().out
    assert "registration: ok" in said or "registration: degraded" in said
    told = json.loads((tmp_path / "r.json").read_text())
    assert (told["dx_m"], told["dy_m"]) == pytest.approx((3, 2), abs=0.15)
    assert (told["footprints"]["dx_m"], told["footprints"]["dy_m"]) == pytest.approx((3, 2), abs=0.3)
    assert f"in the pre image {told['dx_m']:+.2f} m right, {told['dy_m']:+.2f} m down\n" in said
    measured = told["measured"]
    scales = f"scale {measured['scale_min']:.4f}–{measured['scale_max']:.4f}"
    assert f"  model: {told['model']}, {scales}, rotation {measured['rotation_deg']:.3f}°\n" in said
    assert f"hold-out residual: {told['residual_m']:.2f} m ({told['residual_px']:.2f} px of 0.50 m)\n" in said
    assert f"tie points: {told['inliers']} of {told['tie_points']} agree; of {measured['tested']} held out, " in said
    before_and_after = f"{measured['ncc_before']:.3f} as georeferenced, {measured['ncc_after']:.3f} registered"
    assert f"gradient correlation: {before_and_after}\n" in said
    moved_by = told["footprints"]
    assert f"footprints: {moved_by['status']}\n" in said
    assert f"must move {moved_by['dx_m']:+.2f} m right, {moved_by['dy_m']:+.2f} m down to follow the pre" in said
    assert f"; {moved_by['own']} of 49 keep an offset of their own" in said
    ties = gpd.read_file(tmp_path / "ties.gpkg")
    assert len(ties) == told["tie_points"]
    assert {"dx_m", "dy_m", "quality", "inlier", "holdout"} <= set(ties.columns)


def test_json_on_stdout_stands_alone(files, capsys):
    assert main(["register", f"{files}/pre.tif", f"{files}/post.tif", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "translation"


def test_a_failed_registration_has_exit_status_1(files, capsys):
    assert main(["register", f"{files}/other.tif", f"{files}/post.tif"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("registration: failed (")
    assert "raise --max-shift or --max-rotation" in said
    assert "lie in the pre image" not in said
    assert "model:" not in said


def test_a_missing_file_is_named(files, capsys):
    assert main(["register", f"{files}/nothing.tif", f"{files}/post.tif"]) == 2
    assert "nothing.tif" in capsys.readouterr().err
