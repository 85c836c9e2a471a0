"""Change over any smp encoder: both dates share it; the decoder sees their features side by side, their difference, or both.

Takes both dates, pre before post, with the same bands; returns logits of the image's size.
Refuses an odd number of bands, encoders that do not exist, and unknown fusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from deepnets4eo.change.networks.blocks import bands_of_one_date, dates_apart
from deepnets4eo.change.networks.cover_and_change import CoverAndChange
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import EncoderName, create_model
from deepnets4eo.training import FeatureContrast

Fusion = Literal["concat", "difference", "both"]
FUSIONS: tuple[str, ...] = get_args(Fusion)
FACTORS = {"concat": 2, "difference": 1, "both": 3}  # times the encoder's channels that the decoder sees
DECODER_CHANNELS = (256, 128, 64, 32, 16)


class EncoderPair(CoverAndChange):
    """A Siamese U-Net over an smp encoder; if `cover_classes` are named, it also returns a land-cover map of each date.

    The difference is post − pre with its sign, at every level, so the two directions of a change stay apart.

    fusion : "concat", "difference" or "both".
    decoder_channels : from the coarsest level to the level of the image.
    weights : e.g. "imagenet", which are downloaded.

    Raises InputError for an odd number of bands, an unknown fusion or encoder.

    >>> network = EncoderPair(6, 2, fusion="difference", encoder="resnet18")
    >>> network(torch.zeros(1, 6, 64, 64)).shape
    torch.Size([1, 2, 64, 64])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int = 2,
        *,
        fusion: Fusion = "difference",
        encoder: str = EncoderName.default,
        weights: str | None = None,
        decoder_channels: Sequence[int] = DECODER_CHANNELS,
        cover_classes: int = 0,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise InputError(f"fusion={fusion!r} is unknown. Choose from {', '.join(FUSIONS)}.")
        unet = create_model(
            "unet", in_channels=bands_of_one_date(in_channels), num_classes=max(cover_classes, 1), encoder=encoder,
            weights=weights, encoder_depth=len(decoder_channels), decoder_channels=list(decoder_channels),
        )  # fmt: skip
        self.contrast: FeatureContrast | None = None
        self.fusion, self.encoder = fusion, unet.get_submodule("encoder")
        widths = [FACTORS[fusion] * width for width in unet.encoder.out_channels]  # type: ignore[union-attr]
        self.decoder = UnetDecoder(widths, decoder_channels, len(decoder_channels))
        self.head = nn.Conv2d(decoder_channels[-1], num_classes, 3, padding=1)
        if cover_classes:
            self.cover_decoder, self.cover_head = unet.get_submodule("decoder"), unet.get_submodule("segmentation_head")

    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits of change, (N, K, H, W), of dates (N, 2, C, H, W) float32, pre then post, standardised."""
        return self._change(self.encoder(dates_apart(dates)))

    def forward_all(self, dates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of change (N, K, H, W), and of land cover at pre and at post (N, L, H, W). dates : as for `forward`"""
        features = self.encoder(dates_apart(dates))
        return self._change(features), *self._cover(features)

    def forward_cover(self, dates: Tensor) -> tuple[Tensor, Tensor]:
        """Return only the logits of land cover at pre and at post. dates : as for `forward`."""
        return self._cover(self.encoder(dates_apart(dates)))

    def cover_modules(self) -> Sequence[nn.Module]:
        """Return the encoder, which change shares, and the decoder of land cover."""
        return [self.encoder, self.cover_decoder, self.cover_head]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the encoder, for which training can set another learning rate."""
        return list(self.encoder.parameters())

    def _change(self, features: Sequence[Tensor]) -> Tensor:
        pairs = [level.chunk(2) for level in features]
        if self.contrast is not None:
            self.contrast(pairs[1:])  # the first ones are the images themselves
        logits: Tensor = self.head(self.decoder([self._fuse(*pair) for pair in pairs]))
        return logits

    def _cover(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        pre, post = self.cover_head(self.cover_decoder(features)).chunk(2)
        return pre, post

    def _fuse(self, pre: Tensor, post: Tensor) -> Tensor:
        if self.fusion == "concat":
            return torch.cat([pre, post], dim=1)
        difference = post - pre
        return difference if self.fusion == "difference" else torch.cat([pre, post, difference], dim=1)
