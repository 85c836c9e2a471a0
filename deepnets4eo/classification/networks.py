"""Networks of whole images: any encoder of timm, and the wide ResNet with efficient channel attention of BigEarthNet.

Both label patches (N, C, P, P), and slide over a scene: each cell of `stride_px` gets the scores of the patch around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.hyperspectral import PatchClassifier
from deepnets4eo.segmenters import EncoderName, check_download, is_local, load_pretrained

FIXED_KERNELS = (3, 5, 5, 7)  # of the stages of published ResNets with channel attention ("3557")
STEM = 16  # channels before the groups
DEPTH, WIDTH, SIDE_PX = 10, 2, 60  # of the base network; sides are multiplied like depth and width
ALPHA, BETA, GAMMA = 1.4, 1.8, 1.4  # depth, width, resolution
SCALED_TO = 4  # widths are multiples of it


class SlidingClassifier(PatchClassifier):
    """Base of networks of whole images, which slide over a scene; subclasses implement `patch_scores` and have a `head`."""

    head: Any

    def __init__(self, patch_px: int, stride_px: int | None, values_per_pixel: int) -> None:
        stride_px = stride_px or max(patch_px // 4, 1)
        if not 0 < stride_px <= patch_px or (patch_px - stride_px) % 2:
            raise InputError(
                f"stride_px={stride_px} does not suit patch_px={patch_px}: expected 1 to {patch_px}, both even or both odd."
            )
        context = (patch_px - stride_px) // 2
        super().__init__(patch_px, context, context, values_per_pixel)
        self.stride_px = stride_px

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Return logits wherever the context is inside the cube, equal within a cell. cube : (N, C, h, w) → (N, K, h − b, w − b)."""
        height, width = (side - self.before_px - self.after_px for side in cube.shape[2:])
        stride = self.stride_px
        cube = F.pad(cube, (0, -width % stride, 0, -height % stride), mode="replicate")
        patches = cube.unfold(2, self.patch_px, stride).unfold(3, self.patch_px, stride).permute(0, 2, 3, 1, 4, 5)
        scores = self.patch_scores(patches.flatten(0, 2)).unflatten(0, patches.shape[:3]).permute(0, 3, 1, 2)
        cells = scores.repeat_interleave(stride, dim=2).repeat_interleave(stride, dim=3)
        return cells[:, :, :height, :width]

    def divide_scores(self, divisor: float) -> None:
        """Divide all logits by a temperature, in the weights of the last layer."""
        if not isinstance(self.head, nn.Linear):
            self.head.divide_scores(divisor)
            return
        with torch.no_grad():
            for weight in self.head.parameters():
                weight.div_(divisor)

    def _window_px(self, batch: int) -> int:
        return -(-super()._window_px(batch) // self.stride_px) * self.stride_px


class ImageClassifier(SlidingClassifier):
    """An encoder of timm behind one linear layer; `patch_px` and `stride_px` (None: a quarter) are sides of images and cells."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        encoder: str = "resnet18",
        weights: str | None = None,
        bands: Sequence[str] = (),
        patch_px: int = 64,
        stride_px: int | None = None,
        drop: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(patch_px, stride_px, 64)
        import timm

        encoder = EncoderName.lite0_of_timm if encoder == EncoderName.lite0 else encoder
        if not timm.is_model(encoder):  # timm itself also takes addresses and folders
            raise InputError(f"encoder {encoder!r} is unknown to timm. {name_hint(encoder, timm.list_models())}")
        local = is_local(weights)
        if weights not in (None, "imagenet") and not local:
            raise InputError(
                f"weights={weights!r} are unknown; expected {EncoderName.lite0}, imagenet, a .safetensors file, or none."
            )
        if weights and not local:
            check_download(f"the weights {weights!r} of {encoder!r}")
        download = bool(weights) and not local
        options: dict[str, Any] = {"in_chans": in_channels, "num_classes": 0, "drop_path_rate": drop_path}
        try:
            self.encoder: Any = timm.create_model(encoder, pretrained=download, img_size=patch_px, **options)
        except TypeError:  # only transformers know a size
            self.encoder = timm.create_model(encoder, pretrained=download, **options)
        if weights is not None and local:
            load_pretrained(self.encoder, weights, bands=bands)
        self.dropped = nn.Dropout(drop)
        self.head = nn.Linear(int(self.encoder.num_features), num_classes)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of images. patches : (N, C, P, P) → (N, K)"""
        return self.head(self.dropped(self.features(patches)))

    def features(self, patches: Tensor) -> Tensor:
        """Return the input of the last layer. patches : (N, C, P, P) → (N, D)."""
        features: Tensor = self.encoder(patches)
        return features


def eca_kernel(channels: int) -> int:
    """Size of the kernel of efficient channel attention, odd, by the number of channels (Wang et al. 2020)."""
    size = int(abs((math.log2(channels) + 1) / 2))
    return size if size % 2 else size + 1


class ChannelAttention(nn.Module):
    """Efficient channel attention (Wang et al. 2020): means of channels, a convolution over neighbours, sigmoid, product."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, H, W) → the same shape"""
        weights: Tensor = self.mix(maps.mean(dim=(2, 3))[:, None]).sigmoid()
        return maps * weights[:, 0, :, None, None]


@dataclass(frozen=True)
class WideSizes:
    """Sizes that compound scaling gives: blocks per group, widths of the groups, and side of the images in pixels."""

    blocks: int
    widths: tuple[int, ...]
    side_px: int


def scale_wide(phi: float) -> WideSizes:
    """Depth, width and resolution by one exponent: depth × 1.4^φ, width × 1.8^φ, side × 1.4^φ from 60 px."""
    blocks = max(1, round((DEPTH * ALPHA**phi - 4) / 6))
    widths = tuple(SCALED_TO * round(STEM * 2**group * WIDTH * BETA**phi / SCALED_TO) for group in range(3))
    return WideSizes(blocks, widths, round(SIDE_PX * GAMMA**phi))


class WideResNet(SlidingClassifier):
    """A wide ResNet whose blocks end in efficient channel attention (Papoutsis et al. 2023, WRN-B-ECA).

    `phi` scales the base of 10 layers by the published law (their code applies depth twice); `kernels`, one a group, None: by channels.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        phi: float = 0.0,
        kernels: Sequence[int] | None = None,
        attention: bool = True,
        dropout: float = 0.1,
        weights: str | None = None,
        bands: Sequence[str] = (),
        patch_px: int = 120,
        stride_px: int | None = None,
    ) -> None:
        sizes = scale_wide(phi)
        super().__init__(patch_px, stride_px, 8 * sizes.widths[0])
        chosen = [eca_kernel(width) for width in sizes.widths] if kernels is None else list(kernels)
        if len(chosen) < len(sizes.widths) or any(kernel % 2 == 0 for kernel in chosen):
            raise InputError(
                f"kernels={list(chosen)} do not suit {len(sizes.widths)} groups; expected one odd size a group."
            )
        blocks: list[nn.Module] = [nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False)]
        before = STEM
        for group, width in enumerate(sizes.widths):
            for number in range(sizes.blocks):
                stride = 2 if group and not number else 1
                blocks.append(_WideBlock(before, width, stride, chosen[group] if attention else None, dropout))
                before = width
        self.encoder = nn.Sequential(*blocks, nn.BatchNorm2d(before), nn.ReLU(inplace=True))
        if weights is not None:
            load_pretrained(self.encoder, weights, bands=bands)
        self.head = nn.Linear(before, num_classes)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of images. patches : (N, C, P, P) → (N, K)"""
        return self.head(self.features(patches))

    def features(self, patches: Tensor) -> Tensor:
        """Return the input of the last layer. patches : (N, C, P, P) → (N, D)."""
        maps: Tensor = self.encoder(patches)
        return maps.mean(dim=(2, 3))


class _WideBlock(nn.Module):
    """Two convolutions behind normalisation and ReLU, attention after the second, and a way around."""

    def __init__(self, before: int, width: int, stride: int, kernel: int | None, dropout: float) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU(inplace=True))
        self.rest = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.Identity() if kernel is None else ChannelAttention(kernel),
        )  # fmt: skip
        alike = before == width and stride == 1
        self.around = nn.Identity() if alike else nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, H, W) → (N, width, H / stride, W / stride)"""
        ready = self.first(maps)
        around = maps if isinstance(self.around, nn.Identity) else self.around(ready)
        return self.rest(ready) + around
