"""Rates step by step against their formulas, optimisers as asked for, and modality dropout by its shares."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from deepnets4eo.segmenters.history import draw_curves, write_log
from deepnets4eo.training import Recipe, TrainSection
from deepnets4eo.training.augmentation import Augmentation, relit, without_layers
from deepnets4eo.training.optimization import build_optimizer, lr_factor
from deepnets4eo.training.recipe import resolve


def settings(**train: object) -> TrainSection:
    return resolve({"train": {"epochs": 5, **train}}, kind=Recipe).train


def factors(train: TrainSection, steps_per_epoch: int = 2) -> list[float]:
    return [lr_factor(train, step, steps_per_epoch) for step in range(train.epochs * steps_per_epoch)]


def test_a_constant_rate_rises_over_the_warm_up() -> None:
    assert factors(settings(schedule="constant", warmup_share=0)) == [1.0] * 10
    assert factors(settings(schedule="constant", warmup_share=0.3)) == [0.25, 0.5, 0.75] + [1.0] * 7


def test_poly_falls_as_a_power_of_what_is_left() -> None:
    plain = factors(settings(schedule="poly", warmup_share=0, poly_power=0.9))
    assert plain == pytest.approx([(1 - step / 10) ** 0.9 for step in range(10)])
    warmed = factors(settings(schedule="poly", warmup_share=0.2, poly_power=2))
    assert warmed == pytest.approx([1 / 3, 2 / 3] + [(1 - step / 8) ** 2 for step in range(8)])


def test_one_cycle_is_half_a_cosine() -> None:
    found = factors(settings(schedule="one_cycle", warmup_share=0))
    assert found == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(10)])
    assert lr_factor(settings(schedule="one_cycle", warmup_share=0), 10, 2) == 1e-5
    assert factors(settings(schedule="one_cycle", warmup_share=1.0 - 1e-9))[-1] == pytest.approx(10 / 11)


def test_cosine_is_that_of_fixmatch_and_keeps_a_fifth() -> None:
    train = settings(schedule="cosine", warmup_share=0)
    assert factors(train) == pytest.approx([math.cos(7 * math.pi * step / (16 * 10)) for step in range(10)])
    assert lr_factor(train, 10, 2) == pytest.approx(0.19509, abs=1e-5)
    assert factors(settings(schedule="cosine", warmup_share=0.2))[:3] == pytest.approx([1 / 3, 2 / 3, 1])


def test_steps_fall_at_their_epochs_or_at_three_fifths_and_85_percent() -> None:
    own = factors(settings(schedule="step", step_epochs=(1, 3), step_factor=0.5))
    assert own == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    usual = factors(settings(schedule="step", epochs=20, step_factor=0.1), 1)
    assert usual == pytest.approx([1.0] * 12 + [0.1] * 5 + [0.01] * 3)


def test_an_exponential_rate_falls_after_each_epoch() -> None:
    assert factors(settings(schedule="exponential", step_factor=0.5, warmup_share=0.3)) == [
        1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_an_optimiser_has_the_rate_momentum_and_decay_of_the_recipe(name, kind) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 3))
    network[2].weight.requires_grad_(False)
    train = settings(optimizer=name, lr=0.25, weight_decay=0.125, momentum=0.5)
    optimizer = build_optimizer(network, train)
    assert type(optimizer) is kind
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.25, 0.125), (0.25, 0.0)]
    decayed, others = ([tuple(one.shape) for one in group["params"]] for group in optimizer.param_groups)
    assert decayed == [(2, 1, 3, 3)]
    assert others == [(2,), (2,), (2,), (1,)]
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.5}


def sample(*names: str) -> dict[str, torch.Tensor]:
    shown = {name: torch.ones(2, 4, 4) for name in names}
    return shown | {"mask": torch.ones(4, 4, dtype=torch.int64), "valid": torch.ones(4, 4, dtype=torch.bool)}


def test_layers_are_left_out_by_their_shares_independently() -> None:
    rng = np.random.default_rng(0)
    gone = [
        [not changed[name].any() for name in ("image", "dsm", "sar")]
        for changed in (
            without_layers(sample("image", "dsm", "sar"), {"dsm": 0.3, "sar": 0.6}, rng) for _ in range(500)
        )
    ]
    shares = np.mean(gone, axis=0)
    assert shares[0] == 0
    assert shares[1:] == pytest.approx([0.3, 0.6], abs=0.06)
    assert np.all(gone, axis=1).sum() == 0
    assert (np.array(gone)[:, 1] & np.array(gone)[:, 2]).mean() == pytest.approx(0.18, abs=0.05)


def test_one_layer_stays_where_all_would_be_left_out_and_labels_always_do() -> None:
    rng, stayed = np.random.default_rng(0), {"image": 0, "dsm": 0}
    for _ in range(60):
        changed = without_layers(sample("image", "dsm"), {"image": 1.0, "dsm": 1.0}, rng)
        shown = [name for name in stayed if changed[name].any()]
        assert len(shown) == 1
        stayed[shown[0]] += 1
        assert changed["mask"].all()
        assert changed["valid"].all()
    assert min(stayed.values()) > 15
    augmented = Augmentation(missing={"dsm": 1.0})(sample("image", "dsm"), rng)
    assert augmented["image"].all()
    assert not augmented["dsm"].any()


def test_another_light_has_gains_and_offsets_of_the_asked_strength() -> None:
    """Over many draws: spread of the common gain and offset, a third of it by band, a fifth of it as fine noise."""
    rng, strength = np.random.default_rng(0), 0.3
    flat = {"image": torch.stack([torch.zeros(64, 64), torch.ones(64, 64)]).repeat(2, 1, 1)}  # bands 0 1 0 1
    offsets, gains, noise = [], [], []
    for _ in range(300):
        bands = relit(flat, strength, rng)["image"].numpy()
        means = bands.mean(axis=(1, 2))
        offsets.append(means[[0, 2]])
        gains.append(means[[1, 3]])
        noise.append(bands.std(axis=(1, 2)))
    offsets = np.array(offsets)
    total = strength * math.sqrt(1 + 1 / 9)
    assert offsets.std(axis=0) == pytest.approx([total] * 2, rel=0.15)
    assert (offsets[:, 0] - offsets[:, 1]).std() == pytest.approx(strength / 3 * math.sqrt(2), rel=0.15)
    assert np.mean(noise) == pytest.approx(strength / 5, rel=0.05)
    assert np.median(gains) == pytest.approx(1, abs=0.1)
    assert np.abs(offsets.mean()) < 0.06


def test_photometric_strength_zero_changes_no_value() -> None:
    augment = Augmentation(flips=False, rotations=False, photometric=0.0)
    assert torch.equal(augment(sample("image"), np.random.default_rng(0))["image"], sample("image")["image"])


def test_the_log_has_a_column_for_every_number_that_ever_came(tmp_path) -> None:
    write_log(tmp_path / "log.csv", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "kappa": 0.1}])
    assert (tmp_path / "log.csv").read_text() == "epoch,loss,kappa\n1,0.5,\n2,0.25,0.1\n"


@pytest.mark.usefixtures("drawn_curves")
def test_curves_show_losses_left_and_scores_right_with_the_kept_epoch(tmp_path, monkeypatch) -> None:
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (drawn.append(figure), path.write_bytes(b"")))
    history = [{"epoch": epoch, "loss": 1 / epoch, "mean_f1": 0.1 * epoch, "kappa": math.nan} for epoch in (1, 2, 3)]
    draw_curves(tmp_path / "a.png", history, 2)
    losses, scores = drawn[0].axes
    lines = {line.get_label(): line for axes in (losses, scores) for line in axes.lines}
    assert list(lines) == ["loss", "kept epoch 2", "mean f1"]
    assert lines["loss"].get_ydata() == pytest.approx([1, 1 / 2, 1 / 3])
    assert lines["mean f1"].get_xdata() == pytest.approx([1, 2, 3])
    assert list(lines["kept epoch 2"].get_xdata()) == [2, 2]
    assert scores.get_ylim() == (0, 1)
    draw_curves(tmp_path / "b.png", history[:1])
    assert [line.get_marker() for line in drawn[1].axes[0].lines] == ["o"]
    assert [line.get_label() for line in drawn[1].axes[1].lines] == ["mean f1"]
    own = [{"epoch": epoch, "lr": 1e-3, "loss": 1.0, "r2": -2.0 * epoch, "seconds": 3.0} for epoch in (1, 2, 3)]
    draw_curves(tmp_path / "c.png", own)  # a task with scores of its own, which need not lie between 0 and 1
    scores = drawn[2].axes[1]
    assert [line.get_label() for line in scores.lines] == ["r2"]
    assert scores.get_ylim()[0] < -6


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 4))
def test_the_plateau_is_that_of_pytorch(scores: list[float], patience: int) -> None:
    """With its threshold of 0; an undefined score counts as no epoch."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, patience, threshold=0.0)
    train = TrainSection(schedule="plateau", step_factor=0.5, plateau_epochs=patience, epochs=40)
    for epoch in range(len(scores)):
        assert lr_factor(train, 10 * epoch, 10, scores[:epoch]) == pytest.approx(
            optimizer.param_groups[0]["lr"], abs=1e-7
        )
        plateau.step(scores[epoch])
    assert lr_factor(train, 0, 10, [-math.inf, *scores]) == lr_factor(train, 0, 10, scores)


@pytest.mark.parametrize("name", ["adam", "adagrad", "adadelta"])
def test_published_optimisers_are_built_with_the_recipes_rate_and_decay(name: str) -> None:
    train = TrainSection(optimizer=name, lr=0.3, weight_decay=0.02, decay="all")
    optimizer = build_optimizer(torch.nn.Linear(3, 2), train)
    assert type(optimizer).__name__.lower() == name
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.3, 0.02)]
