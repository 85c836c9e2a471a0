"""Colours of an orthophoto at points: those of the pixel that a point lies on."""

from pathlib import Path

import laspy
import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from made_up_clouds import ORIGIN, NeighbourCount, scattered, write_las
from rasterio.enums import ColorInterp
from refusals import raises_naming

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.grid import Window
from deepnets4eo.points import (
    LabelJob,
    LabelOptions,
    Orthophoto,
    PointCloud,
    colourise_cloud,
    label_cloud,
    labelling,
    open_cloud,
)
from deepnets4eo.rasters import Layer

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (4, 100, 100)).astype(np.uint8)


@pytest.fixture
def ortho(tmp_path: Path) -> Path:
    """Pixels of 0.5 m over the points, in their CRS."""
    top_left = (ORIGIN[0], ORIGIN[1] + 50)
    return write_geotiff(
        tmp_path / "ortho.tif", IMAGE, crs="EPSG:2154", origin=top_left, gsd=0.5, photometric="RGB", alpha="NO"
    )


def expected(xyz: np.ndarray) -> np.ndarray:
    """The pixel of each point, by hand: (N, 4)."""
    columns = np.floor((xyz[:, 0] - ORIGIN[0]) / 0.5).astype(int)
    rows = np.minimum(np.floor((ORIGIN[1] + 50 - xyz[:, 1]) / 0.5).astype(int), 99)  # on the southern edge
    return IMAGE[:, rows, columns].T


def test_points_have_the_colour_of_their_pixel(tmp_path: Path, ortho: Path) -> None:
    path = write_las(tmp_path / "a.laz", scattered(500), point_format=6)
    assert colourise_cloud(path, Orthophoto(ortho, all_returns=True), tmp_path / "out.laz") == 0
    cloud, stored = open_cloud(tmp_path / "out.laz").read(), laspy.read(tmp_path / "out.laz")
    assert stored.header.point_format.id == 8
    np.testing.assert_array_equal(np.column_stack([cloud.colour, cloud.near_infrared]), expected(cloud.xyz))
    np.testing.assert_array_equal(stored.deviation, laspy.read(path).deviation)
    assert stored.red.max() > 255


@pytest.mark.parametrize("how", ["names", "interpretation"])
def test_colours_are_read_in_the_order_that_the_bands_state(how: str, tmp_path: Path, ortho: Path) -> None:
    order = [3, 2, 0, 1] if how == "names" else [2, 1, 0, 3]  # near infrared first; blue, green, red
    top_left = (ORIGIN[0], ORIGIN[1] + 50)
    path = write_geotiff(tmp_path / "b.tif", IMAGE[order], crs="EPSG:2154", origin=top_left, gsd=0.5)
    with rasterio.open(path, "r+") as file:
        if how == "names":
            file.descriptions = ("nir", "blue", "red", "green")
        else:
            file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
    cloud = open_cloud(write_las(tmp_path / "a.laz", scattered(100), point_format=6)).read()
    coloured, _ = Orthophoto(path, all_returns=True).colourise(cloud)
    np.testing.assert_array_equal(np.column_stack([coloured.colour, coloured.near_infrared]), expected(cloud.xyz))
    near, _ = Orthophoto(ortho, path, all_returns=True).colourise(cloud)
    first = expected(cloud.xyz)[:, 3 if how == "names" else 2]  # by its name, else the first band
    np.testing.assert_array_equal(near.near_infrared, first)


