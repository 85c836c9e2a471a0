"""What a training says about itself: warnings, blocks, notes in the card, progress, and which epoch's weights it keeps."""

import json
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up_split import SIDE, make_data_split, random_scene
from refusals import raises_naming
from torch import nn

from deepnets4eo.cards import SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.files import sha256
from deepnets4eo.grid import Window
from deepnets4eo.jobs import identity
from deepnets4eo.tiling import BlockSplit
from deepnets4eo.training import Recipe, SplitRule, job, make_split, progress
from deepnets4eo.training.epochs import Fit
from deepnets4eo.training.loop import fit_network
from deepnets4eo.training.progress import EpochProgress
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.statistics import warn_of_lacking


def section(*overrides: str) -> Recipe:
    return resolve({"data": {"tile_px": 32}, "train": {"epochs": 3, "batch_size": 2}}, overrides, kind=Recipe)


@pytest.mark.parametrize(
    ("shape", "block_px", "buffer_px"),
    [((128, 900), 64, 16), ((500, 400), 80, 20), ((999, 2000), 200, 32), ((4000, 3000), 512, 32)],
)
def test_blocks_are_a_fifth_of_the_shorter_side_within_limits(shape, block_px, buffer_px) -> None:
    image = np.zeros((1, *shape), np.uint8)
    split = make_split(make_data_split([image], [image[0]]).scenes, section().data)
    assert (split.splits[0].block_px, split.splits[0].buffer_px) == (block_px, buffer_px)
    own = make_split(make_data_split([image], [image[0]]).scenes, section("data.block_px=40", "data.buffer_px=0").data)
    assert (own.splits[0].block_px, own.splits[0].buffer_px) == (40, 0)


def test_scenes_are_split_unlike_each_other_and_by_the_seed_of_the_split_alone() -> None:
    image, labels = random_scene()
    scenes = make_data_split([image] * 2, [labels] * 2).scenes

    def assignments(*overrides: str) -> list[list[list[int]]]:
        return [
            split.block_assignment.tolist()
            for split in make_split(scenes, section("data.block_px=16", *overrides).data).splits
        ]

    first, second = assignments()
    assert first != second
    assert assignments("train.seed=9") == [first, second]
    assert assignments("data.split_seed=1")[0] == second


def test_random_splits_assign_tiles_without_a_buffer() -> None:
    image, labels = random_scene()
    split = make_split(make_data_split([image], [labels]).scenes, section("data.split=random", "data.buffer_px=8").data)
    assert split.leaky
    assert (split.splits[0].block_px, split.splits[0].buffer_px) == (32, 0)
    assert not make_split(split.scenes, section().data).leaky


def test_a_share_of_scenes_is_validated_on_at_least_one_and_never_all() -> None:
    image, labels = random_scene()
    scenes = make_data_split([image] * 5, [labels] * 5).scenes
    for share, count in ((0.05, 1), (0.4, 2), (0.6, 3)):
        split = make_split(scenes, section("data.split=scenes", f"data.val_share={share}").data)
        kinds = [one.parts for one in split.splits]
        assert kinds.count([SplitPart.val]) == count
        assert kinds.count([SplitPart.train]) == 5 - count
        assert {one.buffer_px for one in split.splits} == {0}
    named = make_split(scenes, section("data.split=scenes", "data.val_scenes=['*3', scene0]").data)
    assert [one.parts for one in named.splits] == [
        [SplitPart.val],
        [SplitPart.train],
        [SplitPart.train],
        [SplitPart.val],
        [SplitPart.train],
    ]
    message = r"leaves 5 of 5 scenes for validation; both parts need one. There are scene0, scene1"
    with pytest.raises(InputError, match=message):
        make_split(scenes, section("data.split=scenes", "data.val_scenes=['*']").data)


def test_groups_of_scenes_stay_together() -> None:
    image, labels = random_scene()
    scenes = make_data_split([image] * 6, [labels] * 6).scenes
    groups = ["flood", "quake", "flood", "fire", "quake", "fire"]
    splits = SplitRule("events", 0.3, seed=0).assign_blocks(scenes, groups)
    validated = {group for group, split in zip(groups, splits, strict=True) if split.parts == [SplitPart.val]}
    trained = {group for group, split in zip(groups, splits, strict=True) if split.parts == [SplitPart.train]}
    assert len(validated) == 1
    assert validated | trained == set(groups)
    assert not validated & trained
    with raises_naming(InputError, "data.split", "0 of 3 events"):
        SplitRule("events", 0.3, 0, val_names=["storm"], names_key="data.names").assign_blocks(scenes, groups)


