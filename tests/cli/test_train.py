"""The verb `train`: overrides, what goes to stdout, errors without a stack trace."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from geotiff import write_geotiff

from deepnets4eo.baselines import BaselineRecipe
from deepnets4eo.cli.main import main
from deepnets4eo.segmenters import load_run
from deepnets4eo.training.recipe import read_recipe, resolve

RECIPE = {
    "data": {"tile_px": 32, "num_workers": 0},
    "legend": {
        "name": "dark or bright",
        "classes": [
            {"value": 0, "name": "dark", "color": [10, 10, 10]},
            {"value": 1, "name": "bright", "color": [250, 250, 250]},
        ],
    },
    "task": "baseline",
    "model": {"max_samples": 500, "features": ["pixels"]},
    "estimator": {"name": "random_forest", "trees": 2},
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 2, (8, 8)), np.ones((16, 16), int)).astype("uint8")
    image = (labels * 100 + rng.integers(50, 100, labels.shape)).astype("uint8")
    for name, array in (("image", image), ("labels", labels)):
        write_geotiff(tmp_path / "data" / "a" / f"{name}.tif", array, origin=(0, 0))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def train(place: Path, *more: str) -> int:
    return main(
        ["train", str(place / "recipe.yaml"), "--data", str(place / "data"), "--out", str(place / "run"), *more]
    )


def test_the_path_of_the_run_is_all_that_goes_to_stdout(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(place) == 0
    assert capsys.readouterr().out == f"{place / 'run'}\n"
    assert load_run(place / "run").legend.names == ("dark", "bright")


def test_flags_and_overrides_end_in_the_runs_recipe(place: Path) -> None:
    assert (
        train(place, "--seed", "3", "--set", "estimator.trees=1", "--set", "data.val_share=0.3", "--precision", "auto")
        == 0
    )
    recipe = resolve(read_recipe(place / "run" / "recipe.yaml"), kind=BaselineRecipe)
    assert (recipe.train.seed, recipe.estimator.trees, recipe.data.val_share) == (3, 1, 0.3)
    assert recipe.train.precision == "auto"
    assert recipe.data.folders == (str(place / "data"),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "estimator.tree=1"], "unknown key 'estimator.tree'. Did you mean 'estimator.trees'?"),
        (["--set", "legend=isprss"], "There is no legend \"isprss\". Did you mean 'isprs'?"),
        (["--set", "data.block_px=128"], "scene 'a' cannot be split"),
        (["--precision", "float64"], "train.precision is 'float64'"),
        (
            ["--set", "model={method: network, network: unet, encoder: resnet999}", "--device", "cpu"],
            "encoder 'resnet999' is unknown",
        ),
        (["--set", "model.method=network", "--set", "model.network=unet", "--device", "tpu"], "device 'tpu'"),
    ],
)
def test_wrong_input_is_explained_and_leaves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert train(place, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (place / "run").exists()


def test_an_existing_run_needs_overwrite(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(place) == 0
    assert train(place) == 1
    assert "exists already. Pass --overwrite" in capsys.readouterr().err
    assert train(place, "--overwrite") == 0


def test_an_unknown_recipe_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "unet-resnet43", "--out", str(place / "run")]) == 2
    assert "There is no model \"unet-resnet43\". Did you mean 'unet-resnet34'?" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert capsys.readouterr().out.count("\n  deepnets4eo train ") == 5
