"""Training from scenes to a run, on places of three colours: determinism, resumption, leaks, and what goes wrong."""

import csv
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from interrupted import interrupted_at
from refusals import raises_naming
from safetensors.torch import load_file
from torch import nn

import deepnets4eo
from deepnets4eo.baselines import BaselineRecipe
from deepnets4eo.cards import SplitPart
from deepnets4eo.errors import InputError, LabelError, OtherJobError, OutputError, RunError
from deepnets4eo.files import read_json
from deepnets4eo.grid import Window
from deepnets4eo.segmenters import networks
from deepnets4eo.training import (
    DataSection,
    Recipe,
    Task,
    TrainOptions,
    class_weights,
    find_sources,
    load_legend,
    prepare,
)
from deepnets4eo.training.data import TrainLoader
from deepnets4eo.training.recipe import resolve

COLORS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])
NAMES = ("red", "green", "blue")
LEGEND = {
    "name": "colours",
    "classes": [
        {"value": v, "name": n, "color": c.tolist()} for v, (n, c) in enumerate(zip(NAMES, COLORS, strict=True))
    ],
}
TREE = {
    "card.json", "checkpoints", "confusion.csv", "curves.png", "legend.yaml", "log.csv", "metrics.json",
    "recipe.yaml", "split", "split.geojson", "weights.safetensors",
}  # fmt: skip


