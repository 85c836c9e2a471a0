"""The task `hyperspectral`: networks learn patches, are scored on test pixels alone, and are kept as runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from interrupted import assert_resumes_to
from made_up_cube import LEGEND, make_cube, write_cube
from refusals import raises_naming
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.cards import Legend, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.hyperspectral.samples import PatchLoader
from deepnets4eo.hyperspectral.training import HyperspectralRecipe, PatchCriterion
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.prediction import predict
from deepnets4eo.rasters import Layer
from deepnets4eo.training import make_split, open_labelled, prepare_split
from deepnets4eo.training.recipe import resolve

HAMIDA = "model.options={patch_px: 5}"


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(tmp_path_factory.mktemp("cube"))


def make_recipe(*overrides: str, network: str = "hyperspectral/hu", **sections: object) -> HyperspectralRecipe:
    values = {
        "task": "hyperspectral",
        "data": {"layers": {"image": "image.tif", "labels": "labels.tif"}, "tile_px": 32, "num_workers": 0},
        "legend": LEGEND,
        "model": {"network": network},
        "train": {
            "epochs": 4,
            "batch_size": 64,
            "optimizer": "adam",
            "lr": 0.01,
            "weight_decay": 0,
            "schedule": "constant",
        },
        "predict": {"tile_px": 32},
    }
    return resolve(values | sections, overrides, kind=HyperspectralRecipe)


@pytest.mark.parametrize(("network", "halo_px"), [("hu", 0), ("hamida", 2)])
def test_a_network_is_trained_scored_loaded_and_predicts(
    cube: Path, tmp_path: Path, network: str, halo_px: int
) -> None:
    recipe = make_recipe(network=f"hyperspectral/{network}")
    run = deepnets4eo.train(recipe, tmp_path / "run", data=cube)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["overall_accuracy"] > 0.8
    protocol = metrics["protocol"]
    assert metrics["pixels"] == sum(count["test"] for count in protocol["pixels"].values())
    assert protocol["leakage"]["test_pixels"] == metrics["pixels"]
    assert protocol["leakage"]["share_patch_shows_training_pixel"] == 0
    assert not protocol["leaky"]
    assert json.loads((run / "card.json").read_text())["notes"]["leakage"] == protocol["leakage"]
    assert deepnets4eo.load_run(run).segmenter.halo_px == halo_px

    predict(run, cube / "image.tif", tmp_path / "map.tif")
    drawn = Layer.open(tmp_path / "map.tif").read()[0][0]
    _, labels = make_cube()
    legend, scenes = open_labelled(
        recipe.model_copy(update={"data": recipe.data.model_copy(update={"folders": (str(cube),)})})
    )
    data = recipe.data.model_copy(update={"buffer_px": halo_px})
    tested = make_split(scenes, data).mask(0, SplitPart.val, Window(0, 0, *labels.shape)) & (labels > 0)
    counts = ConfusionMatrix(3).update(labels[tested] - 1, drawn[tested] - 1)
    assert counts.matrix.tolist() == metrics["confusion"]
    assert metrics["average_accuracy"] == pytest.approx(
        np.mean([counts.matrix[k, k] / counts.matrix[k].sum() for k in range(3)])
    )


def test_the_recipe_of_hu_learns_in_its_own_epochs(cube: Path, tmp_path: Path) -> None:
    overrides = [f"legend={json.dumps(LEGEND)}", "data.split=random_pixels", "data.val_share=0.7", "data.num_workers=0"]
    layers = f"data.layers={{image: {cube / 'image.tif'}, labels: {cube / 'labels.tif'}}}"
    recipe, _ = deepnets4eo.training.load_recipe("hyperspectral/hu", overrides=[*overrides, layers])
    run = deepnets4eo.train(recipe, tmp_path / "run")
    assert json.loads((run / "metrics.json").read_text())["overall_accuracy"] > 0.9


def test_an_interrupted_training_ends_in_the_same_weights(cube: Path, tmp_path: Path) -> None:
    recipe = make_recipe(
        "train.schedule=plateau", "train.plateau_epochs=0", "train.radiation_noise=0.3", "train.mixture=0.3",
        network="hyperspectral/boulch",
    )  # fmt: skip
    whole_run = deepnets4eo.train(recipe, tmp_path / "run", data=cube)
    assert_resumes_to(whole_run, recipe, cube, tmp_path / "cut", PatchLoader, 2)


def test_spectra_are_reduced_within_the_network_by_what_training_pixels_show(cube: Path, tmp_path: Path) -> None:
    spectra = {"normalise": ["snv"], "reduce": "pca", "components": 10}
    run = deepnets4eo.train(make_recipe(network="hyperspectral/hamida", spectra=spectra), tmp_path / "run", data=cube)
    assert json.loads((run / "metrics.json").read_text())["overall_accuracy"] > 0.7
    weights = load_file(run / "weights.safetensors")
    assert weights["spectra.basis"].abs().sum() > 0
    predict(run, cube / "image.tif", tmp_path / "map.tif")
    with raises_naming(InputError, "model.method"):
        make_recipe(model={"method": "pixels"}, spectra=spectra)


def test_random_pixels_are_stamped_leaky_and_their_leakage_is_in_the_metrics(
    cube: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = ["data.split=per_class", "data.pixels_per_class=20", "train.epochs=1", HAMIDA]
    run = deepnets4eo.train(make_recipe(*overrides, network="hyperspectral/hamida"), tmp_path / "run", data=cube)
    protocol = json.loads((run / "metrics.json").read_text())["protocol"]
    assert protocol["leaky"]
    assert protocol["leakage"]["share_patch_overlaps"] > 0.9
    assert [count["train"] for count in protocol["pixels"].values()] == [20, 20, 20]
    assert "patches of 5 px" in caplog.text


def test_classical_methods_learn_within_the_same_split(cube: Path, tmp_path: Path) -> None:
    model = {"method": "pixels", "features": ["pixels"], "sampling": "random"}
    recipe = make_recipe(model=model, estimator={"name": "random_forest", "trees": 20})
    run = deepnets4eo.train(recipe, tmp_path / "run", data=cube)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["overall_accuracy"] > 0.8
    assert metrics["protocol"]["leakage"] | {"test_pixels": 0} == {
        "patch_px": 1, "test_pixels": 0, "share_patch_overlaps": 0, "share_patch_shows_training_pixel": 0,
    }  # fmt: skip
    assert deepnets4eo.load_run(run).segmenter.kind == "pixel-classifier"


def test_files_are_named_without_a_folder_and_datasets_by_their_card(
    cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = f"data.layers={{image: {cube / 'image.tif'}, labels: {cube / 'labels.tif'}}}"
    recipe, _ = deepnets4eo.training.load_recipe(make_recipe(), overrides=[layers])
    assert open_labelled(recipe)[1][0].scene.shape == (40, 40)
    recipe, _ = deepnets4eo.training.load_recipe("hyperspectral/hamida", data=f"minicity={tmp_path}")
    assert (recipe.data.dataset, recipe.data.folders, recipe.legend) == ("minicity", (str(tmp_path),), "minicity")
    (tmp_path / "a=b").mkdir()
    recipe, _ = deepnets4eo.training.load_recipe("hyperspectral/hamida", data=tmp_path / "a=b")
    assert recipe.data.dataset is None
    with raises_naming(InputError, '"minicities"'):
        deepnets4eo.training.load_recipe("hyperspectral/hamida", data="minicities=x")
    with raises_naming(InputError, "DATASET", "FOLDER"):
        deepnets4eo.training.load_recipe("hyperspectral/hamida", data=["minicity=x", "y"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.buffer_px=1", HAMIDA], "data.buffer_px=1 is less than half a patch of 5 px.*Set it to 2"),
        (["data.split=per_class", "data.pixels_per_class=5000"], "too few are labelled of grass"),
        (["model.network=unet"], "unet does not label the middle of patches"),
        (["train.photometric=0.1"], "train.photometric is 0.1"),
        (["model.network=null"], "has no model.network"),
    ],
)
def test_what_cannot_be_learnt_is_refused(cube: Path, tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe = make_recipe(*overrides, network="hyperspectral/hamida")
        deepnets4eo.train(recipe, tmp_path / "run", data=cube)


def test_a_class_of_one_component_cannot_be_split_by_components(tmp_path: Path) -> None:
    image, labels = make_cube()
    labels[labels == 2] = 1
    labels[:3, :3] = 2
    write_geotiff(tmp_path / "image.tif", image)
    write_geotiff(tmp_path / "labels.tif", labels[None])
    with pytest.raises(InputError, match="soil lies in one connected component"):
        deepnets4eo.train(make_recipe("data.split=components"), tmp_path / "run", data=tmp_path)


def test_pixels_without_a_number_are_neither_learnt_nor_scored(tmp_path: Path) -> None:
    image, labels = make_cube()
    image[3, :20] = np.nan
    write_geotiff(tmp_path / "image.tif", image)
    write_geotiff(tmp_path / "labels.tif", labels[None])
    overrides = ["data.split=random_pixels", "train.epochs=1"]
    run = deepnets4eo.train(make_recipe(*overrides, network="hyperspectral/hamida"), tmp_path / "run", data=tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    split = metrics["protocol"]["split"]
    assert split["train_pixels"] + split["val_pixels"] == (labels[20:] > 0).sum()
    assert metrics["pixels"] == split["val_pixels"]


def test_a_patch_larger_than_the_scene_is_mirrored(tmp_path: Path) -> None:
    image, _ = make_cube()
    labels = (np.arange(36) % 3 + 1).reshape(6, 6).astype(np.uint8)
    write_geotiff(tmp_path / "image.tif", image[:, :6, :6])
    write_geotiff(tmp_path / "labels.tif", labels[None])
    overrides = ["data.split=random_pixels", "train.epochs=1", "model.options={patch_px: 7}"]
    run = deepnets4eo.train(make_recipe(*overrides, network="hyperspectral/hamida"), tmp_path / "run", data=tmp_path)
    assert json.loads((run / "metrics.json").read_text())["pixels"] == 6
    predict(run, tmp_path / "image.tif", tmp_path / "map.tif")
    assert set(np.unique(Layer.open(tmp_path / "map.tif").read()[0])) <= set(Legend.from_dict(LEGEND, "").values)


@pytest.mark.parametrize(("value", "warned"), [(-9999.0, True), (1200.0, False)])
def test_far_values_are_warned_of_once_where_they_set_the_range(
    value: float, *, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.random.default_rng(0).normal(100, 1, (4, 48, 48)).astype(np.float32)
    image[3] += 1200  # one band is brighter than all others
    image[:3, 8, 8] = value
    labels = np.tile(np.arange(1, 4, dtype=np.uint8), (48, 16))
    write_geotiff(tmp_path / "image.tif", image)
    write_geotiff(tmp_path / "labels.tif", labels[None])
    files = {"image": str(tmp_path / "image.tif"), "labels": str(tmp_path / "labels.tif")}
    recipe = make_recipe("data.val_share=0", f"data.scenes=[{json.dumps(files)}]")
    prepare_split(recipe, *open_labelled(recipe))
    messages = [record.getMessage() for record in caplog.records if "far from all others" in record.getMessage()]
    assert len(messages) == warned
    for message in messages:
        assert "they set the range by which it is scaled, -9999 to 10" in message
        assert "(likewise in 2 more of its bands)" in message


def test_the_watched_loss_is_the_mean_over_pixels_of_batches_of_any_size() -> None:
    scores = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 3], [1, 0, 0], [0, 0, 0.5]])
    mask = torch.tensor([0, 1, 2, 1, 2])
    network = torch.nn.Linear(1, 1)  # of which only the device is asked
    network.patch_scores = lambda patches: scores[patches]
    batches = [{"patches": torch.arange(start, end), "mask": mask[start:end]} for start, end in ((0, 4), (4, 5))]
    found = PatchCriterion({"cross_entropy": 1.0}, None).watch(network, 3, batches)
    assert found["val_loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(scores, mask)), rel=1e-5)
    assert found["overall_accuracy"] == pytest.approx(0.8)
    assert np.isnan(PatchCriterion({"cross_entropy": 1.0}, None).watch(network, 3, [])["val_loss"])


class LoadedError(Exception):
    """The batches are made, and need not be learnt from."""


@pytest.fixture
def batches_of(cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Returns the batches of the first epoch of a training, each as its mask."""
    seen: list[PatchLoader] = []

    def stop(segmenter: object, loader: PatchLoader, *_others: object) -> None:
        seen.append(loader)
        raise LoadedError

    def batches(network: str, **keys: float) -> list[np.ndarray]:
        monkeypatch.setattr("deepnets4eo.hyperspectral.training.fit_segmenter", stop)
        overrides = [f"data.{name}={value}" for name, value in keys.items()]
        with pytest.raises(LoadedError):
            deepnets4eo.train(
                make_recipe(*overrides, network=f"hyperspectral/{network}"), tmp_path / f"run{len(seen)}", data=cube
            )
        return [batch["mask"].numpy() for batch in seen[-1]]

    return batches


@pytest.mark.parametrize(("network", "share", "unlabelled"), [("boulch", 0.5, 0.5), ("boulch", 0.0, 0), ("hu", 0.5, 0)])
def test_only_networks_that_reconstruct_see_unlabelled_pixels_as_many_as_the_share(
    batches_of, network: str, share: float, unlabelled: float
) -> None:
    for mask in batches_of(network, unlabelled_share=share):
        assert (mask == 255).sum() == round(unlabelled * (mask != 255).sum())


def test_the_watched_share_of_each_class_is_in_no_batch(batches_of) -> None:
    all_of, rest = (
        np.bincount(np.concatenate(batches_of("hu", watch_share=share)), minlength=3) for share in (0.0, 0.3)
    )
    np.testing.assert_array_equal(rest, [number - round(0.3 * number) for number in all_of.tolist()])
    assert rest.sum() < all_of.sum()
