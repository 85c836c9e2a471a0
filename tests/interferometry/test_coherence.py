"""Coherence of simulated speckle whose coherence, fringes and looks are known, and its drop as evidence of damage."""

from pathlib import Path

import numpy as np
import pytest
from coherence import next_date, plain_coherence, speckle, with_fringe
from geotiff import write_geotiff
from refusals import raises_naming
from scipy.ndimage import gaussian_filter1d

from deepnets4eo.cli.main import main
from deepnets4eo.damage import EvidenceCard, RasterEvidence
from deepnets4eo.errors import GridError, InputError, OutputError
from deepnets4eo.interferometry import CoherenceBias, coherence_raster, interferometric_coherence
from deepnets4eo.interferometry.fringes import FringeField
from deepnets4eo.interferometry.looks import Correlation
from deepnets4eo.rasters import Layer

SHAPE = (192, 256)
FRINGE = (0.11, -0.237)


def pair(coherence, seed=0, fringe=(0.0, 0.0), shape=SHAPE):
    """Two dates of a known coherence and fringe, complex64."""
    rng = np.random.default_rng(seed)
    image = speckle(shape, rng)
    return with_fringe(image, (0, 0)), with_fringe(next_date(image, coherence, rng), fringe)


def write_slc(path: Path, image: np.ndarray, **options) -> Path:
    return write_geotiff(path, image.astype(np.complex64), **options)


@pytest.mark.parametrize("looks", [3.0, 9.0, 25.0])
@pytest.mark.parametrize("coherence", [0.0, 0.3, 0.7, 0.95])
def test_the_bias_of_few_looks_is_the_mean_of_simulated_samples(looks, coherence):
    pre, post = pair(coherence, shape=(6000, int(looks)))
    sums = np.abs((pre * post.conj()).sum(axis=1))
    samples = sums / np.sqrt((np.abs(pre) ** 2).sum(axis=1) * (np.abs(post) ** 2).sum(axis=1))
    expected = CoherenceBias(looks).mean_sample(np.array(coherence))
    assert abs(float(expected) - samples.mean()) < 4 * samples.std() / np.sqrt(len(samples)) + 1e-3


@pytest.mark.parametrize("fringe", [(0.0, 0.0), FRINGE, (0.5, 0.031)])
@pytest.mark.parametrize("coherence", [0.3, 0.6, 0.9])
def test_known_coherence_is_measured_whatever_the_fringe(coherence, fringe):
    measured = interferometric_coherence(*pair(coherence, fringe=fringe))
    assert np.nanmean(measured) == pytest.approx(coherence, abs=0.015)


def test_few_looks_overstate_coherence_and_fringes_hide_it_without_correction():
    pre, post = pair(0.3)
    assert plain_coherence(pre, post, 3) > 0.38
    assert np.nanmean(interferometric_coherence(pre, post, (3, 3))) < 0.31
    pre, post = pair(0.9, fringe=FRINGE)
    assert plain_coherence(pre, post, 7) < 0.2


def test_water_within_coherent_ground_is_near_zero_and_not_void():
    true = np.full(SHAPE, 0.8)
    true[80:112, 96:160] = 0.0
    measured = interferometric_coherence(*pair(true, fringe=FRINGE))
    water = measured[84:108, 100:156]
    assert np.isfinite(water).all()
    assert water.mean() < 0.1


def test_a_fringe_that_changes_over_the_image_is_followed():
    rng = np.random.default_rng(1)
    image = speckle(SHAPE, rng)
    rows, cols = np.indices(SHAPE)
    phase = 2 * np.pi * (0.0004 * cols**2 + 0.05 * rows)
    post = (next_date(image, 0.8, rng) * np.exp(1j * phase)).astype(np.complex64)
    assert np.nanmean(interferometric_coherence(image.astype(np.complex64), post)) == pytest.approx(0.8, abs=0.01)


