"""Methods without training: against their defining equations, public figures and pairs whose change is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusals import raises_naming
from scipy.linalg import eigh
from scipy.stats import chi2
from skimage.filters import threshold_otsu
from sklearn.metrics import roc_auc_score

from deepnets4eo.change import ChangeDetector
from deepnets4eo.change.classical.detector import METHODS
from deepnets4eo.change.classical.pair_scores import SPECTRAL, IrMad, Mad, chi_square_tail, mad_variates
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import THRESHOLDS, Histogram, Layer, Moments, MomentSums, Scene

OF_COLOURS = [name for name, method in SPECTRAL.items() if method.standardised]
ELSEWHERE = {"cosine": "test_cosine.py", "embeddings": "test_feature_distance.py"}  # methods of values that are kept


def test_methods_that_are_left_out_here_have_tests_of_their_own():
    assert {*METHODS} - {*OF_COLOURS} == ELSEWHERE.keys()
    assert all(Path(__file__).with_name(name).is_file() for name in ELSEWHERE.values())


def moments_of(values: np.ndarray) -> Moments:
    sums = MomentSums()
    for block in np.array_split(values, 7, axis=1):
        sums.add(block)
    return sums.moments()


def correlated(count: int = 20_000, bands: int = 4, seed: int = 0) -> np.ndarray:
    """Two dates of bands that share a part, (2 bands, count)."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(bands, count))
    return np.concatenate(
        [rng.normal(size=(bands, bands)) @ shared + rng.normal(size=(bands, count)) for _ in range(2)]
    )


def test_streamed_moments_are_those_of_the_whole():
    values = correlated() + 1e5
    weights = np.random.default_rng(1).random(values.shape[1])
    sums = MomentSums()
    for block, share in zip(np.array_split(values, 5, axis=1), np.array_split(weights, 5), strict=True):
        sums.add(block, share)
    np.testing.assert_allclose(sums.moments().mean, np.average(values, axis=1, weights=weights))
    np.testing.assert_allclose(sums.moments().covariance, np.cov(values, aweights=weights, ddof=0), rtol=1e-8)


def test_mad_solves_the_generalised_eigenproblem():
    moments = moments_of(correlated())
    variates = mad_variates(moments)
    first, cross, second = (
        moments.covariance[rows, cols]
        for rows, cols in ((np.s_[:4], np.s_[:4]), (np.s_[:4], np.s_[4:]), (np.s_[4:], np.s_[4:]))
    )
    squared = eigh(cross @ np.linalg.solve(second, cross.T), first, eigvals_only=True)
    np.testing.assert_allclose(variates.correlation**2, squared, rtol=1e-6)
    np.testing.assert_allclose(variates.pre @ first @ variates.pre.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(variates.post @ second @ variates.post.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(np.diag(variates.pre @ cross @ variates.post.T), variates.correlation, atol=1e-6)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 13, 103, 400])
def test_the_tail_of_chi_square_is_that_of_scipy(degrees: int) -> None:
    values = np.concatenate([[0, 1e-8, 1e6, np.inf], np.linspace(0, 3 * degrees + 50, 500)]).astype(np.float32)
    np.testing.assert_allclose(
        chi_square_tail(degrees, values), chi2.sf(values.astype(float), degrees), rtol=1e-9, atol=1e-200
    )


