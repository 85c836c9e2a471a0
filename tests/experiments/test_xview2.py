"""The xView2 score against its worked examples A, B and C, and against a plain loop over pixels."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from refusals import raises_naming
from xview2 import Counts, XView2Score, score_folders

from deepnets4eo.errors import InputError, LabelError

DAMAGE_A = (Counts(500, 60, 80), Counts(60, 40, 60), Counts(45, 30, 55), Counts(70, 20, 30))
EXAMPLE_C = [  # (target rows, prediction rows) of two 4 × 4 images, zeros elsewhere
    ([[1, 1, 2, 2], [4, 4, 0, 0]], [[1, 2, 2, 3], [4, 0, 4, 0]]),
    ([[1, 1, 1, 3]], [[1, 4, 2, 3]]),
]


def corner(rows, size_px):
    labels = np.zeros((size_px, size_px), np.uint8)
    labels[: len(rows), :4] = rows
    return labels


def plain_score(images):
    """The rule written as loops over pixels: (target, prediction) pairs, localisation = damage > 0."""
    totals, location = np.zeros((5, 3), int), np.zeros(3, int)
    for target, prediction in images:
        for t, p in zip(target.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            location += [t > 0 and p > 0, t == 0 and p > 0, t > 0 and p == 0]
            if t > 0:
                for c in range(1, 5):
                    totals[c] += [t == c and p == c, t != c and p == c, t == c and p != c]
    f1 = [2 * tp / (2 * tp + fp + fn) if tp else 0.0 for tp, fp, fn in [location, *totals[1:]]]
    return 0.3 * f1[0] + 0.7 * 4 / sum(1 / (f + 1e-6) for f in f1[1:])


def test_example_a_is_exact():
    score = XView2Score(Counts(800, 150, 200), DAMAGE_A)
    assert score.localization.f1 == pytest.approx(0.8205128205128205, abs=1e-15)
    expected = [0.8771929824561403, 0.5454545454545454, 0.5142857142857143, 0.7368421052631577]
    assert [counts.f1 for counts in score.damage] == pytest.approx(expected, abs=1e-15)
    assert score.damage_f1 == pytest.approx(0.637459306335298, abs=1e-15)
    assert score.score == pytest.approx(0.6923753605885548, abs=1e-15)


def test_example_b_one_class_without_a_hit_sinks_the_damage_score():
    damage = (DAMAGE_A[0], Counts(0, 40, 60), *DAMAGE_A[2:])
    score = XView2Score(Counts(800, 150, 200), damage)
    assert score.damage_f1 == pytest.approx(3.999982233757393e-06, abs=1e-18)
    assert score.score == pytest.approx(0.24615664614140978, abs=1e-15)


def test_example_c_counts_false_alarms_of_a_class_that_an_image_lacks():
    score = XView2Score()
    for target, prediction in EXAMPLE_C:
        target, prediction = corner(target, 4), corner(prediction, 4)
        score.update(target, target, prediction, prediction)
    assert score.localization == Counts(9, 1, 1)
    assert score.damage == (Counts(2, 0, 3), Counts(1, 2, 1), Counts(1, 1, 0), Counts(1, 1, 1))
    assert score.damage_f1 == pytest.approx(0.5161300686783861, abs=1e-15)
    assert score.score == pytest.approx(0.6312910480748702, abs=1e-15)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 5))
def test_the_score_agrees_with_a_loop_over_pixels(seed, images, labels):
    rng = np.random.default_rng(seed)
    pairs = [tuple(rng.integers(0, labels, (2, 5, 6)).astype(np.uint8)) for _ in range(images)]
    score = XView2Score()
    for target, prediction in pairs:
        score.update(target, target, prediction, prediction)
    assert score.score == pytest.approx(plain_score(pairs), abs=1e-12)


def test_the_score_of_images_is_that_of_one_image_made_of_them_all():
    rng = np.random.default_rng(0)
    targets, predictions = (rng.integers(0, 5, (6, 8, 8)) for _ in range(2))
    shown = rng.integers(1, 5, (6, 2, 1, 1))  # each target shows two grades at most, so that most images lack some
    targets = np.where(targets == 0, 0, np.where(targets < 3, shown[:, 0], shown[:, 1])).astype(np.uint8)
    predictions = predictions.astype(np.uint8)
    assert any((target != grade).all() for target in targets for grade in range(1, 5))
    apart, together = XView2Score(), XView2Score()
    for target, prediction in zip(targets, predictions, strict=True):
        apart.update(target, target, prediction, prediction)
    whole, guess = targets.reshape(-1, 8), predictions.reshape(-1, 8)
    together.update(whole, whole, guess, guess)
    assert apart.damage == together.damage
    assert apart.score == together.score


def test_damage_is_credited_only_where_a_building_was_localised():
    target, everywhere, nowhere = (np.full((2, 2), value, np.uint8) for value in (4, 4, 0))
    score = XView2Score()
    score.update(target, target, nowhere, everywhere)
    assert score.damage[3] == Counts(0, 0, 4)


@pytest.fixture
def folders(tmp_path):
    """Example C as the challenge's files: zeros around the corner change no count."""
    for name, place in (("prediction", 1), ("target", 0)):
        folder = tmp_path / name
        folder.mkdir()
        for number, pair in enumerate(EXAMPLE_C):
            labels = corner(pair[place], 1024)
            Image.fromarray(labels).save(folder / f"test_damage_{number:05d}_{name}.png")
            Image.fromarray((labels > 0).astype(np.uint8)).save(folder / f"test_localization_{number:05d}_{name}.png")
    return tmp_path / "prediction", tmp_path / "target"


