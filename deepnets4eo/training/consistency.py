"""Learning without labels: how sure a network is of its own labels, and what that makes an image, pixel or building weigh in the loss.

Takes probabilities q (U, K) of weakly changed images and what the network makes of strongly changed ones; returns weights and losses,
to the equations of pseudo-label (Lee 2013), mean teacher (Tarvainen and Valpola 2017), FixMatch (Sohn 2020), FlexMatch (Zhang 2021),
SoftMatch (Chen 2023) and FreeMatch (Wang 2023). What they remember are buffers, so that an interrupted training goes on the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.training.recipe import UnlabelledSection

TINY = 1e-12
SPREAD = 2.0  # n of SoftMatch's code: the deviation of the weight's bell is a half of that measured


class FixedThreshold(nn.Module):
    """FixMatch and pseudo-label: an image counts where its largest probability is at least τ."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__()
        self.threshold = section.threshold

    def forward(self, q: Tensor, rows: Tensor) -> Tensor:
        """q : (U, K) probabilities, rows : (U,) numbers of the images → weights (U,)"""
        return (q.amax(dim=1) >= self.threshold).to(q.dtype)


class FlexibleThreshold(FixedThreshold):
    """FlexMatch: τ · M(β(c)), M(x) = x / (2 − x), where β(c) is how many images were surely of class c, divided by the most
    of any class or, while most images are not sure, by their number. An image's label is noted where it passes τ itself."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__(section, num_classes, images)
        self.num_classes = num_classes
        self.register_buffer("sure", torch.full((images,), num_classes))  # the class of each image; K: none yet
        self.sure: Tensor

    def forward(self, q: Tensor, rows: Tensor) -> Tensor:
        """The weights, from and to what `FixedThreshold` takes and returns; what is noted counts from the next step on."""
        counts = torch.bincount(self.sure, minlength=self.num_classes + 1)
        beta = counts[:-1] / counts.max().clamp_min(1)
        probability, label = q.max(dim=1)
        threshold = self.threshold * beta / (2 - beta)
        weights = (probability >= threshold[label]).to(q.dtype)
        passed = probability >= self.threshold
        self.sure[rows[passed]] = label[passed]
        return weights


class SoftWeight(nn.Module):
    """SoftMatch: a bell below the running mean μ of the largest probability, 1 above it, exp(−(min(max q − μ, 0))² / (2 σ² / n²)).
    The probabilities are first aligned: as if all classes had been equally common so far."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__()
        self.keep = section.momentum
        self.register_buffer("shares", torch.full((num_classes,), 1 / num_classes))
        self.register_buffer("mean", torch.tensor(1 / num_classes))
        self.register_buffer("variance", torch.tensor(1.0))
        self.shares: Tensor
        self.mean: Tensor
        self.variance: Tensor

    def forward(self, q: Tensor, rows: Tensor) -> Tensor:
        """The weights, from and to what `FixedThreshold` takes and returns; means and variance are those after this batch."""
        self.shares.lerp_(q.mean(dim=0), 1 - self.keep)
        aligned = q / (self.shares * len(self.shares))
        probability = (aligned / aligned.sum(dim=1, keepdim=True)).amax(dim=1)
        self.mean.lerp_(probability.mean(), 1 - self.keep)
        self.variance.lerp_(probability.var(), 1 - self.keep)
        below = (probability - self.mean).clamp_max(0)
        return torch.exp(-below.square() / (2 * self.variance / SPREAD**2))


