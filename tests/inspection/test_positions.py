"""Images without a position, with a CRS alone, and outlines in pixels: `check` counts what `damage` refuses, and both say the same."""

import json
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from deepnets4eo.cli.main import main
from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.floods import FloodOptions
from deepnets4eo.floods.date_images import open_images
from deepnets4eo.footprints import read_footprints
from deepnets4eo.inspection import inspect, overlaps
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import ImagePair

UTM = "EPSG:32615"
PLACED = {"crs": UTM, "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000)}
PLAIN = {"crs": None, "transform": Affine.identity()}
WORLD = {"crs": None, "transform": PLACED["transform"]}  # of a world file
CRS_ALONE = {"crs": UTM, "transform": Affine.identity()}
SIDE_PX = 128


def image(path: Path, seed: int = 0, **profile: object) -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, (3, SIDE_PX, SIDE_PX)).astype(np.uint8)
    return str(write_geotiff(path, pixels, **profile))


def houses(path: Path, crs: str | None, *corner: float) -> str:
    """Two houses of 9 × 9 units from a corner."""
    west, south = corner
    shapes = [box(x, south, x + 9, south + 9) for x in (west, west + 20)]
    gpd.GeoDataFrame({"id": [1, 2]}, geometry=shapes, crs=crs).to_file(path)
    return str(path)


def test_a_crs_without_a_position_is_a_problem_and_refused_by_jobs_on_the_ground(tmp_path: Path) -> None:
    pre, post = (image(tmp_path / f"{name}.tif", seed, **CRS_ALONE) for seed, name in enumerate(("pre", "post")))
    found = inspect(post)
    assert len(found.problems) == 1
    for words in (UTM, "no position", "--gsd METRES", "-a_ullr LEFT TOP RIGHT BOTTOM"):
        assert words in found.problems[0]
    assert (found.grid, "extent" in found.facts) == (None, False)
    with raises_naming(InputError, post, UTM, "--gsd METRES", "-a_ullr"):
        ImagePair.open(pre, post)
    with raises_naming(InputError, pre, UTM, "--gsd METRES"):
        open_images([pre], post, FloodOptions(), [])


def test_the_stated_size_of_a_pixel_takes_a_crs_without_a_position_as_plain_pixels(tmp_path: Path) -> None:
    pair = ImagePair.open(*(image(tmp_path / f"{k}.tif", k, **CRS_ALONE) for k in range(2)), gsd_m=0.25)
    assert pair.post.gsd_m == pytest.approx(0.25)
    assert pair.post.grid.crs.proj.is_engineering
    with raises_naming(InputError, "--gsd", "CRS"):
        Layer.open(image(tmp_path / "placed.tif", **PLACED)).with_gsd(0.25)


def test_an_image_without_georeference_is_advised_of_its_pixel_size_and_never_of_a_crs_alone(tmp_path: Path) -> None:
    (problem,) = inspect(image(tmp_path / "a.png", driver="PNG", **PLAIN)).problems
    assert problem.index("--gsd METRES") < problem.index("-a_srs EPSG:… -a_ullr LEFT TOP RIGHT BOTTOM")
    (problem,) = inspect(image(tmp_path / "world.tif", **WORLD)).problems
    assert "gdal_edit.py -a_srs" in problem
    assert "--gsd" not in problem


def test_files_apart_are_a_problem_in_the_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = PLACED | {"transform": Affine(0.5, 0, 600_000, 0, -0.5, 4_100_000)}
    paths = [image(tmp_path / "a.tif", **PLACED), image(tmp_path / "far.tif", 1, **far)]
    assert main(["check", *paths]) == 0
    said = capsys.readouterr()
    assert "2 files checked, 1 problem" in said.err
    assert f"! {paths[0]} and {paths[1]} do not overlap" in said.out


