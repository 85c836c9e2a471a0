"""The default damage network: two heads over one U-Net, and the loss that both learn by."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refusals import raises_naming
from scipy.special import logit, softmax

from deepnets4eo.cards import Legend
from deepnets4eo.damage.network import DamageNet
from deepnets4eo.damage.network.architecture import DamageCriterion, border_odds, ordinal_loss
from deepnets4eo.damage.network.recipe import DamageTraining
from deepnets4eo.damage.table.probabilities import grade_probabilities
from deepnets4eo.errors import InputError
from deepnets4eo.training import losses

SMALL = (16, 16, 8)


def small() -> DamageNet:
    torch.manual_seed(0)
    return DamageNet(6, 4, decoder_channels=SMALL).eval()


def test_post_alone_is_graded_as_if_there_were_no_pre_image():
    network, dates = small(), torch.randn(2, 6, 32, 64)
    with torch.no_grad():
        pair, post = network.both(dates)
        torch.testing.assert_close(network(dates), pair)
        torch.testing.assert_close(network(dates[:, 3:]), post, rtol=1e-4, atol=1e-5)
        other = network.both(torch.cat([torch.randn(2, 3, 32, 64), dates[:, 3:]], dim=1))
    torch.testing.assert_close(other[1], post, rtol=1e-4, atol=1e-5)
    assert (other[0] - pair).abs().max() > 1e-3


def test_logits_have_half_the_resolution_of_the_image():
    with torch.no_grad():
        logits = small()(torch.randn(1, 6, 32, 32))
    torch.testing.assert_close(logits[..., ::2, ::2], logits[..., 1::2, 1::2])


def test_brightness_and_contrast_of_a_date_do_not_matter():
    dates = torch.randn(1, 6, 32, 32)
    brighter = torch.cat([dates[:, :3], 3 * dates[:, 3:] + 5], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(small()(brighter), small()(dates), rtol=0.2, atol=0.05)


def test_its_weights_stay_below_twenty_megabytes():
    weights = DamageNet(6, 4).state_dict().values()
    assert 2 * sum(value.numel() for value in weights) < 8e6  # bytes in half precision


def test_an_odd_number_of_bands_and_one_stage_are_refused():
    with pytest.raises(InputError, match="give both dates the same bands"):
        DamageNet(5, 4)
    with raises_naming(InputError, "decoder_channels", "2 or 3 numbers"):
        DamageNet(6, 4, decoder_channels=(16,))


def test_odds_at_the_borders_are_those_of_the_grades_probabilities():
    logits = np.random.default_rng(0).normal(0, 2, (50, 4))
    odds = border_odds(torch.from_numpy(logits)).numpy()
    probabilities = softmax(logits, axis=1)
    beyond = np.stack([probabilities[:, k:].sum(axis=1) for k in (1, 2, 3)], axis=1)
    np.testing.assert_allclose(odds, logit(beyond), atol=1e-9)
    np.testing.assert_allclose(grade_probabilities(beyond), probabilities, atol=1e-9)


def test_the_loss_is_the_cross_entropy_of_three_questions():
    logits, grades = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.5, 3.0, 1.0]]), torch.tensor([1, 3])
    weight = torch.tensor([1.0, 3.0])
    beyond = [softmax(row.numpy())[::-1].cumsum()[::-1][1:] for row in logits]
    surprise = [
        -np.log(np.where(np.arange(3) < grade, p, 1 - p)).sum() for p, grade in zip(beyond, (1, 3), strict=True)
    ]
    expected = (surprise[0] + 3 * surprise[1]) / 4
    assert float(ordinal_loss(logits, grades, weight)) == pytest.approx(expected, rel=1e-5)


def test_both_heads_learn_and_a_batch_without_buildings_costs_nothing():
    network = small().train()
    batch = {f"image_{date}": torch.randn(2, 3, 32, 32) for date in ("pre", "post")}
    batch["valid"] = torch.ones(2, 32, 32, dtype=torch.bool)
    building, mask = torch.zeros(2, 32, 32, dtype=torch.int64), torch.full((2, 32, 32), 255)
    criterion = DamageCriterion(DamageTraining(losses={}, ordinal=True, post_loss=0.5), Legend.load("xbd"))
    assert float(criterion.step(network, batch | {"building": building, "mask": mask}).detach()) == 0
    for number, grade in enumerate((0, 1, 3)):
        building[number % 2, 8 * number : 8 * number + 6, :6] = number + 1
        mask[number % 2, 8 * number : 8 * number + 6, :6] = grade
    criterion.step(network, batch | {"building": building, "mask": mask}).backward()
    for head in (network.head, network.post_head):
        assert all((part.grad != 0).any() for part in head.parameters())


@pytest.mark.parametrize("ordinal", [True, False])
def test_the_mean_gradient_of_two_processes_is_that_of_one_with_the_whole_batch(
    ordinal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = {f"image_{date}": torch.randn(2, 3, 32, 32) for date in ("pre", "post")}
    batch["valid"] = torch.ones(2, 32, 32, dtype=torch.bool)
    batch["building"], batch["mask"] = torch.zeros(2, 32, 32, dtype=torch.int64), torch.full((2, 32, 32), 255)
    for number, (window, grade) in enumerate([(0, 0), (1, 1), (0, 3), (0, 0)]):  # three buildings here, one there
        place = window, slice(8 * number, 8 * number + 6), slice(0, 6)
        batch["building"][place], batch["mask"][place] = number + 1, grade
    network, met, barrier = small(), [], Barrier(2)
    weights = list(network.head.parameters())

    def mean(value: torch.Tensor) -> torch.Tensor:
        met.append(value)
        barrier.wait(20)
        result = torch.stack(met).mean(0)
        if barrier.wait(20) == 0:
            met.clear()
        barrier.wait(20)
        return result

    def loss_of(windows: dict[str, torch.Tensor], *, together: bool) -> torch.Tensor:
        criterion = DamageCriterion(DamageTraining(losses={}, ordinal=ordinal), Legend.load("xbd"))
        criterion.restore([0.0] * 4)
        if together:
            criterion.count_together(mean)
        return criterion.step(network, windows)

    whole = torch.autograd.grad(loss_of(batch, together=False), weights)
    monkeypatch.setattr(losses.Rank, "current", lambda: SimpleNamespace(mean=mean))
    with ThreadPoolExecutor(2) as threads:
        parts = [{name: values[number : number + 1] for name, values in batch.items()} for number in (0, 1)]
        costs = list(threads.map(lambda part: loss_of(part, together=True), parts))
    halves = [torch.autograd.grad(cost, weights) for cost in costs]
    for one, *two in zip(whole, *halves, strict=True):
        torch.testing.assert_close(sum(two) / 2, one)
