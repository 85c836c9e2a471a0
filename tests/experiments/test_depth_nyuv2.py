"""NYUv2 by path: the script reads the layout of the real files, MATLAB 7.3, and prints all losses beside the published rows."""

import sys
from argparse import Namespace
from pathlib import Path

import depth_nyuv2
import numpy as np
import pytest
from scipy.io import savemat

from deepnets4eo.training import load_recipe

h5py = pytest.importorskip("h5py")


def write_nyu(folder: Path, frames: int = 3) -> Path:
    """A made-up nyu_depth_v2_labeled.mat with its arrays turned as MATLAB stores them, and splits.mat."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        file["images"] = rng.integers(0, 255, (frames, 3, 640, 480), dtype=np.uint8)
        file["depths"] = np.linspace(1, 9, frames * 640 * 480, dtype=np.float32).reshape(frames, 640, 480)
        file["labels"] = np.ones((frames, 640, 480), np.uint16)
        for array in file.values():
            array.attrs["MATLAB_class"] = np.bytes_(b"single")
    savemat(folder / "splits.mat", {"trainNdxs": [[1], [3]], "testNdxs": [[2]]})
    return folder


def test_frames_of_nyu_are_upright_and_void_outside_the_crop(tmp_path: Path) -> None:
    data = write_nyu(tmp_path / "nyu")
    train, test = depth_nyuv2.frames_of(Namespace(data=data))
    assert [one.name for one in train] == ["0001", "0003"]
    (scene,) = depth_nyuv2.write_frames(test, tmp_path, depth_nyuv2.FULL).values()
    depth, crop = (depth_nyuv2.Layer.open(scene[name]).read()[0][0] for name in ("depth", "crop"))
    with h5py.File(data / "nyu_depth_v2_labeled.mat") as file:
        np.testing.assert_array_equal(depth, file["depths"][1].T)
    inside = np.zeros((480, 640), bool)
    inside[45:471, 41:601] = True
    np.testing.assert_array_equal(crop, np.where(inside, depth, 0))


def test_the_adversarial_row_is_weighted_as_published() -> None:
    name = "L1 + LS-GAN"
    overrides = [f"train.losses={depth_nyuv2.LOSSES[name]}", f"train.adversarial={depth_nyuv2.ADVERSARIAL[name]}"]
    recipe, _ = load_recipe(depth_nyuv2.RECIPE, overrides=overrides)
    assert (recipe.train.losses, recipe.train.adversarial) == ({"l1": 100.0}, 1.0)


def test_the_rows_of_every_loss_stand_beside_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = {}

    def remember(recipe: str, overrides: list[str], sources: object, run: Path, *, smoke: bool) -> Path:
        seen[run.name] = overrides
        return run

    monkeypatch.setattr(depth_nyuv2, "train_run", remember)
    monkeypatch.setattr(depth_nyuv2, "score_run", lambda *_: [0.1] * len(depth_nyuv2.COLUMNS))
    call = ["x", "--out", str(tmp_path / "out"), "--data", str(write_nyu(tmp_path / "nyu")), "--smoke"]
    monkeypatch.setattr(sys, "argv", call)
    depth_nyuv2.main()
    text = capsys.readouterr().out
    assert "| D3-Net (published) | 0.136 | 0.504 | 0.199 |" in text
    assert "| L1 + LS-GAN | 0.100 |" in text
    assert "train.adversarial=1.0" in seen["L1+LS-GAN-0"]
    assert "train.adversarial=0.0" in seen["L1-0"]
