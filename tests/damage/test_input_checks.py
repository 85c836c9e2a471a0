"""Noise, one image twice, reversed dates and undeclared nodata are seen before any work, and real pictures pass."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from geotiff import write_geotiff
from made_up_town import GRID, layer, photo
from refusals import raises_naming

from deepnets4eo.damage.files.foreseen import foreseen_reasons
from deepnets4eo.damage.images.checks import check_images, neighbour_correlations
from deepnets4eo.damage.opening import open_pair
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import undeclared_nodata
from deepnets4eo.registration import ImagePair

BEFORE, AFTER = photo(after=False), photo(after=True)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, BEFORE.shape, np.uint8)


def write_image(path: Path, image: np.ndarray, **tags: str) -> str:
    return str(write_geotiff(path, image, crs=GRID.crs, transform=GRID.affine, tags=tags))


def test_two_pictures_of_one_town_pass() -> None:
    checked = check_images(ImagePair(layer(BEFORE), layer(AFTER)))
    assert checked.findings == ()
    assert checked.pre is not None


@pytest.mark.parametrize("scale", [1, 4])
def test_a_post_image_of_noise_is_refused_in_fine_and_coarse_grains(scale: int) -> None:
    grains = np.kron(noise()[:, : 512 // scale, : 512 // scale], np.ones((1, scale, scale), np.uint8))
    with pytest.raises(InputError, match="looks like noise"):
        check_images(ImagePair(layer(BEFORE), layer(grains)))


def test_speckle_is_left_to_the_check_for_radar() -> None:
    speckle = np.random.default_rng(0).gamma(1, 60, (1, 512, 512)).clip(1, 255).astype(np.uint8)
    assert check_images(ImagePair(None, layer(speckle))).findings == ()


def test_a_post_image_of_one_value_is_refused() -> None:
    with pytest.raises(InputError, match="one single value"):
        check_images(ImagePair(None, layer(np.full_like(AFTER, 77))))


def test_a_pre_image_of_noise_is_left_out() -> None:
    checked = check_images(ImagePair(layer(noise()), layer(AFTER)))
    assert checked.pre is None
    assert [finding.code for finding in checked.findings] == ["pre_without_structure"]


def test_correlations_are_those_of_the_definition() -> None:
    image = np.random.default_rng(3).normal(size=(96, 80)).cumsum(axis=0).cumsum(axis=1)
    centred = image - image.mean()
    down = (centred[1:] * centred[:-1]).mean() / centred.var()
    right = (centred[:, 1:] * centred[:, :-1]).mean() / centred.var()
    found = neighbour_correlations(image)
    assert found[0] == pytest.approx((down + right) / 2)
    assert np.isnan(found[1])  # 20 cells along a side say little


def test_one_file_given_twice_is_refused(tmp_path) -> None:
    path = write_image(tmp_path / "a.tif", AFTER)
    (tmp_path / "link.tif").symlink_to(path)
    with pytest.raises(InputError, match="one image"):
        check_images(ImagePair(Layer.open(path), Layer.open(tmp_path / "link.tif")))


def test_one_image_in_two_files_is_refused(tmp_path) -> None:
    first, second = write_image(tmp_path / "a.tif", AFTER), write_image(tmp_path / "b.tif", AFTER, SOFTWARE="other")
    with raises_naming(InputError, "PRE"):
        check_images(ImagePair(Layer.open(first), Layer.open(second)))


def test_two_bands_of_one_file_are_two_images(tmp_path) -> None:
    path = write_image(tmp_path / "both.tif", np.stack([BEFORE[0], AFTER[0]]))
    assert check_images(ImagePair(Layer.open(path, bands=[1]), Layer.open(path, bands=[2]))).findings == ()


@pytest.mark.parametrize("value", [-9999, -32768])
def test_undeclared_nodata_is_declared_and_named(tmp_path, value: int) -> None:
    image = AFTER.astype(np.int16)
    image[:, :, 300:] = value
    for opened in (layer(image), Layer.open(write_image(tmp_path / "post.tif", image))):
        checked = check_images(ImagePair(layer(BEFORE), opened))
        assert [finding.code for finding in checked.findings] == ["undeclared_nodata_post"]
        assert str(value) in checked.findings[0].message
        assert f"--nodata {value}" in checked.findings[0].remedy
        assert not checked.post.read()[1][:, 300:].any()
        assert checked.post.read()[1][:, :300].all()


def test_values_that_occur_in_pictures_are_no_nodata() -> None:
    assert undeclared_nodata(layer(AFTER.astype(np.int16))) is None
    assert undeclared_nodata(layer(AFTER)) is None


def test_an_image_with_a_colour_table_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "p.tif", AFTER[:1])
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {value: (value, 0, 255 - value) for value in range(256)})
    with raises_naming(InputError, "p.tif"):
        ImagePair.open(None, path)


def test_buildings_are_foreseen_as_cut_below_seven_tenths_and_as_outside_below_three() -> None:
    grid = Grid((40, 40), Affine(1, 0, 500_000, 0, -1, 4_000_000), "EPSG:32615")
    shares = (1.0, 0.7, 0.69, 0.31, 0.29, 0.0)  # inside, of outlines of 10 m by 10 m across the left border
    outlines = np.array([*(shapely.box(10 * share - 10, 4, 10 * share, 14) for share in shares), shapely.Polygon(), shapely.box(5, 5, 7, 6)], object)  # fmt: skip
    post = Layer.open(np.full((1, 40, 40), 7, np.uint8), grid=grid)
    frame = gpd.GeoDataFrame(geometry=outlines)
    inputs: Any = SimpleNamespace(outlines_px=outlines, post=post, footprints=SimpleNamespace(frame=frame))
    found = foreseen_reasons(inputs).tolist()
    assert found == ["", "", Reason.CUT, Reason.CUT, Reason.OUTSIDE, Reason.OUTSIDE, Reason.EMPTY, Reason.SMALL]


def test_the_pixel_size_that_is_assumed_is_the_size_that_every_step_takes() -> None:
    images = [np.random.default_rng(seed).integers(1, 255, (3, 64, 64)).astype(np.uint8) for seed in (0, 1)]
    assumed, stated, other = (open_pair(*images, Settings(gsd_m=gsd_m)) for gsd_m in (None, 0.5, 0.3))
    assert (assumed.pre.grid, assumed.post.grid) == (stated.pre.grid, stated.post.grid)
    assert assumed.post.gsd_m == pytest.approx(0.5)
    assert other.post.gsd_m == pytest.approx(0.3)
    assert "A pixel size of 0.5 m was assumed" in assumed.findings[0].message
    assert [[found.code for found in pair.findings] for pair in (assumed, stated, other)] == [
        ["pixel_size_assumed"],
        [],
        [],
    ]
