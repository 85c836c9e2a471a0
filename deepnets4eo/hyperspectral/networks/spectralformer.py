"""SpectralFormer: a transformer over bands, embedded in groups of neighbours, with fusion across layers.

Takes cubes of any number of bands; each band of a patch is a token.
After Hong, Han, Yao, Gao, Zhang, Plaza and Chanussot, "SpectralFormer: Rethinking Hyperspectral Image Classification
with Transformers", IEEE TGRS 60, 2022 (published online in 2021).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier

WIDTH, HEADS, HEAD_WIDTH, HIDDEN = 64, 4, 16, 8


class SpectralFormer(PatchClassifier):
    """Hong et al. 2021: five layers of four heads, 64 wide; the first token, which belongs to no band, is classified.

    Whole cubes are computed as their patches. A band's token comes from the pixels of the patch in the band and its neighbours; the last band's neighbour is the
    first. From the third layer on, a layer's input is fused with the input of the layer two before it.

    Parameters
    ----------
    in_channels
        Bands B.
    num_classes
        Classes K.
    patch_px
        7, or 1 for single pixels, as published; any odd number.
    group_bands
        Neighbouring bands in a token, odd: published with 3 for patches; 1 embeds bands alone.
    layers
        5 as published, at least 2.
    dropout
        After the embedding, attention and hidden layers.

    Raises
    ------
    InputError
        Even numbers of pixels or bands, or fewer than 2 layers.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in SpectralFormer(200, 16).parameters())
    355577
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        patch_px: int = 7,
        group_bands: int = 3,
        layers: int = 5,
        dropout: float = 0.1,
    ) -> None:
        if patch_px % 2 == 0 or group_bands % 2 == 0 or min(patch_px, group_bands, layers - 1) < 1:
            raise InputError(
                f"SpectralFormer got patch_px={patch_px}, group_bands={group_bands}, layers={layers}; the first two must "
                "be odd, and there must be at least 2 layers."
            )
        held = (group_bands * patch_px**2 + 8 * WIDTH) * in_channels
        super().__init__(patch_px, patch_px // 2, patch_px // 2, held)
        self.group_bands = group_bands
        self.embedding = nn.Linear(group_bands * patch_px**2, WIDTH)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, in_channels + 1, WIDTH))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(layers))
        self.fusions = nn.ModuleList(nn.Conv2d(in_channels + 1, in_channels + 1, (1, 2)) for _ in range(layers - 2))
        self.classifier = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, num_classes))

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        reach = self.group_bands // 2
        bands = patches.flatten(2)
        groups = torch.cat([bands.roll(-shift, dims=1) for shift in range(-reach, reach + 1)], dim=2)
        first = self.class_token.expand(patches.shape[0], -1, -1)
        tokens = self.dropout(torch.cat([first, self.embedding(groups)], dim=1) + self.positions)
        inputs: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            inputs.append(tokens)
            if number >= 2:
                tokens = self.fusions[number - 2](torch.stack([tokens, inputs[number - 2]], dim=3))[:, :, :, 0]
            tokens = layer(tokens)
        scores: Tensor = self.classifier(tokens[:, 0])
        return scores


class Layer(nn.Module):
    """Attention between all tokens, then two layers on each; both add to what comes in."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        inner = HEADS * HEAD_WIDTH
        self.norm = nn.LayerNorm(WIDTH)
        self.queries_keys_values = nn.Linear(WIDTH, 3 * inner, bias=False)
        self.output = nn.Sequential(nn.Linear(inner, WIDTH), nn.Dropout(dropout))
        self.hidden = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(HIDDEN, WIDTH), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, 64), the same shape"""
        combined = self.queries_keys_values(self.norm(tokens)).unflatten(2, (3, HEADS, HEAD_WIDTH))
        queries, keys, values = combined.permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + self.output(attention.transpose(1, 2).flatten(2))
        output: Tensor = tokens + self.hidden(tokens)
        return output
