"""A module of a user's own trains by the rest of a recipe, and its run is restored with a module of the same class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from refusals import raises_naming
from torch import nn

import deepnets4eo
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import ImageMaskFolders, TrainOptions, train

QUICK = [
    "data.tile_px=32",
    "data.windows_per_epoch=16",
    "train.epochs=3",
    "train.lr=0.02",
    "data.num_workers=0",
    "data.block_px=32",
]
QUICK += ["data.buffer_px=0", "predict.tile_px=64", "predict.halo_px=8"]


class MyNet(nn.Module):
    """Two convolutions, as in a notebook."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(bands, 8, 3, padding=1), nn.Conv2d(8, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(image)))


@pytest.fixture
def data(tmp_path: Path) -> ImageMaskFolders:
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (8, 8)), np.ones((16, 16), int)).astype(np.uint8)
    image = np.stack([labels * 100 + 50, 200 - labels * 90]).astype(np.uint8)
    for folder, array in (("images", image), ("masks", labels)):
        write_geotiff(tmp_path / folder / "a.tif", array)
    return ImageMaskFolders(tmp_path / "images", tmp_path / "masks")


@pytest.mark.core("a plain module trains, predicts and is restored")
def test_a_plain_module_is_trained_in_place_and_its_run_predicts_with_a_module_of_its_class(
    data: ImageMaskFolders, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = MyNet(2, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run = train(model=model, data=data, out=tmp_path / "run", overrides=QUICK)
    assert any(not torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    restored = load_run(run, model=MyNet(2, 2))
    for name, tensor in restored.segmenter.module.state_dict().items():  # type: ignore[attr-defined]
        torch.testing.assert_close(tensor, model.state_dict()[name])
    deepnets4eo.predict(restored, str(tmp_path / "images" / "a.tif"), tmp_path / "labels.tif")
    scores = deepnets4eo.evaluate(tmp_path / "labels.tif", tmp_path / "masks" / "a.tif", restored.legend)
    assert scores.matrix.overall_accuracy > 0.9
    with raises_naming(RunError, "MyNet", "load_run"):
        load_run(run)
    with raises_naming(RunError, "weights.safetensors"):
        load_run(run, model=nn.Conv2d(2, 2, 1))


def test_without_a_folder_the_run_is_named_after_the_class(
    data: ImageMaskFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(model=MyNet(2, 2), data=data, overrides=[*QUICK, "train.epochs=1"]) == Path("runs/MyNet")
    assert Path("runs/MyNet.legend.yaml").is_file()


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (MyNet(2, 3), "(1, 3, 64, 64)"),
        (MyNet(5, 2), "(N, 2, H, W)"),
        (nn.Sequential(nn.Conv2d(2, 2, 1), nn.AvgPool2d(2)), "(1, 2, 32, 32)"),
        ("unet", "str"),
    ],
)
def test_modules_that_do_not_fit_data_and_legend_are_refused_before_anything_is_learnt(
    data: ImageMaskFolders, tmp_path: Path, model: nn.Module, named: str
) -> None:
    with raises_naming(InputError, named):
        train(model=model, data=data, out=tmp_path / "run", overrides=QUICK)
    assert not (tmp_path / "run").exists()


def test_what_cannot_train_a_module_is_refused(data: ImageMaskFolders, tmp_path: Path) -> None:
    with raises_naming(InputError, "baseline"):
        train("baselines/random-forest", tmp_path / "run", model=MyNet(2, 2), data=data)
    with raises_naming(InputError, 2, "devices"):
        train(model=MyNet(2, 2), data=data, out=tmp_path / "run", options=TrainOptions(devices=2))
    with raises_naming(InputError, "unet-resnet34"):
        train(data=data)
