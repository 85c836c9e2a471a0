"""Networks that learn from labels of which some are wrong: a head with noisy scores, and two networks that teach each other.

For pixels and for whole images alike; see also the losses `uniform` and `entropy`, and `evaluation.suspects`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import he_init
from deepnets4eo.segmenters.networks import create_model, replace_last_layer
from deepnets4eo.segmenters.segmenter import PatchModule

SAMPLES = 16
RAMP_STEPS = 200


class HeteroscedasticHead(nn.Module):
    """Scores with noise whose size and direction depend on the pixel or image: where labels contradict each other, it grows.

    A label is the class of the largest score u = μ + d ⊙ ε + V η, with ε and η from the normal distribution. The head
    returns log p, p the mean of softmax(u / τ) over the samples, so that cross-entropy of it is −log of the mean.
    Training draws noise anew at each step, one draw an image, shared by its pixels; otherwise it is the same always. Noise
    comes in pairs of opposite sign. Samples are computed one after another, again in the backward pass: memory does not
    grow with their number. Source: Collier, Mustafa, Kokiopoulou, Jenatton, Berent, CVPR 2021.

    Errors: InputError for settings outside these ranges.

    Parameters
    ----------
    in_channels, num_classes : channels of the maps, or features of an image, and classes K
    rank : number of directions R in which noise of several classes goes together; 0: each class alone (diagonal)
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
        """maps : (N, in_channels[, H, W]) · returns : log-probabilities (N, K[, H, W]) float32, divided by `divisor`."""
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


class CoTeaching(nn.Module):
    """Two networks of one kind; each learns from the pixels, or images, on which the other one's loss is small.

    The share that is left out grows over the first steps from 0 to `wrong_share`. A trained pair returns the log of the mean of
    both probabilities, divided by `divisor`. Source: Han et al., NeurIPS 2018; there for images, here for the pixels of a batch as well.

    Errors: InputError for settings outside these ranges, and as `create_model`.

    Parameters
    ----------
    in_channels, num_classes : bands of the image, and classes K
    network : name of both networks, as in `create_model`; of pixels, or of whole images
    wrong_share : share of the labels that is taken for wrong, 0 to below 1
    ramp_steps : steps until it is reached, at least 1
    bands, **options : further arguments of `create_model`, for both networks

    Examples
    --------
    >>> pair = CoTeaching(3, 2, network="light-unet")
    >>> pair.train()(torch.zeros(2, 3, 32, 32))[1].shape
    torch.Size([2, 2, 32, 32])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        network: str = "unet",
        wrong_share: float = 0.2,
        ramp_steps: int = RAMP_STEPS,
        bands: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        if not 0 <= wrong_share < 1 or ramp_steps < 1:
            raise InputError(
                f"co-teaching got wrong_share={wrong_share}, ramp_steps={ramp_steps}; expected a share from 0 to below 1, and "
                "at least 1 step."
            )
        arguments = options | {"in_channels": in_channels, "num_classes": num_classes, "bands": bands}
        self.averaged = nn.ModuleList(create_model(network, **arguments) for _ in range(2))
        self.wrong_share, self.ramp_steps = wrong_share, ramp_steps
        self.steps: Tensor
        self.divisor: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("divisor", torch.ones(()))
        first = self.averaged[0]
        if isinstance(first, PatchModule):
            self.before_px, self.after_px = first.before_px, first.after_px

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """image : (N, C, H, W) · returns : scores (N, K, H, W) of each network in training, else of both together."""
        return self._both([network(image) for network in self.averaged])

    def patch_scores(self, patches: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The same of networks that label patches or whole images. patches : (N, C, P, P) · returns : scores (N, K)"""
        networks: Any = self.averaged
        return self._both([network.patch_scores(patches) for network in networks])

    def window_scores(self, cube: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The same wherever the context of such networks lies inside. cube : (N, C, h, w) · returns : scores (N, K, h − b, w − b)"""
        networks: Any = self.averaged
        return self._both([network.window_scores(cube) for network in networks])

    def divide_scores(self, divisor: float) -> None:
        """Divide all scores from now on by a temperature."""
        self.divisor *= divisor

    def _both(self, scores: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        if self.training:
            return tuple(scores)
        logs = [one.float().log_softmax(dim=1) for one in scores]
        return (torch.logaddexp(*logs) - math.log(2)) / self.divisor

    def masks_for(self, scores: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """The labels (N[, H, W]) that each network learns from: void where the other one's loss is large.

        scores : (N, K[, H, W]) of each network. mask : (N[, H, W]) int64, void 255. Counts one step."""
        self.steps += 1
        left_out = self.wrong_share * (self.steps / self.ramp_steps).clamp_max(1)
        counted = mask != VOID
        kept = ((1 - left_out) * counted.sum()).long().clamp_min(1)
        masks = []
        for one in reversed(scores):
            losses = F.cross_entropy(one.detach().float(), mask, ignore_index=VOID, reduction="none")
            losses = losses.masked_fill(~counted, math.inf)
            largest = losses.flatten().sort().values.gather(0, kept[None] - 1)
            masks.append(mask.masked_fill(losses > largest, VOID))
        return masks
