"""The optimisation loop on a net of a few weights: deterministic, resumable, and clear when it cannot go on."""

import csv
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from refusals import raises_naming
from safetensors.torch import safe_open
from torch import nn

import deepnets4eo
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.training import Recipe, TrainSection
from deepnets4eo.training.epochs import Fit, Progress
from deepnets4eo.training.loop import fit_network, seed_torch
from deepnets4eo.training.recipe import resolve

NAN = float("nan")


class Batches:
    """Four random batches that follow from the epoch alone."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(self.epoch)
        return ({"image": torch.randn(4, 3, 8, 8, generator=generator)} for _ in range(4))


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 3))


def step(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return ((network(batch["image"]) - batch["image"].mean()) ** 2).mean()


def settings(**train: object) -> TrainSection:
    return resolve({"train": {"epochs": 5, **train}}, kind=Recipe).train


class Scores:
    """Validation with scores from a list; raises KeyboardInterrupt after `stop_after` epochs."""

    def __init__(self, scores: list[float], stop_after: int = 100) -> None:
        self.scores, self.left = scores, stop_after

    def __call__(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return {"mean_iou": self.scores.pop(0)}


def run(
    out: Path, train: TrainSection, validate: Callable[[nn.Module], dict[str, float]], *, resume: bool = False
) -> tuple[nn.Module, Progress]:
    network = make_network()
    return network, fit_network(network, step, Batches(), validate, Fit(train, out, "recipe", resume=resume))


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


RISING = [0.1, 0.2, 0.3, 0.4, 0.5]


def test_two_runs_of_one_seed_give_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "a", settings(), Scores(list(RISING)))
    second, _ = run(tmp_path / "b", settings(), Scores(list(RISING)))
    third, _ = run(tmp_path / "c", settings(seed=1), Scores(list(RISING)))
    assert equal(first, second)
    assert not equal(first, third)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["one_cycle", "step"])
def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path, optimizer: str, schedule: str) -> None:
    train = settings(optimizer=optimizer, schedule=schedule)
    whole, history = run(tmp_path / "whole", train, Scores(list(RISING)))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", train, Scores(list(RISING), stop_after=2))
    resumed, continued = run(tmp_path / "cut", train, Scores(RISING[2:]), resume=True)
    assert equal(whole, resumed)
    assert [row["loss"] for row in history.history] == [row["loss"] for row in continued.history]


def test_the_best_epoch_is_kept_unless_the_last_is_asked_for(tmp_path: Path) -> None:
    scores = [0.1, 0.5, 0.3, 0.2, 0.2]
    best, progress = run(tmp_path / "best", settings(), Scores(list(scores)))
    second_epoch, _ = run(tmp_path / "two", settings(epochs=2, schedule="constant"), Scores(scores[:2]))
    last, _ = run(tmp_path / "last", settings(keep="last"), Scores(list(scores)))
    assert progress.best_epoch == 2
    assert not equal(best, last)
    assert not equal(best, second_epoch)  # another schedule


def test_patience_stops_and_a_resumed_run_stays_stopped(tmp_path: Path) -> None:
    train = settings(epochs=9, patience=2)
    first, progress = run(tmp_path, train, Scores([0.1, 0.4, 0.3, 0.2, 0.9]))
    assert progress.epochs_done == 4
    again, continued = run(tmp_path, train, Scores([]), resume=True)
    assert continued.epochs_done == 4
    assert equal(first, again)


@pytest.mark.parametrize(
    ("losses", "kept", "epochs"),
    [([], 4, 4), ([0.9, 0.7, 0.3, 0.5], 3, 4), ([0.9, 0.2, 0.7, 0.6], 2, 4), ([0.1, 0.2, 0.3, 0.4], 1, 3)],
    ids=["last", "third", "second", "patience"],
)
def test_where_the_monitored_class_is_not_withheld_the_loss_decides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, losses: list[float], kept: int, epochs: int
) -> None:
    """False alarms give the class an F1 of 0; epochs without any have none, and are better."""
    left, scores = list(losses), [0.0, float("nan"), float("nan"), float("nan")]

    def validate(network: nn.Module) -> dict[str, float]:
        return {"f1.change": scores.pop(0), "kappa": 0.0} | ({"val_loss": left.pop(0)} if left else {})

    _, progress = run(tmp_path, settings(epochs=4, monitor="f1.change", patience=2), validate)
    assert (progress.best_epoch, progress.epochs_done) == (kept, epochs)
    said = "the epoch of the lowest loss there" if losses else "the last epoch"
    assert caplog.text.count("f1.change is undefined: what is withheld shows nothing that it counts") == 1
    assert f"so {said} is kept" in caplog.text


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ([{"f1.town": NAN, "val_loss": 0.5}, {"f1.town": NAN, "val_loss": NAN}], 0),
        ([{"f1.town": NAN, "val_loss": NAN}, {"f1.town": NAN, "val_loss": 0.5}, {"f1.town": NAN, "val_loss": NAN}], 1),
        ([{"f1.town": 0.3, "val_loss": 0.5}, {"f1.town": 0.4, "val_loss": NAN}], 0),
        ([{"f1.town": 0.9}, {"f1.town": NAN}, {"f1.town": 0.8}], 0),
        ([{"f1.town": NAN}, {"f1.town": 0.8}, {"f1.town": 0.3}], 1),
        ([{"f1.town": NAN}, {"f1.town": NAN}], 1),
    ],
)
def test_what_is_no_number_never_replaces_what_is(history: list[dict[str, float]], best: int) -> None:
    progress = Progress()
    for row in history:
        progress.history.append(row)
        if progress.last_is_best("f1.town"):
            progress.best = progress.epochs_done - 1
    assert progress.best == best


def test_scores_that_are_all_undefined_keep_the_last_epoch(tmp_path: Path) -> None:
    _, progress = run(tmp_path, settings(epochs=3), Scores([float("nan")] * 3))
    assert progress.best_epoch == 3


def test_the_variables_of_a_queue_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SLURM_NTASKS": "2",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_ID": "7",
        "SLURM_PROCID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    before, during = signal.getsignal(signal.SIGUSR1), []

    def validate(network: nn.Module) -> dict[str, float]:
        during.append(signal.getsignal(signal.SIGUSR1))
        return {"mean_iou": 0.5}

    run(tmp_path, settings(epochs=1), validate)
    assert during == [before]


def test_a_monitor_that_validation_does_not_give_is_refused(tmp_path: Path) -> None:
    with raises_naming(InputError, "mean_iou"):
        run(tmp_path, settings(monitor="kappa"), Scores([0.1]))


def test_another_recipe_cannot_be_resumed(tmp_path: Path) -> None:
    run(tmp_path, settings(epochs=1), Scores([0.1]))
    with pytest.raises(RunError, match="was made by another recipe"):
        fit_network(make_network(), step, Batches(), Scores([]), Fit(settings(), tmp_path, "other", resume=True))


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    run(tmp_path, settings(epochs=1), Scores([0.1]))
    path = tmp_path / "checkpoints" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match="is no training state of this package"):
        run(tmp_path, settings(epochs=1), Scores([]), resume=True)


@pytest.mark.parametrize("where", ["tensor", "header"])
def test_a_checkpoint_with_a_changed_bit_is_refused(tmp_path: Path, where: str) -> None:
    run(tmp_path, settings(epochs=1), Scores([0.1]))
    path = tmp_path / "checkpoints" / "last.safetensors"
    content = bytearray(path.read_bytes())
    content[content.index(b"0.1", content.index(b"mean_iou")) + 2 if where == "header" else -1] ^= 2
    path.write_bytes(content)
    with pytest.raises(RunError, match="is damaged: its content has another checksum"):
        run(tmp_path, settings(epochs=1), Scores([]), resume=True)


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    with raises_naming(RunError, "train.lr", "epoch 1"):
        fit_network(
            make_network(), lambda net, batch: step(net, batch) * float("nan"), Batches(), Scores([0.1]),
            Fit(settings(), tmp_path, "recipe"),
        )  # fmt: skip


def test_a_single_value_for_batch_normalisation_is_explained(tmp_path: Path) -> None:
    class Ones(Batches):
        def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
            return iter([{"image": torch.randn(1, 3, 3, 3)}] * 4)

    with pytest.raises(InputError, match="a batch of one window gives batch normalisation a single value"):
        fit_network(make_network(), step, Ones(), Scores([0.1]), Fit(settings(), tmp_path, "recipe"))


def test_windows_too_small_for_a_network_are_explained(tmp_path: Path) -> None:
    pan = deepnets4eo.create_model("pan", encoder="resnet18", in_channels=3, num_classes=1, weights=None)

    class Small(Batches):
        def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
            return iter([{"image": torch.randn(2, 3, 32, 32)}] * 4)

    with raises_naming(InputError, "data.tile_px"):
        fit_network(pan, step, Small(), Scores([0.1]), Fit(settings(), tmp_path, "recipe"))


def test_the_learning_rate_follows_its_schedule(tmp_path: Path) -> None:
    _, progress = run(tmp_path, settings(schedule="step", lr=1.0, step_epochs=[2, 4]), Scores(list(RISING)))
    assert [row["lr"] for row in progress.history] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


@pytest.mark.usefixtures("drawn_curves")
def test_log_curves_and_checkpoints_are_written_without_pickle(tmp_path: Path) -> None:
    run(tmp_path, settings(), Scores(list(RISING)))
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["mean_iou"] for row in rows] == [str(score) for score in RISING]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert files == ["best.safetensors", "last.safetensors"]
    with safe_open(tmp_path / "checkpoints" / "last.safetensors", framework="pt") as file:
        assert any(name.startswith("optimizer.0.exp_avg") for name in file.keys())  # noqa: SIM118


def test_the_users_random_state_is_left_alone(tmp_path: Path) -> None:
    network = make_network()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit_network(network, step, Batches(), Scores([0.1]), Fit(settings(epochs=1), tmp_path, "recipe"))
    assert torch.equal(torch.rand(1), expected)


class Clock:
    """Seconds that pass only where a test lets them."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    monotonic = perf_counter


