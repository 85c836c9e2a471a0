"""Networks that map land cover at both dates and change between them, and how both become one class from → to.

Takes both dates, pre before post. `FromTo` makes one network of classes from → to of any of them.
Refuses networks without land cover, and numbers of classes that are no square."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_model


class CoverAndChange(nn.Module, ABC):
    """Base of networks of change and of land cover at both dates; the part for land cover can stay as it was trained before."""

    cover_is_frozen = False
    dates = 2

    @abstractmethod
    def forward_all(self, dates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of change (N, K, H, W), and of land cover at pre and at post (N, L, H, W). dates : (N, 2, C, H, W)"""

    @abstractmethod
    def forward_cover(self, dates: Tensor) -> tuple[Tensor, Tensor]:
        """Return only the logits of land cover at pre and at post. dates : as for `forward_all`."""

    @abstractmethod
    def cover_modules(self) -> Sequence[nn.Module]:
        """Return the modules that land cover needs."""

    def freeze_cover(self) -> None:
        """Leave weights and statistics of land cover as they are in further training."""
        self.cover_is_frozen = True
        for module in self.cover_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> CoverAndChange:
        """Set the mode of the module; land cover that is frozen stays in evaluation mode."""
        super().train(mode)
        if self.cover_is_frozen:
            for module in self.cover_modules():
                module.eval()
        return self


class FromTo(CoverAndChange):
    """Classes from → to of a network of change and land cover: class i · L + j was cover i and is cover j.

    Only the change scores of the network decide whether a pixel has changed. Its two covers are then the most probable
    pair that agrees with this decision.

    network : "hrscd", or "change-encoder", which takes `encoder` and `weights`.
    num_classes : L² for L classes of land cover.

    Raises InputError for other numbers, and networks without land cover.

    >>> network = FromTo(6, 25).eval()
    >>> network(torch.zeros(1, 6, 32, 32)).shape
    torch.Size([1, 25, 32, 32])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        network: str = "hrscd",
        encoder: str | None = None,
        weights: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        inner = create_model(
            network, in_channels=in_channels, num_classes=2, encoder=encoder, weights=weights,
            **{"cover_classes": count_covers(num_classes), **(options or {})},
        )  # fmt: skip
        if not isinstance(inner, CoverAndChange):
            raise InputError(f"network {network!r} has no land cover. Choose hrscd or change-encoder.")
        self.network = inner

    def forward(self, dates: Tensor) -> Tensor:
        """Compute scores from → to, (N, L², H, W), of dates (N, 2, C, H, W) float32, pre then post, standardised."""
        return from_to_scores(*self.forward_all(dates))

    def forward_all(self, dates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Call the same method of the inner network."""
        return self.network.forward_all(dates)

    def forward_cover(self, dates: Tensor) -> tuple[Tensor, Tensor]:
        """Call the same method of the inner network."""
        return self.network.forward_cover(dates)

    def cover_modules(self) -> Sequence[nn.Module]:
        """Call the same method of the inner network."""
        return self.network.cover_modules()

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the encoder, for which training can set another learning rate."""
        named = getattr(self.network, "encoder_parameters", None)
        return list(named() if named else self.network.get_submodule("encoder").parameters())


def count_covers(num_classes: int) -> int:
    """Return the number L ≥ 2 of classes of land cover of L² classes from → to. Raises InputError for other numbers.

    >>> count_covers(25)
    5
    """
    covers = math.isqrt(num_classes)
    if covers < 2 or covers**2 != num_classes:
        raise InputError(f"got {num_classes} classes from → to; expected L² for L ≥ 2 classes of land cover, e.g. 25.")
    return covers


def from_to_scores(change: Tensor, pre: Tensor, post: Tensor) -> Tensor:
    """Return scores (N, L², H, W), logarithms up to a constant, of classes from → to.

    They come from logits of change (N, 2, H, W) and land cover (N, L, H, W).

    The best class without change has the score of no change, and the best one with change has the score of change.

    >>> logits = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1)
    >>> from_to_scores(logits.flip(1), logits, logits).flatten().argmax()
    tensor(1)
    """
    covers = pre.shape[1]
    pairs = pre.log_softmax(1)[:, :, None] + post.log_softmax(1)[:, None]
    same = torch.eye(covers, dtype=torch.bool, device=pre.device)[None, :, :, None, None]
    best_same = pairs.masked_fill(~same, -torch.inf).amax((1, 2), keepdim=True)
    best_changed = pairs.masked_fill(same, -torch.inf).amax((1, 2), keepdim=True)
    decision = change.log_softmax(1)[:, :, None]
    scores = pairs + torch.where(same, decision[:, :1] - best_same, decision[:, 1:] - best_changed)
    return scores.flatten(1, 2)