def test_folders_score_as_the_arrays_do(folders):
    score = score_folders(*folders)
    assert score.images == 2
    assert score.score == pytest.approx(0.6312910480748702, abs=1e-15)
    assert set(score.to_dict()) == {
        "score", "damage_f1", "localization_f1", "damage_f1_no_damage", "damage_f1_minor_damage",
        "damage_f1_major_damage", "damage_f1_destroyed",
    }  # fmt: skip


def test_a_missing_prediction_is_named(folders):
    (folders[0] / "test_damage_00001_prediction.png").unlink()
    with raises_naming(InputError, "test_damage_00001_prediction.png"):
        score_folders(*folders)


def test_a_missing_half_of_a_target_is_named(folders):
    (folders[1] / "test_localization_00000_target.png").unlink()
    with raises_naming(InputError, "test_localization_00000_target.png"):
        score_folders(*folders)


def test_another_size_is_refused(folders):
    Image.fromarray(np.zeros((1024, 512), np.uint8)).save(folders[0] / "test_damage_00000_prediction.png")
    with raises_naming(InputError, "test_damage_00000_prediction.png", "512", "1024"):
        score_folders(*folders)


def test_other_values_are_refused_and_listed(folders):
    labels = corner([[1, 2, 5, 255]], 1024)
    Image.fromarray(labels).save(folders[0] / "test_damage_00000_prediction.png")
    with raises_naming(LabelError, "uint8", "0", "4"):
        score_folders(*folders)


def test_right_values_of_another_type_are_refused_naming_the_type(folders):
    path = folders[0] / "test_damage_00000_prediction.png"
    Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16)).save(path)
    with raises_naming(LabelError, "uint16", "uint8", "gdal_translate"):
        score_folders(*folders)
    Image.fromarray(np.full((1024, 1024), 300, np.uint16)).save(path)
    with raises_naming(LabelError, "uint16", "uint8", "0", "4"):
        score_folders(*folders)


def test_folders_that_are_none_or_hold_nothing_are_refused(folders, tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        score_folders(tmp_path / "nowhere", folders[1])
    with pytest.raises(InputError, match="has no prediction files"):
        score_folders(folders[1], folders[1])
