"""Two processes train one network as one process does: the same windows, the same update, one run folder."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from geotiff import write_geotiff
from rank_jobs import TASK, register_tiny
from refusals import raises_naming
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.device import check_devices, count_devices
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import networks
from deepnets4eo.synthetic import City
from deepnets4eo.training import Recipe, SumOfLosses, TrainOptions, job, prepare, train_seeds
from deepnets4eo.training.ranks import LAUNCHED, VARIABLES, Rank
from deepnets4eo.training.recipe import resolve

VALUES = {
    "legend": "minicity",
    "data": {"tile_px": 32, "windows_per_epoch": 16, "num_workers": 0},
    "model": {"network": "tiny"},
    "train": {
        "epochs": 2,
        "batch_size": 4,
        "lr": 0.01,
        "keep": "last",
        "class_weighting": "median_frequency",
        "refit": True,
    },
}


def make_recipe(*overrides: str) -> Recipe:
    return resolve(VALUES, list(overrides), kind=Recipe)


def files(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*")}


def test_two_processes_train_as_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    city = City(1, 160)
    write_geotiff(tmp_path / "data" / "image.tif", city.pre.image[:3])
    write_geotiff(tmp_path / "data" / "labels.tif", city.labels("minicity")[None])
    recipe = make_recipe("data.layers={image: image.tif, labels: labels.tif}", f"data.folders=[{tmp_path / 'data'}]")
    monkeypatch.setattr(networks, "_registered", networks._registered)
    register_tiny()
    single = deepnets4eo.train(recipe, tmp_path / "single")
    with monkeypatch.context() as patch, caplog.at_level("INFO", logger="deepnets4eo"):
        patch.setattr(job, "load_task", lambda _: TASK)
        caplog.clear()
        both = deepnets4eo.train(recipe, tmp_path / "both" / "run", options=TrainOptions("cpu", devices=2))
    epochs = [message for message in caplog.messages if message.startswith("epoch 1/2: loss")]
    assert (
        len(epochs) == 4
    )  # of the first process alone: of the run and its refit, of one with dropout, of one that was resumed
    check_windows(recipe, both.parent)
    check_runs(single, both)
    whole, cut = (load_file(both.parent / name / "checkpoints" / "last.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert not torch.equal(whole["network.0.0.weight"], load_file(both / "weights.safetensors")["0.weight"])


def check_windows(recipe: Recipe, folder: Path) -> None:
    """Each process read its half of every batch, and both together what one process reads."""
    samples, half = prepare(recipe).samples(), recipe.train.batch_size // 2
    epochs = [samples.windows(epoch) for epoch in range(recipe.train.epochs)]
    expected = [(one.scene, one.window.row, one.window.col) for windows in epochs for one in windows]
    first, second = (
        [tuple(one) for one in json.loads((folder / f"windows-{rank}.json").read_text())] for rank in (0, 1)
    )
    assert len(set(expected)) > len(expected) / 2
    assert Counter(first) + Counter(second) == Counter(expected)
    assert first == [window for at, window in enumerate(expected) if at // half % 2 == 0]


def check_runs(single: Path, both: Path) -> None:
    """The same files and, but for rounding, the same weights and scores."""
    assert files(single) == files(both)
    one, other = load_file(single / "weights.safetensors"), load_file(both / "weights.safetensors")
    assert one.keys() == other.keys()
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights, rtol=0, atol=1e-5)
    assert (single / "recipe.yaml").read_text() == (both / "recipe.yaml").read_text()
    logs = [list(csv.DictReader((run / "log.csv").open(encoding="utf-8"))) for run in (single, both)]
    for row, twin in zip(*logs, strict=True):
        assert row.keys() == twin.keys()
        for name, tolerance in (("lr", 0), ("loss", 1e-5), ("val_loss", 1e-5), ("mean_iou", 2e-3)):
            assert float(twin[name]) == pytest.approx(float(row[name]), abs=tolerance)
    notes = [deepnets4eo.load_run(run).card["notes"] for run in (single, both)]
    assert notes[0].keys() == notes[1].keys()
    assert [one["devices"] for one in notes] == [1, 2]


def test_a_batch_is_shared_without_gap_or_overlap() -> None:
    assert [at for index in range(4) for at in Rank(index, 4).share(12)] == list(range(12))


def test_a_mean_over_labelled_pixels_is_that_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(4, 3, 5, 5), torch.randint(0, 3, (4, 5, 5))
    mask[:3, 1:] = 255  # the last window has most of the labels
    criterion = SumOfLosses({"cross_entropy": 1.0}, [1.0, 2.0, 0.5])
    weights = torch.tensor([1.0, 2.0, 0.5, 0.0])[mask.clamp_max(3)]
    halves = [slice(0, 2), slice(2, 4)]
    losses = []
    for half in halves:
        monkeypatch.setattr(Rank, "mean", lambda rank, value, half=half: value * 0 + weights.sum() / 2)
        losses.append(criterion(logits[half], mask[half]))
    monkeypatch.undo()
    assert float(sum(losses)) / 2 == pytest.approx(float(criterion(logits, mask)), rel=1e-6)
    with torch.no_grad():  # validation is the first process's alone: no exchange
        monkeypatch.setattr(Rank, "mean", None)
        criterion(logits, mask)


@pytest.mark.parametrize(
    ("overrides", "options", "message"),
    [
        (["train.batch_size=6"], {"devices": 4}, r"train\.batch_size=6 .* by 4 devices\. Set train\.batch_size=4\."),
        (["train.batch_size=2"], {"devices": 4}, r"Set train\.batch_size=4\."),
        (["train.batch_size=0"], {"devices": 4}, r"by the memory of one GPU.* Set train\.batch_size=32\."),
        (["model.network=null"], {"devices": 2}, "trains no network, so 2 devices"),
        ([], {"devices": 0}, "0 devices cannot train"),
        ([], {"devices": 2, "device": "cuda:1"}, "'cuda:1' is a single GPU"),
    ],
)
def test_what_several_devices_cannot_share_is_refused(
    tmp_path: Path, overrides: list[str], options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        deepnets4eo.train(
            make_recipe(*overrides), tmp_path / "run", options=TrainOptions(**{"device": "cpu"} | options)
        )
    assert not (tmp_path / "run").exists()


def test_within_torchrun_its_processes_are_the_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("3", "4", "1", "2"), strict=True):
        monkeypatch.setenv(name, value)
    assert Rank.current() == Rank()  # variables of another program
    monkeypatch.setenv(LAUNCHED, "job")
    assert Rank.current() == Rank(3, 4, 1, 2)
    with raises_naming(InputError, "4", "--devices"):
        deepnets4eo.train(make_recipe(), tmp_path, options=TrainOptions("cpu", devices=2))
    with raises_naming(InputError, "train.batch_size", "4 devices"):
        deepnets4eo.train(make_recipe("train.batch_size=6"), tmp_path, options=TrainOptions("cpu"))
    with pytest.raises(SystemExit) as end:
        Rank.current().end_unless_first()
    assert end.value.code == 0


def test_torchrun_trains_one_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip((LAUNCHED, *VARIABLES), ("1", "0", "2", "0", "2"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="torchrun starts the processes of one training, not of several seeds"):
        train_seeds("unet-mobilenet", tmp_path / "runs", 2)


def test_gpus_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [count_devices(device) for device in ("auto", "cuda", "cuda:2", "cpu")] == [4, 4, 1, 1]
    check_devices("auto", 4)
    with raises_naming(InputError, "5", "GPUs", "4", "--devices"):
        check_devices("auto", 5)
    assert [Rank(5, 8, 1, 4).own_device(device) for device in ("cuda", "cpu")] == ["cuda:1", "cpu"]
