"""Losses of dense prediction: named, weighted, summed; void and invalid pixels never enter.

Takes logits (N,K,H,W), mask (N,H,W) int64 with void 255, valid (N,H,W) bool. A batch without any counted pixel
costs 0 (not NaN), and its gradient is 0. Refuses names it does not know.
No loss waits for the device: what is not counted is multiplied away, never picked out, and weights lie on the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.training.ranks import Rank


class CrossEntropy(nn.Module):
    """Mean of -w[y] log p[y] over counted pixels, divided by the sum of the weights. With `over_ranks`, processes that
    share a batch divide by the mean of their sums, so that the mean of their losses is that of the batch; all of
    them then call it as often."""

    def __init__(self, class_weights: Tensor | None = None, *, over_ranks: bool = False) -> None:
        super().__init__()
        self.over_ranks = over_ranks
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """logits : (N, K[, H, W]) float32 · mask : (N[, H, W]) int64, void 255 · returns : () float32."""
        weight = self.class_weights if isinstance(self.class_weights, Tensor) else None
        total = F.cross_entropy(logits, mask, weight=weight, ignore_index=VOID, reduction="sum")
        counted = mask != VOID
        if weight is None:
            share = counted.sum().to(logits.dtype)
        else:
            met = weight[mask.clamp_max(len(weight) - 1)]
            share = (met[counted] if mask.is_cpu else met * counted).sum()  # a GPU would wait to count what is picked
        if self.over_ranks and torch.is_grad_enabled():  # the first process validates alone
            share = Rank.current().mean(share)
        return total / share.clamp_min(torch.finfo(logits.dtype).tiny)


class Lovasz(nn.Module):
    """Lovász-Softmax (Berman 2018): the extended Jaccard loss of each class that is present, and their weighted mean."""

    def __init__(self, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """As `CrossEntropy.forward`."""
        counted, labels = (mask != VOID).flatten(), mask.flatten()
        probabilities = logits.softmax(dim=1)
        total, present = logits.new_zeros(()), logits.new_zeros(())
        for index in range(logits.shape[1]):
            truth = labels == index
            met = truth.any().to(logits.dtype)
            if isinstance(self.class_weights, Tensor):
                met = met * self.class_weights[index]
            total = total + met * _jaccard_loss(probabilities[:, index].flatten(), truth, counted)
            present = present + met
        return total / present.clamp_min(torch.finfo(logits.dtype).tiny)


def _jaccard_loss(probability: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    """Lovász extension of one class's Jaccard loss; each of (P,). Pixels not counted are sorted behind all others."""
    errors = (truth.to(probability.dtype) - probability).abs().masked_fill(~counted, -1)
    errors, order = errors.sort(descending=True)
    positives = truth[order].to(errors.dtype)
    number = positives.sum()
    losses = 1 - (number - positives.cumsum(0)) / (number + (1 - positives).cumsum(0))
    return torch.dot(errors.clamp_min(0), torch.diff(losses, prepend=losses.new_zeros(1)))


class Focal(nn.Module):
    """Focal loss (Lin 2017) of each class against all others, (1 − p)² · −log p, and their weighted mean."""

    def __init__(self, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """As `CrossEntropy.forward`."""
        counted, number = (mask != VOID).flatten(), (mask != VOID).sum().clamp_min(1)
        labels, losses = mask.flatten(), []
        for index in range(logits.shape[1]):
            score, truth = logits[:, index].flatten(), (labels == index).to(logits.dtype)
            surprise = F.binary_cross_entropy_with_logits(score, truth, reduction="none")
            losses.append(((1 - torch.exp(-surprise)).square() * surprise * counted).sum() / number)
        if isinstance(self.class_weights, Tensor):
            return (torch.stack(losses) * self.class_weights).sum() / self.class_weights.sum()
        return torch.stack(losses).mean()


def _dice(class_weights: Tensor | None) -> nn.Module:
    """Dice from smp; its weights become a buffer, else each step would copy them to the device and wait."""
    dice = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, ignore_index=VOID)
    del dice.class_weights
    dice.register_buffer("class_weights", class_weights, persistent=False)
    return dice


def _build(name: str, class_weights: Tensor | None) -> nn.Module:
    """One loss by name."""
    match name:
        case "cross_entropy":
            return CrossEntropy(class_weights, over_ranks=True)
        case "dice":
            return _dice(class_weights)
        case "lovasz":
            return Lovasz(class_weights)
        case "focal":
            return Focal(class_weights)
        case "contrastive":
            raise InputError(
                "loss contrastive compares features of two dates, which this training does not have apart. Use it with the "
                "task segmentation and a Siamese network, e.g. fc-siam-diff, or leave it out."
            )
    raise InputError(f"loss {name!r} is unknown. Choose from cross_entropy, dice, lovasz, focal, contrastive.")


class SumOfLosses(nn.Module):
    """Weighted sum of named losses over the pixels that are valid and not void.

    >>> criterion = SumOfLosses({"cross_entropy": 1.0, "dice": 0.5})
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.full((1, 4, 4), 255)
    >>> float(criterion(logits, mask))
    0.0
    """

    def __init__(self, losses: Mapping[Any, float], class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.weights = {name: weight for name, weight in losses.items() if weight > 0}
        self.parts = nn.ModuleDict({name: _build(name, weights) for name in self.weights})

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss () of logits (N, K, H, W) and mask (N, H, W), void 255, over valid pixels, in float32
        whatever the precision of the network."""
        logits = logits.float()
        counted = mask != VOID if valid is None else (mask != VOID) & valid
        mask = mask.masked_fill(~counted, VOID)
        return torch.stack([self.weights[name] * part(logits, mask) for name, part in self.parts.items()]).sum()


def median_frequency(pixels: Sequence[int] | Tensor) -> list[float]:
    """Class weights median(f)/f_c from pixel counts (Eigen and Fergus 2015); classes never met weigh 0.

    >>> median_frequency([100, 50, 0])
    [0.75, 1.5, 0.0]
    """
    counts = torch.as_tensor(pixels, dtype=torch.float64)
    present = counts > 0
    if not bool(present.any()):
        raise InputError("no training pixel carries a label, so classes cannot be weighed. Check labels and void.")
    median = counts[present].quantile(0.5)
    return torch.where(present, median / counts.clamp_min(1), torch.zeros_like(counts)).tolist()
