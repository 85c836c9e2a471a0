"""Scores against published confusion matrices, scikit-learn, worked examples and brute force."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from refusals import raises_naming
from sklearn import metrics as sklearn_metrics

from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ConfusionMatrix, erode_boundaries

VOID = 255

# SegNet on Vaihingen, tiles 5, 15, 21, 30 with stride 32 and 256, and tile 30 alone
STRIDE_32 = [
    [4444836, 133148, 145598, 59877, 8599, 12307],
    [251606, 5128036, 28565, 10388, 735, 3617],
    [169340, 58698, 2272628, 393683, 171, 8190],
    [40707, 7712, 327441, 4016691, 209, 0],
    [12351, 2995, 253, 628, 130669, 1781],
    [0, 0, 6216, 0, 0, 0],
]
STRIDE_256 = [
    [4409438, 148530, 158796, 61634, 11787, 14180],
    [247451, 5128183, 33176, 9128, 1056, 3953],
    [181909, 63965, 2239648, 403998, 606, 12584],
    [45744, 7344, 340068, 3998884, 526, 194],
    [12701, 3691, 871, 827, 128932, 1655],
    [20, 178, 5820, 0, 198, 0],
]
TILE_30 = [
    [1176243, 27917, 40719, 12367, 3237, 3681],
    [43457, 1148303, 7376, 1855, 0, 542],
    [59760, 19017, 745166, 135844, 0, 0],
    [3575, 254, 41492, 929409, 4, 0],
    [4856, 1464, 253, 326, 49146, 0],
    [0, 0, 0, 0, 0, 0],
]
EXACT = {"rtol": 0, "atol": 1e-12}


def test_the_published_matrix_of_stride_32_gives_its_scores():
    counts = ConfusionMatrix.from_matrix(STRIDE_32)
    assert counts.total == 17_677_675
    np.testing.assert_allclose(counts.overall_accuracy, 0.9046925005692208, **EXACT)
    np.testing.assert_allclose(counts.kappa, 0.8717235773030861, **EXACT)
    np.testing.assert_allclose(
        counts.f1,
        [0.9142738428326874, 0.9537394955482550, 0.7997408598463142, 0.9052690509055247, 0.9040960354251713, 0],
        **EXACT,
    )
    np.testing.assert_allclose(
        counts.iou,
        [0.8420851213698777, 0.9115698160163541, 0.6663068274938628, 0.8269329113736419, 0.8249774292731279, 0],
        **EXACT,
    )
    np.testing.assert_allclose(
        counts.precision,
        [0.9036350033747794, 0.9620017600306457, 0.8172860009040885, 0.8963293193643672, 0.9308035873289501, 0],
        **EXACT,
    )
    np.testing.assert_allclose(
        counts.recall,
        [0.9251661770077836, 0.9456179453717692, 0.7829331900189823, 0.9143889035594933, 0.8788783739246824, 0],
        **EXACT,
    )
    np.testing.assert_allclose(counts.mean_f1, 0.7461865474263254, **EXACT)
    np.testing.assert_allclose(counts.mean_iou, 0.6786453509211441, **EXACT)
    np.testing.assert_allclose(counts.f1[:5].mean(), 0.8954238569115904, **EXACT)
    np.testing.assert_allclose(counts.iou[:5].mean(), 0.814374421105373, **EXACT)


def test_dropping_reference_clutter_gives_the_published_accuracy():
    kept = ConfusionMatrix.from_matrix(STRIDE_32).ignoring([5])
    assert kept.total == 17_671_459
    assert kept.num_classes == 5
    np.testing.assert_allclose(kept.overall_accuracy, 0.905010729447976, **EXACT)
    # what was predicted as clutter on other classes is still wrong
    assert kept.unpredicted.tolist() == [row[5] for row in STRIDE_32[:5]]


def test_the_published_matrix_of_stride_256_gives_its_scores():
    counts = ConfusionMatrix.from_matrix(STRIDE_256)
    np.testing.assert_allclose(counts.overall_accuracy, 0.8997271982882364, **EXACT)
    np.testing.assert_allclose(counts.kappa, 0.865054787824709, **EXACT)


def test_a_class_absent_from_the_reference_but_predicted_scores_zero_not_nan():
    counts = ConfusionMatrix.from_matrix(TILE_30)
    assert counts.total == 4_456_263
    np.testing.assert_allclose(counts.overall_accuracy, 0.9084443624624488, **EXACT)
    np.testing.assert_allclose(counts.kappa, 0.8782642128142402, **EXACT)
    np.testing.assert_allclose(
        counts.f1,
        [0.9218006665216855, 0.9575224057823095, 0.8303642815631892, 0.9047390285393045, 0.9064851704293936, 0],
        **EXACT,
    )
    assert np.isnan(counts.recall[5])
    assert counts.absent == ()


def test_an_absent_class_is_nan_named_and_left_out_of_means():
    counts = ConfusionMatrix(3).update(np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert counts.absent == (2,)
    assert np.isnan(counts.f1[2])
    assert np.isnan(counts.iou[2])
    np.testing.assert_allclose(counts.mean_f1, (2 / 3 + 2 / 3) / 2, **EXACT)
    np.testing.assert_allclose(counts.mean_iou, 0.5, **EXACT)
    np.testing.assert_allclose(counts.average_accuracy, 0.75, **EXACT)


def test_nothing_counted_is_nan_everywhere():
    counts = ConfusionMatrix(2).update(np.full(4, VOID), np.zeros(4, int))
    assert counts.total == 0
    for score in ("overall_accuracy", "kappa", "mean_f1", "mean_iou", "fw_iou", "average_accuracy"):
        assert np.isnan(getattr(counts, score)), score


def test_counts_stay_exact_beyond_the_integers_of_float32():
    counts = ConfusionMatrix(1)
    for _ in range(17):
        counts.update(np.zeros(1 << 20, np.uint8), np.zeros(1 << 20, np.uint8))
    counts.update(np.zeros(1, np.uint8), np.zeros(1, np.uint8))
    assert counts.matrix.dtype == np.int64
    assert counts.total == 17 * (1 << 20) + 1


labels = st.integers(0, 2**32 - 1)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(labels, st.integers(1, 12), st.sampled_from([np.uint8, np.int16, np.int64, np.uint16]))
def test_scores_agree_with_scikit_learn(seed, num_classes, dtype):
    generator = np.random.default_rng(seed)
    reference = generator.integers(0, num_classes, (17, 23)).astype(dtype)
    prediction = np.where(generator.random((17, 23)) < 0.6, reference, generator.integers(0, num_classes, (17, 23)))
    counts = ConfusionMatrix(num_classes).update(reference, prediction.astype(dtype))
    y, p, names = reference.ravel(), prediction.ravel(), list(range(num_classes))
    np.testing.assert_array_equal(counts.matrix, sklearn_metrics.confusion_matrix(y, p, labels=names))
    present = [k for k in names if k not in counts.absent]
    f1 = sklearn_metrics.f1_score(y, p, labels=present, average=None, zero_division=0)
    iou = sklearn_metrics.jaccard_score(y, p, labels=present, average=None, zero_division=0)
    np.testing.assert_allclose(counts.f1[present], f1, **EXACT)
    np.testing.assert_allclose(counts.iou[present], iou, **EXACT)
    np.testing.assert_allclose(counts.overall_accuracy, sklearn_metrics.accuracy_score(y, p), **EXACT)
    share = np.bincount(y, minlength=num_classes)[present] / y.size
    np.testing.assert_allclose(counts.fw_iou, (share * iou).sum(), **EXACT)
    if len(np.unique(np.concatenate([y, p]))) > 1:
        np.testing.assert_allclose(counts.kappa, sklearn_metrics.cohen_kappa_score(y, p), **EXACT)


@given(labels, st.integers(1, 6))
def test_void_in_the_reference_is_ignored_and_void_in_the_prediction_is_an_error(seed, num_classes):
    generator = np.random.default_rng(seed)
    values = [*range(num_classes), num_classes, 200, VOID]
    reference, prediction = generator.choice(values, (2, 300)).astype(np.uint8)
    counts = ConfusionMatrix(num_classes).update(reference, prediction)
    in_reference = reference < num_classes
    assert counts.total == in_reference.sum()
    assert np.trace(counts.matrix) == (in_reference & (reference == prediction)).sum()
    for k in range(num_classes):
        assert counts.unpredicted[k] == ((reference == k) & (prediction >= num_classes)).sum()
        assert counts.matrix[k].sum() + counts.unpredicted[k] == (reference == k).sum()


def test_negative_labels_are_no_class():
    counts = ConfusionMatrix(2).update(np.array([-1, 0, 1]), np.array([0, -1, 1]))
    assert counts.matrix.tolist() == [[0, 0], [0, 1]]
    assert counts.unpredicted.tolist() == [1, 0]


def test_nodata_pixels_never_enter_the_confusion_matrix():
    reference, prediction = np.array([[0, 1], [1, 0]]), np.array([[0, 0], [1, 1]])
    valid = np.array([[True, False], [True, False]])
    assert ConfusionMatrix(2).update(reference, prediction, valid).matrix.tolist() == [[1, 0], [0, 1]]


@given(labels, st.integers(1, 60))
def test_counting_in_pieces_equals_counting_at_once(seed, pieces):
    generator = np.random.default_rng(seed)
    reference, prediction = generator.choice([0, 1, 2, VOID], (2, 500)).astype(np.uint8)
    parts = [
        ConfusionMatrix(3).update(r, p)
        for r, p in zip(np.array_split(reference, pieces), np.array_split(prediction, pieces), strict=True)
    ]
    added = sum(parts, ConfusionMatrix(3))
    whole = ConfusionMatrix(3).update(reference, prediction)
    np.testing.assert_array_equal(added.matrix, whole.matrix)
    np.testing.assert_array_equal(added.unpredicted, whole.unpredicted)


def test_arrays_longer_than_one_piece_are_counted_whole():
    generator = np.random.default_rng(1)
    reference, prediction = generator.integers(0, 3, (2, 600_001)).astype(np.uint8)
    expected = sklearn_metrics.confusion_matrix(reference, prediction)
    np.testing.assert_array_equal(ConfusionMatrix(3).update(reference, prediction).matrix, expected)


def test_what_cannot_be_counted_is_refused():
    with raises_naming(InputError, "(2,)", "(3,)"):
        ConfusionMatrix(2).update(np.zeros(2, int), np.zeros(3, int))
    with raises_naming(InputError, "float64"):
        ConfusionMatrix(2).update(np.zeros(2, int), np.zeros(2))
    with raises_naming(InputError, "num_classes", "0"):
        ConfusionMatrix(0)
    with raises_naming(InputError, "Got 2", "3 classes"):
        ConfusionMatrix(2) + ConfusionMatrix(3)
    with pytest.raises(InputError, match="expected square integers"):
        ConfusionMatrix.from_matrix(np.eye(3))


def eroded_by_loop(image: np.ndarray, radius_px: int) -> np.ndarray:
    result = image.copy()
    height, width = image.shape
    for row, col in np.argwhere(image != VOID):
        for y in range(max(row - radius_px, 0), min(row + radius_px + 1, height)):
            for x in range(max(col - radius_px, 0), min(col + radius_px + 1, width)):
                near = (y - row) ** 2 + (x - col) ** 2 <= radius_px**2
                if near and image[y, x] not in (VOID, image[row, col]):
                    result[row, col] = VOID
    return result


def patchwork(seed: int, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 4, (height // 6 + 1, width // 6 + 1))
    image = np.kron(coarse, np.ones((6, 6), int))[:height, :width].astype(np.uint8)
    image[generator.random(image.shape) < 0.05] = VOID
    return image


@given(labels, st.integers(1, 30), st.integers(1, 30), st.integers(0, 6))
def test_erosion_is_a_disc_around_every_pixel(seed, height, width, radius_px):
    image = patchwork(seed, height, width)
    np.testing.assert_array_equal(erode_boundaries(image, radius_px), eroded_by_loop(image, radius_px))


@given(labels, st.integers(80, 330), st.integers(0, 9))
def test_erosion_does_not_depend_on_how_many_rows_are_done_at_once(seed, height, radius_px):
    image = patchwork(seed, height, 12)
    expected = np.concatenate(
        [
            erode_boundaries(image[max(row - radius_px, 0) : row + 1 + radius_px], radius_px)[min(row, radius_px)][None]
            for row in range(height)
        ]
    )
    np.testing.assert_array_equal(erode_boundaries(image, radius_px), expected)


def test_erosion_keeps_the_input_and_refuses_negative_radii():
    image = patchwork(3, 20, 20)
    before = image.copy()
    erode_boundaries(image, 3)
    np.testing.assert_array_equal(image, before)
    with raises_naming(InputError, "radius of -1"):
        erode_boundaries(image, -1)


def test_a_single_pixel_has_no_kappa_for_chance_would_be_right_as_well():
    right, wrong = (ConfusionMatrix(2).update(np.array([0]), np.array([guess])) for guess in (0, 1))
    assert np.isnan(right.kappa)
    assert wrong.kappa == 0
    assert (right.overall_accuracy, wrong.overall_accuracy) == (1, 0)


def test_counts_of_any_type_are_taken_unless_they_are_negative():
    assert ConfusionMatrix.from_matrix(np.eye(2, dtype=np.uint64)).matrix.tolist() == [[1, 0], [0, 1]]
    with raises_naming(InputError, "counts from -5", "3"):
        ConfusionMatrix.from_matrix([[1, -5], [2, 3]])


def test_classes_to_ignore_may_come_from_a_generator_and_must_exist():
    counts = ConfusionMatrix.from_matrix([[1, 2, 0], [3, 4, 0], [0, 0, 9]])
    assert counts.ignoring(index for index in [1]).matrix.tolist() == [[1, 0], [0, 9]]
    for strange in (7, -1):
        with raises_naming(InputError, "to ignore", strange, "0", "2"):
            counts.ignoring([strange])


def test_masked_arrays_are_not_counted_as_if_they_had_no_mask():
    labels = np.array([0, 1, 1])
    hidden = np.ma.array(labels, mask=[False, True, False])
    for pair in ((hidden, labels), (labels, hidden)):
        with pytest.raises(InputError, match="is a masked array"):
            ConfusionMatrix(2).update(*pair)
    assert ConfusionMatrix(2).update(labels, np.ma.array(labels)).total == 3


def test_counts_that_are_not_square_or_too_large_are_refused():
    with pytest.raises(InputError, match="square"):
        ConfusionMatrix.from_matrix(np.ones((2, 3), int))
    with pytest.raises(InputError, match="numbers of pixels"):
        ConfusionMatrix.from_matrix(np.array([[2**63, 0], [0, 1]], np.uint64))