def test_objects_are_of_the_part_of_their_centre_unless_they_reach_near_validation() -> None:
    image, labels = random_scene()
    split = make_data_split([image], [labels])
    rng = np.random.default_rng(0)
    centres = rng.integers(0, SIDE, (300, 2))
    reach = rng.integers(0, 9, (300, 1))
    boxes = np.concatenate([centres - reach, centres + reach + 1], axis=1)
    train, val = split.objects_in(0, centres, boxes)
    window = Window(-16, -16, SIDE + 32, SIDE + 32)  # with room for boxes beyond the edge
    learnt, validated = (split.mask(0, part, window) for part in (SplitPart.train, SplitPart.val))
    outside = np.ones_like(learnt)
    outside[16:-16, 16:-16] = False
    for number, (top, left, bottom, right) in enumerate(boxes + 16):
        row, col = centres[number] + 16
        assert val[number] == validated[row, col]
        assert train[number] == (learnt | outside)[top:bottom, left:right].all()
    assert 10 < train.sum() < 200
    assert val.sum() > 10


def test_areas_and_windows_of_a_part_are_those_of_its_blocks() -> None:
    image, labels = random_scene()
    split = make_data_split([image] * 2, [labels] * 2)
    assignment = split.splits[0].block_assignment
    for number, part in enumerate((SplitPart.train, SplitPart.val)):
        assert split.areas(part).tolist() == [(assignment == number).sum() * 32 * 32] * 2
        seen = [place for place in split.windows(part, 32) if place.scene == 1]
        corners = {(place.window.row // 32, place.window.col // 32) for place in seen}
        assert corners == set(map(tuple, np.argwhere(assignment == number).tolist()))
    whole = make_data_split([image], [labels], BlockSplit((SIDE, SIDE), SIDE, 0, {SplitPart.train: 1.0}))
    assert whole.areas(SplitPart.val).tolist() == [0]
    assert whole.windows(SplitPart.val, 32) == []
    assert not whole.mask(0, SplitPart.val, whole.windows(SplitPart.train, SIDE)[0].window).any()


def test_classes_that_no_training_pixel_shows_are_named(caplog) -> None:
    image, labels = random_scene()
    with caplog.at_level(logging.WARNING):
        warn_of_lacking(make_data_split([image], [labels]), [5, 5])
        assert not caplog.records
        warn_of_lacking(make_data_split([image], [labels]), [5, 0])
    assert "No training pixel shows high: never learnt" in caplog.text
    assert "low" not in caplog.text
    caplog.clear()
    warn_of_lacking(make_data_split([image], [np.full_like(labels, 255)]), [5, 5])
    assert "No pixel of the validation part is labelled: all scores are NaN" in caplog.text


class Batches:
    def __len__(self) -> int:
        return 4

    def __iter__(self):
        return iter([{"x": torch.full((2, 1), float(number))} for number in range(4)])


def fitted(out: Path, train, scores: list[float]):
    """A line fitted to data it cannot follow, the weight after each epoch, and the losses of all batches."""
    torch.manual_seed(0)
    network, weights, losses = nn.Linear(1, 1), [], []

    def step(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        loss = ((network(batch["x"]) - batch["x"] ** 2) ** 2).mean()
        losses.append(float(loss.detach()))
        return loss

    def validate(network: nn.Module) -> dict[str, float]:
        assert not torch.is_grad_enabled()
        weights.append(network.weight.item())
        return {"mean_iou": scores[len(weights) - 1]}

    progress = fit_network(network, step, Batches(), validate, Fit(train, out, "recipe"))
    return network, weights, losses, progress


@pytest.mark.parametrize(
    ("keep", "scores", "kept"),
    [("best", [0.1, 0.4, 0.2], 1), ("best", [0.4, 0.4, 0.4], 0), ("last", [0.1, 0.4, 0.2], 2)],
)
def test_the_weights_kept_are_those_of_the_epoch_that_is_named(tmp_path, keep, scores, kept) -> None:
    train = section(f"train.keep={keep}", "train.lr=0.05").train
    network, weights, _, progress = fitted(tmp_path, train, scores)
    assert len(set(weights)) == 3
    assert network.weight.item() == weights[kept]
    assert progress.best == scores.index(max(scores))
    assert not network.training


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches(tmp_path) -> None:
    _, _, losses, progress = fitted(tmp_path, section("train.lr=0.05").train, [0.1, 0.2, 0.3])
    means = np.reshape(losses, (3, 4)).mean(axis=1)
    assert [row["loss"] for row in progress.history] == pytest.approx(means.tolist())
    assert [row["epoch"] for row in progress.history] == [1, 2, 3]


def test_gradients_are_clipped_where_asked_for(tmp_path) -> None:
    rules = ("train.optimizer=sgd", "train.schedule=constant", "train.lr=0.001", "train.epochs=1")
    free = fitted(tmp_path / "free", section(*rules).train, [0.1])[1]
    clipped = fitted(tmp_path / "clipped", section(*rules, "train.clip_norm=0.001").train, [0.1])[1]
    torch.manual_seed(0)
    start = nn.Linear(1, 1).weight.item()
    assert abs(clipped[0] - start) < 0.01 * abs(free[0] - start)


def test_the_first_patience_epochs_without_gain_end_the_training(tmp_path, caplog) -> None:
    scores = [0.5, 0.4, 0.4, 0.4, 0.4, 0.4]
    for patience, epochs in ((1, 2), (2, 3), (4, 5)):
        train = section("train.epochs=6", f"train.patience={patience}").train
        assert fitted(tmp_path / str(patience), train, scores)[3].epochs_done == epochs
    train = section("train.epochs=6", "train.patience=0").train
    assert fitted(tmp_path / "never", train, scores)[3].epochs_done == 6


def test_data_without_a_full_batch_are_refused(tmp_path) -> None:
    with raises_naming(InputError, "train.batch_size"):
        fit_network(nn.Linear(1, 1), lambda *_: None, [], lambda _: {}, Fit(section().train, tmp_path, "recipe"))


ROW = {"epoch": 2, "loss": 0.5, "mean_iou": 0.25}


def test_progress_is_a_log_line_off_a_terminal(caplog) -> None:
    with caplog.at_level(logging.INFO):
        EpochProgress(3, "mean_iou").epoch_done(ROW)
        EpochProgress(3, "kappa").epoch_done(ROW)
    assert caplog.messages == [
        "epoch 2/3: loss 0.5000, mean_iou 0.2500", "epoch 2/3: loss 0.5000, no kappa",
    ]  # fmt: skip


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_bar_that_moves_on_a_terminal_postpones_the_line_per_minute(
    on_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "stderr", SimpleNamespace(isatty=lambda: on_terminal, write=lambda _: 0, flush=lambda: None)
    )
    moved: list[int] = []
    monkeypatch.setattr(progress, "progress_drawn", lambda: moved.append(1))
    display = EpochProgress(3, "mean_iou", lambda: 1.0)
    display.begin_epoch(1, steps=9, done=0)
    display.step_done(1, 0.5)
    assert bool(moved) is on_terminal


def test_off_a_terminal_there_is_a_line_every_half_minute_with_step_loss_and_time_left(caplog) -> None:
    now = 1000.0
    with EpochProgress(3, "mean_iou", lambda: now) as display, caplog.at_level(logging.INFO):
        display.begin_epoch(1, steps=100, done=10)  # an epoch that was resumed
        for step in range(11, 101):
            now += 1.0
            display.step_done(step, torch.tensor(0.5) * step)
        for _ in range(4):
            now += 9.0
            display.show_validation()
    assert caplog.messages == [
        "287 more steps: about 5 min on this computer, without validation. For fewer: --set train.epochs=1, or data.windows_per_epoch.",
        "epoch 1/3, step 40/100: loss 0.5000, about 4 min left",
        "epoch 1/3, step 70/100: loss 0.5000, about 4 min left",
        "epoch 1/3, step 100/100: loss 0.5000, about 3 min left",
        "epoch 1/3, validation",
    ]


@pytest.mark.parametrize(("step_s", "line"), [
    (4.0, ["6,247 more steps: about 6.9 h on this computer, without validation. For fewer: --set train.epochs=25, or data.windows_per_epoch."]),
    (0.009, []),
])  # fmt: skip
def test_the_third_step_says_how_long_all_steps_take_where_that_is_above_a_minute(caplog, step_s, line) -> None:
    now = 0.0
    with EpochProgress(50, "mean_iou", lambda: now) as display, caplog.at_level(logging.INFO):
        display.begin_epoch(1, steps=125, done=0)
        for step, seconds in enumerate((20.0, step_s, step_s), start=1):  # the first one is not typical
            now += seconds
            display.step_done(step, 0.5 * step)
    assert caplog.messages == line


def test_progress_on_a_terminal_never_goes_to_stdout(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with EpochProgress(3, "mean_iou") as display:
        display.epoch_done(ROW)
    shown = capsys.readouterr()
    assert shown.out == ""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.err)  # without the colours of a terminal
    assert "epoch 2/3: loss 0.5000, mean_iou 0.2500" in plain


def test_the_log_has_one_row_an_epoch_that_json_and_csv_agree_on(tmp_path) -> None:
    progress = fitted(tmp_path, section().train, [0.1, 0.2, 0.3])[3]
    head, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert head.split(",") == ["epoch", "lr", "loss", "mean_iou", "busy", "seconds"]
    assert [row.split(",")[3] for row in rows] == ["0.1", "0.2", "0.3"]
    assert all(0 <= row["busy"] <= 1 and row["seconds"] >= 0 for row in progress.history)
    assert json.dumps(progress.history)


def test_a_file_is_as_noted_by_size_and_time_or_by_size_and_content(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    size, time = identity(path)[1:]
    for state, as_noted in (
        ([size, time], True), ([size, time, "other content"], True), ([size, 0, sha256(path)], True),
        ([size, 0, "other content"], False), ([size, 0], False), ([size + 1, 0, sha256(path)], False),
    ):  # fmt: skip
        assert job._is_as_noted(path, state) == as_noted, state
