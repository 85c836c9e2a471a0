"""Masks of clouds of a pair: nothing under them is looked at, all outputs are void there, and their area is counted."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff

from deepnets4eo.change import ChangeOptions, hide_clouds, map_change
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.pair import clouded_area, open_pair
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import Quantity, Unit
from deepnets4eo.rasters import Layer, Scene

SIDE, GSD = 160, 10.0
CHANGED, OVER_PRE, OVER_POST = np.s_[60:90, 40:80], np.s_[70:100, 60:100], np.s_[0:20, 100:150]


def write_pair(folder: Path) -> tuple[str, str]:
    rng = np.random.default_rng(0)
    ground = np.kron(rng.uniform(20, 150, (3, 40, 40)), np.ones((1, 4, 4)))
    pre, post = ground + rng.normal(0, 2, ground.shape), 1.3 * ground + 10 + rng.normal(0, 2, ground.shape)
    post[(slice(None), *CHANGED)] = np.array([240.0, 20, 120])[:, None, None] + rng.normal(0, 2, (3, 30, 40))
    pre[(slice(None), *OVER_PRE)] = post[(slice(None), *OVER_POST)] = 255  # clouds
    for name, image in (("pre", pre), ("post", post)):
        write_geotiff(folder / f"{name}.tif", image.clip(1, 255).astype(np.uint8), gsd=GSD)
    return str(folder / "pre.tif"), str(folder / "post.tif")


def write_mask(path: Path, where: tuple[slice, slice], value: int = 1, **profile: object) -> str:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[where] = value
    write_geotiff(path, mask[None], **{"gsd": GSD, **profile})
    return str(path)


def cloudy_pair(folder: Path, gsd: float, cloudy: slice) -> tuple[str, str]:
    """A pair of colours whose second image has a wide white cloud in some rows."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.uniform(20, 110, (3, 80, 80)), np.ones((1, 4, 4)))
    post = ground.copy()
    post[:, cloudy] = 245
    for name, image in (("pre", ground), ("post", post)):
        image = image + rng.normal(0, 2, image.shape)
        write_geotiff(folder / f"{name}.tif", image.clip(1, 255).astype(np.uint8), gsd=gsd)
    return str(folder / "pre.tif"), str(folder / "post.tif")


@pytest.mark.parametrize("gsd", [1.0, 10.0])
def test_much_cloud_without_a_mask_is_a_caution(tmp_path: Path, gsd: float) -> None:
    pair = open_pair(*cloudy_pair(tmp_path, gsd, np.s_[100:260]), ChangeOptions(assume_registered=True))
    (finding,) = [finding for finding in pair.findings if finding.code.startswith("clouds")]
    assert (finding.code, finding.severity) == ("clouds_post", "caution")
    assert 0.45 < finding.values["share"] < 0.7  # with its soft border
    assert "--cloud-mask-post" in finding.remedy


def test_a_clear_pair_has_no_caution_of_clouds(tmp_path: Path) -> None:
    pair = open_pair(*cloudy_pair(tmp_path, 1.0, np.s_[0:0]), ChangeOptions(assume_registered=True))
    assert not [finding for finding in pair.findings if finding.code.startswith("clouds")]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("clouds")
    pre, post = write_pair(folder)
    masks = write_mask(folder / "clouds_pre.tif", OVER_PRE), write_mask(folder / "clouds_post.tif", OVER_POST, 255)
    options = ChangeOptions(assume_registered=True, cloud_mask_pre=masks[0], cloud_mask_post=masks[1])
    return map_change(pre, post, folder / "out", options), folder


def clouded() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[OVER_PRE] = mask[OVER_POST] = True
    return mask


def test_every_raster_has_no_data_under_the_clouds_of_either_date_and_only_there(mapped) -> None:
    _, folder = mapped
    for name in ("change.tif", "score.tif"):
        data, valid = Layer.open(folder / "out" / name).read()
        np.testing.assert_array_equal(valid, ~clouded())
        assert (data[0][clouded()] == 255).all()


def test_the_change_beside_the_clouds_is_found_and_no_polygon_lies_under_them(mapped) -> None:
    change, folder = mapped
    labels, _ = Layer.open(folder / "out" / "change.tif").read()
    truth = np.zeros((SIDE, SIDE), bool)
    truth[CHANGED] = True
    found = labels[0] == 1
    assert found[truth & ~clouded()].mean() > 0.9
    assert found[~truth & ~clouded()].mean() < 0.02
    assert change.polygons["area_m2"].sum() == pytest.approx(found.sum() * GSD**2)


def test_the_hidden_area_is_counted_in_summary_and_page(mapped) -> None:
    change, folder = mapped
    hectare = GSD**2 / 1e4
    pre, post = 30 * 40 * hectare, 20 * 50 * hectare
    clouds = change.summary["clouds"]
    assert clouds["by_layer_ha"] == pytest.approx({"image_pre": pre, "image_post": post})
    assert clouds["either_ha"] == pytest.approx(pre + post)
    assert clouds["share"] == pytest.approx(clouded().mean())
    assert change.summary["area"]["seen_ha"] == pytest.approx((~clouded()).sum() * hectare)
    page = (folder / "out" / "report.html").read_text()
    both, *dates = (Quantity(hectares, Unit.hectares).text() for hectares in (pre + post, pre, post))
    assert f"{both} ({clouded().mean():.1%}); before {dates[0]}, after {dates[1]}" in page