def test_what_has_no_values_is_void_and_not_zero():
    pre, post = pair(0.8)
    pre[40:80, 60:120] = 0
    post[100:110, 10:20] = np.nan
    measured = interferometric_coherence(pre, post)
    assert np.isnan(measured[40:80, 60:120]).all()
    assert np.isnan(measured[100:110, 10:20]).all()
    assert np.isfinite(measured[130:180, 60:120]).all()
    assert np.nanmin(measured[130:180, 60:120]) > 0.3


def test_ground_far_from_any_fringe_is_void():
    field = FringeField.empty((32, 32 * 20))
    field.cycles[:, 0, 0] = 0.1, 0.2
    filled = field.fill().cycles
    assert (filled[:, 0, :9] == [[0.1], [0.2]]).all()
    assert np.isnan(filled[:, 0, 9:]).all()


def test_the_frequency_of_a_fringe_is_finer_than_the_spectrum():
    pre, post = pair(0.9, fringe=FRINGE, shape=(64 + 2 * FringeField.margin_px, 64 + 2 * FringeField.margin_px))
    product = pre * post.conj()
    field = FringeField.empty((64, 64))
    field.measure((0, 0), (product / np.abs(product)).astype(np.complex64), np.ones(product.shape, bool))
    np.testing.assert_allclose(field.cycles, np.broadcast_to(np.array(FRINGE)[:, None, None], (2, 2, 2)), atol=2e-3)


def test_oversampled_images_have_fewer_independent_looks_than_pixels():
    rng = np.random.default_rng(0)
    image = speckle((256, 256), rng)
    smooth = gaussian_filter1d(image.real, 1.0, axis=1) + 1j * gaussian_filter1d(image.imag, 1.0, axis=1)
    looks = {}
    for name, one in (("independent", image), ("oversampled", smooth)):
        correlation = Correlation((7, 7))
        correlation.add((one.astype(np.complex64),) * 2, np.ones(one.shape, bool))
        looks[name] = correlation.independent_looks()
    assert looks["independent"] == pytest.approx(49, rel=0.02)
    lag = np.exp(-(np.arange(-6, 7) ** 2) / 4)  # autocorrelation of a Gaussian of sigma 1
    expected = 49 / (1 + 2 * sum((7 - step) / 7 * lag[6 + step] ** 2 for step in range(1, 7)))
    assert looks["oversampled"] == pytest.approx(expected, rel=0.03)


def test_images_without_a_common_phase_are_refused():
    rng = np.random.default_rng(0)
    images = [speckle(SHAPE, rng).astype(np.complex64) for _ in range(2)]
    with raises_naming(InputError, "fringe", "coregistration"):
        interferometric_coherence(*images)


@pytest.mark.parametrize("window", [(4, 5), (33, 3), (0, 3)])
def test_windows_without_a_middle_or_beyond_a_block_are_refused(window):
    with raises_naming(InputError, f"{window[0]} × {window[1]}", "odd"):
        interferometric_coherence(*pair(0.8), window)


def test_one_look_has_no_coherence():
    with raises_naming(InputError, "1.00", "2"):
        CoherenceBias(1.0)


def test_the_raster_is_what_arrays_give_tile_by_tile(tmp_path, monkeypatch):
    pre, post = pair(0.7, fringe=FRINGE, shape=(150, 210))
    files = [write_slc(tmp_path / f"{number}.tif", image) for number, image in enumerate((pre, post))]
    monkeypatch.setattr("deepnets4eo.interferometry.job.TILE_PX", 64)
    shares: list[float] = []
    measured = coherence_raster(files, tmp_path / "out.tif", progress=shares.append)
    values, valid = Layer.open(tmp_path / "out.tif").read()
    whole = interferometric_coherence(pre, post)
    np.testing.assert_array_equal(valid, np.isfinite(whole))
    np.testing.assert_allclose(values[0][valid], whole[valid], atol=2e-3)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert measured.median == pytest.approx(0.7, abs=0.02)
    assert measured.card is None
    assert Layer.open(tmp_path / "out.tif").band_names == ["coherence"]
    assert "SYNTHETIC" not in Layer.open(tmp_path / "out.tif").tags