class FreeThreshold(nn.Module):
    """FreeMatch: the running mean of the largest probability, times the running share of the class over that of the commonest."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__()
        self.keep = section.momentum
        self.register_buffer("mean", torch.tensor(1 / num_classes))
        self.register_buffer("shares", torch.full((num_classes,), 1 / num_classes))
        self.register_buffer("counts", torch.full((num_classes,), 1 / num_classes))
        self.mean: Tensor
        self.shares: Tensor
        self.counts: Tensor

    def forward(self, q: Tensor, rows: Tensor) -> Tensor:
        """The weights, from and to what `FixedThreshold` takes and returns; what is measured has this batch."""
        probability, label = q.max(dim=1)
        self.mean.lerp_(probability.mean(), 1 - self.keep)
        self.shares.lerp_(q.mean(dim=0), 1 - self.keep)
        self.counts.lerp_(shares_of(label, len(self.counts), q), 1 - self.keep)
        threshold = self.mean * self.shares / self.shares.max()
        return (probability >= threshold[label]).to(q.dtype)

    def fairness(self, strong: Tensor, weights: Tensor) -> Tensor:
        """Sum over classes of a · log b: a, b are shares over counts, normalised, of all weak images so far and of the strong ones
        that count now. strong : (U, K) probabilities → () float32, 0 where none counts"""
        counted = weights > 0
        if not bool(counted.any()):
            return strong.sum() * 0
        strong = strong[counted]
        now = _normalised(strong.mean(dim=0), shares_of(strong.argmax(dim=1), len(self.counts), strong))
        return (_normalised(self.shares, self.counts) * (now + TINY).log()).sum()


def shares_of(labels: Tensor, num_classes: int, like: Tensor) -> Tensor:
    """(K,) share of each class among labels (U,), in the type of `like`."""
    return torch.bincount(labels, minlength=num_classes).to(like) / len(labels)


def _normalised(shares: Tensor, counts: Tensor) -> Tensor:
    """Shares over counts, of sum 1; classes without count are left out."""
    ratio = torch.where(counts > 0, shares / counts.clamp_min(TINY), torch.zeros_like(shares))
    return ratio / ratio.sum().clamp_min(TINY)


WEIGHTS: dict[str, type[nn.Module]] = {
    "pseudo-label": FixedThreshold, "fixmatch": FixedThreshold, "flexmatch": FlexibleThreshold, "softmatch": SoftWeight,
    "freematch": FreeThreshold,
}  # fmt: skip


class Consistency(nn.Module):
    """The loss of unlabelled images, and what it remembers; a part of the network while that is trained.

    num_classes : K. images : how many unlabelled ones there are. steps : of the whole training. network : the teacher
    begins as its copy."""

    def __init__(
        self, section: UnlabelledSection, num_classes: int, images: int, steps: int, network: nn.Module
    ) -> None:
        super().__init__()
        self.section, self.ramp = section, section.ramp_share * steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.step: Tensor
        if section.method == "mean-teacher":
            self.teacher: Any = copy.deepcopy(network).requires_grad_(False)
        else:
            self.weigh = WEIGHTS[section.method](section, num_classes, images)

    @property
    def takes_strong(self) -> bool:
        """Whether the loss compares with strongly changed images; others compare with weakly changed ones."""
        return self.section.method not in ("pseudo-label", "mean-teacher")

    def loss(self, compared: Tensor, q: Tensor, rows: Tensor) -> Tensor:
        """The weighted loss of a batch.

        compared : (U, K) logits that learn. q : (U, K) probabilities, without gradient. rows : (U,) numbers of the images."""
        self.step += 1
        if not len(q):
            return compared.sum() * 0
        factor = self.section.weight
        if not self.takes_strong and self.ramp:
            factor *= min(int(self.step) / self.ramp, 1.0)
        if self.section.method == "mean-teacher":
            return factor * (compared.softmax(dim=1) - q).square().mean()
        weights = self.weigh(q, rows)
        each = F.cross_entropy(compared, q.argmax(dim=1), reduction="none")
        loss = factor * (weights * each).mean()
        if isinstance(self.weigh, FreeThreshold) and self.section.fairness:
            loss = loss + self.section.fairness * self.weigh.fairness(compared.softmax(dim=1), weights)
        return loss

    @torch.no_grad()
    def teach(self, network: nn.Module, logits: Callable[[Any], Tensor]) -> Tensor:
        """Move the teacher towards the network, and return its probabilities (U, K). logits : of a network, (U, K)"""
        own = network.state_dict()
        for name, value in self.teacher.state_dict().items():
            if value.is_floating_point():
                value.lerp_(own[name], 1 - self.section.momentum)
            else:
                value.copy_(own[name])
        return logits(self.teacher).float().softmax(dim=1)
