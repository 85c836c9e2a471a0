"""Learning without labels: what a network's certainty (U, K) makes an image, pixel or building weigh in the loss.

By FixMatch (Sohn 2020) and FlexMatch (Zhang 2021), whose memory is in a buffer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.training.recipe import UnlabelledSection


class FixedThreshold(nn.Module):
    """FixMatch: an image counts where its largest probability is at least τ."""

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


WEIGHTS: dict[str, type[nn.Module]] = {"fixmatch": FixedThreshold, "flexmatch": FlexibleThreshold}


class Consistency(nn.Module):
    """The loss of unlabelled images, and what it remembers of `images` images; a part of the network in training."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__()
        self.factor = section.weight
        self.weigh = WEIGHTS[section.method](section, num_classes, images)

    def loss(self, compared: Tensor, q: Tensor, rows: Tensor) -> Tensor:
        """The weighted loss of logits (U, K) of strong views, by probabilities q (U, K) of weak ones, of images with the numbers `rows` (U,)."""
        if not len(q):
            return compared.sum() * 0
        each = F.cross_entropy(compared, q.argmax(dim=1), reduction="none")
        loss: Tensor = self.factor * (self.weigh(q, rows) * each).mean()
        return loss
