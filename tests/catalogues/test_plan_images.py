"""The images of a plan: cropped to its box, read by blocks also at addresses, and made into a damage map."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.shutil
import shapely
from geotiff import write_geotiff
from pyproj import Transformer
from refusals import raises_naming

from deepnets4eo.catalogues import Plan, foreign_findings
from deepnets4eo.catalogues.candidates import PlannedImage
from deepnets4eo.catalogues.plan import MARGIN_DEG
from deepnets4eo.cli.main import main
from deepnets4eo.degree_boxes import Box
from deepnets4eo.errors import GridError, InputError, OutputError
from deepnets4eo.formats import allow_user_files
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

CRS = "EPSG:32631"
LEFT, TOP = 500_000.0, 5_000_000.0
NOISE = np.random.default_rng(0).integers(1, 255, (3, 600, 1200)).astype(np.uint8)


def degrees(left: float, bottom: float, right: float, top: float) -> Box:
    return Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform_bounds(left, bottom, right, top)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two halves of the noise as COGs in one folder, and a raster without CRS."""
    folder = tmp_path_factory.mktemp("tiles")
    paths = []
    for name, col in (("west", 0), ("east", 600)):
        plain = write_geotiff(folder / f"{name}_.tif", NOISE[:, :, col : col + 600], crs=CRS, origin=(LEFT + col, TOP))
        rasterio.shutil.copy(plain, folder / f"{name}.tif", driver="COG", blocksize=128, overviews="NONE")
        plain.unlink()
        paths.append(str(folder / f"{name}.tif"))
    write_geotiff(folder / "nowhere.tif", NOISE, crs=None)
    return paths


BOX = degrees(LEFT + 560, TOP - 320, LEFT + 660, TOP - 200)


def crop(files: list[str], out: Path, box: Box = BOX, angle: float | None = None) -> Layer:
    """The image of a plan beside the plan `out`, as the job opens it: `box` is that of the plan and its margin."""
    image = PlannedImage(files=files, off_nadir_deg=angle)
    within = [box[0] + MARGIN_DEG, box[1] + MARGIN_DEG, box[2] - MARGIN_DEG, box[3] - MARGIN_DEG]
    return Layer.open(Plan(box=within, date="2023-02-06", after=image).crop("after", out))


def test_the_copy_of_tiles_is_one_raster_of_the_box_and_made_once(tiles: list[str], tmp_path: Path) -> None:
    layer = crop(tiles, tmp_path / "plan.yaml", angle=32)
    assert layer.paths == [str(tmp_path / "plan_after.tif")]
    whole = Layer.open(tiles).read()[0]
    col, row = (round(value) for value in ~Layer.open(tiles).grid.affine * (layer.grid.affine.c, layer.grid.affine.f))
    height, width = layer.shape
    assert 0 <= 560 - col <= 3
    assert 0 <= 200 - row <= 3
    assert 100 <= width <= 107
    assert 120 <= height <= 127
    values, valid = layer.read()
    np.testing.assert_array_equal(values, whole[:, row : row + height, col : col + width])
    assert valid.all()
    assert layer.tags["OFF_NADIR"] == "32"
    made = (tmp_path / "plan_after.tif").stat().st_mtime_ns
    crop(tiles, tmp_path / "plan.yaml", angle=32)
    assert (tmp_path / "plan_after.tif").stat().st_mtime_ns == made
    small = crop(tiles[:1], tmp_path / "plan.yaml", degrees(LEFT + 10, TOP - 110, LEFT + 110, TOP - 10))
    assert small.shape[0] < 110
    write_geotiff(tmp_path / "own_after.tif", NOISE)
    with raises_naming(OutputError, "own_after.tif"):
        crop(tiles, tmp_path / "own.yaml")