@pytest.mark.parametrize("profile", [PLAIN, PLACED], ids=["plain", "placed"])
@pytest.mark.parametrize(
    ("name", "crs", "corner"),
    [
        ("f.geojson", "EPSG:4326", (12, 100)),
        ("f.geojson", "EPSG:4326", (100, 100)),
        ("f.gpkg", "EPSG:4326", (12, 100)),
        ("f.gpkg", None, (12, 30)),
        ("f.geojson", "EPSG:4326", (12, 30)),
        ("f.gpkg", UTM, (500_010, 4_099_980)),
    ],
)
def test_check_counts_outlines_that_damage_would_not_read(
    profile: dict, name: str, crs: str | None, corner: tuple[float, float], tmp_path: Path
) -> None:
    path, outlines = image(tmp_path / "a.tif", **profile), houses(tmp_path / name, crs, *corner)
    described = [inspect(path), inspect(outlines)]
    found = overlaps(described)
    grid = Layer.open(path).grid
    try:
        footprints = read_footprints(outlines, image=grid)
        footprints.in_pixels(grid)
        footprints.check_inside(grid, path)
        refused = ""
    except DeepNets4EOError as error:
        refused = str(error)
    problems = [*described[1].problems, *found.problems]
    assert bool(problems) == bool(refused)
    assert ("coordinates" in described[1].facts) == (profile is PLAIN and not refused), "read as pixels"
    for remedy in ("--footprints-crs EPSG:…", "-swapxy"):
        assert (remedy in refused) == any(remedy in problem for problem in problems)


@pytest.mark.parametrize(
    "shape", [Polygon(), Point(12, 30), LineString([(12, 30), (40, 30)])], ids=lambda shape: shape.geom_type
)
def test_outlines_without_an_area_do_not_hinder_the_check_of_an_image_without_crs(
    shape: BaseGeometry, tmp_path: Path
) -> None:
    path, outlines = image(tmp_path / "a.tif", **PLAIN), tmp_path / "f.gpkg"
    gpd.GeoDataFrame(geometry=[shape], crs=None).to_file(outlines)
    described = [inspect(path), inspect(str(outlines))]
    assert overlaps(described) == ([], [])
    assert any("it has no CRS" in problem for problem in described[1].problems)


def test_an_image_in_the_place_of_outlines_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pre, post = (image(tmp_path / f"{k}.tif", k, **PLACED) for k in range(2))
    for profile, name in (({"driver": "PNG"} | PLAIN, "labels.png"), (PLACED, "labels.tif")):
        third = image(tmp_path / name, 2, **profile)
        assert main(["damage", pre, post, third, "--out", str(tmp_path / "out"), "--dry-run"]) == 2
        said = capsys.readouterr().err
        for words in (third, "it is an image", "deepnets4eo polygons", "GeoPackage"):
            assert words in said
        assert "ogr2ogr" not in said


def test_rasterio_warns_nobody_of_what_check_and_jobs_report(tmp_path: Path) -> None:
    paths = [image(tmp_path / f"{k}.png", k, driver="PNG", **PLAIN) for k in range(2)]
    words = [sys.executable, "-m", "deepnets4eo", "check", *paths]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert "it has no CRS" in done.stdout
    assert "NotGeoreferencedWarning" not in done.stderr


def test_outlines_of_a_world_file_are_read_by_damage_as_check_states(tmp_path: Path) -> None:
    path = image(tmp_path / "a.tif", **WORLD)
    grid = Layer.open(path).grid
    on_map, on_pixels = (
        houses(tmp_path / f"{name}.gpkg", None, *corner)
        for name, corner in (("map", (500_010, 4_099_980)), ("pixels", (20, 22)))
    )
    described = [inspect(path), inspect(on_map), inspect(on_pixels)]
    found = overlaps(described)
    assert "world file" in described[1].facts["coordinates"]
    assert any(path in line and on_map in line for line in found.lines)
    assert any("--footprints-crs pixels" in problem and on_pixels in problem for problem in found.problems)
    read = read_footprints(on_map, image=grid).in_pixels(grid)
    stated = read_footprints(on_pixels, image=grid, assume_crs="pixels")
    assert read[0].bounds == pytest.approx((20, 22, 38, 40))
    assert stated.in_pixels(grid)[0].bounds == pytest.approx((20, 22, 29, 31))
    assert stated.frame.geometry[0].bounds == pytest.approx((500_010, 4_099_984.5, 500_014.5, 4_099_989))
    with raises_naming(DeepNets4EOError, on_pixels, "a.tif"):
        read_footprints(on_pixels, image=grid).check_inside(grid, path)


