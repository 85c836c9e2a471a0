"""Learning without labels: what a network's certainty (U, K) makes an image, pixel or building weigh in the loss.

By pseudo-label (Lee 2013), FixMatch (Sohn 2020), FlexMatch (Zhang 2021) and SoftMatch (Chen 2023); their memory is in buffers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.training.recipe import UnlabelledSection

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
    """FlexMatch: τ · M(β(c)), M(x) = x / (2 − x); β(c) is the number of images surely of class c, by the most of any class or the unsure."""

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
    """SoftMatch: exp(−(min(max q − μ, 0))² / (2 σ² / n²)) with the running mean μ of max q; the probabilities are aligned first."""

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
        if len(probability) > 1:  # one has no spread
            self.variance.lerp_(probability.var(), 1 - self.keep)
        below = (probability - self.mean).clamp_max(0)
        return torch.exp(-below.square() / (2 * self.variance / SPREAD**2))


WEIGHTS: dict[str, type[nn.Module]] = {
    "pseudo-label": FixedThreshold, "fixmatch": FixedThreshold, "flexmatch": FlexibleThreshold, "softmatch": SoftWeight,
}  # fmt: skip


class Consistency(nn.Module):
    """The loss of unlabelled images, and what it remembers, over `images` images and `steps` steps; a part of the network in training."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int, steps: int) -> None:
        super().__init__()
        self.section, self.ramp = section, section.ramp_share * steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.step: Tensor
        self.weigh = WEIGHTS[section.method](section, num_classes, images)

    @property
    def takes_strong(self) -> bool:
        """Whether the loss compares with strongly changed images; others compare with weakly changed ones."""
        return self.section.method != "pseudo-label"

    def loss(self, compared: Tensor, q: Tensor, rows: Tensor) -> Tensor:
        """The weighted loss of logits (U, K) that learn, by probabilities q (U, K) of images with the numbers `rows` (U,)."""
        self.step += 1
        if not len(q):
            return compared.sum() * 0
        factor = self.section.weight
        if not self.takes_strong and self.ramp:
            factor *= min(int(self.step) / self.ramp, 1.0)
        weights = self.weigh(q, rows)
        each = F.cross_entropy(compared, q.argmax(dim=1), reduction="none")
        loss: Tensor = factor * (weights * each).mean()
        return loss
