"""Named losses of estimates (N, C, H, W), mean and maybe deviation, each a mean over pixels whose value (N, H, W) is known.

Carvalho et al., ICIP 2018; the second term of Eigen's is the corrected one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from deepnets4eo.training.losses import counted_pixels

ValueLossName = Literal["l1", "l2", "berhu", "huber", "eigen", "eigen_grad", "gradient", "l1_log", "gaussian"]

THRESHOLD = 0.2  # of the largest error of a batch: where berHu and Huber change between |e| and e²
INVARIANCE = 0.5  # Eigen's share of the squared mean that is taken off
# Below this share of an image's mean, logarithms continue as straight lines, so that their gradients stay bounded.
MIN_SHARE_OF_MEAN = 0.03


class SumOfValueLosses(nn.Module):
    """Weighted sum of losses by name."""

    def __init__(self, losses: Mapping[ValueLossName, float]) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in losses.items() if weight > 0}

    def forward(self, prediction: Tensor, values: Tensor) -> Tensor:
        """Compute the loss, () float32.

        prediction : (N, 1 or 2, H, W) float32
        values : (N, H, W) float32, NaN for void pixels"""
        known = values.isfinite()
        truth = values.masked_fill(~known, 0)
        return torch.stack(
            [weight * LOSSES[name](prediction.float(), truth, known) for name, weight in self.weights.items()]
        ).sum()


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean over known pixels, whose number processes that share a batch have in common."""
    return (values * known).sum() / counted_pixels(known.to(values.dtype))


def _error(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return (prediction[:, 0] - truth).masked_fill(~known, 0)


def _l1(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return _mean(_error(prediction, truth, known).abs(), known)


def _l2(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return _mean(_error(prediction, truth, known).square(), known)


def _threshold(size: Tensor) -> Tensor:
    return (THRESHOLD * size.detach().amax()).clamp_min(torch.finfo(size.dtype).eps)


def _berhu(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """|e| up to the threshold d, (e² + d²) / 2d beyond it."""
    size = _error(prediction, truth, known).abs()
    threshold = _threshold(size)
    return _mean(torch.where(size <= threshold, size, (size.square() + threshold**2) / (2 * threshold)), known)


def _huber(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """e² / 2 up to the threshold d, d (|e| − d / 2) beyond it: continuous, as published code is."""
    size = _error(prediction, truth, known).abs()
    threshold = _threshold(size)
    return _mean(torch.where(size <= threshold, size.square() / 2, threshold * (size - threshold / 2)), known)


def _logs(prediction: Tensor, truth: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Compute differences of natural logarithms, and the mask of pixels whose truth is above 0."""
    positive = known & (truth > 0)
    number = positive.sum(dim=(1, 2), keepdim=True).clamp_min(1)
    least = MIN_SHARE_OF_MEAN * (truth * positive).sum(dim=(1, 2), keepdim=True) / number
    least = torch.where(least > 0, least, 1)  # of an image without values
    apart = _log(prediction[:, 0], least) - _log(truth, least)
    return apart.masked_fill(~positive, 0), positive


def _log(values: Tensor, least: Tensor) -> Tensor:
    """Natural logarithm; below `least` its tangent there."""
    return values.clamp_min(least).log() + (values / least - 1).clamp_max(0)


def _l1_log(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    apart, positive = _logs(prediction, truth, known)
    return _mean(apart.abs(), positive)


def _eigen(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """mean(D²) − ½ mean(D)² of each image, D the difference of logarithms; the mean of the images that have a value."""
    apart, positive = _logs(prediction, truth, known)
    number = positive.sum(dim=(1, 2)).clamp_min(1)
    first, second = apart.square().sum(dim=(1, 2)) / number, (apart.sum(dim=(1, 2)) / number).square()
    return _mean(first - INVARIANCE * second, positive.flatten(1).any(dim=1))


def _eigen_grad(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Compute Eigen's loss plus the mean of the squared gradient of D, by differences of neighbours that are both known."""
    apart, positive = _logs(prediction, truth, known)
    return _eigen(prediction, truth, known) + _of_neighbours(apart, positive, torch.square)


def _gradient(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Compute the mean of |∂e| along rows plus the mean along columns, which penalises displaced or blurred edges."""
    return _of_neighbours(_error(prediction, truth, known), known, torch.abs)


def _of_neighbours(values: Tensor, known: Tensor, size: Callable[[Tensor], Tensor]) -> Tensor:
    along = [
        _mean(size(values.diff(dim=axis)), known.narrow(axis, 1, known.shape[axis] - 1) & known.narrow(axis, 0, known.shape[axis] - 1))
        for axis in (1, 2)
    ]  # fmt: skip
    return torch.stack(along).sum()


def _gaussian(prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """½ (e / σ)² + log σ, the second channel being σ (Kendall and Gal 2017)."""
    deviation = prediction[:, 1]
    return _mean((_error(prediction, truth, known) / deviation).square() / 2 + deviation.log(), known)


LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "l1": _l1, "l2": _l2, "berhu": _berhu, "huber": _huber, "eigen": _eigen, "eigen_grad": _eigen_grad, "gradient": _gradient,
    "l1_log": _l1_log, "gaussian": _gaussian,
}  # fmt: skip