def test_without_masks_the_clouds_are_change_and_nothing_is_counted(mapped, tmp_path: Path) -> None:
    _, folder = mapped
    plain = map_change(folder / "pre.tif", folder / "post.tif", tmp_path / "out", ChangeOptions(assume_registered=True))
    labels, valid = Layer.open(tmp_path / "out" / "change.tif").read()
    assert valid.all()
    assert (labels[0][clouded()] == 1).mean() > 0.9
    assert "clouds" not in plain.summary


def test_a_mask_of_another_grid_moves_with_its_image(tmp_path: Path) -> None:
    """A coarser mask of pre, and an image of pre that lies three pixels to the right of where its metadata say."""
    pre, post = write_pair(tmp_path)
    coarse = np.zeros((SIDE // 4, SIDE // 4), np.uint8)
    coarse[10:20, 5:15] = 1
    write_geotiff(tmp_path / "m.tif", coarse[None], gsd=4 * GSD)
    pair = open_pair(pre, post, ChangeOptions(assume_registered=True, cloud_mask_pre=str(tmp_path / "m.tif")))
    expected = np.kron(coarse, np.ones((4, 4))) == 0
    np.testing.assert_array_equal(pair.scene.layers[DateLayers.pre].read()[1], expected)
    image = Layer.open(pre).read()[0]
    write_geotiff(tmp_path / "moved.tif", image, transform=Affine(GSD, 0, 500_030, 0, -GSD, 5_000_000))
    write_geotiff(tmp_path / "n.tif", coarse[None], transform=Affine(4 * GSD, 0, 500_030, 0, -4 * GSD, 5_000_000))
    moved = open_pair(tmp_path / "moved.tif", post, ChangeOptions(cloud_mask_pre=str(tmp_path / "n.tif")))
    assert moved.registration.shift_m == pytest.approx(30, abs=3)
    valid = moved.scene.layers[DateLayers.pre].read()[1]
    assert (valid == expected)[:, 5:-5].mean() > 0.98


def test_masks_that_are_none_are_refused_with_their_option(tmp_path: Path) -> None:
    pre, post = write_pair(tmp_path)

    def refused(mask: str, match: str, error: type[Exception] = InputError) -> None:
        with pytest.raises(error, match=match):
            open_pair(pre, post, ChangeOptions(assume_registered=True, cloud_mask_post=mask))

    refused(pre, "--cloud-mask-post .*pre.tif has 3 bands")
    refused(write_mask(tmp_path / "zero.tif", OVER_PRE, nodata=0), "declares 0 as nodata, but 0 is clear")
    far = write_mask(tmp_path / "far.tif", OVER_PRE, transform=Affine(GSD, 0, 900_000, 0, -GSD, 5_000_000))
    refused(far, "--cloud-mask-post", GridError)
    refused(write_mask(tmp_path / "all.tif", np.s_[:, :]), "post.tif shows no valid pixel of the common ground")


def test_hidden_area_is_summed_over_windows_by_the_size_of_their_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """In degrees, pixels of a northern window are smaller. Clouds of two dates overlap, and pre ends before they do."""
    rng = np.random.default_rng(1)
    rows, cols = 48, 40
    grid = Grid((rows, cols), Affine(0.1, 0, 20, 0, -0.1, 61), "EPSG:4326")
    image = rng.integers(1, 200, (1, rows, cols)).astype(np.uint8)
    image[:, :, 36:] = 0  # without data
    clouds = np.zeros((2, rows, cols), np.uint8)
    clouds[0, 10:30, 5:25] = clouds[1, 20:46, 15:40] = 1
    image_layer = Layer.open(image, grid=grid, nodata=0)
    layers = {
        name: hide_clouds(image_layer, Layer.open(mask[None], grid=grid), grid)
        for name, mask in zip((DateLayers.pre, DateLayers.post), clouds, strict=True)
    }
    monkeypatch.setattr(Scene, "blocks", partialmethod(Scene.blocks, 16))
    area = clouded_area(Scene(layers), [DateLayers.pre, DateLayers.post])
    top = np.radians(61 - 0.1 * np.arange(rows + 1))
    strip = 6371.0072**2 * np.radians(0.1) * (np.sin(top[:-1]) - np.sin(top[1:])) * 100  # hectares of a pixel of a row
    seen = (image[0] > 0) * strip[:, None]
    assert area is not None
    by_layer = {
        name: pytest.approx((seen * mask).sum(), rel=0.01)
        for name, mask in zip((DateLayers.pre, DateLayers.post), clouds, strict=True)
    }
    assert area.by_layer == by_layer
    assert area.either_ha == pytest.approx((seen * clouds.any(axis=0)).sum(), rel=0.01)
    assert area.visible_ha == pytest.approx(seen.sum(), rel=0.01)
    assert area.share == pytest.approx(area.either_ha / area.visible_ha)
    plain = Scene({DateLayers.pre: image_layer, DateLayers.post: image_layer})
    assert clouded_area(plain, [DateLayers.pre, DateLayers.post]) is None
