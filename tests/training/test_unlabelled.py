"""Windows without labels: the loss on batches computed by hand, what is drawn, resumption, and refusals."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from geotiff import write_geotiff
from safetensors.torch import load_file
from torch import nn

import deepnets4eo
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.segmenters import networks
from deepnets4eo.training import unlabelled
from deepnets4eo.training.batch_changes import cut_mix, relight
from deepnets4eo.training.recipe import Recipe, resolve
from deepnets4eo.training.segmentation import prepare
from deepnets4eo.training.tasks import TrainOptions
from deepnets4eo.training.unlabelled import UnlabelledCriterion, WithUnlabelled, further_windows

COLORS = np.array([[200, 60], [60, 200]])
RECIPE: dict[str, Any] = {
    "task": "segmentation",
    "legend": {"name": "two", "classes": [{"value": n, "name": f"class {n}", "color": [90 * n, 9, 9]} for n in (0, 1)]},
    "data": {"tile_px": 32, "windows_per_epoch": 4, "val_share": 0, "num_workers": 0},
    "model": {"network": "tiny"},
    "train": {"epochs": 2, "batch_size": 2, "photometric": 0.1},
    "unlabelled": {"method": "fixmatch", "ratio": 2, "threshold": 0.3},
}


class Tiny(nn.Module):
    """A network of some weights, registered as a branch would."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, num_classes, 1)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(images)
        return scores


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "deepnets4eo.training.loop.draw_curves", lambda path, *_: path.touch()
    )  # it costs more than all else
    registered = networks._registered()
    entries = {
        "tiny": Tiny,
        "chain": lambda in_channels, num_classes: nn.Sequential(nn.Conv2d(in_channels, num_classes, 1)),
    }
    named = {
        name: SimpleNamespace(name=name, load=lambda factory=factory: factory) for name, factory in entries.items()
    }
    monkeypatch.setattr(networks, "_registered", lambda: registered | named)


def criterion(method: str, layers: tuple[str, ...] = ("image",), **keys: Any) -> tuple[UnlabelledCriterion, nn.Module]:
    torch.manual_seed(0)
    recipe = Recipe(model={"network": "unet"}, train={"photometric": 0.0}, unlabelled={"method": method, **keys})
    network = nn.Conv2d(2, 3, 1)
    return UnlabelledCriterion(lambda *_: torch.tensor(1.0), recipe, layers, network, 3), network


def batch_of(windows: int = 2) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    valid = torch.rand(windows, 2, 8, 8, generator=rng) > 0.3
    return {"unlabelled_image": torch.randn(windows, 2, 2, 8, 8, generator=rng), "unlabelled_valid": valid}


def test_fixmatch_puts_squares_of_other_windows_into_images_labels_and_what_is_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unlabelled, "strong_in_place", lambda images: images)
    one, network = criterion("fixmatch", threshold=0.4, weight=2.0)
    batch = batch_of()
    images, valid = batch["unlabelled_image"].flatten(0, 1), batch["unlabelled_valid"].flatten(0, 1)
    images = images * valid[:, None]
    torch.manual_seed(5)
    relight(images, 0.0)  # draws, but changes nothing
    mix = cut_mix(images)
    logits, counted = network(mix(images)).detach(), mix(valid)  # one by one pixel, so mixed images have mixed scores
    rows = logits.movedim(1, -1)[counted]
    q, label = rows.softmax(1).max(1)
    expected = 2.0 * (F.cross_entropy(rows, label, reduction="none") * (q >= 0.4)).mean()
    assert 0 < int((q >= 0.4).sum()) < len(q)
    torch.manual_seed(5)
    assert one.of_unlabelled(network, batch).item() == pytest.approx(float(expected), rel=1e-4)
    assert (mix(images) != images).any(), "something was mixed"
    assert (mix(images) == images).flatten(1).float().mean(1).min() >= 0.7, "a quarter of a window at most"


