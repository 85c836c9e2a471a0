"""Networks that learn from labels of which some are wrong: against their equations by hand, on any network, and what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from refusals import raises_naming
from small_networks import NETWORKS

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import HeteroscedasticHead
from deepnets4eo.segmenters import create_model
from deepnets4eo.training import SumOfLosses

VOID = 255


@pytest.mark.parametrize("rank", [0, 2])
def test_scores_are_the_log_of_the_mean_of_the_samples(rank: int) -> None:
    torch.manual_seed(0)
    head = HeteroscedasticHead(4, 3, rank=rank, temperature=0.7, samples=6).eval()
    maps = torch.randn(2, 4, 5, 5)
    scores = head(maps)
    values = head.layer(maps)[1, :, 2, 3]
    means, spread = values[:3], F.softplus(values[3:6])
    directions = values[6:].reshape(rank, 3).T
    draws = [sign * draw for draw in head.noise for sign in (1, -1)]
    samples = [((means + spread * one[:3] + directions @ one[3:]) / 0.7).softmax(dim=0) for one in draws]
    torch.testing.assert_close(scores[1, :, 2, 3], torch.stack(samples).mean(dim=0).log())


def test_noise_is_drawn_anew_in_training_alone_and_each_image_has_its_own() -> None:
    torch.manual_seed(0)
    head = HeteroscedasticHead(4, 3, rank=1)
    maps = torch.randn(1, 4, 3, 3).repeat(2, 1, 1, 1)
    first, second = head(maps), head(maps)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    head.eval()
    assert torch.equal(head(maps), head(maps))


def test_the_gradient_is_that_of_all_samples_at_once() -> None:
    torch.manual_seed(0)
    head, maps = HeteroscedasticHead(4, 3, rank=1, samples=4).double(), torch.randn(1, 4, 2, 2).double()
    torch.manual_seed(1)
    head(maps)[:, 0].sum().backward()
    gradient = head.layer.weight.grad
    head.layer.weight.grad = None
    torch.manual_seed(1)
    draws = torch.randn(2, 1, 4)
    out = head.layer(maps).float()
    utilities = []
    for draw in draws:
        noise = F.softplus(out[:, 3:6]) * draw[:, :3, None, None] + out[:, 6:] * draw[:, 3:, None, None]
        utilities += [out[:, :3] + noise, out[:, :3] - noise]
    torch.stack(utilities).softmax(dim=2).mean(dim=0).log()[:, 0].sum().backward()
    torch.testing.assert_close(head.layer.weight.grad, gradient)


@pytest.mark.parametrize("name", ["unet", "segnet"])
def test_any_network_takes_the_head(name: str) -> None:
    network = create_model(
        name, in_channels=3, num_classes=3, head="heteroscedastic", head_options={"rank": 1}, **NETWORKS[name].options
    )
    mask = torch.randint(0, 3, (2, 64, 64))
    output = network(torch.randn(2, 3, 64, 64))
    F.cross_entropy(output[0] if isinstance(output, tuple) else output, mask).backward()
    (head,) = (part for part in network.modules() if isinstance(part, HeteroscedasticHead))
    assert head.layer.weight.grad is not None
    assert bool(head.layer.weight.grad.abs().amax(dim=(1, 2, 3)).all())


def test_a_network_whose_last_layer_is_used_in_other_ways_is_refused() -> None:
    with raises_naming(InputError, "3 channels"):
        create_model("hyperspectral/hu", in_channels=103, num_classes=3, head="heteroscedastic")


def test_noise_grows_where_labels_contradict_each_other() -> None:
    torch.manual_seed(0)
    head = HeteroscedasticHead(2, 2, samples=8)
    maps = torch.zeros(1, 2, 8, 40)
    maps[:, 0, :, 20:] = 1  # half where labels are drawn by lot
    maps[:, 1] = 1
    optimizer = torch.optim.Adam(head.parameters(), lr=0.2)
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = torch.zeros(1, 8, 40, dtype=torch.int64)
        mask[:, :, 20:] = torch.from_numpy(rng.integers(0, 2, (1, 8, 20)))
        optimizer.zero_grad()
        F.nll_loss(head(maps), mask).backward()
        optimizer.step()
    probability = head.eval()(maps)[0, 0].exp().detach()
    assert probability[:, :20].min() > 0.95
    assert 0.4 < probability[:, 20:].mean() < 0.6


def test_label_smoothing_and_bootstrapping_are_sums_of_losses() -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    smooth = SumOfLosses({"cross_entropy": 0.9, "uniform": 0.1})(logits, mask)
    torch.testing.assert_close(smooth, F.cross_entropy(logits, mask, label_smoothing=0.1))
    mask[0] = VOID
    bootstrapped = SumOfLosses({"cross_entropy": 0.95, "entropy": 0.05})(logits, mask)
    target = 0.95 * F.one_hot(mask[1], 3).permute(2, 0, 1) + 0.05 * logits[1].softmax(dim=0)
    torch.testing.assert_close(bootstrapped, -(target * logits[1].log_softmax(dim=0)).sum(dim=0).mean())


@pytest.mark.parametrize("wrong", [{"rank": -1}, {"temperature": 0.0}, {"samples": 3}])
def test_heads_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with raises_naming(InputError, "rank", "temperature"):
        HeteroscedasticHead(4, 2, **wrong)
