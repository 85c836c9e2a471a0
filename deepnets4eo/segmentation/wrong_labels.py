"""Head with noisy scores, of pixels or whole images, for labels that are partly wrong.

See also the losses `uniform` and `entropy`, and `evaluation.suspects`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import he_init
from deepnets4eo.segmenters import replace_last_layer

SAMPLES = 16


class HeteroscedasticHead(nn.Module):
    """Scores with noise whose size and direction depend on the pixel or image.

    The noise grows where labels contradict each other.

    A label is the class with the largest score u = μ + d ⊙ ε + V η, where ε and η are normally distributed.

    The head returns log p, with p the mean of softmax(u / τ) over the samples.

    In training new noise is drawn at each step, one draw per image, in pairs of opposite sign. In prediction it is
    always the same.

    Memory does not grow with the number of samples.

    Source: Collier, Mustafa, Kokiopoulou, Jenatton, Berent, CVPR 2021.

    Errors: InputError for settings outside these ranges.

    Parameters
    ----------
    in_channels, num_classes : channels of the maps, or features of an image, and classes K
    rank : number of directions R that correlate the noise of several classes; 0: independent noise per class (diagonal)
    temperature : τ, above 0; small ones come close to the largest score, with noisy gradients
    samples : even number of samples, at least 2
    kernel : odd side of the layer, in pixels

    Examples
    --------
    >>> head = HeteroscedasticHead(64, 6)
    >>> scores = head(torch.zeros(1, 64, 32, 32))
    >>> torch.allclose(scores.exp().sum(dim=1), torch.ones(1, 32, 32))
    True
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        rank: int = 0,
        temperature: float = 1.0,
        samples: int = SAMPLES,
        kernel: int = 1,
    ) -> None:
        super().__init__()
        if rank < 0 or temperature <= 0 or samples < 2 or samples % 2 or kernel % 2 == 0:
            raise InputError(
                f"a heteroscedastic head got rank={rank}, temperature={temperature}, samples={samples}, kernel={kernel}; "
                "expected a rank of at least 0, a temperature above 0, an even number of samples and an odd kernel."
            )
        self.noise: Tensor
        self.divisor: Tensor
        self.num_classes, self.rank, self.temperature, self.samples = num_classes, rank, temperature, samples
        self.layer = nn.Conv2d(in_channels, num_classes * (rank + 2), kernel, padding=kernel // 2)
        he_init(self)
        noise = torch.randn(samples // 2, num_classes + rank, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", noise)
        self.register_buffer("divisor", torch.ones(()))

    def forward(self, maps: Tensor) -> Tensor:
        """Compute log-probabilities (N, K[, H, W]) float32, divided by `divisor`.

        maps : (N, in_channels[, H, W])"""
        if maps.ndim == 2:
            return self(maps[:, :, None, None])[:, :, 0, 0]
        out = self.layer(maps).float()
        means, spread, directions = out.split([self.num_classes, self.num_classes, self.num_classes * self.rank], dim=1)
        parts = means, F.softplus(spread), directions.unflatten(1, (self.rank, self.num_classes)) if self.rank else None
        total: Tensor | None = None
        for draw in self._draws(maps):
            if self.training and torch.is_grad_enabled():
                both = checkpoint(self._log_of_pair, *parts, draw, use_reentrant=False)
            else:
                both = self._log_of_pair(*parts, draw)
            total = both if total is None else torch.logaddexp(total, both)
        assert total is not None
        return (total - math.log(self.samples)) / self.divisor

    def divide_scores(self, divisor: float) -> None:
        """Divide all scores from now on by a temperature."""
        self.divisor *= divisor

    def _draws(self, maps: Tensor) -> Sequence[Tensor]:
        """Noise of each pair of samples, (N or 1, K + R)."""
        if not self.training:
            return [draw[None] for draw in self.noise]
        size = (self.samples // 2, len(maps), self.num_classes + self.rank)
        return list(torch.randn(size, device=maps.device))

    def _log_of_pair(self, means: Tensor, spread: Tensor, directions: Tensor | None, draw: Tensor) -> Tensor:
        """Log of the sum of both samples' probabilities, (N, K, H, W)."""
        noise = spread * draw[:, : self.num_classes, None, None]
        if directions is not None:
            noise = noise + (directions * draw[:, self.num_classes :, None, None, None]).sum(dim=1)
        up, down = (F.log_softmax((means + sign * noise) / self.temperature, dim=1) for sign in (1, -1))
        return torch.logaddexp(up, down)


def add_heteroscedastic_head(
    network: nn.Module, num_classes: int, *, rank: int = 0, temperature: float = 1.0, samples: int = SAMPLES
) -> nn.Module:
    """Replace a network's last layer by a heteroscedastic head with its kernel, in place; InputError without such a layer."""

    def build(layer: nn.Conv2d | nn.Linear) -> HeteroscedasticHead:
        if isinstance(layer, nn.Linear):
            in_channels, kernel = layer.in_features, 1
        else:
            in_channels, kernel = layer.in_channels, int(layer.kernel_size[0])
        return HeteroscedasticHead(
            in_channels, num_classes, rank=rank, temperature=temperature, samples=samples, kernel=kernel
        )

    return replace_last_layer(network, num_classes, build, linear=True)
