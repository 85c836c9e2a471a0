"""A transformer for change detection like ChangeFormer (Bandara and Patel, IGARSS 2022).

It has a mix transformer for each date, learnt differences at four scales, and a decoder that fuses them.

Takes both dates, pre before post, with the same bands. Returns logits of the image's size, which depend on all of the
image or tile.

Refuses an odd number of bands, and encoders or weights that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

from deepnets4eo.change.networks.blocks import ResidualBlock, bands_of_one_date, dates_apart
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import check_encoder, fit_bands, is_local, load_pretrained

LEVELS = 4


class ChangeFormer(nn.Module):
    """Siamese mix transformer; the published network is between "mit_b1" and "mit_b2", has a width of 256 and 41,026,674 weights.

    Parameters
    ----------
    in_channels : bands of both dates together, an even number
    num_classes : 2: no change and change
    encoder : "mit_b0" … "mit_b5" of smp
    weights : first weights of the encoder, "imagenet" or a .safetensors file, see `load_pretrained`
    width : channels of the differences and the decoder
    bands : what the bands of both dates show, if weights of a file belong to other bands

    Raises
    ------
    InputError
        For an odd number of bands, other encoders, or weights that do not fit.

    Examples
    --------
    >>> network = ChangeFormer(6)
    >>> sum(parameter.numel() for parameter in network.parameters())
    4092962
    """

    dates = 2

    def __init__(
        self,
        in_channels: int,
        num_classes: int = 2,
        *,
        encoder: str = "mit_b0",
        weights: str | None = None,
        width: int = 64,
        bands: Sequence[str] = (),
    ) -> None:
        super().__init__()
        count, local = bands_of_one_date(in_channels), is_local(weights)
        if not encoder.startswith("mit_b"):
            raise InputError(f"changeformer got the encoder {encoder!r}; expected mit_b0 to mit_b5.")
        check_encoder(encoder, weights)
        self.encoder = get_encoder(encoder, weights=None if local else weights)
        first = self.encoder.patch_embed1.proj  # smp builds it for three bands alone
        first.in_channels, first.weight = count, nn.Parameter(fit_bands(first.weight.detach(), count))
        if weights is not None and local:
            load_pretrained(self.encoder, weights, bands=bands[:count])
        self.project = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.encoder.out_channels[-LEVELS:])
        self.differ = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(width),
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            )
            for _ in range(LEVELS)
        )  # fmt: skip
        self.fuse = nn.Sequential(nn.Conv2d(LEVELS * width, width, 1), nn.BatchNorm2d(width))
        ups = [(nn.ConvTranspose2d(width, width, 4, 2, padding=1), ResidualBlock(width, width)) for _ in range(2)]
        self.ups = nn.Sequential(*(layer for pair in ups for layer in pair))
        self.head = nn.Conv2d(width, num_classes, 3, padding=1)

    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits (N, K, H, W) of dates (N, 2, C, H, W) float32, pre then post, standardised."""
        number, levels = dates.shape[0], self.encoder(dates_apart(dates))[-LEVELS:]
        differences: list[Tensor] = []
        for maps, project, differ in reversed(list(zip(levels, self.project, self.differ, strict=True))):
            narrow = project(maps)
            difference = differ(torch.cat([narrow[:number], narrow[number:]], dim=1))
            if differences:
                difference = difference + F.interpolate(differences[-1], maps.shape[2:], mode="bilinear")
            differences.append(difference)
        size = levels[0].shape[2:]
        fused = self.fuse(torch.cat([F.interpolate(level, size, mode="bilinear") for level in differences], dim=1))
        logits: Tensor = self.head(self.ups(fused))
        return logits
