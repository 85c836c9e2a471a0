"""`deepnets4eo register` prints the result and writes it."""

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff
from moved_place import UTM, as_layer, houses, moved, noisy, place, roofs
from odc.geo.geobox import GeoBox

from deepnets4eo.cli.main import main
from deepnets4eo.cli.register import _read_outlines
from deepnets4eo.grid import transform_shapes, whole
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.registration import ImagePair, RegisterOptions

pytestmark = pytest.mark.usefixtures("registered_once")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    outlines = houses(0, 49, 200.0)
    image = roofs(outlines, (400, 400))
    for name, data in (
        ("pre", moved(image, Affine.translation(6, 4))),
        ("post", noisy(image)),
        ("other", place(8, (220, 220))),
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
    assert "raise --set max_shift_m" in said
    assert "raise --set max_rotation_deg" in said
    assert "lie in the pre image" not in said
    assert "model:" not in said


def test_a_missing_file_is_named(files, capsys):
    assert main(["register", f"{files}/nothing.tif", f"{files}/post.tif"]) == 2
    assert "nothing.tif" in capsys.readouterr().err


def footprints_shift(pre, post, *words, to):
    assert main(["register", str(pre), str(post), "--footprints", *map(str, words), "--json", str(to)]) == 0
    found = json.loads(to.read_text())["footprints"]
    return found["dx_m"], found["dy_m"]


def test_layer_and_crs_of_the_footprints_can_be_said(files, tmp_path, capsys):
    outlines = gpd.read_file(files / "houses.gpkg")
    several = tmp_path / "several.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 9, 9)], crs=UTM).to_file(several, layer="parcels")
    outlines.set_crs("EPSG:32755", allow_override=True).to_file(several, layer="houses")
    pair = files / "pre.tif", files / "post.tif"
    assert main(["register", *map(str, pair), "--footprints", str(several)]) == 2
    assert "several layers" in capsys.readouterr().err
    words = several, "--set", "layer=houses", "--footprints-crs", UTM
    assert footprints_shift(*pair, *words, to=tmp_path / "r.json") == pytest.approx((3, 2), abs=0.3)


@pytest.fixture(scope="module")
def plain(files, tmp_path_factory):
    """The pair as images without CRS, and the outlines in their pixels."""
    folder = tmp_path_factory.mktemp("plain")
    for name in ("pre", "post"):
        write_geotiff(folder / f"{name}.png", Layer.open(files / f"{name}.tif").read()[0], crs=None, driver="PNG")
    outlines = gpd.read_file(files / "houses.gpkg")
    grid = Layer.open(files / "pre.tif").grid
    pixels = transform_shapes(~grid.affine, outlines.geometry.to_numpy())
    (folder / "pixels.geojson").write_text(gpd.GeoDataFrame(outlines[["id"]], geometry=pixels).to_json())
    labels = [{"properties": {"uid": str(at)}, "wkt": shapely.to_wkt(shape)} for at, shape in enumerate(pixels)]
    (folder / "xbd.json").write_text(json.dumps({"features": {"xy": labels}, "metadata": {}}))
    return folder


@pytest.mark.parametrize("words", [["pixels.geojson"], ["xbd.json"], ["pixels.geojson", "--footprints-crs", "pixels"]])
def test_footprints_of_images_without_crs_are_in_pixels(plain, tmp_path, words):
    pair, named = (plain / "pre.png", plain / "post.png"), [plain / words[0], *words[1:]]
    assert footprints_shift(*pair, *named, to=tmp_path / "r.json") == pytest.approx((6, 4), abs=0.6)


def test_without_crs_pixels_of_footprints_are_those_of_the_post_image(plain):
    """PRE has a transform and no CRS, POST neither."""
    image = np.zeros((1, 400, 400), np.uint8)
    pre = Layer.open(image, grid=GeoBox((400, 400), Affine.translation(1000, 500), None))
    post = Layer.open(image, grid=GeoBox((400, 400), Affine.identity(), None))
    read = _read_outlines(str(plain / "xbd.json"), ImagePair(pre, post), RegisterOptions())
    written = [shapely.from_wkt(one["wkt"]) for one in json.loads((plain / "xbd.json").read_text())["features"]["xy"]]
    assert shapely.equals(read.geometry.to_numpy(), np.array(written)).all()


def test_a_crs_of_footprints_that_the_images_lack_is_refused_before_anything_is_measured(plain, files, capsys):
    pair = [f"{plain}/pre.png", f"{plain}/post.png"]
    assert main(["register", *pair, "--footprints", f"{files}/houses.gpkg", "--footprints-crs", UTM]) in {1, 2}
    said = capsys.readouterr()
    assert "the image has no CRS but the footprints" in said.err
    assert "registration" not in said.out


def test_an_image_without_crs_takes_the_other_ones_for_the_footprints(plain, files, tmp_path):
    shift = footprints_shift(plain / "pre.png", files / "post.tif", files / "houses.gpkg", to=tmp_path / "r.json")
    assert shift == pytest.approx((3, 2), abs=0.3)


@pytest.mark.parametrize("option", [("--set", "layer=x"), ("--footprints-crs", "x")])
def test_options_of_footprints_need_footprints(files, capsys, option):
    assert main(["register", f"{files}/pre.tif", f"{files}/post.tif", *option]) == 2
    assert "--set layer and --footprints-crs belong to footprints" in capsys.readouterr().err
