"""What is measured on pairs and on graded buildings, by hand."""

import numpy as np
import pytest
from made_up_pairs import write_xbd
from refusals import raises_naming
from scipy.special import log_softmax, softmax

from deepnets4eo.cards import VOID
from deepnets4eo.damage import DamageRecipe
from deepnets4eo.damage.network import read_pairs
from deepnets4eo.damage.network.pairs import measure_pairs, scaled_to
from deepnets4eo.damage.network.recipe import DamageData
from deepnets4eo.damage.network.samples import split_buildings
from deepnets4eo.damage.network.scoring import (
    GradedHeads,
    LogitsAndGrades,
    damage_probability,
    epoch_scores,
    full_scores,
)
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Scene
from deepnets4eo.training.recipe import resolve


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return read_pairs(DamageData(folders=(str(write_xbd(tmp_path_factory.mktemp("xbd"), (3, 4, 5))),)))


def test_scaling_is_that_of_windows_around_buildings(pairs) -> None:
    """Images of 128 pixels lie whole in the windows of 256 around their buildings, once for each."""
    found = measure_pairs(pairs)
    for name in ("pre", "post"):
        values = []
        for pair in pairs:
            places = np.unique(np.linspace(0, len(pair.centres) - 1, 16).round().astype(int))
            for row, col in pair.centres[places]:
                top, left = max(row - 128, 0), max(col - 128, 0)
                data = pair.scene.layers[name].read()[0][:, top : row + 128, left : col + 128]
                values.append(data.reshape(len(data), -1).astype(float))
        every = np.concatenate(values, axis=1)
        layer = found.layers[name]
        assert layer.mean == pytest.approx(every.mean(axis=1), abs=1e-4)
        assert layer.std == pytest.approx(every.std(axis=1), rel=1e-5)
        assert (layer.low, layer.high) == pytest.approx(np.percentile(every, (1, 99)), abs=5)
        assert layer.dtype == "uint8"
    assert found.names == ["pre", "post"]


def test_pairs_without_a_training_building_are_not_measured(pairs) -> None:
    split = split_buildings(pairs, resolve({"data": {"tile_px": 32, "split": "scenes"}}, kind=DamageRecipe).data, 0)
    learnt = [pair.name for pair, grades in zip(pairs, split.train, strict=True) if (grades != VOID).sum() > 0]
    assert [pair.name for pair in split.training_pairs] == learnt
    assert 0 < len(learnt) < len(pairs)


def test_of_many_pairs_some_are_measured_evenly_spread(pairs) -> None:
    outer = measure_pairs([pairs[0], pairs[2]]).layers
    assert measure_pairs(pairs, most_pairs=2).layers == outer
    assert measure_pairs(pairs, most_pairs=3).layers != outer


def test_a_scene_is_scaled_by_its_own_pixels_or_keeps_what_training_had(pairs) -> None:
    inputs = measure_pairs(pairs)
    own = scaled_to(inputs, pairs[0].scene, pairs[0].centres)
    assert own.layers["pre"].mean == measure_pairs([pairs[0]]).layers["pre"].mean
    assert own.layers["pre"].mean != inputs.layers["pre"].mean
    assert (own.layers["pre"].low, own.gsd_m) == (inputs.layers["pre"].low, inputs.gsd_m)
    assert scaled_to(inputs, pairs[0].scene, pairs[0].centres[:0]).layers == inputs.layers
    nothing = Scene.open(pre=np.full((3, 64, 64), np.nan, np.float32), post=np.full((3, 64, 64), np.nan, np.float32))
    assert scaled_to(inputs, nothing, np.array([[30, 30]])).layers == inputs.layers


def test_pairs_of_other_bands_or_without_data_are_refused(pairs) -> None:
    class Pair:
        name, gsd_m, centres = "odd", None, np.array([[30, 30]])

        def __init__(self, bands: int, value: float) -> None:
            image = np.full((bands, 64, 64), value, np.float32)
            self.scene = Scene.open(pre=image, post=image)

    with raises_naming(InputError, "1 (odd), 3 (odd)"):
        measure_pairs([Pair(3, 1), Pair(1, 1)])
    with pytest.raises(InputError, match="the pre images have no valid pixel near a building"):
        measure_pairs([Pair(3, np.nan)])
    flat = measure_pairs([Pair(2, 7)])
    assert flat.layers["pre"].std == (1.0, 1.0)
    assert flat.gsd_m is None


GRADED = LogitsAndGrades(
    np.array([[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2], [1, 0, 0, 0]]),
    np.array([0, 1, 3, 3, 0], np.uint8),
)
HEADS = GradedHeads(GRADED, None, None, np.zeros((5, 0), object))


def test_scores_of_graded_buildings_by_hand(pairs) -> None:
    chance = softmax(GRADED.logits, axis=1)
    assert damage_probability(chance) == pytest.approx(chance[:, 2] + chance[:, 3])
    loss = -log_softmax(GRADED.logits, axis=1)[range(5), GRADED.grades].mean()
    found = epoch_scores(HEADS, even=False)
    assert found["val_loss"] == pytest.approx(loss)
    assert found["overall_accuracy"] == 0.8
    assert list(found) == ["val_loss", "auc", "overall_accuracy", "kappa", "mean_f1", "ece"]
    assert found["auc"] == 1.0
    recipe = resolve({"data": {"tile_px": 32, "split": "scenes"}}, kind=DamageRecipe)
    split = split_buildings(pairs, recipe.data, 0)
    scores = full_scores(HEADS, False, split.describe())
    assert scores["buildings"] == 5
    assert "pixels" not in scores
    assert scores["auc_major_or_worse"] == 1.0
    assert scores["legend"] == "xbd"
    assert scores["protocol"] == {
        "name": "validation buildings, one count each", "leaky": False, "split": split.describe(),
    }  # fmt: skip
    assert scores["temperature"] == GRADED.temperature > 0
    soft = softmax(GRADED.logits / GRADED.temperature, axis=1)
    damaged = soft[:, 2:].sum(axis=1)  # that of the likelier side, and whether it is right: here it always is
    assert scores["calibration_error"] == found["ece"]
    assert 0 <= scores["calibration_error"] <= (1 - np.maximum(damaged, 1 - damaged)).mean() + 1e-9


def test_no_buildings_have_no_scores(pairs) -> None:
    nothing = LogitsAndGrades(np.zeros((0, 4)), np.zeros(0, np.uint8))
    assert nothing.temperature == 1.0
    assert np.isnan(nothing.auc)
    assert nothing.matrix.total == 0
    for grades in ([0, 1], [2, 3]):
        assert np.isnan(LogitsAndGrades(np.zeros((2, 4)), np.array(grades, np.uint8)).auc)