def test_an_image_that_was_replaced_under_its_name_is_copied_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the same size and grid: the copy is known by more than names. One that is gone leaves the copy, which is said."""
    path, out = tmp_path / "image.tif", tmp_path / "plan.yaml"
    for image in (NOISE, 255 - NOISE):
        write_geotiff(path, image, crs=CRS, origin=(LEFT, TOP))
        values, _ = crop([str(path)], out).read()
        row, col = (round(value) for value in reversed(~Layer.open(path).grid.affine * _corner(tmp_path)))
        np.testing.assert_array_equal(values, image[:, row : row + values.shape[1], col : col + values.shape[2]])
    assert caplog.text == ""
    path.unlink()
    np.testing.assert_array_equal(crop([str(path)], out).read()[0], values)
    assert "It is not known whether the image after is still the one" in caplog.text
    tags = json.dumps(Layer.open(tmp_path / "plan_after.tif").tags)
    assert "image.tif" not in tags


def test_a_plan_says_what_it_reads_outside_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a VRT may not: a plan of others names any file. What the user named on the command line is no surprise."""
    folder, secret = tmp_path / "plans", tmp_path / "private" / "image.tif"
    folder.mkdir()
    for path in (secret, folder / "image.tif"):
        write_geotiff(path, NOISE, crs=CRS, origin=(LEFT, TOP))
    (folder / "link.tif").symlink_to(secret)
    for file, names in (("image.tif", ()), ("../private/image.tif", (secret,)), ("link.tif", (folder / "link.tif",))):
        plan = Plan(box=list(BOX), date="2023-02-06", after=PlannedImage(files=[str(folder / file)]))
        findings = foreign_findings(plan, folder / "plan.yaml")
        assert [one.code for one in findings] == ["plan_reads_elsewhere"] * len(names)
        with allow_user_files([str(secret.parent)]):
            assert foreign_findings(plan, folder / "plan.yaml") == []
    address = PlannedImage(files=["https://me:SECRET@far.org/a.tif?sig=x"])
    plan = Plan(box=list(BOX), date="2023-02-06", after=address, outlines=str(secret))
    text = " ".join(one.message for one in foreign_findings(plan, folder / "plan.yaml"))
    assert f"reads files outside its folder: {secret}." in text
    assert "reads images from far.org." in text
    local = plan.model_copy(update={"after": PlannedImage(files=[str(secret)])})
    local.save(folder / "plan.yaml")
    assert main(["damage", str(folder / "plan.yaml"), "--out", str(tmp_path / "out")]) != 0  # outlines that are none
    assert f"CAUTION: The plan {folder / 'plan.yaml'} reads files outside its folder" in capsys.readouterr().err


def _corner(folder: Path) -> tuple[float, float]:
    affine = Layer.open(folder / "plan_after.tif").grid.affine
    return affine.c, affine.f


def test_gaps_between_tiles_stay_without_data(tmp_path: Path) -> None:
    files = [
        str(write_geotiff(tmp_path / f"{k}.tif", NOISE[:, :200, :200], crs=CRS, origin=(LEFT + k * 200, TOP - k * 200)))
        for k in (0, 1)
    ]
    _, valid = crop(files, tmp_path / "plan.yaml", degrees(LEFT + 100, TOP - 300, LEFT + 300, TOP - 100)).read()
    assert valid.mean() == pytest.approx(0.5, abs=0.02)


def test_a_box_beyond_the_images_and_an_image_without_crs_are_refused(tiles: list[str], tmp_path: Path) -> None:
    out = tmp_path / "plan.yaml"
    with raises_naming(GridError, "west.tif", "9", "10"):
        crop(tiles, out, (9, 9, 10, 10))
    with raises_naming(GridError, "nowhere.tif", "CRS"):
        crop([str(Path(tiles[0]).with_name("nowhere.tif"))], out)
    with pytest.raises(InputError, match="does not exist"):
        crop(["nothing.tif", *tiles], out)
    assert list(tmp_path.iterdir()) == []


