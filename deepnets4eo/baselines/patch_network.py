"""The patch CNN of the benchmark as a fully convolutional network: it labels the middle of each patch, all in one pass.

Takes any number of bands and any size of image; gives logits on sites `stride_px` apart, resampled to all pixels.
Refuses patches that are too small for its layers. Trained by the task `segmentation`, as `model.network=patch-alexnet`.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError

Upsampling = Literal["bilinear", "nearest"]
POOLINGS = {4: (2, 1), 8: (2, 2), 16: (4, 2), 32: (4, 3)}  # stride_px → stride of the first layer, poolings after it
POOLED = (0, 1, 4)  # convolutions that AlexNet pools after, the first ones first
KERNELS = (11, 5, 3, 3, 3)
WIDTHS = (1, 3, 6, 4, 4)  # of the five convolutions, relative to the first (Krizhevsky 2014)
HIDDEN_WIDTH = 16  # of the two fully connected layers


class PatchNetwork(nn.Module):
    """AlexNet (Krizhevsky et al., NIPS 2012) for small patches, without padding inside.

    Five convolutions, two hidden layers that see the whole patch, one that labels it; batch normalisation instead of
    local response normalisation. As nothing is padded inside, an image labelled in one pass has, at each site, the very
    logits of the patch around it. At the image's edges patches are mirrored.

    patch_px : side of what a label is decided from; even, as is stride_px (4, 8, 16 or 32): the side of the square in
    the patch's middle that gets the label. width : channels of the first layer; AlexNet has 64. dropout : of the hidden
    layers. upsampling : "bilinear" between sites, or "nearest": the square has one label, as in the benchmark.
    For maps without seams, tiles need `halo_px`, and cores of whole strides (predict.tile_px − 2 predict.halo_px).
    Errors: InputError for a stride or a patch that do not fit the layers.

    >>> network = PatchNetwork(4, 6, patch_px=64, stride_px=8).eval()
    >>> image = torch.zeros(1, 4, 50, 70)
    >>> network(image).shape, network.sites(image).shape
    (torch.Size([1, 6, 50, 70]), torch.Size([1, 6, 7, 9]))
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
        _check(patch_px, stride_px, width, upsampling)
        self.patch_px, self.stride_px, self.upsampling = patch_px, stride_px, upsampling
        layers, side = _convolutions(in_channels, patch_px, stride_px, width)
        hidden = HIDDEN_WIDTH * width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *_layer(WIDTHS[-1] * width, hidden, side), nn.Dropout(dropout),
            *_layer(hidden, hidden, 1), nn.Dropout(dropout),
            nn.Conv2d(hidden, num_classes, 1),
        )  # fmt: skip

    @property
    def halo_px(self) -> int:
        """Context that each pixel needs: of its patch, and of the patches that bilinear resampling mixes in."""
        cells = -(-(self.patch_px - self.stride_px) // (2 * self.stride_px)) + (self.upsampling == "bilinear")
        return cells * self.stride_px

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, C, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        height, width = image.shape[2:]
        smooth = {"mode": "bilinear", "align_corners": False} if self.upsampling == "bilinear" else {"mode": "nearest"}
        logits: Tensor = F.interpolate(self.sites(image), scale_factor=float(self.stride_px), **smooth)
        return logits[:, :, :height, :width]

    def sites(self, image: Tensor) -> Tensor:
        """Logits of the squares of stride_px × stride_px pixels from the top left, (N, K, ⌈H / s⌉, ⌈W / s⌉)."""
        logits: Tensor = self.classifier(self.features(self._mirrored(self._mirrored(image, 2), 3)))
        return logits

    def classify(self, patches: Tensor) -> Tensor:
        """patches : (N, C, patch_px, patch_px) float32 · returns : logits (N, K) of the squares in their middle.

        Errors: InputError for patches of another side.
        """
        if patches.shape[2:] != (self.patch_px, self.patch_px):
            raise InputError(
                f"patches of {tuple(patches.shape[2:])} pixels were given; the network sees {self.patch_px} × "
                f"{self.patch_px}. Cut them so, the square of interest in the middle."
            )
        logits: Tensor = self.classifier(self.features(patches))
        return logits.flatten(1)

    def _mirrored(self, image: Tensor, axis: int) -> Tensor:
        """The image with the margin that patches of the outermost squares need along an axis."""
        side = image.shape[axis]
        before = (self.patch_px - self.stride_px) // 2
        last = -(-side // self.stride_px) * self.stride_px + before
        places = torch.arange(-before, last, device=image.device)
        period = max(2 * (side - 1), 1)
        folded = torch.remainder(places, torch.full_like(places, period))  # by a tensor, as ONNX has it
        return image.index_select(axis, torch.minimum(folded, period - folded).clamp(max=side - 1))


def _check(patch_px: int, stride_px: int, width: int, upsampling: str) -> None:
    if stride_px not in POOLINGS:
        raise InputError(f"stride_px={stride_px} is not among {', '.join(map(str, POOLINGS))}. Choose one of them.")
    if patch_px % 2:
        raise InputError(f"patch_px={patch_px} is odd; its middle square is even. Use {patch_px + 1}.")
    if width < 1:
        raise InputError(f"width={width} channels were asked for; expected at least 1 (AlexNet: 64).")
    if upsampling not in get_args(Upsampling):
        raise InputError(f"upsampling={upsampling!r} is unknown. Choose {' or '.join(get_args(Upsampling))}.")


def _convolutions(in_channels: int, patch_px: int, stride_px: int, width: int) -> tuple[list[nn.Module], int]:
    """The convolutional part, and the side of what it leaves of a patch.

    The last three convolutions are 3 × 3 while the patch has room for it, 1 × 1 afterwards.
    """
    first_stride, poolings = POOLINGS[stride_px]
    room = KERNELS[-1] + (2 if poolings == len(POOLED) else 0)  # for a last pooling, where there is one
    layers: list[nn.Module] = []
    side, channels = patch_px, in_channels
    for place, relative in enumerate(WIDTHS):
        kernel = KERNELS[place] if place < 2 or side >= room else 1
        stride = first_stride if place == 0 else 1
        layers += _layer(channels, relative * width, kernel, stride)
        side, channels = (side - kernel) // stride + 1, relative * width
        if place in POOLED[:poolings]:
            layers.append(nn.MaxPool2d(3, 2))
            side = (side - 3) // 2 + 1
        if side < 1:
            raise InputError(
                f"a patch of {patch_px} pixels is too small for stride_px={stride_px}: nothing is left of it after "
                f"convolution {place + 1}. Give larger patches or a smaller stride."
            )
    return layers, side


def _layer(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, bias=False)  # normalisation has its own
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
