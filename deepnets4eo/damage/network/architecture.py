"""The damage network: bands of pre and post, or only of post, to logits of grades per pixel; and its losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.damage.network.pooling import BatchBuildings
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import LayerInput, create_model
from deepnets4eo.training import CrossEntropy, SumOfLosses, class_weights

if TYPE_CHECKING:
    from deepnets4eo.damage.network.recipe import DamageTraining

DECODER_CHANNELS = {"light-unet": (128, 64, 48), "unet": (128, 96, 64, 48, 32)}
MEMORY = 0.98  # of how often each grade was met, by batch
LARGEST_WEIGHT = 4.0

Batch = Mapping[str, Tensor]


class DamageNet(nn.Module):
    """One U-Net for both dates and small heads at each pixel (after the winner of xView2, Durnov 2020; Daudt et al. 2018).

    The head of pairs reads the features of pre, of post and the size of their difference; the second head reads only the features of post.

    Parameters
    ----------
    in_channels : bands of both dates together, an even number
    num_classes : grades
    unet
        "light-unet": the U-Net of `models/buildings`, whose weights can initialise it; it scales each date by its own values and
        ends at half the resolution. "unet": the U-Net of smp, at full resolution.
    post_head : whether there is a second head, which grades without a pre image
    encoder : name of an smp encoder; resnet18 or resnet34 with the light U-Net
    weights : of the encoder, e.g. "imagenet", which is downloaded
    decoder_channels : widths of the decoder's stages, coarsest first: two or three for the light U-Net, three to five for the other

    Raises
    ------
    InputError
        An odd number of bands, or an encoder, U-Net or stages that do not exist.

    Examples
    --------
    >>> network = DamageNet(6, 4)
    >>> network(torch.zeros(1, 6, 64, 64)).shape, network(torch.zeros(1, 3, 64, 64)).shape
    (torch.Size([1, 4, 64, 64]), torch.Size([1, 4, 64, 64]))
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        unet: str = "light-unet",
        post_head: bool = True,
        encoder: str = "resnet18",
        weights: str | None = None,
        decoder_channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if in_channels % 2:
            raise InputError(f"a damage network got {in_channels} bands for two dates; give both dates the same bands.")
        if unet not in DECODER_CHANNELS:
            raise InputError(f"a damage network got unet={unet!r}. Choose from {', '.join(DECODER_CHANNELS)}.")
        channels = list(decoder_channels or DECODER_CHANNELS[unet])
        stages: dict[str, Any] = {"encoder_depth": len(channels)} if unet == "unet" else {}
        self.bands, width = in_channels // 2, channels[-1]
        twin: Any = create_model(
            unet, in_channels=self.bands, num_classes=1, encoder=encoder, weights=weights, decoder_channels=channels,
            **stages,
        )  # fmt: skip
        twin.segmentation_head = nn.Identity()
        self.twin = twin
        self.head = _head(3 * width, width, num_classes)
        self.post_head = _head(width, width, num_classes) if post_head else None

    def forward(self, dates: Tensor) -> Tensor:
        """Return logits of the grades.

        dates : (N, 2, C, H, W) pre then post, or (N, C, H, W) only post, standardised · returns : logits (N, K, H, W)."""
        dates = dates.flatten(1, 2) if dates.ndim == 5 else dates
        if self.post_head is not None and dates.shape[1] == self.bands:
            return _full_size(self.post_head(self.twin(dates)), dates)
        return self.both(dates)[0]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the encoder that both dates share, whose rate and pull may differ."""
        return list(self.twin.encoder.parameters())

    def both(self, dates: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits (N, K, H, W) of the pair, and of post as if there were no pre, from (N, 2 C, H, W)."""
        pre, post = self.twin(torch.cat(dates.chunk(2, dim=1))).chunk(2)
        pair = _full_size(self.head(torch.cat([pre, post, (pre - post).abs()], dim=1)), dates)
        return pair, None if self.post_head is None else _full_size(self.post_head(post), dates)


def _head(in_channels: int, width: int, num_classes: int) -> nn.Sequential:
    """Logits from features at each pixel."""
    return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.ReLU(), nn.Conv2d(width, num_classes, 1))


def _full_size(logits: Tensor, dates: Tensor) -> Tensor:
    size = dates.shape[2:]
    return logits if logits.shape[2:] == size else F.interpolate(logits, size=size, mode="nearest")


