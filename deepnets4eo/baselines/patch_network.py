"""The patch CNN of the benchmark as a fully convolutional network (`model.network=patch-alexnet`): it labels the centre
of each patch, all in one pass."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError

Upsampling = Literal["bilinear", "nearest"]
POOLINGS = {4: (2, 1), 8: (2, 2), 16: (4, 2), 32: (4, 3)}  # stride_px → stride of the first layer, poolings after it
POOLED = (0, 1, 4)  # convolutions after which AlexNet pools, the first ones first
KERNELS = (11, 5, 3, 3, 3)
WIDTHS = (1, 3, 6, 4, 4)  # of the five convolutions, relative to the first (Krizhevsky 2014)
HIDDEN_WIDTH = 16  # of the two fully connected layers


class PatchNetwork(nn.Module):
    """AlexNet (Krizhevsky et al., NIPS 2012) for small patches.

    An image labelled in one pass has at each site the logits of its patch, mirrored at the edges. Tiles need `halo_px`
    and cores of whole strides. Errors: InputError for unfit values.

    patch_px : even side
    stride_px : 4, 8, 16 or 32, side of the labelled square in the centre
    width : channels of the first layer (64)
    upsampling : "bilinear" or "nearest", as in the benchmark
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        patch_px: int = 64,
        stride_px: int = 8,
        width: int = 32,
        dropout: float = 0.5,
        upsampling: Upsampling = "bilinear",
    ) -> None:
        super().__init__()
        _check_arguments(patch_px, stride_px, width, upsampling)
        self.patch_px, self.stride_px, self.upsampling = patch_px, stride_px, upsampling
        layers, side = _build_convolutions(in_channels, patch_px, stride_px, width)
        hidden = HIDDEN_WIDTH * width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *_layer(WIDTHS[-1] * width, hidden, side), nn.Dropout(dropout),
            *_layer(hidden, hidden, 1), nn.Dropout(dropout),
            nn.Conv2d(hidden, num_classes, 1),
        )  # fmt: skip

    @property
    def halo_px(self) -> int:
        """Context in pixels that each pixel needs: of its patch, and of the patches mixed in by bilinear resampling."""
        cells = -(-(self.patch_px - self.stride_px) // (2 * self.stride_px)) + (self.upsampling == "bilinear")
        return cells * self.stride_px

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K, H, W). image : (N, C, H, W) float32, standardised."""
        height, width = image.shape[2:]
        smooth = {"mode": "bilinear", "align_corners": False} if self.upsampling == "bilinear" else {"mode": "nearest"}
        logits: Tensor = F.interpolate(self.sites(image), scale_factor=float(self.stride_px), **smooth)
        return logits[:, :, :height, :width]

    def sites(self, image: Tensor) -> Tensor:
        """Return logits of the squares of stride_px × stride_px pixels from the top left, (N, K, ⌈H / s⌉, ⌈W / s⌉)."""
        logits: Tensor = self.classifier(self.features(self._mirror_margin(self._mirror_margin(image, 2), 3)))
        return logits

    def classify(self, patches: Tensor) -> Tensor:
        """Return logits (N, K) of the centres of patches (N, C, patch_px, patch_px). Errors: InputError for another
        side."""
        if patches.shape[2:] != (self.patch_px, self.patch_px):
            raise InputError(
                f"patches of {tuple(patches.shape[2:])} pixels were given; the network needs {self.patch_px} × "
                f"{self.patch_px}, with the square of interest in the centre."
            )
        logits: Tensor = self.classifier(self.features(patches))
        return logits.flatten(1)

    def _mirror_margin(self, image: Tensor, axis: int) -> Tensor:
        """Return the image with the mirrored margin that patches of the outermost squares need along an axis."""
        side = image.shape[axis]
        before = (self.patch_px - self.stride_px) // 2
        last = -(-side // self.stride_px) * self.stride_px + before
        positions = torch.arange(-before, last, device=image.device)
        period = max(2 * (side - 1), 1)
        in_period = torch.remainder(positions, torch.full_like(positions, period))  # by a tensor, as ONNX needs it
        return image.index_select(axis, torch.minimum(in_period, period - in_period).clamp(max=side - 1))


def _check_arguments(patch_px: int, stride_px: int, width: int, upsampling: str) -> None:
    if stride_px not in POOLINGS:
        raise InputError(f"stride_px={stride_px} is not among {', '.join(map(str, POOLINGS))}. Choose one of them.")
    if patch_px % 2:
        raise InputError(f"patch_px={patch_px} is odd; its middle square is even. Use {patch_px + 1}.")
    if width < 1:
        raise InputError(f"width={width} channels; expected at least 1 (AlexNet: 64).")
    if upsampling not in get_args(Upsampling):
        raise InputError(f"upsampling={upsampling!r} is unknown. Choose {' or '.join(get_args(Upsampling))}.")


def _build_convolutions(in_channels: int, patch_px: int, stride_px: int, width: int) -> tuple[list[nn.Module], int]:
    """Return the convolutions (the last three 3 × 3 while the patch is large enough, then 1 × 1), and a patch's output
    side."""
    first_stride, poolings = POOLINGS[stride_px]
    room = KERNELS[-1] + (2 if poolings == len(POOLED) else 0)  # for a last pooling, where there is one
    layers: list[nn.Module] = []
    side, channels = patch_px, in_channels
    for number, relative in enumerate(WIDTHS):
        kernel = KERNELS[number] if number < 2 or side >= room else 1
        stride = first_stride if number == 0 else 1
        layers += _layer(channels, relative * width, kernel, stride)
        side, channels = (side - kernel) // stride + 1, relative * width
        if number in POOLED[:poolings]:
            layers.append(nn.MaxPool2d(3, 2))
            side = (side - 3) // 2 + 1
        if side < 1:
            raise InputError(
                f"a patch of {patch_px} pixels is too small for stride_px={stride_px}: nothing is left of it after "
                f"convolution {number + 1}. Give larger patches or a smaller stride."
            )
    return layers, side


def _layer(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, bias=False)  # normalisation has its own
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
