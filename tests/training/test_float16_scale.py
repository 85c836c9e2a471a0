"""The scale of float16 gradients outlives an interruption: it is in the checkpoint, and a resumed training goes on with it.

On a CPU, for which PyTorch has a scaler as well.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from deepnets4eo.training import Recipe, loop
from deepnets4eo.training.epochs import Fit
from deepnets4eo.training.loop import fit_network
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.state import read_scalars

STEPS, GROWTH = 4, 3


class Batches:
    """Batches that follow from the epoch alone."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(self.epoch)
        return ({"image": torch.randn(2, 3, 8, 8, generator=generator)} for _ in range(STEPS))


class Step:
    """A step whose gradient is infinite at the second call, and at which Ctrl-C may be pressed."""

    def __init__(self, interrupted: int = 0, infinite: int = 2) -> None:
        self.calls, self.interrupted, self.infinite = 0, interrupted, infinite

    def __call__(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        output = network(batch["image"])
        assert output.dtype == torch.float16
        loss = output.float().square().mean()
        if self.calls == self.infinite:
            loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss


@pytest.fixture(autouse=True)
def scaled_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Trainings in float16 on the CPU, each with a scaler of its own."""
    scalers: list[Any] = []

    def scaler(fit: Fit) -> torch.amp.GradScaler:
        scalers.append(torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=GROWTH))
        return scalers[-1]

    monkeypatch.setattr(loop, "_scaler", scaler)
    return scalers


def fit(out: Path, step: Step, *, resume: bool = False) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))
    train = resolve({}, ["train.epochs=2", "train.keep=last"], kind=Recipe).train
    fit_network(
        network,
        step,
        Batches(),
        lambda _: {"mean_iou": 0.5},
        Fit(train, out, "recipe", precision="float16", resume=resume),
    )
    return network


def scale(out: Path) -> dict[str, Any]:
    return read_scalars(out / "checkpoints" / "last.safetensors")["within"]["scaler"]


@pytest.mark.parametrize("interrupted", [3, STEPS + 2], ids=["first epoch", "second epoch"])
def test_a_resumed_training_goes_on_with_the_scale_to_the_same_bits(tmp_path: Path, interrupted: int) -> None:
    whole = fit(tmp_path / "whole", Step())
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", Step(interrupted))
    kept = scale(tmp_path / "cut")
    calm = interrupted - 2  # steps since the infinite gradient, which halved the scale
    assert kept["scale"] == 512.0 * 2 ** (calm // GROWTH)
    assert kept["_growth_tracker"] == calm % GROWTH
    resumed = fit(tmp_path / "cut", Step(infinite=0), resume=True)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert scale(tmp_path / "whole") == scale(tmp_path / "cut")


def test_without_its_scale_a_resumed_training_would_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scaled_on_a_cpu: list[Any]
) -> None:
    fit(tmp_path / "whole", Step())
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", Step(3))
    monkeypatch.setattr(torch.amp.GradScaler, "load_state_dict", lambda *_: None)
    fit(tmp_path / "cut", Step(infinite=0), resume=True)
    assert scale(tmp_path / "whole") != scale(tmp_path / "cut")
    assert len(scaled_on_a_cpu) == 3