class LateBatches(Batches):
    """Batches that each come some seconds late."""

    clock: Clock
    late_s = 0.0

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in super().__iter__():
            self.clock.now_s += self.late_s
            yield batch


@pytest.mark.parametrize(("late_s", "busy"), [(0.0, 1.0), (1.0, 0.75), (3.0, 0.5)])
def test_the_log_tells_how_long_the_network_waited_for_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late_s: float, busy: float
) -> None:
    batches = LateBatches()
    batches.clock, batches.late_s = Clock(), late_s
    monkeypatch.setattr("deepnets4eo.training.loop.time", batches.clock)
    monkeypatch.setattr("deepnets4eo.training.batches.time", batches.clock)

    def step_of_three_seconds(network: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        batches.clock.now_s += 3.0
        return step(network, batch)

    fit = Fit(settings(epochs=2), tmp_path, "recipe")
    done = fit_network(make_network(), step_of_three_seconds, batches, Scores(RISING[:2]), fit)
    assert [row["busy"] for row in done.history] == [busy, busy]
    assert [row["seconds"] for row in done.history] == [len(batches) * (3.0 + late_s)] * 2
    with (tmp_path / "log.csv").open(encoding="utf-8") as log:
        assert [float(row["busy"]) for row in csv.DictReader(log)] == [busy, busy]


@pytest.mark.parametrize("deterministic", [True, False])
def test_convolutions_are_repeatable_unless_the_recipe_says_otherwise(tmp_path: Path, deterministic: bool) -> None:
    seen = []

    def observed(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append((torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark))
        return step(network, batch)

    train = settings(epochs=1, deterministic=deterministic)
    fit_network(make_network(), observed, Batches(), Scores([0.1]), Fit(train, tmp_path, "recipe"))
    assert set(seen) == {(deterministic, not deterministic)}


def test_a_step_draws_what_it_would_draw_after_a_seed_of_the_whole_library() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = torch.rand(5)
        seed_torch(7, torch.device("cpu"))
        assert torch.equal(torch.rand(5), expected)


def test_a_logger_keeps_the_rows_of_the_log_in_a_folder_of_the_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    run(tmp_path, settings(epochs=2, logger="tensorboard"), Scores([0.25, 0.75]))
    (events,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    assert events.read_bytes().count(b"mean_iou") == 2
    run(tmp_path / "plain", settings(epochs=1), Scores([0.5]))
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == ["checkpoints", "curves.png", "log.csv"]


def test_a_missing_logger_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepnets4eo.lazy.is_installed", lambda module: module != "wandb")
    with raises_naming(InputError, "deepnets4eo"):
        deepnets4eo.train("unet-mobilenet", tmp_path, overrides=["legend=isprs", "train.logger=wandb-offline"])