def test_of_tiles_at_addresses_only_the_blocks_in_the_box_are_read(tiles: list[str], tmp_path: Path) -> None:
    folder, out = Path(tiles[0]).parent, tmp_path / "plan.yaml"
    server = Path(__file__).parents[1] / "formats" / "range_server.py"
    with subprocess.Popen([sys.executable, str(server), str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            root = f"http://127.0.0.1:{process.stdout.readline().strip()}"
            remote = [f"{root}/{Path(path).name}" for path in tiles]
            copied = crop(remote, out).read()[0]
        finally:
            process.kill()
    np.testing.assert_array_equal(copied, crop(tiles, tmp_path / "local.yaml").read()[0])
    np.testing.assert_array_equal(crop(remote, out).read()[0], copied)  # without the server
    with pytest.raises(InputError, match="could not be copied|cannot be read|is not a raster"):
        crop(remote, tmp_path / "other.yaml")
    served = [line.split() for line in (folder / "served.txt").read_text().splitlines()]
    assert {name for name, _ in served} == {"west.tif", "east.tif"}  # and nothing beside them
    assert sum(int(count) for _, count in served) < sum(Path(path).stat().st_size for path in tiles) / 3


def test_damage_takes_a_plan_with_its_event_outlines_and_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city = City(seed=1, size_px=256)
    images = {}
    for role, date in (("before", city.pre), ("after", city.post)):
        grid = date.grid
        write_geotiff(
            tmp_path / f"{role}.tif",
            date.image,
            crs=grid.crs.to_wkt(),
            transform=grid.affine,
            tags={"SYNTHETIC": "yes"},
        )
        images[role] = PlannedImage(
            files=[str(tmp_path / f"{role}.tif")], name=role, time="2023-02-01T10:00Z" if role == "before" else "2023-02-08", sensor=f"sat-{role}",
            gsd_m=0.3, covered=60, off_nadir_deg=35 if role == "after" else 0, licence="CC-BY-4.0", credit="Provider",
        )  # fmt: skip
    city.footprints().to_file(tmp_path / "houses.gpkg")
    extent = city.post.grid.extent.to_crs("EPSG:4326").boundingbox
    box = [extent.left, extent.bottom, 0.75 * extent.left + 0.25 * extent.right, extent.top]
    plan = Plan(box=box, date="2023-02-06", event={"name": "Quake"}, **images, outlines=str(tmp_path / "houses.gpkg"))
    plan.save(tmp_path / "plan.yaml")
    words = [
        "damage",
        str(tmp_path / "plan.yaml"),
        "--out",
        str(tmp_path / "out"),
        "--set",
        "network=no",
        "--assume-registered",
        "--water",
        "none",
        "--also",
        "none",
        "--event",
        "producer=Team",
    ]
    assert main([*words, "--dry-run"]) == 0
    assert "would be assessed" in capsys.readouterr().out
    assert main(words) in (0, 3)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    codes = {one["code"] for one in manifest["findings"]}
    assert {"views_differ", "after_off_nadir", "before_covers_a_part"} <= codes
    written = json.dumps(manifest) + (tmp_path / "out" / "summary.json").read_text()
    for text in ("Quake", "Team", "2023-02-01T10:00Z", "sat-after", "Provider (CC-BY-4.0)"):
        assert text in written
    table = gpd.read_file(tmp_path / "out" / "damage.gpkg").to_crs("EPSG:4326")
    inside = shapely.box(*box).buffer(2 * MARGIN_DEG)
    graded = table[table["status"] == "assessed"]
    assert 0 < len(graded) < len(table)
    assert Layer.open(tmp_path / "plan_after.tif").tags["SYNTHETIC"] == "yes"
    assert graded.intersects(inside).all()
    assert main(["damage", str(tmp_path / "before.tif"), "--out", str(tmp_path / "other")]) == 2
    assert "expected PRE, POST and FOOTPRINTS, or only a plan" in capsys.readouterr().err
