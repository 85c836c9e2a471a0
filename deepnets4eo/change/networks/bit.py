"""BIT (Chen, Qi and Shi, TGRS 60, 2022): both dates as a few semantic tokens, which a transformer relates and returns to the pixels.

Takes both dates, pre before post, with the same bands; returns logits of the image's size, which depend on all of the image or tile.
Refuses an odd number of bands, and weights that do not fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

from deepnets4eo.change.networks.blocks import bands_of_one_date, dates_apart
from deepnets4eo.segmenters.networks import check_encoder
from deepnets4eo.segmenters.pretrained import is_local, load_pretrained

WIDTH, TOKENS, HEADS, HIDDEN = 32, 4, 8, 64
HEAD_WIDTHS = (64, 8)  # of each head of the encoder of tokens, and of the decoder
DECODER_LAYERS = 8
ENCODER = "tu-resnet18"


class Attention(nn.Module):
    """A transformer layer: queries (N, Q, 32) attend to tokens (N, T, 32), or to themselves; then two linear layers."""

    def __init__(self, width_of_head: int) -> None:
        super().__init__()
        inner = HEADS * width_of_head
        self.norm = nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, WIDTH)
        self.mlp = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, queries: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Returns the queries (N, Q, 32) after the layer."""
        normed = self.norm(queries)
        keys = normed if tokens is None else self.norm(tokens)
        parts = [
            layer(one).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for layer, one in ((self.query, normed), (self.key, keys), (self.value, keys))
        ]
        attended = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        queries = queries + self.out(attended)
        result: Tensor = queries + self.mlp(queries)
        return result


class BIT(nn.Module):
    """Bitemporal image transformer over the first three stages of a ResNet-18, whose third one keeps the sides of the second.

    Parameters
    ----------
    in_channels : bands of both dates together, an even number
    num_classes : 2: no change and change
    weights : first weights of the encoder, "imagenet" or a .safetensors file, see `load_pretrained`
    bands : what the bands of both dates show, where weights of a file belong to other ones

    Raises
    ------
    InputError
        For an odd number of bands, or weights that do not fit.

    Examples
    --------
    >>> network = BIT(6)
    >>> sum(parameter.numel() for parameter in network.parameters())
    3037026
    """

    dates = 2

    def __init__(
        self, in_channels: int, num_classes: int = 2, *, weights: str | None = None, bands: Sequence[str] = ()
    ) -> None:
        super().__init__()
        count, local = bands_of_one_date(in_channels), is_local(weights)
        check_encoder(ENCODER, weights)
        self.encoder = get_encoder(
            ENCODER, in_channels=count, depth=4, weights=None if local else weights, output_stride=8
        )
        if weights is not None and local:
            load_pretrained(self.encoder, weights, bands=bands[:count])
        self.narrow = nn.Conv2d(self.encoder.out_channels[-1], WIDTH, 3, padding=1)
        self.tokenizer = nn.Conv2d(WIDTH, TOKENS, 1, bias=False)
        self.positions = nn.Parameter(torch.randn(1, 2 * TOKENS, WIDTH))
        self.relate = Attention(HEAD_WIDTHS[0])
        self.decoder = nn.ModuleList(Attention(HEAD_WIDTHS[1]) for _ in range(DECODER_LAYERS))
        self.head = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),
            nn.Conv2d(WIDTH, num_classes, 3, padding=1),
        )  # fmt: skip

    def forward(self, dates: Tensor) -> Tensor:
        """dates : (N, 2, C, H, W) float32, pre then post, standardised · returns : logits (N, K, H, W)."""
        number, maps = (
            dates.shape[0],
            self.narrow(F.interpolate(self.encoder(dates_apart(dates))[-1], scale_factor=2.0)),
        )
        pixels = maps.flatten(2).transpose(1, 2)  # (2N, h w, 32)
        tokens = self.tokenizer(maps).flatten(2).softmax(dim=2) @ pixels
        related = self.relate(torch.cat([tokens[:number], tokens[number:]], dim=1) + self.positions)
        tokens = torch.cat([related[:, :TOKENS], related[:, TOKENS:]])
        for layer in self.decoder:
            pixels = layer(pixels, tokens)
        differences = (pixels[number:] - pixels[:number]).abs().transpose(1, 2).unflatten(2, maps.shape[2:])
        logits: Tensor = self.head(F.interpolate(differences, dates.shape[-2:], mode="bilinear"))
        return logits