class DamageCriterion:
    """The sum of up to three losses of a batch, of pixels and of whole buildings by either head."""

    def __init__(self, train: DamageTraining, legend: Legend, counts: Sequence[int] = ()) -> None:
        weights = class_weights(train, legend, counts)
        self.train = train
        self.pixel_loss = SumOfLosses(dict(train.losses), weights) if train.losses else None
        of_classes = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.cross_entropy = CrossEntropy(of_classes, over_ranks=True)
        self.met = torch.ones(legend.num_classes)
        self.mean: Callable[[Tensor], Tensor] = lambda counts: counts
        self.scaling = torch.tensor([LayerInput.display_rgb.mean, LayerInput.display_rgb.std])

    def step(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of one batch, () float32; a batch without a graded building costs 0."""
        dates = self._scaled(batch)
        both: Callable[[Tensor], tuple[Tensor, Tensor]] = network.both  # type: ignore[assignment]
        pair, post = both(dates) if self.train.post_loss > 0 else (network(dates), None)
        pair, post = pair.float(), None if post is None else post.float()
        if self.pixel_loss is None:
            return self.of_buildings(pair, post, batch)
        of_pixels: Tensor = self.pixel_loss.to(pair.device)(pair, batch["mask"].long(), batch["valid"])
        return of_pixels + self.of_buildings(pair, post, batch)

    def of_buildings(self, pair: Tensor, post: Tensor | None, batch: Batch) -> Tensor:
        """Return the weighted losses of mean logits over each building, from the logits of each head."""
        buildings = BatchBuildings.of(batch["building"] * (batch["mask"] != VOID) * batch["valid"])
        grades = buildings.of_each(batch["mask"]).masked_fill(~buildings.present, VOID)
        cost = self._cost_of(grades, buildings.present)
        heads = [(pair, self.train.building_loss)] + ([] if post is None else [(post, self.train.post_loss)])
        return torch.stack([weight * cost(buildings.means(logits)) for logits, weight in heads]).sum()

    def count_together(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Count the grades that all processes of a training meet. mean : over the processes."""
        self.mean = mean

    def state(self) -> list[float]:
        """Return how often each grade was met, for a checkpoint."""
        met: list[float] = self.met.tolist()
        return met

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a checkpoint."""
        self.met = torch.tensor(values)

    def _scaled(self, batch: Batch) -> Tensor:
        """Return both dates (N, 2 C, H, W), standardised; display values, uint8, are standardised here, on the device."""
        dates = torch.cat([batch["image_pre"], batch["image_post"]], dim=1)
        dates = dates.contiguous(memory_format=torch.channels_last)
        if dates.dtype != torch.uint8:
            return dates
        self.scaling = self.scaling.to(dates.device)
        mean, std = self.scaling.repeat(1, 2)[:, :, None, None]
        return dates.float().sub_(mean).div_(std).masked_fill_(~batch["valid"][:, None], 0)

    def _cost_of(self, grades: Tensor, present: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function from mean logits (N, B, K) of buildings to their loss; grades and present : (N, B)."""
        if not self.train.ordinal:
            entropy = self.cross_entropy.to(grades.device)
            return lambda means: torch.as_tensor(entropy(means.flatten(0, 1), grades.flatten()))
        of_window = present.sum(dim=1, keepdim=True).clamp_min(1).sqrt()  # a dense town is not all that is learnt
        weight = self._evening(grades) * present / of_window
        total = self.mean(weight.sum())  # over the processes, whose gradients are averaged
        return lambda means: ordinal_loss(means.flatten(0, 1), grades.flatten(), weight.flatten(), total)

    def _evening(self, grades: Tensor) -> Tensor:
        """Return weights (N, B) that make every grade count the same over the last batches."""
        self.met = self.met.to(grades.device)
        of_batch = (grades[..., None] == torch.arange(len(self.met), device=grades.device)).sum((0, 1))
        self.met = MEMORY * self.met + self.mean(of_batch.to(self.met.dtype))
        factors = (self.met.mean() / self.met).clamp(1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
        return factors[grades.clamp_max(len(factors) - 1)]


def ordinal_loss(logits: Tensor, grades: Tensor, weight: Tensor, total: Tensor | None = None) -> Tensor:
    """Binary cross-entropy at all borders between grades, weighted, over `total`; 0 without weight.

    logits (B, K), grades (B,), weight (B,); total : () by default the sum of the weights, which makes it a mean"""
    odds = border_odds(logits)
    beyond = grades[:, None] > torch.arange(odds.shape[1], device=grades.device)
    losses = F.binary_cross_entropy_with_logits(odds, beyond.to(odds.dtype), reduction="none").sum(dim=1)
    total = weight.sum() if total is None else total
    return (losses * weight).sum() / total.clamp_min(torch.finfo(losses.dtype).tiny)


def border_odds(logits: Tensor) -> Tensor:
    """Return log-odds (B, K − 1) of being beyond each border, from (B, K) logits; they never rise."""
    borders = range(1, logits.shape[1])
    return torch.stack([logits[:, k:].logsumexp(dim=1) - logits[:, :k].logsumexp(dim=1) for k in borders], dim=1)
