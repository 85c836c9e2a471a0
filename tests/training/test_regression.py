"""Heights are learnt from images, estimated over scenes and scored as classes are, by the same trainer, tiles and reports."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from geotiff import write_geotiff
from interrupted import assert_resumes_to

import deepnets4eo
from deepnets4eo.cards import Legend, Quantity, SplitPart
from deepnets4eo.cli.main import main
from deepnets4eo.evaluation import Withheld, evaluate_values
from deepnets4eo.grid import Window
from deepnets4eo.inspection import inspect
from deepnets4eo.jobs import Part
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.segmenters import Ensemble, InputSpec, LayerInput, NetworkSegmenter, TestTimeAugmentation as Augmented
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.synthetic import City
from deepnets4eo.tiling import Tiling
from deepnets4eo.training import RegressionRecipe, SampleWindow, ValueSamples, make_split, measure_inputs, open_layers
from deepnets4eo.training.data import TrainLoader
from deepnets4eo.training.recipe import resolve

SIDE_PX = 160
QUICK = PredictOptions(device="cpu", tile_px=64, halo_px=8, overlap_px=16, threads=1)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature city: image, labels, and heights above ground with an unknown corner, as surface and terrain too."""
    folder = tmp_path_factory.mktemp("city")
    made = City(1, SIDE_PX)
    height = (made.pre.dsm - made.dtm).astype("float32")
    height[:20, :20] = np.nan
    write_geotiff(folder / "image.tif", made.pre.image[:3])
    write_geotiff(folder / "labels.tif", made.pre.labels("minicity"))
    for name, values in {"height": height, "dsm": height + 130, "dtm": np.full_like(height, 130)}.items():
        write_geotiff(folder / f"{name}.tif", values)
    return folder


def make_recipe(*overrides: str) -> RegressionRecipe:
    values = {
        "task": "regression",
        "data": {
            "layers": {name: f"{name}.tif" for name in ("image", "labels", "height", "dsm", "dtm")},
            "tile_px": 64, "windows_per_epoch": 8, "num_workers": 0, "block_px": 40, "buffer_px": 8,
        },
        "model": {"network": "osmnet", "options": {"width": 4}},
        "train": {"epochs": 2, "batch_size": 4, "lr": 0.01, "photometric": 0.0},
        "predict": {"tile_px": 64, "halo_px": 8},
        "target": {"zero": "value"},
    }  # fmt: skip
    return resolve(values, overrides, kind=RegressionRecipe)