def test_real_and_imaginary_part_in_two_bands_are_read_and_intensities_refused(tmp_path):
    pre, post = pair(0.7)
    files = [write_geotiff(tmp_path / f"{n}.tif", np.stack((one.real, one.imag))) for n, one in enumerate((pre, post))]
    assert coherence_raster(files, tmp_path / "out.tif").median == pytest.approx(0.7, abs=0.02)
    power = write_geotiff(tmp_path / "grd.tif", np.stack((np.abs(pre) ** 2, np.abs(post) ** 2)))
    decibels = write_geotiff(tmp_path / "db.tif", 10 * np.log10(np.stack((np.abs(pre), np.abs(post))) / 50))
    for grd in (power, decibels):
        with raises_naming(InputError, grd.name, "2 bands", "phase"):
            coherence_raster([grd, files[1]], tmp_path / "no.tif")


def test_files_that_do_not_fit_are_refused(tmp_path):
    pre, post = pair(0.7)
    first = write_slc(tmp_path / "pre.tif", pre)
    with raises_naming(InputError, "1 images", "two"):
        coherence_raster([first], tmp_path / "out.tif")
    with raises_naming(GridError, "post.tif", "Coregister"):
        coherence_raster(
            [first, write_slc(tmp_path / "post.tif", post, origin=(500_003, 5_000_000))], tmp_path / "out.tif"
        )
    second = write_slc(tmp_path / "post.tif", post)
    (tmp_path / "out.tif").write_bytes(b"mine")
    with raises_naming(OutputError, "out.tif"):
        coherence_raster([first, second], tmp_path / "out.tif")
    assert (tmp_path / "out.tif").read_bytes() == b"mine"


def test_the_verb_writes_the_drop_with_its_card_which_damage_reads_as_synthetic(tmp_path, capsys):
    rng = np.random.default_rng(0)
    after = np.full(SHAPE, 0.75)
    after[60:90, 60:90] = 0.1
    first = speckle(SHAPE, rng)
    second = next_date(first, 0.8, rng)
    dates = [
        with_fringe(first, (0, 0)),
        with_fringe(second, FRINGE),
        with_fringe(next_date(second, after, rng), (0.05, 0.3)),
    ]
    files = [write_slc(tmp_path / f"{number}.tif", image) for number, image in enumerate(dates)]
    out = tmp_path / "drop.tif"
    assert main(["layers", "coherence", *map(str, files), "--out", str(out)]) == 0
    assert "SYNTHETIC" in capsys.readouterr().err
    values = Layer.open(out).read()[0][0]
    assert Layer.open(out).band_names == ["coherence_drop"]
    assert np.nanmean(values[65:85, 65:85]) == pytest.approx(0.7, abs=0.05)
    assert np.nanmedian(values) == pytest.approx(0.05, abs=0.02)
    opened = RasterEvidence("coherence_drop", str(out)).open(Layer.open(files[0], power=True))
    assert opened.card == EvidenceCard.read(tmp_path / "drop.evidence.yaml")
    assert opened.card is not None
    assert opened.card.synthetic
    odds = opened.log_odds(np.array([0.05, 0.5]))
    assert odds[0] < -1
    assert odds[1] > 1


def test_a_drop_over_the_whole_scene_is_reported(tmp_path):
    rng = np.random.default_rng(0)
    first = speckle(SHAPE, rng)
    second = next_date(first, 0.8, rng)
    dates = [with_fringe(one, (0, 0)) for one in (first, second, next_date(second, 0.4, rng))]
    files = [write_slc(tmp_path / f"{number}.tif", image) for number, image in enumerate(dates)]
    measured = coherence_raster(files, tmp_path / "drop.tif")
    assert measured.median == pytest.approx(0.4, abs=0.03)
    assert len(measured.lines()) == 2


@pytest.mark.parametrize("shapes", [((8, 8), (8, 9)), ((2, 8, 8), (2, 8, 8))])
def test_images_of_two_shapes_or_of_several_bands_have_no_coherence(shapes: tuple[tuple[int, ...], ...]) -> None:
    pre, post = (np.ones(shape, np.complex64) for shape in shapes)
    with raises_naming(InputError, *shapes, "one shape"):
        interferometric_coherence(pre, post, (3, 3))
