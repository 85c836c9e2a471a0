"""Labels cleansed by the network that learns from them: the published rules, always from the original labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

import deepnets4eo
from deepnets4eo.cards import VOID
from deepnets4eo.change import Diffusion, cleansing, merge_labels
from deepnets4eo.change.cleansing import CleansingRecipe, to_grey_levels
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import LayerInput
from deepnets4eo.training import Prepared, prepare
from deepnets4eo.training.recipe import resolve

RULES = {  # (original, predicted) → label, as in the paper
    "intersection": {(0, 0): 0, (0, 1): 0, (1, 0): 0, (1, 1): 1},
    "ignore-missed": {(0, 0): 0, (0, 1): 0, (1, 0): VOID, (1, 1): 1},
    "ignore-differing": {(0, 0): 0, (0, 1): VOID, (1, 0): VOID, (1, 1): 1},
    "ignore-confident": {(0, 0): 0, (0, 1): VOID, (1, 0): VOID, (1, 1): 1},
}
SMALL = [
    "data.tile_px=32", "data.windows_per_epoch=2", "data.num_workers=0", "train.batch_size=2", "train.epochs=1",
    "data.split=scenes", "data.val_share=0.5", "predict.tile_px=64", "predict.halo_px=0", "cleansing.steps=8",
    "cleansing.hyperepochs=3", "cleansing.merge=ignore-differing", "cleansing.least_noise=0",
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_merges_as_published_and_void_stays_void(rule) -> None:
    for (original, predicted), expected in RULES[rule].items():
        assert merge_labels(np.array([original], np.uint8), np.array([predicted], np.uint8), rule)[0] == expected
    assert merge_labels(np.array([VOID, VOID], np.uint8), np.array([0, 1], np.uint8), rule).tolist() == [VOID, VOID]
    assert merge_labels(np.array([0, 1], np.uint8), np.array([VOID, VOID], np.uint8), rule).tolist() == [0, 1]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(2):
        folder = tmp_path / "data" / f"pair{number}"
        pre, post = rng.integers(20, 220, (2, 2, 64, 64)).astype(np.uint8)
        write_geotiff(folder / "pre.tif", pre)
        write_geotiff(folder / "post.tif", post)
        write_geotiff(folder / "labels.tif", (rng.random((64, 64)) < 0.5).astype(np.uint8))
    return tmp_path / "data"


def recipe(*overrides: str) -> CleansingRecipe:
    values: dict[str, Any] = {
        "task": "change-cleansing",
        "legend": "change",
        "data": {"layers": {"image_pre": "*/pre.tif", "image_post": "*/post.tif", "labels": "*/labels.tif"}},
        "model": {"network": "fc-ef", "layers": ["image_pre", "image_post"]},
    }
    return resolve(values, [*SMALL, *overrides], kind=CleansingRecipe)


@pytest.mark.core("the only training with cleansing")
def test_every_hyperepoch_merges_with_the_original_labels_and_never_with_merged_ones(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merges: list[np.ndarray] = []
    merge = cleansing.merge_labels

    def record(original: np.ndarray, predicted: np.ndarray, rule: Any) -> np.ndarray:
        merges.append(original.copy())
        return merge(original, predicted, rule)

    monkeypatch.setattr(cleansing, "merge_labels", record)
    run = deepnets4eo.train(recipe(), tmp_path / "run", data=data)
    labels = Layer.open(data / "pair1" / "labels.tif").read()[0][0]
    assert len(merges) == 2  # after two of three hyperepochs, on the pair that is learnt from
    for original in merges:
        np.testing.assert_array_equal(original, labels)
    first, second = (
        Layer.open(run / "checkpoints" / f"hyperepoch-{number}" / Scene.label_layer / "labels-pair1.tif").read()[0][0]
        for number in (1, 2)
    )
    for merged in (first, second):
        kept = merged != VOID
        np.testing.assert_array_equal(merged[kept], labels[kept])
        assert not kept.all()
    card = read_json(run / "card.json")["notes"]
    assert len(card["cleansing"]) == 2
    assert all(share <= 1 for one in card["cleansing"] for share in one["kept"].values())
    assert all(0 <= share <= 1 for one in card["cleansing"] for share in one["wrong"].values())
    metrics = read_json(run / "metrics.json")
    assert metrics["pixels"] == 64 * 64  # validated on all original labels


def test_labels_of_which_too_few_seem_wrong_stay_as_they_are(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleansing, "merge_labels", lambda *_: pytest.fail("labels were merged"))
    run = deepnets4eo.train(recipe("cleansing.least_noise=1", "cleansing.hyperepochs=2"), tmp_path / "run", data=data)
    (only,) = read_json(run / "card.json")["notes"]["cleansing"]
    assert only["kept"] == {"no change": 1, "change": 1}
    assert only["wrong"]["change"] < 1


@pytest.mark.parametrize(("least_noise", "expected"), [(1, ["pair0"]), (0, ["pair0", "pair1"])])
def test_where_labels_stay_no_more_scenes_are_predicted_than_the_estimate_needs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least_noise: int, expected: list[str]
) -> None:
    predicted: list[str] = []
    predict_scene = cleansing._predict_scene

    def record(segmenter: Any, scene: Any, *arguments: Any) -> Any:
        predicted.append(scene.name)
        return predict_scene(segmenter, scene, *arguments)

    monkeypatch.setattr(cleansing, "_predict_scene", record)
    monkeypatch.setattr(cleansing, "ESTIMATED_SCENES", 1)
    whole = ("data.val_share=0", "cleansing.hyperepochs=2", f"cleansing.least_noise={least_noise}")
    deepnets4eo.train(recipe(*whole), tmp_path / "run", data=data)
    assert predicted == expected


def test_each_hyperepoch_goes_on_from_the_weights_of_the_last_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[list[np.ndarray]] = []
    fit = Prepared.fit

    def record(prepared: Prepared, segmenter: Any, *arguments: Any) -> Any:
        states.append([value.detach().numpy().copy() for value in segmenter.module.state_dict().values()])
        notes = fit(prepared, segmenter, *arguments)
        states.append([value.detach().numpy().copy() for value in segmenter.module.state_dict().values()])
        return notes

    monkeypatch.setattr(Prepared, "fit", record)
    deepnets4eo.train(recipe("cleansing.hyperepochs=2"), tmp_path / "run", data=data)
    _, after, before, last = states
    assert all(np.array_equal(one, other) for one, other in zip(after, before, strict=True))
    assert not all(np.array_equal(one, other) for one, other in zip(after, last, strict=True))


def test_ignore_confident_takes_out_only_labels_of_which_the_network_is_sure_that_they_are_wrong(
    data: Path, tmp_path: Path
) -> None:
    """Against a second computation from the written scores."""
    run = deepnets4eo.train(
        recipe("cleansing.merge=ignore-confident", "cleansing.hyperepochs=2", "cleansing.steps=0"),
        tmp_path / "run",
        data=data,
    )
    folder = run / "checkpoints" / "hyperepoch-1" / Scene.label_layer
    change = Layer.open(folder / "scores-pair1.tif").read()[0][1].astype(float)
    merged = Layer.open(folder / "labels-pair1.tif").read()[0][0]
    labels = Layer.open(data / "pair1" / "labels.tif").read()[0][0]
    sure_of_change, sure_of_none = change >= change[labels == 1].mean(), change <= change[labels == 0].mean()
    both = sure_of_change & sure_of_none
    sure_of_change[both], sure_of_none[both] = change[both] >= 127, change[both] < 127
    expected = np.where((labels == 0) & sure_of_change | (labels == 1) & sure_of_none, VOID, labels)
    np.testing.assert_array_equal(merged, expected)
    assert 0 < (merged == VOID).mean() < ((change >= 127) != labels).mean()


def test_scores_flow_along_images_before_they_are_merged(data: Path) -> None:
    """Within flat images a small object flows away; across edges it does not."""
    prepared = prepare(recipe(f"data.folders=[{data}]"))
    segmenter = type("Inputs", (), {"inputs": prepared.inputs})()
    flat, edged = np.full((2, 2, 40, 40), 90, np.uint8)
    scores = np.zeros((2, 40, 40), np.uint8)
    scores[1, 18:22, 18:22] = edged[:, 18:22, 18:22] = 254
    scores[0] = 254 - scores[1]
    over_flat, over_edged = (
        cleansing._diffused_scores(
            segmenter,
            Scene.open(image_pre=image, image_post=image),
            Layer.open(scores),
            Window(8, 8, 30, 30),
            Diffusion(400),
        )
        for image in (flat, edged)
    )
    assert over_flat.shape == (2, 30, 30)
    assert not (over_flat[1] > 127).any()
    np.testing.assert_array_equal(over_edged[1] > 127, scores[1, 8:38, 8:38] > 127)
    assert (np.abs(over_edged.astype(int).sum(axis=0) - 254) <= 1).all()


def test_where_diffusion_lets_small_changes_leak_away_the_scores_are_merged_without_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def merged(name: str, steps: int) -> np.ndarray:
        run = deepnets4eo.train(
            recipe("cleansing.hyperepochs=2", f"cleansing.steps={steps}"), tmp_path / name, data=data
        )
        return Layer.open(run / "checkpoints" / "hyperepoch-1" / Scene.label_layer / "labels-pair1.tif").read()[0]

    plain = merged("plain", 0)
    monkeypatch.setattr(cleansing, "guided_anisotropic_diffusion", lambda scores, *_, **__: np.zeros_like(scores))
    np.testing.assert_array_equal(merged("leaking", 8), plain)
    assert "objects leak away, and scores are merged without it" in caplog.text


def test_guides_are_in_grey_levels() -> None:
    layer = LayerInput(("b",), (0.0,), (1.0,), 100.0, 1100.0, "uint16")
    values = np.array([[[0.0, 100.0, 600.0, 1100.0, 9000.0]]], np.float32)
    assert to_grey_levels(values, layer)[0, 0].tolist() == [0, 0, 127.5, 255, 255]
    layer = LayerInput(("b",), (0.0,), (1.0,), 100.0, 120.0, "uint8")
    assert to_grey_levels(values, layer) is values


def test_other_layers_than_a_pair_are_refused(data: Path, tmp_path: Path) -> None:
    with raises_naming(InputError, "image_pre", "image_post"):
        deepnets4eo.train(recipe("model.layers=[image_pre]"), tmp_path / "run", data=data)


def test_an_unknown_rule_is_refused() -> None:
    with raises_naming(InputError, "'intersecton'", "'intersection'"):
        merge_labels(np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8), "intersecton")


def test_labels_that_are_validated_on_change_nothing_that_is_learnt(data: Path, tmp_path: Path) -> None:
    weights = []
    for name in ("given", "turned"):
        run = deepnets4eo.train(recipe("train.keep=last"), tmp_path / name, data=data)
        weights.append((run / "weights.safetensors").read_bytes())
        labels = Layer.open(data / "pair0" / "labels.tif").read()[0][0]
        write_geotiff(data / "pair0" / "labels.tif", np.uint8(1) - labels)
    assert weights[0] == weights[1]


def test_a_legend_that_lists_change_first_is_refused(data: Path, tmp_path: Path) -> None:
    names = ("change", "no change")
    legend = {
        "name": "turned",
        "classes": [{"value": 1 - k, "name": one, "color": [k, 9, 9]} for k, one in enumerate(names)],
    }
    with pytest.raises(
        InputError, match="has the classes change, no change; expected no change and change, in this order"
    ):
        deepnets4eo.train(recipe().model_copy(update={"legend": legend}), tmp_path / "run", data=data)
