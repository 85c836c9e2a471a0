"""Ctrl-C within an epoch: what was learned is kept, and the resumed training ends in the same bits."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from deepnets4eo.errors import RunError
from deepnets4eo.training import Recipe, TrainSection, optimization
from deepnets4eo.training.epochs import Fit, Progress
from deepnets4eo.training.loop import Interruption, fit_network
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.state import load_state

STEPS, EPOCHS = 4, 3


class Batches:
    """Random batches that follow from epoch and number; the first ones may be left out unread."""

    epoch, first_batch = 0, 0

    def __init__(self) -> None:
        self.read: list[tuple[int, int]] = []

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for number in range(self.first_batch, STEPS):
            self.read.append((self.epoch, number))
            generator = torch.Generator().manual_seed(10 * self.epoch + number)
            yield {"image": torch.randn(4, 3, 8, 8, generator=generator)}


class AllBatches:
    """The same batches from a loader that can only begin with the first."""

    def __init__(self) -> None:
        self.batches = Batches()
        self.set_epoch = self.batches.set_epoch

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return iter(self.batches)


class Step:
    """A step that has Ctrl-C pressed while it runs, at the given count, as a user does."""

    def __init__(self, interrupted: int = 0, times: int = 1) -> None:
        self.left, self.times = interrupted, times

    def __call__(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
        return ((network(batch["image"]) - batch["image"].mean()) ** 2).mean()


def validate(network: nn.Module) -> dict[str, float]:
    return {"mean_iou": float(network(torch.ones(1, 3, 8, 8)).mean())}


def section(*overrides: str) -> TrainSection:
    return resolve({}, [f"train.epochs={EPOCHS}", *overrides], kind=Recipe).train


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 3))


def fit(
    out: Path, step: Step, loader: Batches | AllBatches, resume: bool, *overrides: str
) -> tuple[nn.Module, Progress]:
    network = make_network()
    train = section(*overrides)
    return network, fit_network(network, step, loader, validate, Fit(train, out, "recipe", resume=resume))


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("interrupted", [1, STEPS, STEPS + 2], ids=["first step", "last step", "second epoch"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_an_epoch_that_was_interrupted_goes_on_with_its_next_step_to_the_same_bits(
    tmp_path: Path, interrupted: int, optimizer: str
) -> None:
    rules = (f"train.optimizer={optimizer}", "train.keep=last")
    whole, expected = fit(tmp_path / "whole", Step(), Batches(), False, *rules)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", Step(interrupted), Batches(), False, *rules)
    left = Batches()
    resumed, progress = fit(tmp_path / "cut", Step(), left, True, *rules)
    steps = [(number // STEPS, number % STEPS) for number in range(EPOCHS * STEPS)]
    assert left.read == steps[interrupted:]
    assert equal(whole, resumed)
    for name in ("loss", "mean_iou", "lr"):
        assert [row[name] for row in progress.history] == [row[name] for row in expected.history]


def test_a_loader_that_begins_with_the_first_batch_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole, _ = fit(tmp_path / "whole", Step(), AllBatches(), False, "train.keep=last")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", Step(3), AllBatches(), False, "train.keep=last")
    resumed, _ = fit(tmp_path / "cut", Step(), AllBatches(), True, "train.keep=last")
    assert equal(whole, resumed)


@pytest.mark.parametrize("average", [0, 0.9])
def test_a_validation_that_was_interrupted_is_done_again(
    tmp_path: Path, average: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        optimization, "FIRST_STEPS", 1
    )  # so that the means differ from the weights from the second step on
    rule = f"train.average={average}"
    whole, expected = fit(tmp_path / "whole", Step(), Batches(), False, rule)

    def interrupted(network: nn.Module) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return validate(network)

    plan = Fit(section(rule), tmp_path / "cut", "recipe")
    with pytest.raises(KeyboardInterrupt):
        fit_network(make_network(), Step(), Batches(), interrupted, plan)
    left = Batches()
    resumed, progress = fit(tmp_path / "cut", Step(), left, True, rule)
    assert left.read[0] == (1, 0)
    assert equal(whole, resumed)
    assert [row["loss"] for row in progress.history] == [row["loss"] for row in expected.history]


def test_what_was_kept_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for times, interrupted, kept in ((1, 2, f"everything up to step 2 of {STEPS} in epoch 1"), (2, 2, "nothing yet")):
        caplog.clear()
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / str(times), Step(interrupted, times), Batches(), False)
        end = " To end here and use what was learnt: with --resume --finish." if times == 1 else ""
        assert f"training stopped; kept: {kept}. To go on: the same command with --resume.{end}" in caplog.messages
        assert (tmp_path / str(times) / "checkpoints" / "last.safetensors").exists() == (times == 1)


@pytest.mark.parametrize(
    ("interrupted", "keep", "epochs", "said"),
    [
        (STEPS + 2, "best", 1, "finished after 1 of 3 epochs (kept: everything up to step 2 of 4 in epoch 2)"),
        (2 * STEPS, "last", 2, "finished after 1 of 3 epochs (kept: everything up to step 4 of 4 in epoch 2)"),
        (2, "best", 0, "finished after 0 of 3 epochs (kept: everything up to step 2 of 4 in epoch 1)"),
    ],
    ids=["best", "last", "first epoch"],
)
def test_a_stopped_training_is_finished_with_the_weights_that_it_had(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, interrupted: int, keep: str, epochs: int, said: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, Step(interrupted), Batches(), False, f"train.keep={keep}")
    left, network = Batches(), make_network()
    progress = fit_network(
        network,
        Step(),
        left,
        validate,
        Fit(section(f"train.keep={keep}"), tmp_path, "recipe", resume=True, finish=True),
    )
    assert (left.read, progress.epochs_done) == ([], min(epochs, 1))
    assert said in caplog.text
    shorter = make_network()  # a training of so many epochs, or steps of the first
    if epochs:
        plan = Fit(section(f"train.keep={keep}"), tmp_path / "shorter", "recipe", epochs=epochs)
        fit_network(shorter, Step(), Batches(), validate, plan)
    else:
        load_state(tmp_path / "checkpoints" / "last.safetensors", shorter)
    assert equal(network, shorter)


def test_what_has_learnt_nothing_cannot_be_finished(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is nothing to finish"):
        fit_network(
            make_network(), Step(), Batches(), validate, Fit(section(), tmp_path, "recipe", resume=True, finish=True)
        )


def test_ctrl_c_does_what_it_did_after_the_training_and_in_other_threads(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    fit(tmp_path, Step(), Batches(), False)
    assert signal.getsignal(signal.SIGINT) is before
    seen = []

    def watch() -> None:
        with Interruption().watch():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [before]


CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_interruption as t
t.torch.set_num_threads(int(sys.argv[3]))  # sums of several threads have other bits
class Slow(t.Step):
    def __call__(self, network, batch):
        print("step", flush=True)
        time.sleep(0.5)
        return super().__call__(network, batch)
t.fit(Path(sys.argv[2]), Slow(), t.Batches(), False, "train.keep=last")
"""


def test_a_process_that_gets_the_signal_before_its_first_epoch_ends_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    arguments = [
        sys.executable,
        "-c",
        CHILD,
        str(Path(__file__).parent),
        str(tmp_path / "cut"),
        f"{torch.get_num_threads()}",
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "step\n"
        child.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in child.communicate()[1]
    whole, _ = fit(tmp_path / "whole", Step(), Batches(), False, "train.keep=last")
    left = Batches()
    resumed, _ = fit(tmp_path / "cut", Step(), left, True, "train.keep=last")
    assert left.read[0] == (0, 1)
    assert equal(whole, resumed)