def test_each_block_of_the_orthophoto_is_read_only_as_far_as_its_points_reach(ortho: Path, monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.points.colourise.BLOCK_PX", 40)
    pixels = [(3, 5), (17, 9), (39, 39), (0, 40), (41, 99), (99, 99)]  # rows, columns
    xyz = np.array([(ORIGIN[0] + (col + 0.5) / 2, ORIGIN[1] + 50 - (row + 0.5) / 2, 0.0) for row, col in pixels])
    opened = Orthophoto(ortho, all_returns=True)  # which looks at the whole image for undeclared nodata
    read, windows = Layer.read, set()

    def watched(layer: Layer, window: Window) -> tuple[np.ndarray, np.ndarray]:
        windows.add((window.row, window.col, window.height, window.width))
        return read(layer, window)

    monkeypatch.setattr(Layer, "read", watched)
    coloured, _ = opened.colourise(PointCloud(xyz))
    assert windows == {(3, 5, 37, 35), (0, 40, 1, 1), (41, 99, 1, 1), (99, 99, 1, 1)}
    np.testing.assert_array_equal(coloured.colour, expected(xyz)[:, :3])


def test_later_returns_stay_black_unless_all_are_coloured(tmp_path: Path, ortho: Path) -> None:
    cloud = open_cloud(write_las(tmp_path / "a.laz", scattered(500))).read()
    coloured, without = Orthophoto(ortho).colourise(cloud)
    later = cloud.return_number > 1
    assert 0 < later.sum() < 500
    assert without == 0
    assert not coloured.colour[later].any()
    np.testing.assert_array_equal(coloured.colour[~later], expected(cloud.xyz)[~later, :3])


def test_points_beyond_the_orthophoto_are_counted(ortho: Path) -> None:
    xyz = np.vstack([scattered(10), scattered(7) + [1000, 0, 0]])
    coloured, without = Orthophoto(ortho).colourise(PointCloud(xyz))
    assert without == 7
    assert not coloured.colour[10:].any()


def test_an_orthophoto_of_another_crs_is_met_through_it(tmp_path: Path, ortho: Path) -> None:
    from pyproj import Transformer

    xyz = scattered(200) + 0.003  # no point on the edge of a pixel
    lonlat = Transformer.from_crs("EPSG:2154", "EPSG:32631", always_xy=True).transform(xyz[:, 0], xyz[:, 1])
    path = write_las(tmp_path / "a.laz", np.column_stack([*lonlat, xyz[:, 2]]), crs="EPSG:32631", scale=1e-4)
    coloured, _ = Orthophoto(ortho, all_returns=True).colourise(open_cloud(path).read())
    assert (coloured.colour == expected(xyz)[:, :3]).mean() > 0.999  # points on an edge may change sides


def test_an_orthophoto_elsewhere_or_without_colours_is_refused(tmp_path: Path, ortho: Path) -> None:
    far = write_las(tmp_path / "far.laz", scattered(10) + [9000, 0, 0])
    with raises_naming(InputError, "ortho.tif", "far.laz"):
        colourise_cloud(far, Orthophoto(ortho), tmp_path / "out.laz")
    assert not (tmp_path / "out.laz").exists()
    with pytest.raises(InputError, match="covers no point"):
        label_cloud(far, NeighbourCount(needs=("colour",)), tmp_path / "out.laz", orthophoto=Orthophoto(ortho))
    grey = write_geotiff(tmp_path / "grey.tif", IMAGE[:1], crs="EPSG:2154")
    with raises_naming(InputError, "grey.tif", "1 bands"):
        Orthophoto(grey)
    words = write_geotiff(tmp_path / "words.tif", IMAGE.astype(np.uint16), crs="EPSG:2154")
    with raises_naming(InputError, "uint16", "8"):
        Orthophoto(words)
    with raises_naming(OutputError, "ortho.tif"):
        colourise_cloud(far, Orthophoto(ortho), ortho, overwrite=True)


def test_a_labeller_is_given_the_colours(tmp_path: Path, ortho: Path) -> None:
    seen = []

    class Greener(NeighbourCount):
        def scores(self, cloud: PointCloud) -> np.ndarray:
            seen.append((cloud.colour, cloud.near_infrared))
            return super().scores(cloud)

    path = write_las(tmp_path / "a.laz", scattered(100))
    labeller = Greener(needs=("colour", "near_infrared"))
    label_cloud(path, labeller, tmp_path / "out.laz", orthophoto=Orthophoto(ortho, all_returns=True))
    colour, near_infrared = seen[0]
    xyz = np.asarray(laspy.read(path).xyz)
    assert sorted(map(tuple, np.column_stack([colour, near_infrared]))) == sorted(map(tuple, expected(xyz)))


def test_points_of_a_job_that_lie_beyond_the_orthophoto_are_counted_once_and_said(
    tmp_path: Path, ortho: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(labelling, "MIN_POINTS", 100)
    xyz = scattered(600) + [25, 0, 0]  # the orthophoto ends at 50 m
    beyond = int((xyz[:, 0] > ORIGIN[0] + 50).sum())
    path, image = write_las(tmp_path / "a.laz", xyz), Orthophoto(ortho)
    options = LabelOptions(memory_bytes=1)
    result = label_cloud(path, NeighbourCount(), tmp_path / "out.laz", options, orthophoto=image)
    assert 0 < beyond < 600
    assert result.without_colour == result.to_dict()["without_colour"] == beyond
    assert f"{beyond} lie beyond the orthophoto and are black." in result.summary()
    assert f"{beyond} of 600 points lie beyond" in caplog.text
    inside = label_cloud(
        write_las(tmp_path / "b.laz", scattered(60)), NeighbourCount(), tmp_path / "in.laz", orthophoto=image
    )
    assert (inside.without_colour, "beyond" in inside.summary()) == (0, False)


def test_points_beyond_the_orthophoto_are_counted_in_a_resumed_job_too(
    tmp_path: Path, ortho: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "MIN_POINTS", 100)
    xyz = scattered(600) + [25, 0, 0]
    path, out = write_las(tmp_path / "a.laz", xyz), tmp_path / "out.laz"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(labelling, "_write", lambda *words, **options: 1 / 0)
        label_cloud(path, NeighbourCount(), out, LabelOptions(memory_bytes=1), orthophoto=Orthophoto(ortho))
    again, labeller = LabelOptions(memory_bytes=1, resume=True), NeighbourCount()
    result = label_cloud(path, labeller, out, again, orthophoto=Orthophoto(ortho))
    assert labeller.calls == 0
    assert result.without_colour == (xyz[:, 0] > ORIGIN[0] + 50).sum()


def test_a_job_and_its_dry_run_refuse_the_same_inputs_before_finished_work_goes(tmp_path: Path, ortho: Path) -> None:
    path, labeller, out = write_las(tmp_path / "a.laz", scattered(10)), NeighbourCount(), tmp_path / "out.laz"
    finished = tmp_path / ".partial-scratch-out.laz" / "labelled" / "0.npz"
    assert "10 points" in LabelJob.plan(path, labeller, out, orthophoto=Orthophoto(ortho)).describe()
    with pytest.raises(OutputError, match=r"Name it \.laz or \.las"):
        LabelJob.plan(path, labeller, tmp_path / "out.txt")
    laspy.LasData(laspy.LasHeader(version="1.4", point_format=6)).write(tmp_path / "empty.las")
    unplaced = write_geotiff(tmp_path / "unplaced.tif", IMAGE, crs=None, origin=(0, 100), gsd=1.0)
    elsewhere = write_las(tmp_path / "far.laz", scattered(10) + [9000, 0, 0])
    again = LabelOptions(overwrite=True)
    for names, cloud, options, image in (
        (["missing.laz"], path, LabelOptions(neighbours=(tmp_path / "missing.laz",), overwrite=True), None),
        (["empty.las"], tmp_path / "empty.las", again, None),
        (["empty.las"], path, LabelOptions(neighbours=(tmp_path / "empty.las",), overwrite=True), None),
        (["unplaced.tif", "a.laz"], path, again, unplaced),
        (["ortho.tif", "far.laz"], elsewhere, again, ortho),
    ):
        finished.parent.mkdir(parents=True, exist_ok=True)
        finished.touch()
        job = LabelJob.plan(cloud, labeller, out, options, None if image is None else Orthophoto(image))
        for call in (job.describe, job.run):
            with raises_naming(InputError, *names):
                call()
        assert finished.exists()


@pytest.mark.real_data
def test_real_roofs_and_trees_have_the_colours_of_the_real_orthophoto(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "ign_lidar_hd"
    path, out = folder / "test_data_77055_627760_LA93_IGN69.laz", tmp_path / "out.laz"
    ortho = Orthophoto(folder / "test_data_rgb.tif", folder / "test_data_irc.tif")
    assert colourise_cloud(path, ortho, out) == 3  # on white pixels, which its nodata value calls void
    cloud = open_cloud(out).read()
    first = cloud.return_number == 1
    with rasterio.open(folder / "test_data_rgb.tif") as raster:
        sampled = np.array(list(raster.sample(cloud.xyz[first][::50, :2])))[:, :3]
    within = (np.round(cloud.xyz[first][::50, :2] * 100).astype(int) % 20 != 0).all(axis=1)  # pixels of 20 cm
    assert within.mean() > 0.8
    np.testing.assert_array_equal(cloud.colour[first][::50][within], sampled[within])
    red, near = cloud.colour[:, 0].astype(float), cloud.near_infrared.astype(float)
    ndvi = (near - red) / np.maximum(near + red, 1)
    trees, roofs = first & (cloud.classification == 5), first & (cloud.classification == 6)
    assert np.median(ndvi[trees]) > np.median(ndvi[roofs]) + 0.15