def test_the_stated_size_of_a_pixel_takes_the_coordinates_of_a_world_file_away(tmp_path: Path) -> None:
    """Outlines are read in pixels if stated, and refused else, as if they were in coordinates of the world file."""
    grid = Layer.open(image(tmp_path / "a.tif", **WORLD)).with_gsd(0.25).grid
    outlines = houses(tmp_path / "f.gpkg", None, 20, 22)
    with raises_naming(InputError, outlines, "--gsd", "--footprints-crs pixels", "world file"):
        read_footprints(outlines, image=grid)
    stated = read_footprints(outlines, image=grid, assume_crs="pixels").in_pixels(grid)
    assert stated[0].bounds == pytest.approx((20, 22, 29, 31))
    plain = Layer.open(image(tmp_path / "plain.tif", **PLAIN)).with_gsd(0.25).grid
    assert read_footprints(outlines, image=plain).in_pixels(plain)[0].bounds == pytest.approx((20, 22, 29, 31))


@pytest.mark.parametrize("gsd_m", [None, 0.25])
def test_xbd_labels_are_in_pixels_of_an_image_with_a_world_file(gsd_m: float | None, tmp_path: Path) -> None:
    grid = Layer.open(image(tmp_path / "a.tif", **WORLD)).with_gsd(gsd_m).grid
    properties = {"uid": "1", "feature_type": "building"}
    features = {
        key: [{"wkt": box(*bounds).wkt, "properties": properties}]
        for key, bounds in (("lng_lat", (-93.1, 36.9, -93, 37)), ("xy", (20, 22, 29, 31)))
    }
    labels = tmp_path / "a_post_disaster.json"
    labels.write_text(json.dumps({"features": features, "metadata": {"width": SIDE_PX, "height": SIDE_PX}}))
    read = read_footprints(labels, image=grid)
    (on_ground,) = read.frame_beside(grid).geometry
    assert read.in_pixels(grid)[0].bounds == pytest.approx((20, 22, 29, 31))
    assert (~grid.affine * on_ground.bounds[:2]) == pytest.approx((20, 31))
    assert read.frame.geometry[0].bounds == pytest.approx(on_ground.bounds)


def test_tiles_of_an_image_are_one_place_and_files_elsewhere_another(tmp_path: Path) -> None:
    """Of 17 files the pairs would be 136: sixteen tiles side by side, and one file of another town."""
    array = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    paths = []
    for number in range(16):
        corner = Affine(0.5, 0, 500_000 + 4 * (number % 4), 0, -0.5, 4_000_000 - 4 * (number // 4))
        paths.append(write_geotiff(tmp_path / f"tile-{number:02d}.tif", array, transform=corner, crs="EPSG:32633"))
    two = overlaps([inspect(str(path)) for path in paths[:2]])
    assert two.problems == []
    assert "lie next to each other, as tiles of one image do: a job takes their folder" in two.lines[0]
    lines, problems = overlaps([inspect(str(path)) for path in paths])
    assert (len(lines), problems) == (1, [])
    assert lines[0].startswith(f"16 files overlap or lie next to each other: {paths[0]}, ")
    far = Affine(0.5, 0, 700_000, 0, -0.5, 4_000_000)
    paths.append(write_geotiff(tmp_path / "far.tif", array, transform=far, crs="EPSG:32633"))
    degrees = Affine(1e-5, 0, 9.0, 0, -1e-5, 36.0)
    paths.append(write_geotiff(tmp_path / "degrees.tif", array, transform=degrees, crs="EPSG:4326"))
    paths.append(write_geotiff(tmp_path / "plain.tif", array[:, :4], crs=None))
    lines, problems = overlaps([inspect(str(path)) for path in paths])
    assert lines[0].startswith("16 files overlap")
    assert lines[1].startswith(f"1 file without a position: {paths[-1]}.")
    assert len(problems) == 2
    assert problems[0].startswith(f"the files lie at 3 places that do not overlap, for example {paths[0]} and ")
    assert problems[1].startswith(f"1 of 19 files have no CRS, so no job takes all of them: {paths[-1]} has none.")
