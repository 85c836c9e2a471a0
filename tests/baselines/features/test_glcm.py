"""Co-occurrence measures, against scikit-image on each window."""

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.texture import GLCM, MEASURES, OFFSETS, CoOccurrence, grey_levels

ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def entropy(matrix: np.ndarray) -> float:
    """In nats, of each direction, averaged (older scikit-image does not have it)."""
    share = matrix[matrix > 0]
    return float(-(share * np.log(share)).sum() / matrix.shape[-1])


def by_window(image: np.ndarray, levels: int) -> list[float]:
    matrix = graycomatrix(image, [1], ANGLES, levels=levels, symmetric=True, normed=True)
    return [*(graycoprops(matrix, name).mean() for name in MEASURES[:-1]), entropy(matrix)]


def scene(seed: int) -> Bands:
    rng = np.random.default_rng(seed)
    blotches = np.kron(rng.integers(0, 230, (7, 8)), np.ones((9, 9)))
    blotches[:30] += rng.integers(0, 25, (30, 72))  # the rest has plains of one level
    return Bands(blotches[None].astype(np.float32), ("image.grey",))


@pytest.mark.parametrize(("levels", "side_px"), [(16, 17), (8, 9), (32, 5), (4, 33)])
def test_measures_are_those_of_scikit_image(levels: int, side_px: int) -> None:
    bands, half = scene(levels), side_px // 2
    found = CoOccurrence("any", levels, side_px).compute(bands, 9)
    image = grey_levels(bands, levels)
    for row, y in enumerate(range(4, 63, 9)):
        for col, x in enumerate(range(4, 72, 9)):
            window = image[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
            np.testing.assert_allclose(found[:, row, col], by_window(window, levels), rtol=1e-5, atol=2e-6)


def test_a_plain_has_no_contrast_and_full_correlation() -> None:
    bands = Bands(np.full((1, 12, 12), 90, np.float32), ("image.grey",))
    expected = {
        "contrast": 0, "dissimilarity": 0, "homogeneity": 1, "energy": 1, "correlation": 1, "entropy": 0,
    }  # fmt: skip
    found = GLCM.compute(bands, 3)
    for name, values in zip(MEASURES, found, strict=True):
        np.testing.assert_array_equal(values, expected[name])
    lonely = GLCM.compute(Bands(np.zeros((1, 1, 1), np.float32), ("image.grey",)))
    np.testing.assert_array_equal(lonely[:, 0, 0], list(expected.values()))


def test_a_superpixel_counts_the_pairs_inside_it() -> None:
    bands = scene(1)
    image = grey_levels(bands, 16)
    ids = np.full(image.shape, -1, np.int32)
    ids[2:30, 3:40], ids[31:60, 3:30] = 2, 0
    rows = GLCM.pool(bands, ids, 4)
    np.testing.assert_allclose(rows[2], by_window(image[2:30, 3:40], 16), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(rows[0], by_window(image[31:60, 3:30], 16), rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(rows[[1, 3]], [[0, 0, 1, 1, 1, 0]] * 2)


def test_pairs_across_the_border_of_a_superpixel_do_not_count() -> None:
    rng = np.random.default_rng(5)
    values = rng.integers(0, 256, (1, 10, 10)).astype(np.float32)
    bands = Bands(values, ("image.grey",))
    ids = rng.integers(0, 2, (10, 10)).astype(np.int32)
    image = grey_levels(bands, 16).astype(int)
    contrasts = []
    for down, right in OFFSETS:
        pairs = [
            (image[y, x] - image[y + down, x + right]) ** 2
            for y in range(10 - down) for x in range(10)
            if 0 <= x + right < 10 and ids[y, x] == ids[y + down, x + right] == 1
        ]  # fmt: skip
        contrasts.append(np.mean(pairs))
    assert GLCM.pool(bands, ids, 2)[1, 0] == pytest.approx(np.mean(contrasts), rel=1e-5)
