"""Pan-sharpening: each method against its formula in plain NumPy, the figures of quality, and the verb."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from scipy import ndimage
from scipy.ndimage import gaussian_filter

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.sharpening import pansharpen_raster
from deepnets4eo.sharpening.pansharpening import Sharpener, ergas, index_sums, spectral_angle_deg

RATIO, SIDE = 4, 256


def write(path, values, gsd_m, nodata=None):
    profile = dict(driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2], dtype="float32")
    transform = Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4_100_000)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, nodata=nodata, **profile) as target:
        target.write(values.astype(np.float32))
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A made-up sharp scene (3, 256, 256), its coarse bands and panchromatic band as arrays and files."""
    folder, rng = tmp_path_factory.mktemp("pansharpening"), np.random.default_rng(0)
    fields = np.stack(
        [ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma) * sigma for sigma in (2, 3, 6)]
    )
    mixing = np.array([[30, 20, 10], [25, -15, 30], [20, 25, 40]])
    truth = 300 + np.tensordot(mixing, fields, 1) * 3
    pan = np.tensordot((0.3, 0.4, 0.25), truth, 1)[None] + 12 + rng.normal(0, 0.5, (1, SIDE, SIDE))
    coarse = truth.reshape(3, SIDE // RATIO, RATIO, SIDE // RATIO, RATIO).mean(axis=(2, 4))
    files = write(folder / "ms.tif", coarse, 2.0), write(folder / "pan.tif", pan, 0.5)
    return truth, coarse, pan[0], *files


def moments(coarse, pan):
    low = pan.reshape(SIDE // RATIO, RATIO, SIDE // RATIO, RATIO).mean(axis=(1, 3))
    columns = np.vstack((coarse.reshape(3, -1), low.reshape(1, -1)))
    return columns.mean(axis=1), np.cov(columns, bias=True), low


def plainly_sharpened(method, coarse, pan, bands):
    """The three methods as their papers write them, on whole arrays."""
    low = moments(coarse, pan)[2]
    flat = coarse.reshape(3, -1)
    if method == "gsa":
        design = np.column_stack((flat.T, np.ones(flat.shape[1])))
        solution = np.linalg.lstsq(design, low.ravel(), rcond=None)[0]
        intensity_low = design @ solution
        gains = [np.cov(band, intensity_low, bias=True)[0, 1] / intensity_low.var() for band in flat]
        intensity = np.tensordot(solution[:3], bands, 1) + solution[3]
        return np.stack([band + gain * (pan - intensity) for band, gain in zip(bands, gains, strict=True)])
    if method == "brovey":
        mean = flat.mean(axis=0)
        matched = (pan - low.mean()) * mean.std() / low.std() + mean.mean()
        return bands * matched / bands.mean(axis=0)
    centre = flat.mean(axis=1)
    first = np.linalg.svd((flat.T - centre), full_matrices=False)[2][0]
    first = first * np.sign(np.corrcoef((flat.T - centre) @ first, low.ravel())[0, 1])
    component = (flat.T - centre) @ first
    replaced = (pan - low.mean()) * component.std() / low.std()
    shown = np.tensordot(first, bands - centre[:, None, None], 1)
    return bands + first[:, None, None] * (replaced - shown)


@pytest.mark.parametrize("method", ["gsa", "brovey", "pca"])
def test_each_method_is_its_formula_and_sharper_than_interpolation(method, scene, tmp_path):
    truth, coarse, pan, image_path, pan_path = scene
    quality = pansharpen_raster(image_path, pan_path, tmp_path / "sharp.tif", method=method)
    with rasterio.open(tmp_path / "sharp.tif") as written:
        sharp, tags, size = written.read(), written.tags(), written.res
    assert (tags["PANSHARPENING"], size) == (method, (0.5, 0.5))
    bands = np.stack([ndimage.zoom(band, RATIO, order=3, mode="nearest", grid_mode=True) for band in coarse])
    inner = np.s_[:, 16:-16, 16:-16]
    plain = plainly_sharpened(method, coarse, pan, bands)
    assert (
        np.abs(sharp - plain)[inner].mean() < 0.25 * np.abs(bands - truth)[inner].mean()
    )  # cubic kernels differ a little
    sharpener = Sharpener.from_moments(method, *moments(coarse, pan)[:2])
    np.testing.assert_allclose(sharpener.sharpen(bands, pan), plain, rtol=1e-5)
    if method == "gsa":
        assert np.abs(sharp - truth)[inner].mean() < 0.75 * np.abs(bands - truth)[inner].mean()
        assert quality.ergas < quality.ergas_cubic


def test_a_band_that_is_a_mix_of_the_bands_changes_nothing_by_gsa(scene):
    _, coarse, _, _, _ = scene
    mix = np.tensordot((0.2, 0.5, 0.3), coarse, 1) + 7
    columns = np.vstack((coarse.reshape(3, -1), mix.reshape(1, -1)))
    sharpener = Sharpener.from_moments("gsa", columns.mean(axis=1), np.cov(columns, bias=True))
    np.testing.assert_allclose(sharpener.sharpen(coarse, mix), coarse, rtol=1e-6)
    assert sharpener.weights @ sharpener.gains == pytest.approx(1)


def test_figures_of_quality_follow_their_definitions():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(1, 2, (2, 64, 64))
    blocks = [(x, y) for x in (0, 32) for y in (0, 32)]
    expected = 0.0
    for row, col in blocks:
        x, y = (one[row : row + 32, col : col + 32] for one in (a, b))
        covariance = ((x - x.mean()) * (y - y.mean())).mean()
        expected += 4 * covariance * x.mean() * y.mean() / ((x.var() + y.var()) * (x.mean() ** 2 + y.mean() ** 2))
    assert index_sums(a, b, 32) == (pytest.approx(expected), 4)
    assert index_sums(a, a, 32) == (pytest.approx(4), 4)
    a[40, 40] = np.nan
    assert index_sums(a, b, 32)[1] == 3
    bands = rng.uniform(100, 200, (3, 500))
    error = ((0.05 * bands) ** 2).mean(axis=1)
    relative = [np.sqrt(one) / mean for one, mean in zip(error, bands.mean(axis=1), strict=True)]
    assert ergas(error, bands.mean(axis=1), 0.25) == pytest.approx(25 * np.sqrt(np.mean(np.square(relative))))
    np.testing.assert_allclose(spectral_angle_deg(bands, 3 * bands), 0, atol=1e-5)
    assert spectral_angle_deg(np.array([[1.0], [0.0]]), np.array([[0.0], [2.0]])) == pytest.approx([90])


def test_the_verb_says_how_good_the_result_is_and_refuses_what_cannot_be_sharpened(scene, tmp_path, capsys):
    _, coarse, pan, image_path, pan_path = (scene[0], *scene[1:3], *map(str, scene[3:]))
    holes = np.stack([pan])
    holes[:, :40, :40] = -1
    holed, out = write(tmp_path / "holes.tif", holes, 0.5, nodata=-1), str(tmp_path / "sharp.tif")
    assert main(["layers", "pansharpen", image_path, str(holed), "brovey", "--out", out]) == 0
    shown = capsys.readouterr()
    assert "QNR 0." in shown.out
    assert "ERGAS" in shown.out
    with rasterio.open(out) as written:
        assert np.isnan(written.read()[:, :40, :40]).all()
        assert np.isfinite(written.read()[:, 41:, 41:]).all()
    turned = write(tmp_path / "turned.tif", np.stack([np.rot90(pan, 2)]), 0.5)
    assert main(["layers", "pansharpen", image_path, str(turned), "--out", out, "--overwrite"]) == 0
    assert "The detail does not fit the colours" in capsys.readouterr().out
    for words, message in (
        ([pan_path, image_path], "has 3 bands, a panchromatic image has one"),
        ([image_path, pan_path, "ihs"], "expected one of brovey, gsa, pca"),
        (
            [image_path, str(write(tmp_path / "wide.tif", coarse[:1], 2.0))],
            "a panchromatic band is finer than the image",
        ),
    ):
        assert main(["layers", "pansharpen", *words, "--out", out, "--overwrite"]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    far = write(tmp_path / "far.tif", np.stack([np.full((SIDE, SIDE), np.nan)]), 0.5)
    with pytest.raises(InputError, match="no common pixels"):
        pansharpen_raster(image_path, far, tmp_path / "none.tif")


def test_zeros_that_nothing_declares_as_no_data_stay_out_and_are_named(tmp_path):
    rng = np.random.default_rng(0)
    detail = np.stack([gaussian_filter(rng.normal(0, 1, (200, 200)), 1.5) * 300 + 800 + 50 * k for k in range(3)])
    coarse = np.round(detail.reshape(3, 100, 2, 100, 2).mean((2, 4))).astype(np.uint16)
    fine = np.round(detail.mean(0) * 0.8 + 60).astype(np.uint16)
    coarse[:, :20], fine[:40] = 0, 0
    qualities = []
    for name, nodata in (("declared", 0), ("not", None)):
        image = write_geotiff(tmp_path / f"{name}_m.tif", coarse, gsd=2.0, nodata=nodata)
        pan = write_geotiff(tmp_path / f"{name}_p.tif", fine, gsd=1.0, nodata=nodata)
        qualities.append(pansharpen_raster(image, pan, tmp_path / f"{name}.tif"))
    declared, found = (Layer.open(tmp_path / f"{name}.tif").read() for name in ("declared", "not"))
    np.testing.assert_array_equal(found[1], declared[1])
    np.testing.assert_array_equal(found[0][:, found[1]], declared[0][:, declared[1]])
    assert qualities[1][:6] == qualities[0][:6]
    assert (len(qualities[0].cautions), len(qualities[1].cautions)) == (0, 2)
    assert all("contains 0 in every band where it has no data (20%" in line for line in qualities[1].lines()[-2:])