def make_place(seed: int, size_px: int = 128) -> dict[str, np.ndarray]:
    """Squares of three colours with noise; a corner without data, a stripe of void; heights that follow the class."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 3, (size_px // 16,) * 2), np.ones((16, 16), int)).astype("uint8")
    image = COLORS[labels].transpose(2, 0, 1) + rng.normal(0, 30, (3, size_px, size_px))
    image = np.clip(image, 1, 255).astype("uint8")
    image[:, :20, :20] = 0
    dsm = (5.0 * labels + rng.normal(0, 1, labels.shape)).astype("float32")
    labels[60:66] = 255
    return {"image": image, "dsm": dsm[None], "labels": labels[None]}


def write_place(folder: Path, place: dict[str, np.ndarray]) -> None:
    for name, array in place.items():
        write_geotiff(folder / f"{name}.tif", array, gsd=0.5, nodata=0 if name == "image" else None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(2):
        write_place(tmp_path / "data" / f"place{number}", make_place(number))
    return tmp_path / "data"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """A network of a hundred weights, registered as a branch would."""

    def factory(in_channels: int, num_classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1),
            nn.Conv2d(8, num_classes, 1),
        )  # fmt: skip

    entry = SimpleNamespace(name="tiny", value="tiny:factory", group="deepnets4eo.networks", load=lambda: factory)
    monkeypatch.setattr(networks, "_registered", lambda: {"tiny": entry})
    return "tiny"


def make_recipe(*overrides: str, **sections: dict[str, Any]) -> Recipe:
    values: dict[str, Any] = {
        "legend": LEGEND,
        "data": {"tile_px": 32, "windows_per_epoch": 16, "num_workers": 0},
        "model": {"network": "tiny"},
        "train": {"epochs": 3, "batch_size": 4, "lr": 0.02},
    }
    for name, section in sections.items():
        values[name] = {**values[name], **section}
    return resolve(values, overrides, kind=Recipe)


def make_forest(estimator: dict[str, Any], **model: Any) -> BaselineRecipe:
    values = {"task": "baseline", "legend": LEGEND, "data": {"tile_px": 32, "num_workers": 0}}
    return resolve({**values, "model": model, "estimator": estimator}, kind=BaselineRecipe)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights.safetensors")


def equal(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def test_a_run_has_its_tree_and_learns_the_colours(data: Path, tiny: str, tmp_path: Path) -> None:
    run = deepnets4eo.train(make_recipe("train.epochs=6"), tmp_path / "run", data=data)
    assert {path.name for path in run.iterdir()} == TREE
    assert metrics(run)["overall_accuracy"] > 0.9
    assert {"f1", "iou", "precision", "recall", "confusion", "legend", "protocol"} <= metrics(run).keys()
    loaded = deepnets4eo.load_run(run)
    assert loaded.legend.names == NAMES
    notes, log = loaded.card["notes"], list(csv.DictReader((run / "log.csv").open()))
    assert (notes["task"], notes["kept"], notes["epochs"], len(log)) == ("segmentation", "best", 6, 6)
    scores = [float(row["mean_iou"]) for row in log]
    assert notes["best_epoch"] == 1 + scores.index(max(scores))
    assert notes["seconds"] == pytest.approx(sum(float(row["seconds"]) for row in log), abs=1e-6)
    assert notes["compute"]["device"] == "cpu"
    assert notes["validation"] == {name: metrics(run)[name] for name in notes["validation"]}
    assert notes["scenes"]["place1"] == {name: str(data / "place1" / f"{name}.tif") for name in ("image", "labels")}
    counted = dict.fromkeys(NAMES, 0)
    prepared = prepare(make_recipe(f"data.folders=[{data}]"))
    for number in range(2):
        place, train = make_place(number), prepared.split.mask(number, SplitPart.train, Window(0, 0, 128, 128))
        for value, name in enumerate(NAMES):
            counted[name] += int((train & (place["labels"][0] == value)).sum())
    assert notes["training_pixels"] == counted
    assert loaded.card["recipe_sha256"] in (run / "recipe.yaml").read_text().splitlines()[0]
    assert not loaded.card["notes"]["leaky"]


def test_two_runs_of_one_seed_are_the_same_bits_whatever_reads_ahead(data: Path, tiny: str, tmp_path: Path) -> None:
    first = deepnets4eo.train(make_recipe(), tmp_path / "a", data=data)
    second = deepnets4eo.train(make_recipe("data.num_workers=3"), tmp_path / "b", data=data)
    third = deepnets4eo.train(make_recipe("train.seed=1"), tmp_path / "c", data=data)
    assert equal(first, second)
    assert not equal(first, third)
    assert metrics(first) == metrics(second)
    assert (first / "split.geojson").read_text() == (third / "split.geojson").read_text()


def test_mixed_precision_keeps_weights_in_float32(data: Path, tiny: str, tmp_path: Path) -> None:
    run = deepnets4eo.train(make_recipe("train.precision=bfloat16"), tmp_path / "run", data=data)
    assert {tensor.dtype for tensor in weights(run).values()} == {torch.float32, torch.int64}
    assert metrics(run)["overall_accuracy"] > 0.7


def test_a_compiled_network_learns_the_same(
    data: Path, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def as_it_is(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., Any]:
        graphs.append(graph)  # traced, but not given to the machine's compiler: that takes minutes
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=as_it_is))
    plain = deepnets4eo.train(make_recipe(), tmp_path / "plain", data=data)
    assert not graphs
    compiled = deepnets4eo.train(make_recipe("train.compile=true"), tmp_path / "compiled", data=data)
    assert graphs
    assert equal(plain, compiled)


def test_an_interrupted_run_resumes_to_the_same_bits(data: Path, tiny: str, tmp_path: Path) -> None:
    whole = deepnets4eo.train(make_recipe(), tmp_path / "whole", data=data)
    with interrupted_at(TrainLoader, 2), pytest.raises(KeyboardInterrupt):
        deepnets4eo.train(make_recipe(), tmp_path / "cut", data=data)
    assert not (tmp_path / "cut" / "card.json").exists()  # an unfinished run is no run
    labels, options = next(data.rglob("labels.tif")), TrainOptions(resume=True)
    written, written_ns = labels.read_bytes(), labels.stat().st_mtime_ns
    added = labels.with_name("added.tif")
    for path, content in ((labels, written[:-1] + b"x"), (added, written)):
        path.write_bytes(content)
        with pytest.raises(OtherJobError) as error:
            deepnets4eo.train(make_recipe(), tmp_path / "cut", data=data, options=options)
        assert error.value.differing == (str(path),)
        labels.write_bytes(written)
    added.unlink()
    os.utime(labels, ns=(written_ns, written_ns + 10**9))  # touched: the content is the same
    with interrupted_at(TrainLoader, 2):  # not an epoch more is learnt
        finished = deepnets4eo.train(
            make_recipe(), tmp_path / "cut", data=data, options=TrainOptions(resume=True, finish=True)
        )
    card = read_json(finished / "card.json")
    assert card["notes"]["finished_after"] == f"2 of {card['notes']['epochs'] + 1} epochs"
    scored = prepare(make_recipe(f"data.folders=[{data}]")).score(deepnets4eo.load_run(finished).segmenter)
    assert metrics(finished)["confusion"] == scored["confusion"]
    resumed = deepnets4eo.train(make_recipe(), tmp_path / "cut", data=data, options=options)
    assert equal(whole, resumed)
    assert metrics(whole) == metrics(resumed)


def test_what_validation_blocks_show_never_reaches_the_weights(data: Path, tiny: str, tmp_path: Path) -> None:
    recipe = make_recipe("data.block_px=32", "data.buffer_px=4", "train.keep=last")
    run = deepnets4eo.train(recipe, tmp_path / "a", data=data)
    prepared = prepare(resolve(recipe.to_dict(), [f"data.folders=[{data}]"], kind=Recipe))
    for number, named in enumerate(prepared.split.scenes):
        place = make_place(number)
        hidden = prepared.split.mask(number, SplitPart.val, Window(0, 0, 128, 128))
        assert hidden.any()
        place["image"][:, hidden] = 7
        place["labels"][:, hidden] = 1
        write_place(tmp_path / "changed" / named.name, place)
    changed = deepnets4eo.train(recipe, tmp_path / "b", data=tmp_path / "changed")
    assert equal(run, changed)


def test_training_labels_keep_the_buffer_from_validation(data: Path, tiny: str) -> None:
    prepared = prepare(make_recipe("data.block_px=32", "data.buffer_px=4", f"data.folders=[{data}]"))
    window = Window(0, 0, 128, 128)
    train, val = (prepared.split.mask(0, part, window) for part in (SplitPart.train, SplitPart.val))
    rows, cols = np.nonzero(val)
    assert len(rows) > 0
    assert train.any()
    for row, col in zip(*np.nonzero(train), strict=True):
        assert (np.maximum(abs(rows - row), abs(cols - col)) > 4).all()


def test_statistics_come_from_valid_training_pixels_alone(data: Path, tiny: str) -> None:
    prepared = prepare(make_recipe(f"data.folders=[{data}]"))
    pixels = []
    for number in range(2):
        image = make_place(number)["image"].astype(float)
        train = prepared.split.mask(number, SplitPart.train, Window(0, 0, 128, 128))
        pixels.append(image[:, train & (image != 0).any(axis=0)])
    everything = np.concatenate(pixels, axis=1)
    found = prepared.inputs.layers["image"]
    assert found.mean == pytest.approx(everything.mean(axis=1), abs=1e-5)
    assert found.std == pytest.approx(everything.std(axis=1), rel=1e-6)
    assert prepared.inputs.gsd_m == 0.5


def test_validation_counts_each_labelled_pixel_once(data: Path, tiny: str, tmp_path: Path) -> None:
    run = deepnets4eo.train(make_recipe("train.epochs=1"), tmp_path / "run", data=data)
    prepared = prepare(make_recipe(f"data.folders=[{data}]"))
    expected = 0
    for number in range(2):
        place = make_place(number)
        val = prepared.split.mask(number, SplitPart.val, Window(0, 0, 128, 128))
        expected += int((val & (place["labels"][0] != 255) & (place["image"] != 0).any(axis=0)).sum())
    assert metrics(run)["pixels"] == expected


def test_several_layers_are_concatenated_in_the_recipes_order(data: Path, tiny: str, tmp_path: Path) -> None:
    overrides = ["data.layers={image: '*/image.tif', dsm: '*/dsm.tif', labels: '*/labels.tif'}"]
    recipe = make_recipe(*overrides, "model.layers=[image, dsm]", "data.bands={image: [3, 1]}")
    run = deepnets4eo.load_run(deepnets4eo.train(recipe, tmp_path / "run", data=data))
    assert run.inputs.names == ["image", "dsm"]
    assert run.inputs.in_channels == 3
    assert run.segmenter.module[0].in_channels == 3


def test_a_frozen_average_keeps_its_runs_to_the_last_bit(data: Path, tmp_path: Path) -> None:
    layers = "data.layers={image: '*/image.tif', dsm: '*/dsm.tif', labels: '*/labels.tif'}"
    options = {"batch_norm": True, "width": 4}
    runs = []
    for layer in ("image", "dsm"):
        model = {"network": "osmnet", "layers": [layer], "options": options}
        recipe = make_recipe(layers, "train.epochs=1", model=model)
        runs.append(deepnets4eo.train(recipe, tmp_path / layer, data=data))
    averaged = {"streams": [3, 1], "network": "osmnet", "options": options, "frozen": True}
    model = {"network": "dual-stream", "layers": ["image", "dsm"], "options": averaged}
    with raises_naming(InputError, "model.encoder_weights"):
        deepnets4eo.train(make_recipe(layers, model=model), tmp_path / "random", data=data)
    model["encoder_weights"] = ",".join(map(str, runs))
    run = deepnets4eo.train(make_recipe(layers, model=model), tmp_path / "average", data=data)
    kept = {f"members.{n}.{key}": value for n, one in enumerate(runs) for key, value in weights(one).items()}
    assert weights(run).keys() == kept.keys()
    assert any("running_mean" in key for key in kept)
    assert all(torch.equal(value, kept[key]) for key, value in weights(run).items())
    assert {"metrics.json", "log.csv", "card.json"} <= {path.name for path in run.iterdir()}
    assert 0 < metrics(run)["overall_accuracy"] <= 1
    assert deepnets4eo.load_run(run).segmenter.module.frozen


def test_an_estimator_makes_the_same_tree(data: Path, tmp_path: Path) -> None:
    recipe = make_forest({"name": "random_forest", "trees": 5}, max_samples=1000)
    run = deepnets4eo.train(recipe, tmp_path / "run", data=data)
    again = deepnets4eo.train(recipe, tmp_path / "again", data=data)
    assert {path.name for path in run.iterdir()} == TREE - {"checkpoints", "weights.safetensors"} | {"estimator.skops"}
    assert metrics(run)["overall_accuracy"] > 0.9
    assert metrics(run) == metrics(again)
    assert deepnets4eo.load_run(run).segmenter.kind == "pixel-classifier"


def test_random_splits_are_stamped_leaky(
    data: Path, tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(make_recipe(f"data.folders=[{data}]"))
    assert "leaky" not in caplog.text
    run = deepnets4eo.train(make_recipe("data.split=random"), tmp_path / "run", data=data)
    assert "neighbours of training pixels are validated on, so the scores are leaky" in caplog.text
    assert metrics(run)["protocol"]["leaky"] is True
    assert deepnets4eo.load_run(run).card["notes"]["leaky"] is True
    assert json.loads((run / "split.geojson").read_text())["split"]["leaky"] is True


def test_whole_scenes_can_be_validated_on(data: Path, tiny: str, tmp_path: Path) -> None:
    overrides = ["data.split=scenes", "data.val_scenes=['*1']"]
    run = deepnets4eo.train(make_recipe(*overrides), tmp_path / "run", data=data)
    split = metrics(run)["protocol"]["split"]
    assert split["scenes"] == {"place0": ["train"], "place1": ["val"]}
    with raises_naming(InputError, "data.split", "0 of 2 scenes"):
        prepare(make_recipe("data.split=scenes", "data.val_scenes=[x]", f"data.folders=[{data}]"))


def test_balanced_windows_show_rare_classes_as_often_as_others(tmp_path: Path, tiny: str) -> None:
    place = make_place(0, size_px=256)
    place["labels"][:] = 0
    place["labels"][:, 100:108, 100:108] = 1
    write_place(tmp_path / "data" / "rare", place)
    shares = {}
    for sampling in ("random", "balanced"):
        overrides = [
            f"data.sampling={sampling}",
            "data.windows_per_epoch=200",
            "data.tile_px=64",
            "data.val_share=0.05",
        ]
        recipe = make_recipe(*overrides, f"data.folders=[{tmp_path / 'data'}]")
        prepared = prepare(recipe)
        samples = prepared.samples()
        shares[sampling] = np.mean([bool((samples.read(one)["mask"] == 1).any()) for one in samples.windows(0)])
        assert prepared.pixels[1] == 64
    assert shares["balanced"] > 2 * shares["random"]


def test_label_colours_and_other_legends_are_understood(data: Path, tiny: str, tmp_path: Path) -> None:
    for number in range(2):
        labels = make_place(number)["labels"][0]
        colors = np.where(labels == 255, 0, COLORS[labels % 3].transpose(2, 0, 1)).astype("uint8")
        write_geotiff(data / f"place{number}" / "labels.tif", colors, gsd=0.5)
    run = deepnets4eo.train(make_recipe("train.epochs=1"), tmp_path / "run", data=data)
    assert metrics(run)["pixels"] > 0


def test_unknown_label_values_are_named_with_their_file(data: Path, tiny: str, tmp_path: Path) -> None:
    place = make_place(0)
    place["labels"][0, 5, 5] = 9
    write_place(data / "place0", place)
    with raises_naming(LabelError, "place0/labels.tif", '"colours"', "9", "--set", "data.unknown_labels"):
        deepnets4eo.train(make_recipe(), tmp_path / "run", data=data)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["legend=''"], "the recipe names no legend.* YAML file of your own; .*datasets --legends"),
        (["model.network=null"], "the recipe names no model"),
        (["model.network=unett"], "network 'unett' is unknown"),
        (["model.layers=[image, dsm]"], r"scene 'place0' has the layers \['image', 'labels'\], not \['dsm'\]"),
        (["data.layers={image: '*/photo.tif'}"], "no file in .* matches '\\*/photo.tif' for the layer 'image'"),
        (["data.block_px=128"], "scene 'place0' cannot be split: .* too few for the parts"),
        (["task=segmentatoin"], "task 'segmentatoin' is unknown. Choose from .*segmentation"),
        (["train.class_weights={pink: 2}"], '"pink" is no class of legend "colours"'),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said_before_it_starts(
    data: Path, tiny: str, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        deepnets4eo.train(make_recipe(), tmp_path / "run", data=data, overrides=overrides)
    assert not (tmp_path / "run").exists()


def test_a_start_that_fails_by_any_error_leaves_no_run_folder(
    data: Path, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr("deepnets4eo.training.job.note_data_files", fail)
    with pytest.raises(OSError, match="too many open files"):
        deepnets4eo.train(make_recipe(), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


def test_no_data_is_explained(tiny: str, tmp_path: Path) -> None:
    with raises_naming(InputError, "--data", "FOLDER"):
        deepnets4eo.train(make_recipe(), tmp_path / "run")
    with pytest.raises(InputError, match="nowhere is not a folder"):
        deepnets4eo.train(make_recipe(), tmp_path / "run", data=tmp_path / "nowhere")


def test_an_existing_run_is_kept_unless_told_otherwise(data: Path, tiny: str, tmp_path: Path) -> None:
    run = deepnets4eo.train(make_recipe("train.epochs=1"), tmp_path / "run", data=data)
    (run / "notes.txt").write_text("mine")
    with raises_naming(OutputError, "--overwrite", "--resume"):
        deepnets4eo.train(make_recipe(), run, data=data)
    with raises_naming(RunError, "train.epochs"):
        deepnets4eo.train(make_recipe("train.epochs=2"), run, data=data, options=TrainOptions(resume=True))
    deepnets4eo.train(make_recipe("train.epochs=2"), run, data=data, options=TrainOptions(overwrite=True))
    assert len((run / "log.csv").read_text().splitlines()) == 3
    assert (run / "notes.txt").read_text() == "mine"


def test_branches_bring_tasks_through_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def train(recipe: Recipe, out: Path, options: TrainOptions) -> Path:
        seen.append((recipe.task, out, options.device))
        return out

    for loaded in (train, Task(train)):
        entry = SimpleNamespace(
            name="own", value="own:loaded", group="deepnets4eo.tasks", load=lambda loaded=loaded: loaded
        )
        monkeypatch.setattr("deepnets4eo.plugins._installed", lambda group, entry=entry: [entry])
        deepnets4eo.train(
            resolve({"task": "own"}, kind=Recipe), tmp_path / "x", options=TrainOptions("cpu", resume=True)
        )
    assert seen == [("own", tmp_path / "x", "cpu")] * 2


@pytest.mark.real_data
def test_a_forest_learns_a_real_crop_stored_in_another_label_order(real_data: Path, tmp_path: Path) -> None:
    recipe = resolve(
        {
            "legend": "isprs",
            "data": {
                "layers": {"image": "img_dir/*.png", "labels": "ann_dir/*.png"},
                "labels_legend": "isprs-torchgeo", "nodata": {"labels": 255}, "tile_px": 128,
            },
            "task": "baseline",
            "model": {"features": ["pixels", "neighbourhood"], "max_samples": 5000},
            "estimator": {"name": "random_forest", "trees": 10},
        },
        kind=BaselineRecipe,
    )  # fmt: skip
    run = deepnets4eo.train(recipe, tmp_path / "run", data=real_data / "isprs_vaihingen_crop")
    pixels = deepnets4eo.load_run(run).card["notes"]["training_pixels"]
    assert max(pixels, key=pixels.__getitem__) == "impervious"  # stored as 1, which "isprs" calls building
    assert metrics(run)["kappa"] > 0.2


def test_a_hidden_class_comes_back_with_another_nodata(data: Path, tiny: str, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2):
        write_geotiff(data / f"place{number}" / "labels.tif", make_place(number)["labels"], gsd=0.5, nodata=0)
    hidden = prepare(make_recipe(f"data.folders=[{data}]"))
    assert hidden.pixels[0] == 0
    assert "declares the value of class red as nodata" in caplog.text
    assert prepare(make_recipe(f"data.folders=[{data}]", "data.nodata={labels: 255}")).pixels[0] > 0


def test_half_written_files_of_a_kill_are_swept_away(data: Path, tmp_path: Path) -> None:
    stale = tmp_path / "run" / "checkpoints" / ".partial-0123abcd-last.safetensors"
    stale.parent.mkdir(parents=True)
    stale.write_text("half")
    recipe = make_forest({"name": "logistic"}, max_samples=500)
    deepnets4eo.train(recipe, tmp_path / "run", data=data, options=TrainOptions(resume=True))
    assert not stale.exists()


def touch(folder: Path) -> Callable[[str], None]:
    def make(name: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()

    return make


def test_files_are_paired_by_what_their_wildcards_match(tmp_path: Path) -> None:
    for name in ("top/area_7.tif", "top/area_11.tif", "gts/area_11_gt.tif", "gts/area_7_gt.tif", "dsm.tif"):
        touch(tmp_path)(name)
    patterns = {"image": "top/area_*.tif", "labels": "gts/area_*_gt.tif", "dsm": "dsm.tif"}
    found = find_sources([str(tmp_path)], patterns)
    assert list(found) == ["11", "7"]
    assert found["7"] == {name: str(tmp_path / path) for name, path in {
        "image": "top/area_7.tif", "labels": "gts/area_7_gt.tif", "dsm": "dsm.tif"}.items()}  # fmt: skip


def test_class_weights_follow_median_frequency_times_the_given_factors() -> None:
    recipe = make_recipe("train.class_weighting=median_frequency", "train.class_weights={green: 2}")
    assert class_weights(recipe.train, load_legend(recipe), [100, 50, 25]) == pytest.approx([0.5, 2.0, 2.0])
    assert class_weights(make_recipe().train, load_legend(recipe), [1, 1, 1]) is None


def test_folders_of_mmsegmentation_are_paired_without_patterns(tmp_path: Path, caplog) -> None:
    for part, name in (("train", "a"), ("train", "b"), ("val", "a")):
        for home, suffix in (("img_dir", "jpg"), ("ann_dir", "png")):
            path = tmp_path / home / part / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "img_dir" / "train" / ".DS_Store").touch()
    with caplog.at_level(logging.INFO):
        found = find_sources([str(tmp_path)], DataSection().layers)
    assert {name: {layer: Path(path).relative_to(tmp_path).as_posix() for layer, path in one.items()} for name, one in found.items()} == {
        "train-a": {"image": "img_dir/train/a.jpg", "labels": "ann_dir/train/a.png"},
        "train-b": {"image": "img_dir/train/b.jpg", "labels": "ann_dir/train/b.png"},
        "val-a": {"image": "img_dir/val/a.jpg", "labels": "ann_dir/val/a.png"},
    }  # fmt: skip
    assert "--set data.split=scenes --set 'data.val_scenes=[val-*]'" in caplog.text
    own = {"image": "img_dir/train/*.jpg", "labels": "ann_dir/train/*.png"}
    assert list(find_sources([str(tmp_path)], own)) == ["a", "b"]