@pytest.fixture(scope="module")
def run(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heights and land cover in one pass, from a surface and a terrain model, with deviations."""
    recipe = make_recipe(
        "legend=minicity", "target.layer=dsm", "target.terrain=dtm", "target.deviation=true", "train.losses={gaussian: 1}",
        "train.monitor=r2_and_f1",
    )  # fmt: skip
    return deepnets4eo.train(recipe, tmp_path_factory.mktemp("runs") / "both", data=city)


def test_heights_are_learnt_resumed_and_kept_as_a_run(city: Path, tmp_path: Path) -> None:
    recipe = make_recipe()
    run = deepnets4eo.train(recipe, tmp_path / "run", data=city)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["quantity"]["name"] == "height"
    assert metrics["values"]["rmse"] > 0
    assert metrics["values"]["pixels"] == sum(level["pixels"] for level in metrics["by_level"].values())
    legend = deepnets4eo.load_run(run).legend
    assert (legend.num_classes, legend.num_channels) == (0, 1)
    assert "height in m" in str(inspect(str(run)).facts)

    assert_resumes_to(run, recipe, city, tmp_path / "cut", TrainLoader, 1)


def test_a_scene_gets_heights_deviations_and_labels_in_one_pass(city: Path, run: Path, tmp_path: Path) -> None:
    values = tmp_path / "heights.tif"
    predict(run, city / "image.tif", tmp_path / "labels.tif", PredictOptions(**{**vars(QUICK), "values": values}))
    with rasterio.open(values) as file:
        assert (file.dtypes, file.units, file.descriptions) == (
            ("float32",) * 2,
            ("m", "m"),
            ("height", "standard deviation"),
        )
        assert math.isnan(file.nodata)
        assert Quantity.from_tags(file.tags(), "it") == deepnets4eo.load_run(run).legend.quantity
        heights, deviations = file.read()
    assert np.isfinite(heights).all()
    assert (deviations > 0).all()
    assert inspect(str(tmp_path / "labels.tif")).facts["legend"].startswith("minicity")
    assert inspect(str(values)).facts["estimates"] == "height in m with its standard deviation"


def test_parts_of_a_job_are_the_whole(city: Path, run: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.tif", tmp_path / "parts.tif"
    labels = {path: path.with_name(f"labels-{path.name}") for path in (whole, parts)}

    def options(path: Path, **more: Any) -> PredictOptions:
        return PredictOptions(**{**vars(QUICK), "values": path, "block_px": 32} | more)

    predict(run, city / "image.tif", labels[whole], options(whole))
    for number in (1, 2):
        predict(run, city / "image.tif", labels[parts], options(parts, part=Part(number, 2)))
    predict(run, city / "image.tif", labels[parts], options(parts, resume=True))
    with rasterio.open(whole) as first, rasterio.open(parts) as second:
        np.testing.assert_array_equal(first.read(), second.read())


def test_scores_of_a_map_are_those_of_the_training_where_it_withheld(
    city: Path, run: Path, tmp_path: Path, capsys
) -> None:
    values, labels = tmp_path / "heights.tif", tmp_path / "labels.tif"
    predict(run, city / "image.tif", labels, PredictOptions(**{**vars(QUICK), "values": values, "overlap_px": 0}))
    scores = evaluate_values([(values, city / "height.tif")], Quantity("height"), withheld=Withheld.of_run(run))
    metrics = json.loads((run / "metrics.json").read_text())
    assert scores["values"]["pixels"] == metrics["values"]["pixels"]
    assert scores["values"]["rmse"] == pytest.approx(metrics["values"]["rmse"], rel=0.05)  # tiles lie elsewhere
    assert (
        main(
            [
                "evaluate",
                str(values),
                str(city / "height.tif"),
                "--set",
                f"class_map={labels}",
                "--csv",
                str(tmp_path / "s.csv"),
            ]
        )
        == 0
    )
    assert "LE90" in capsys.readouterr().err
    assert "level,below 2,rmse," in (tmp_path / "s.csv").read_text()
    assert main(["evaluate", str(values), str(city / "height.tif"), "--erode", "3"]) == 2
    assert "not classes" in capsys.readouterr().err


def test_a_void_target_counts_nowhere_and_hides_no_image(city: Path) -> None:
    """Heights without a value, and those of validation blocks, are NaN in what is learnt from; the image is there all the same."""
    recipe = make_recipe(f"data.folders=[{city}]")
    split = make_split(open_layers(recipe.data, ["image", "height"]), recipe.data)
    samples = ValueSamples(split, measure_inputs(split, ["image"]), recipe)
    whole = SampleWindow(0, Window(0, 0, SIDE_PX, SIDE_PX))
    sample = samples.read(whole)
    known = np.isfinite(sample["values"])
    assert not known[split.mask(0, SplitPart.val, whole.window)].any()
    assert not known[:20, :20].any()
    assert known.any()
    assert (sample["image"][:, :20, :20] != 0).any(axis=0)[sample["valid"][:20, :20]].all()
    assert (sample["values"] == 0).any()
    void = make_recipe(
        f"data.folders=[{city}]", "target.zero=void", "target.quantity={name: depth, unit: m, low: 0, high: 3}"
    )
    learnt = ValueSamples(split, measure_inputs(split, ["image"]), void).read(whole)["values"]
    np.testing.assert_array_equal(np.isfinite(learnt), known & (sample["values"] > 0) & (sample["values"] <= 3))


INPUTS = InputSpec({"image": LayerInput(("red", "green", "blue"), (0.0,) * 3, (1.0,) * 3, -3.0, 3.0, "float32")})
REGRESSORS = {
    "d3net": {"blocks": [1, 1, 1, 1], "growth": 8},
    "osmnet": {"width": 4},
    "unet": {"encoder": "tu-test_resnet", "decoder_channels": [32, 16, 16, 8, 8]},
}  # fmt: skip


@pytest.mark.parametrize("deviation", [False, True])
@pytest.mark.parametrize("name", REGRESSORS)
def test_every_regressor_keeps_its_unit_through_views_runs_and_ensembles(
    name: str, deviation: bool, tmp_path: Path
) -> None:
    quantity = Quantity("height", deviation=deviation)
    legend = Legend("height", (), quantity=quantity)
    torch.manual_seed(0)
    units = {"head": "units", "head_options": {"offset": 40.0, "scale": 1e-3, "deviation": deviation}}
    network = NetworkSegmenter({"name": name, **REGRESSORS[name], **units}, INPUTS, legend, tiling=Tiling(64, 8))
    image = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    values = network.predict_raw(image)
    assert values.shape == (2, quantity.num_channels, 64, 64)
    np.testing.assert_allclose(values[:, 0], 40, atol=0.1)
    np.testing.assert_array_equal(network.predict_proba(image), values)
    if deviation:
        assert (values[:, 1] > 0).all()
    loaded = deepnets4eo.load_run(save_run(network, tmp_path / "run")).segmenter
    for segmenter in (loaded, Ensemble([network, loaded]), Augmented(loaded, "none")):
        np.testing.assert_allclose(segmenter.predict_raw(image), values, rtol=1e-6)