def test_heights_are_not_relit_and_batches_without_a_valid_pixel_cost_nothing() -> None:
    one, network = criterion("fixmatch", layers=("image", "dsm"))
    one.photometric = 0.5
    layer = torch.ones(1, 2, 1, 8, 8)
    batch = {"unlabelled_image": layer, "unlabelled_dsm": layer, "unlabelled_valid": torch.ones(1, 2, 8, 8) > 0}
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    one.of_unlabelled(network, batch)
    assert all((images[:, 1] == 1).all() for images in seen)
    assert all((images[:, 0] != 1).any() for images in seen)
    batch["unlabelled_valid"] = torch.zeros(1, 2, 8, 8) > 0
    loss = one.of_unlabelled(network, batch)
    loss.backward()
    assert loss.item() == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene with a labelled corner, a wholly labelled one, one without labels, and one of other bands; SYNTHETIC."""
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 2, (6, 6)), np.ones((16, 16), int)).astype(np.uint8)
    image = np.clip(COLORS[labels].transpose(2, 0, 1) + rng.normal(0, 20, (2, 96, 96)), 1, 255).astype(np.uint8)
    corner = labels.copy()
    corner[48:] = 255
    for name, of_scene in (("few", corner), ("all", labels)):
        write_geotiff(folder / name / "a" / "image.tif", image, gsd=1)
        write_geotiff(folder / name / "a" / "labels.tif", of_scene[None], gsd=1)
    write_geotiff(folder / "more" / "b" / "image.tif", image[:, ::-1], gsd=1)
    write_geotiff(folder / "other" / "b" / "image.tif", np.repeat(image, 2, axis=0), gsd=1)
    return folder


def recipe_of(folder: Path, data: str, *overrides: str) -> Recipe:
    return resolve(RECIPE, [f"data.folders=[{folder / data}]", *overrides], kind=Recipe)


def test_further_windows_lie_in_the_training_part_and_in_scenes_of_their_own(folder: Path) -> None:
    recipe = recipe_of(folder, "few", f"data.unlabelled=[{folder / 'more'}]", "data.val_share=0.3", "data.block_px=32")
    prepared = prepare(recipe)
    further = further_windows(prepared.split, prepared.inputs, recipe, sum(prepared.pixels))
    samples = WithUnlabelled(prepared.samples(), further, 2)
    windows = [one for epoch in range(6) for one in samples.windows(epoch)]
    assert len(windows) == 24
    others = [one for _, *further_ones in windows for one in further_ones]
    assert {one.scene for one in others} == {0, 1}
    assert len({(one.scene, one.window) for one in others}) > 40, "drawn anew"
    sample = samples.read(windows[0])
    assert sample["unlabelled_image"].shape == (2, 2, 32, 32)
    assert sample["unlabelled_valid"].shape == (2, 32, 32)
    assert sample["mask"].shape == (32, 32)
    assert "unlabelled_mask" not in sample
    for one in others:
        if one.scene == 0:
            hidden = prepared.split.hidden_mask(0, one.window)
            assert hidden is None or not further.read(one)["valid"][hidden].any()


def test_an_interrupted_training_ends_in_the_same_bits(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE), encoding="utf-8")

    def train(name: str, **how: Any) -> Path:
        options = TrainOptions(device="cpu", **how)
        return deepnets4eo.train(tmp_path / "recipe.yaml", tmp_path / name, data=folder / "few", options=options)

    whole = train("whole")
    train("parts", epochs=1)
    first, second = (load_file(one / "weights.safetensors") for one in (whole, train("parts", resume=True)))
    assert first.keys() == second.keys()
    assert not any("consistency" in name for name in first)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_an_interrupted_training_goes_on_with_the_same_files_without_labels_alone(folder: Path, tmp_path: Path) -> None:
    more = shutil.copytree(folder / "more", tmp_path / "more")
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE), encoding="utf-8")

    def train(**how: Any) -> None:
        options = TrainOptions(device="cpu", **how)
        overrides = [f"data.unlabelled=[{more}]", "unlabelled.method=fixmatch"]
        deepnets4eo.train(
            tmp_path / "recipe.yaml", tmp_path / "run", data=folder / "few", overrides=overrides, options=options
        )

    train(epochs=1)
    (more / "b" / "image.tif").touch()
    with pytest.raises(RunError, match="image.tif"):
        train(resume=True)


def test_what_cannot_be_learnt_without_labels_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE), encoding="utf-8")

    def train(data: str, *overrides: str) -> None:
        deepnets4eo.train(tmp_path / "recipe.yaml", tmp_path / "run", data=folder / data, overrides=overrides)

    with pytest.raises(InputError, match=r"all of the training part is labelled.*data\.unlabelled"):
        train("all")
    with pytest.raises(InputError, match="4 bands"):
        train("few", f"data.unlabelled=[{folder / 'other'}]")
    with pytest.raises(InputError, match="no file in"):
        train("few", f"data.unlabelled=[{folder}]")
    with pytest.raises(InputError, match="a plain chain of layers"):
        train("few", "model.network=chain")
    with pytest.raises(InputError, match="loss of their own"):
        train("few", "train.losses={cross_entropy: 1, contrastive: 1}", "legend=change", "model.network=fc-siam-diff")
    for overrides, message in (
        (["unlabelled.method=flexmatch"], "a label for each image"),
        (["train.clicks=3"], "Choose one of them"),
        (["task=regression"], "networks of segmentation, damage, images alone"),
    ):
        with pytest.raises(InputError, match=message):
            recipe_of(folder, "few", *overrides)
