"""First weights without labels: losses computed by hand, runs that resume, and recipes of other tasks that start from them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from refusals import raises_naming
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.classification import self_supervised
from deepnets4eo.classification.batch_changes import crop
from deepnets4eo.classification.batches import ImageLoader
from deepnets4eo.classification.networks import ImageClassifier, WideResNet
from deepnets4eo.classification.readers import ImageData, list_unlabelled
from deepnets4eo.classification.self_supervised import Pretext, PretextRecipe, nt_xent
from deepnets4eo.damage.network import DamageNet
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.inspection import inspect
from deepnets4eo.segmenters import create_model, load_run
from deepnets4eo.training import TrainOptions

FIRST, SECOND = torch.tensor([[1.0, 0], [0, 2], [1, 1]]), torch.tensor([[3.0, 4], [0, 1], [-1, 0]])
SMALL = {
    "task": "self-supervised",
    "data": {"windows_per_epoch": 8, "num_workers": 0},
    "model": {"network": "wide-resnet-eca", "options": {"stride_px": 8, "phi": -1}},
    "train": {"epochs": 2, "batch_size": 4, "lr": 0.003},
    "pretext": {"channels": 16},
}


def cosines(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    a, b = (one.double().numpy() / np.linalg.norm(one, axis=1, keepdims=True) for one in (first, second))
    return a @ b.T


def test_simclr_compares_each_view_with_all_others_of_the_batch() -> None:
    views = torch.cat([FIRST, SECOND])
    powers = np.exp(cosines(views, views) / 0.5)
    costs = [-np.log(powers[i, (i + 3) % 6] / (powers[i].sum() - powers[i, i])) for i in range(6)]
    assert float(nt_xent(FIRST, SECOND, 0.5)) == pytest.approx(np.mean(costs), rel=1e-5)


def test_crops_show_a_square_part_of_an_image_at_its_size() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(16.0).expand(20, 1, 16, 16)
    spans = crop(ramp, 0.25)[:, 0, 8, [0, 15]]
    widths = (spans[:, 1] - spans[:, 0]) / 15
    assert 0.5 <= float(widths.min()) < 0.7
    assert 0 <= float(spans.min()) <= float(spans.max()) <= 15, "never beyond the edge"


@pytest.mark.parametrize(("share", "narrowest"), [(1.0, 1.0), (0.25, 0.5)])
def test_views_show_at_least_the_stated_share_of_an_image(share: float, narrowest: float) -> None:
    sections = {
        "train": SMALL["train"] | {"flips": False, "rotations": False, "photometric": 0.0},
        "pretext": {"least_crop": share},
    }
    chosen = PretextRecipe.model_validate(SMALL | sections)
    network = torch.nn.Module()
    network.encoder = torch.nn.Conv2d(1, 2, 3)
    torch.manual_seed(0)
    views = Pretext(network, chosen, (1, 16)).view(torch.arange(16.0).expand(40, 1, 16, 16))
    widths = (views[:, 0, 8, 15] - views[:, 0, 8, 0]) / 15
    assert narrowest - 1e-5 <= float(widths.min()) <= narrowest + 0.1


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(json.dumps(SMALL), encoding="utf-8")
    return path


def test_an_interrupted_training_ends_in_the_same_bits(patches: Path, recipe: Path, tmp_path: Path) -> None:
    def train(name: str, **how: object) -> Path:
        options = TrainOptions(device="cpu", **how)  # type: ignore[arg-type]
        return deepnets4eo.train(recipe, tmp_path / name, data=patches, options=options)

    whole = train("whole")
    train("parts", epochs=1)
    parts = train("parts", resume=True)
    first, second = (load_file(one / "weights.safetensors") for one in (whole, parts))
    assert all(name.startswith("encoder.") for name in first)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    assert 0 <= json.loads((whole / "metrics.json").read_text(encoding="utf-8"))["agreement"] <= 1
    network = WideResNet(4, 3, phi=-1, patch_px=16, weights=str(whole))
    torch.testing.assert_close(network.encoder[0].weight, first["encoder.0.weight"])
    with raises_naming(RunError, "model.encoder_weights", "RUN"):
        load_run(whole)
    described = inspect(str(whole))
    assert not described.problems
    assert described.facts["inputs"].startswith("image: ")


def test_recipes_of_images_of_tiles_and_of_damage_start_from_the_same_run(recipe: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_geotiff(tmp_path / "tiles" / "scene.tif", rng.integers(0, 200, (3, 80, 64), dtype=np.uint8), gsd=1)
    overrides = [
        "data.tile_px=32", "data.val_share=0", "data.windows_per_epoch=4", "train.epochs=1", "train.batch_size=4",
        "model.network=unet", "model.encoder=resnet18", "model.options={}",
    ]  # fmt: skip
    run = deepnets4eo.train(
        recipe, tmp_path / "run", data=tmp_path / "tiles", overrides=overrides, options=TrainOptions(device="cpu")
    )
    weights = load_file(run / "weights.safetensors")["encoder.layer1.0.conv1.weight"]
    unet = create_model("unet", in_channels=3, num_classes=2, encoder="resnet18", weights=str(run))
    damage = DamageNet(6, 4, weights=str(run))
    classifier = ImageClassifier(3, 2, weights=str(run))
    for encoder in (unet.encoder, damage.twin.encoder, classifier.encoder):
        torch.testing.assert_close(encoder.layer1[0].conv1.weight, weights)


def test_scenes_are_cut_into_whole_tiles(tmp_path: Path) -> None:
    scene = np.arange(40 * 70, dtype=np.uint16).reshape(1, 40, 70)
    write_geotiff(tmp_path / "tiles" / "scene.tif", scene, gsd=1)
    images = list_unlabelled(ImageData(folders=(str(tmp_path / "tiles"),), tile_px=32))
    assert images.names == ("tiles/scene.tif#0,0", "tiles/scene.tif#0,32")
    np.testing.assert_array_equal(images.read(1), scene[:, :32, 32:64])
    with raises_naming(InputError, "40", "70", "data.tile_px", "64"):
        list_unlabelled(ImageData(folders=(str(tmp_path / "tiles"),), tile_px=64))


def test_what_cannot_be_learnt_from_is_refused(patches: Path, recipe: Path, tmp_path: Path) -> None:
    def train(*overrides: str) -> None:
        deepnets4eo.train(recipe, tmp_path / "run", data=patches, overrides=overrides)

    with raises_naming(InputError, "train.batch_size", "64"):
        train("data.windows_per_epoch=64", "train.batch_size=64")
    with pytest.raises(InputError, match="no encoder of one image"):
        train("model.network=fc-ef", "model.options={}")
    with pytest.raises(InputError, match="needs labels"):
        train("unlabelled.method=fixmatch")


def test_images_of_an_epoch_follow_from_their_number(
    patches: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def stop(segmenter: object, loader: ImageLoader, *_: object) -> None:
        counts.append(len(loader))
        raise InputError("enough")

    monkeypatch.setattr(self_supervised, "fit_segmenter", stop)
    with pytest.raises(InputError, match="enough"):
        deepnets4eo.train(recipe, tmp_path / "run", data=patches, overrides=["data.windows_per_epoch=0"])
    assert counts == [512 / 4]