def test_variates_have_the_variance_that_chi_square_divides_by():
    values = correlated()
    variates = mad_variates(moments_of(values))
    differences = variates.differences(values)
    np.testing.assert_allclose(differences.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(differences.var(axis=1), variates.variance, rtol=1e-3)


def test_an_affine_change_of_one_date_changes_nothing_for_mad():
    values = correlated()
    changed = values.copy()
    changed[4:] = 3 * np.random.default_rng(2).normal(size=(4, 4)) @ values[4:] + 100
    scores = [mad_variates(moments_of(one)).chi_square(one) for one in (values, changed)]
    np.testing.assert_allclose(*scores, rtol=1e-3)


def test_mad_is_calibrated_on_noise_without_change_and_converged_ir_mad_is_not():
    """Facts sheet: with p < 0.01 MAD rejects 0.99 %, converged IR-MAD 25.7 %."""
    values = correlated(200_000, seed=3)[:, None, :].astype(np.float32)
    blocks = lambda: iter([(values, np.ones(values.shape[1:], bool))])  # noqa: E731
    rejected = []
    for method in (Mad(), IrMad()):
        method.fit(blocks)
        rejected.append(float((method.fitted.no_change(values[:, 0]) < 0.01).mean()))
    assert rejected[0] == pytest.approx(0.01, abs=0.002)
    assert rejected[1] > 0.15


def test_ir_mad_of_a_small_pair_has_converged():
    """Another step by the defining equations moves no correlation by more than 1e-5, where a fifth of the pixels changed."""
    values = correlated(6_000, seed=4)
    values[4:, :1_200] += np.random.default_rng(5).normal(0, 3, (4, 1_200))
    blocks = lambda: iter([(values[:, None].astype(np.float32), np.ones((1, 6_000), bool))])  # noqa: E731
    method = IrMad()
    method.fit(blocks)
    weights = chi2.sf(np.asarray(method.fitted.chi_square(values), float), 4)
    joint = np.cov(values, aweights=weights, ddof=0)
    first, cross, second = joint[:4, :4], joint[:4, 4:], joint[4:, 4:]
    stepped = np.sqrt(eigh(cross @ np.linalg.solve(second, cross.T), first, eigvals_only=True))
    np.testing.assert_allclose(method.fitted.correlation, stepped, atol=1e-5)


def test_repeated_bands_are_no_obstacle():
    values = correlated()
    repeated = np.concatenate([values[:4], values[:1], values[4:], values[4:5]])
    assert np.isfinite(mad_variates(moments_of(repeated)).chi_square(repeated)).all()


@pytest.mark.parametrize("method", THRESHOLDS)
def test_thresholds_part_two_groups(method):
    rng = np.random.default_rng(0)
    scores = np.abs(np.concatenate([rng.normal(2, 0.5, 9000), rng.normal(8, 1, 1000)]))
    cut = Histogram.of([scores], scores.max()).threshold(method)
    assert 3 < cut < 6.5


def test_otsus_threshold_is_that_of_scikit_image():
    scores = np.abs(np.random.default_rng(0).normal(2, 1.5, 10_000))
    ours = Histogram.of([scores[:4000], scores[4000:]], scores.max()).threshold("otsu")
    assert ours == pytest.approx(threshold_otsu(scores, nbins=4096), abs=2 * scores.max() / 4096)


def test_a_score_of_one_value_has_no_threshold():
    with pytest.raises(InputError, match="single value"):
        Histogram.of([np.ones(100)], 2.0).threshold()


def test_the_groups_on_both_sides_of_a_cut_have_otsus_share_of_the_variance():
    scores = np.array([1.0, 2.0, 3.0, 11.0, 12.0])
    share, between = Histogram.of([scores], 12.0).separation(7.0)
    assert share == pytest.approx(0.4)
    assert between == pytest.approx(1 - 0.4 * 0.25 / scores.var() - 0.6 * (2 / 3) / scores.var(), abs=1e-3)
    gaussian = np.random.default_rng(0).normal(10, 1, 200_000)
    assert Histogram.of([gaussian], gaussian.max()).separation(10.0)[1] == pytest.approx(2 / np.pi, abs=5e-3)
    assert Histogram.of([scores], 12.0).separation(13.0) == (0.0, 0.0)


def pair(bands: int = 3, post_bands: int | None = None) -> Scene:
    rng = np.random.default_rng(0)
    pre = np.kron(rng.uniform(0, 100, (bands, 16, 16)), np.ones((1, 8, 8))) + rng.normal(0, 2, (bands, 128, 128))
    post = 1.5 * pre[:post_bands] + 20 + rng.normal(0, 2, (post_bands or bands, 128, 128))
    post[:, 40:60, 40:60] += 200 * rng.random((len(post), 1, 1)) + 100
    return Scene.open(image_pre=pre.astype(np.float32), image_post=post.astype(np.float32))


@pytest.mark.parametrize("method", OF_COLOURS)
def test_each_method_finds_the_square_that_changed(method):
    scene = pair()
    detector = ChangeDetector.of_scene(scene, method)
    change = detector.predict_classes(detector.inputs.prepare(scene.read())[None])[0] > 0
    truth = np.zeros_like(change)
    truth[40:60, 40:60] = True
    assert 2 * (change & truth).sum() / (change.sum() + truth.sum()) > 0.85


def change_of(scene: Scene, method: str, threshold_method: str = "two-means") -> np.ndarray:
    detector = ChangeDetector.of_scene(scene, method, threshold_method=threshold_method)
    return detector.predict_classes(detector.inputs.prepare(scene.read())[None])[0] > 0


@pytest.mark.parametrize("value", [65535.0, -9999.0])
@pytest.mark.parametrize("method", OF_COLOURS)
def test_a_few_pixels_far_from_all_others_change_the_map_nowhere_else(method, value):
    sample = pair().read()
    plain = change_of(pair(), method)
    sample["image_post"][:, 100, 5:10] = value
    scene = Scene.open(image_pre=sample["image_pre"], image_post=sample["image_post"])
    for threshold_method in ("two-means", "otsu", "em"):
        change = change_of(scene, method, threshold_method)
        assert change[100, 5:10].all()
        if threshold_method == "two-means":
            change[97:104, 2:13] = plain[97:104, 2:13]
            assert (change != plain).mean() < 2e-3
        assert 300 < change.sum() < 600


def test_images_that_differ_in_a_few_far_pixels_alone_have_those_as_their_change():
    image = pair().layers["image_pre"].read()[0]
    post = image.copy()
    post[:, 3, 4:7] = 9999
    change = change_of(Scene.open(image_pre=image, image_post=post), "cva")
    assert np.argwhere(change).tolist() == [[3, 4], [3, 5], [3, 6]]


def test_identical_images_are_refused_also_when_one_is_brighter():
    image = pair().layers["image_pre"].read()[0]
    for post in (image, 2 * image + 10):
        with pytest.raises(InputError, match="the same"):
            ChangeDetector.of_scene(Scene.open(image_pre=image, image_post=post))


def test_a_date_without_valid_pixels_and_dates_of_other_bands_are_refused():
    image = pair().layers["image_pre"].read()[0]
    with pytest.raises(InputError, match="no valid pixel"):
        ChangeDetector.of_scene(Scene.open(image_pre=image, image_post=np.full_like(image, np.nan)))
    with pytest.raises(InputError, match="same bands"):
        ChangeDetector.of_scene(pair(3, 2))


def test_images_without_a_block_for_pca_k_means_are_refused():
    sample = pair().read()
    with raises_naming(InputError, "blocks of 4"):
        ChangeDetector.of_scene(
            Scene.open(image_pre=sample["image_pre"][:, :3], image_post=sample["image_post"][:, :3]), "pca-kmeans"
        )


def test_an_unknown_method_is_named_with_the_nearest():
    with pytest.raises(InputError, match="ir-mad"):
        ChangeDetector.of_scene(pair(), "irmad")


@pytest.mark.real_data
@pytest.mark.parametrize(("method", "kappa"), [("ir-mad", 0.93), ("cva", 0.90)])
def test_five_wrong_pixels_leave_the_map_of_taizhou_as_it_is(real_data, method, kappa):
    folder = real_data / "landsat_taizhou" / "Taizhou"
    post = Layer.open(folder / "2003TM").read()[0].astype(np.uint16)
    post[:, 0, :5] = 2000
    scene = Scene.open(image_pre=Layer.open(folder / "2000TM").read()[0], image_post=post)
    assert taizhou_kappa(folder, change_of(scene, method)) >= kappa


@pytest.mark.real_data
@pytest.mark.parametrize(("method", "kappa"), [("ir-mad", 0.93), ("cva", 0.88), ("mad", 0.80), ("pca-kmeans", 0.88)])
def test_taizhou_is_mapped_as_well_as_published(real_data, method, kappa):
    """Landsat 2000 and 2003 (facts sheet F.4): κ 0.933, 0.889, 0.809 and 0.910."""
    folder = real_data / "landsat_taizhou" / "Taizhou"
    scene = Scene.open(image_pre=folder / "2000TM", image_post=folder / "2003TM")
    assert taizhou_kappa(folder, change_of(scene, method)) >= kappa


def taizhou_kappa(folder: Path, change: np.ndarray) -> float:
    changed, unchanged = (Layer.open(folder / f"{name}.bmp").read()[0][0] > 0 for name in ("change", "unchanged"))
    matrix = ConfusionMatrix(2)
    matrix.update(np.where(changed, 1, np.where(unchanged, 0, 255)).astype(np.uint8), change.astype(np.uint8))
    return matrix.kappa


def test_the_em_threshold_lies_where_both_groups_are_equally_probable():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(2, 0.4, 18_000), rng.normal(6, 1.2, 2_000)]).clip(0)
    x = np.linspace(2, 6, 4001)
    one, other = (np.log(s / sd) - (x - m) ** 2 / (2 * sd**2) for s, m, sd in ((0.9, 2, 0.4), (0.1, 6, 1.2)))
    assert Histogram.of([scores], 12.0).threshold("em") == pytest.approx(x[np.argmax(other > one)], abs=0.1)


def test_the_histogram_counts_all_blocks_and_the_last_bin_holds_what_lies_above():
    assert Histogram.of([np.array([0.5, 3.2]), np.array([[9.0]])], 4.0, bins=4).counts.tolist() == [1, 0, 0, 2]


def test_weights_of_few_unchanged_pixels_do_not_replace_an_estimate_of_all() -> None:
    """IR-MAD of small pairs: an eighth of the pixels changed, 576 pixels for 20 bands."""
    side, bands = 24, 10
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mixing, ground = rng.normal(size=(bands, bands)), rng.normal(size=(bands, side, side))
        later = ground + 0.3 * rng.normal(size=ground.shape)
        pre, post = (np.einsum("ij,jhw->ihw", mixing, values) for values in (ground, later))
        changed = np.zeros((side, side), bool)
        changed[: side // 4, : side // 2] = True
        post[:, changed] += 0.75 * np.sqrt(bands) * rng.normal(size=(bands, 1))
        pair = np.concatenate([pre, post]).astype(np.float32)
        method = IrMad()
        method.fit(lambda pair=pair: iter([(pair, np.ones((side, side), bool))]))
        assert roc_auc_score(changed.ravel(), method.measure(pair).ravel()) > 0.98
