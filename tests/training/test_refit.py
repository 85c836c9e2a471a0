"""`train.refit`: the run has the weights of a training on everything, and the scores of one that left a part out."""

import logging
from pathlib import Path
from typing import Any

import pytest
from geotiff import write_geotiff
from made_up_split import LEGEND, random_scene
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.baselines import BaselineRecipe
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import Recipe, SegmentationCriterion, TrainOptions, load_recipe, prepare, segmentation
from deepnets4eo.training.recipe import resolve

NETWORK = [
    "data.tile_px=64", "data.windows_per_epoch=4", "data.num_workers=0", "data.sampling=random", "train.batch_size=2",
    "train.epochs=2", "train.schedule=poly", "model.network=segnet", "model.options={width: 2}",
]  # fmt: skip
FOREST = [
    "model.features=[pixels, neighbourhood]", "model.max_samples=400", "model.sampling=random", "estimator.trees=5",
    "estimator.calibration=none",
]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(2):
        image, labels = random_scene(number)
        write_geotiff(tmp_path / "data" / f"place{number}" / "image.tif", image)
        write_geotiff(tmp_path / "data" / f"place{number}" / "labels.tif", labels)
    return tmp_path / "data"


def recipe_of(kind: type[Recipe], *overrides: str) -> Recipe:
    return resolve({"legend": LEGEND.to_dict()}, [*(NETWORK if kind is Recipe else FOREST), *overrides], kind=kind)


def train(data: Path, out: Path, recipe: Recipe, options: TrainOptions | None = None) -> Path:
    return deepnets4eo.train(recipe, out, data=data, options=options)


def scores_of(run: Path) -> dict[str, object]:
    metrics = read_json(run / "metrics.json")
    return {name: metrics[name] for name in ("confusion", "mean_f1")} | {"split": metrics["protocol"]["split"]}


def check_same_weights(first: Path, second: Path) -> None:
    left, right = (load_file(run / "weights.safetensors") for run in (first, second))
    assert left.keys() == right.keys()
    assert all(left[name].equal(right[name]) for name in left)


@pytest.mark.parametrize(
    ("scores", "keep", "epochs"), [([0.5, 0.4], "best", 1), ([0.4, 0.5], "best", 2), ([0.5, 0.4], "last", 2)]
)
def test_a_network_learns_everything_as_long_as_the_training_that_its_scores_are_of(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: list[float], keep: str, epochs: int
) -> None:
    made = iter(2 * scores)
    validate = SegmentationCriterion.validate
    monkeypatch.setattr(SegmentationCriterion, "validate", lambda *args: {**validate(*args), "mean_iou": next(made)})
    recipes = {
        name: recipe_of(Recipe, override, f"train.keep={keep}")
        for name, override in {"run": "train.refit=true", "a": "train.refit=false", "b": "data.val_share=0"}.items()
    }
    run, scored = (train(data, tmp_path / name, recipes[name]) for name in ("run", "a"))
    whole = train(data, tmp_path / "b", recipes["b"], TrainOptions(epochs=epochs))
    check_same_weights(run, whole)
    assert scores_of(run) == scores_of(scored)
    notes = read_json(run / "card.json")["notes"]
    assert notes["training_pixels"] == read_json(whole / "card.json")["notes"]["training_pixels"]
    assert (notes["epochs"], notes["refit"]["epochs"], notes["refit"]["kept"]) == (2, epochs, "last")
    assert "learned from all" in read_json(run / "metrics.json")["protocol"]["name"]
    assert (run / "refit" / "log.csv").exists()


@pytest.mark.parametrize("where", ["prepare", "write_run"])
def test_a_training_interrupted_before_or_after_the_second_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    recipe = recipe_of(Recipe, "train.refit=true")
    through, calls = train(data, tmp_path / "through", recipe), []
    function = getattr(segmentation, where)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(where)
        if where == "write_run" or len(calls) == 2:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(segmentation, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "run", recipe)
    before = (tmp_path / "run" / "log.csv").read_text()
    run = train(data, tmp_path / "run", recipe, TrainOptions(resume=True))
    assert (run / "log.csv").read_text() == before
    check_same_weights(run, through)


def test_a_forest_is_that_of_everything_with_the_scores_of_one_that_left_a_part_out(data: Path, tmp_path: Path) -> None:
    run, scored, whole = (
        train(data, tmp_path / name, recipe_of(BaselineRecipe, override))
        for name, override in {"run": "train.refit=true", "a": "train.refit=false", "b": "data.val_share=0"}.items()
    )
    files = [(one / "estimator.skops").read_bytes() for one in (run, whole, scored)]
    assert files[0] == files[1] != files[2]
    assert scores_of(run) == scores_of(scored)


def test_scores_of_a_forest_are_the_same_in_windows_of_a_block_and_in_larger_ones(data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(BaselineRecipe, "data.block_px=32", "data.buffer_px=8", f"data.folders=[{data}]")
    run = train(data, tmp_path / "run", recipe)
    segmenter = load_run(run).segmenter
    assert segmenter.any_tile
    segmenter.any_tile = False
    assert prepare(recipe).score(segmenter)["confusion"] == read_json(run / "metrics.json")["confusion"]


def test_what_cannot_be_refitted_is_refused() -> None:
    for name, override, words in [
        ("unet-mobilenet", "train.patience=3", "no score to stop by"),
        ("damage-pairs", "train.refit=true", "segmentation or baseline"),
    ]:
        with pytest.raises(InputError, match=words):
            load_recipe(name, overrides=["train.refit=true", override])


def test_without_a_validation_part_there_is_one_training(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run = train(data, tmp_path / "run", recipe_of(BaselineRecipe, "train.refit=true", "data.val_share=0"))
    assert "once more" not in caplog.text
    assert read_json(run / "metrics.json")["protocol"]["name"] == "not validated"
