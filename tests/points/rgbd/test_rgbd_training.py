"""The task `snapnet-r` from frames to a run that labels frames, its recipe, and the experiment's rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_room import LEGEND, SHAPE, make_frame, write_organised
from refusals import raises_naming

from deepnets4eo.errors import InputError, LabelError, RunError
from deepnets4eo.files import read_json
from deepnets4eo.points.rgbd import FrameLabeller
from deepnets4eo.points.rgbd.recipe import RgbdRecipe
from deepnets4eo.points.snapnet import SnapNetLabeller
from deepnets4eo.segmenters import create_model, load_run
from deepnets4eo.training import TrainOptions, load_recipe, train

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"

import sunrgbd_snapnetr as experiment  # noqa: E402

SMALL = [
    f"legend={LEGEND.to_dict()}", "data.layout=organised", "data.height_px=32", "data.width_px=64", "data.num_workers=0",
    "data.windows_per_epoch=4", "data.val_scenes=[test]", "views.train=2", "views.test=1", "model.network=snapnet-unet",
    "model.options={width: 2}", "train.epochs=1", "train.batch_size=2", "train.precision=float32",
]  # fmt: skip
CPU = TrainOptions(device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    write_organised(make_frame(), folder / "learn.npz")
    write_organised(make_frame(shift_px=-20, seed=1), folder / "test.npz")
    return train("points/snapnet-r", folder / "run", data=folder, overrides=SMALL, options=CPU)


def test_the_run_is_scored_at_all_labelled_pixels_of_the_withheld_frames(run):
    metrics, card = read_json(run / "metrics.json"), read_json(run / "card.json")
    assert metrics["pixels"] == (make_frame().labels > 0).sum()
    assert metrics["protocol"]["name"].startswith("labelled pixels of the withheld frames")
    assert metrics["protocol"]["split"]["scenes"] == {"learn": ["train"], "test": ["val"]}
    assert (card["notes"]["training_views"], card["notes"]["validation_views"]) == (3, 1)
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_the_run_labels_frames_of_any_size(run):
    labeller = FrameLabeller.from_run(run)
    assert (labeller.views.test, labeller.size_px, labeller.legend.values) == (1, (32, 64), LEGEND.values)
    scores = labeller.scores(make_frame("other", seed=2))
    assert scores.shape == (2, *SHAPE)
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-5)
    with pytest.raises(RunError, match="does not label points by views"):
        SnapNetLabeller.from_run(run)


def test_earlier_runs_that_filled_holes_are_refused_and_others_label_as_before(run):
    loaded = load_run(run)
    earlier = loaded.recipe | {"views": loaded.recipe["views"] | {"holes": "void", "third": "depth"}}
    assert FrameLabeller.from_run(replace(loaded, recipe=earlier)).views == FrameLabeller.from_run(run).views
    earlier["views"]["holes"] = "nearest"
    with pytest.raises(InputError, match="holes"):
        FrameLabeller.from_run(replace(loaded, recipe=earlier))


def test_labels_outside_the_legend_stop_the_training(tmp_path):
    strange = make_frame()
    strange.labels[9, 9] = 77
    write_organised(strange, tmp_path / "learn.npz")
    with raises_naming(LabelError, "77 (1 pixels)"):
        train("points/snapnet-r", tmp_path / "run", data=tmp_path, overrides=[*SMALL, "data.val_scenes=[]", "data.val_share=0"],
              options=CPU)  # fmt: skip


def test_layers_that_frames_do_not_have_are_refused():
    with pytest.raises(InputError, match="frames have no intensity"):
        load_recipe("points/snapnet-r", overrides=["model.layers=[intensity]"])


def test_the_network_of_the_recipe_takes_its_layers():
    recipe, _ = load_recipe("points/snapnet-r", overrides=["legend=sunrgbd-37"])
    assert isinstance(recipe, RgbdRecipe)
    with torch.device("meta"):
        network = create_model(str(recipe.model.network), in_channels=6, num_classes=37, **recipe.model.options)
    assert sum(parameter.numel() for parameter in network.parameters()) > 1_000_000


@pytest.mark.parametrize("name", experiment.INPUTS)
@pytest.mark.parametrize(("way", "views", "rendered"), [("– –", 0, False), ("p –", 0, True), ("p a", 4, True)])
def test_rows_of_the_experiment_resolve(name, way, views, rendered, tmp_path):
    lists = (tmp_path / "labels", tmp_path / "train.txt", tmp_path / "test.txt")
    datasets = experiment.tabletop(tmp_path), experiment.nyu(tmp_path, 13), experiment.sun_rgbd(tmp_path, *lists)
    for dataset in datasets:
        overrides = experiment.training_overrides(dataset, name, way, 4, 0, smoke=True)
        recipe, _ = load_recipe(experiment.RECIPE, data=tmp_path, overrides=overrides)
        assert isinstance(recipe, RgbdRecipe)
        assert recipe.train.keep == "last"  # no epoch is chosen by the frames that are tested on
        assert recipe.data.layout == dataset.layout
        assert (recipe.views.train, recipe.views.render_train) == (views, rendered)


def test_the_nine_rows_of_the_published_ablation_are_all_ways_of_training_by_all_ways_of_test():
    assert len(experiment.ABLATION) == 9
    assert set(experiment.ABLATION) == {(one, other) for one in experiment.WAYS for other in experiment.WAYS}
    assert [row[0][0] for row in experiment.ABLATION.values()] == [str(number) for number in range(1, 10)]


def test_the_experiment_scores_a_run_in_all_ways(tmp_path):
    write_organised(make_frame(), tmp_path / "learn.npz")
    write_organised(make_frame(shift_px=-20, seed=1), tmp_path / "test.npz")
    dataset = experiment.Dataset(
        "room", "organised", "organised", tmp_path, [*SMALL, "model.layers=[image, composite]"]
    )
    text = experiment.snapnet_r_table(dataset, ["both"], 1, tmp_path / "out", [0], smoke=True)
    assert [line.split("|")[1].strip()[0] for line in text.splitlines() if line.startswith("| ")][1:] == list(
        "123456789"
    )
    runs = sorted(path.name for path in (tmp_path / "out" / "seed-0").iterdir())
    assert runs == ["both p a", "both p –", "both – –"]
    for name in runs:
        kept = sorted(path.name for path in (tmp_path / "out" / "seed-0" / name).glob("votes-*.json"))
        assert kept == ["votes-0-rendered.json", "votes-0.json", "votes-1-rendered.json"]
