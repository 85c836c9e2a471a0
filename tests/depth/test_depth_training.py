"""Depth is learnt from images as a lens sees them; what is scored is seen likewise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import SplitPart
from deepnets4eo.depth import ThinLens
from deepnets4eo.depth.training import TASK, DefocusedSamples, DepthRecipe
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.training import SampleWindow, TrainOptions, ValueSamples, make_split, measure_inputs, open_layers
from deepnets4eo.training.recipe import resolve

SIDE_PX = 96


def make_recipe(folder: Path, *overrides: str) -> DepthRecipe:
    values = {
        "task": "depth",
        "data": {
            "folders": [str(folder)], "layers": {"image": "image.tif", "depth": "depth.tif"}, "tile_px": 32, "windows_per_epoch": 4,
            "num_workers": 0, "block_px": 32, "buffer_px": 0,
        },
        "model": {"network": "osmnet", "options": {"width": 4}},
        "train": {"epochs": 1, "batch_size": 4, "monitor": "delta1", "defocus": {"focus_m": 1.5}},
    }  # fmt: skip
    return resolve(values, overrides, kind=DepthRecipe)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("room"), np.random.default_rng(0)
    depth = np.linspace(0.6, 4, SIDE_PX, dtype=np.float32)[None].repeat(SIDE_PX, axis=0)
    depth[:9, :9] = 0  # nothing was measured
    write_geotiff(folder / "image.tif", rng.integers(0, 255, (3, SIDE_PX, SIDE_PX)).astype(np.uint8))
    write_geotiff(folder / "depth.tif", depth)
    return folder


def test_windows_to_learn_from_and_to_score_are_seen_through_the_lens(folder):
    recipe = make_recipe(folder)
    split = make_split(open_layers(recipe.data, ["image", "depth"]), recipe.data)
    inputs = measure_inputs(split, ["image"])
    sharp, blurred = ValueSamples(split, inputs, recipe), DefocusedSamples(split, inputs, recipe)
    window = SampleWindow(0, Window(0, 0, 32, 32))
    with_depth = ThinLens(focus_m=1.5).blur(
        torch.from_numpy(sharp.read(window)["image"])[None],
        torch.from_numpy(split.scenes[0].scene.read(window.window, ["depth"])["depth"]),
    )
    np.testing.assert_allclose(blurred.read(window)["image"], with_depth[0], atol=1e-5)
    np.testing.assert_array_equal(blurred.read(window)["values"], sharp.read(window)["values"])
    scored = split.windows(SplitPart.val, 32)[0]
    one, other = (samples.read_validation(scored, 0, 32)["image"] for samples in (sharp, blurred))
    assert np.abs(np.diff(other)).mean() < 0.8 * np.abs(np.diff(one)).mean()


def test_a_run_remembers_its_lens(folder, tmp_path):
    recipe = make_recipe(folder, "target.factor=1.0")
    out = TASK.train(recipe, tmp_path / "run", TrainOptions(device="cpu"))
    assert "focus_m: 1.5" in (out / "recipe.yaml").read_text()


def test_a_lens_that_cannot_be_is_refused(folder):
    with raises_naming(InputError, "0.01"):
        make_recipe(folder, "train.defocus={focus_m: 0.01}")
    with pytest.raises(InputError, match="blurred for depth alone"):
        make_recipe(folder, "legend=isprs")
