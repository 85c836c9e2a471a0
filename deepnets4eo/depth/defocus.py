"""Blur of a lens focused at one distance, simulated from a sharp image and its depth; and a network that reads depth from blur.

The scene is cut into layers of similar blur, which cover each other from back to front. What a near object hides is
filled from the more distant layers around it.

The lens is thin; its blur is round and Gaussian.

Source: Carvalho et al., Deep Depth from Defocus (ECCV workshops 2018), whose published code draws the nearest layer
black.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from deepnets4eo.errors import InputError
from deepnets4eo.options import option_group

SIGMA_PER_CIRCLE = 0.3  # standard deviation of the blur over the diameter of the circle of confusion, as published
LAYER_SIGMA_PX = 0.5  # the blur differs by so much from layer to layer
REACH_SIGMA = 3  # where the Gaussian is cut off
TOGETHER = 4  # layers that are blurred in one convolution: of four channels each they fill a vector register
MIN_COVER = 1e-6


@option_group
class ThinLens:
    """A lens and the sensor behind it.

    Parameters
    ----------
    focus_m : distance of what is sharp, metres
    f_number : focal length over the diameter of the aperture
    focal_mm : focal length, millimetres
    pixel_um : pitch of the image's pixels on the sensor, micrometres

    Raises
    ------
    InputError
        For values of 0 or less, and a focus within the focal length.

    Examples
    --------
    >>> lens = ThinLens(focus_m=2)
    >>> lens.circle_of_confusion_px(torch.tensor([1.0, 2.0, 4.0])).round(decimals=2)
    tensor([-7.2300,  0.0000,  3.6100])
    """

    focus_m: float = Field(default=2.0, gt=0)
    f_number: float = Field(default=2.8, gt=0)
    focal_mm: float = Field(default=15.0, gt=0)
    pixel_um: float = Field(default=5.6, gt=0)

    @model_validator(mode="after")
    def _focus_before_the_lens(self) -> ThinLens:
        if self.focus_m * 1000 <= self.focal_mm:
            raise ValueError(
                f"has its focus at {self.focus_m} m within its focal length of {self.focal_mm} mm; expected one beyond it"
            )
        return self

    def circle_of_confusion_px(self, depth_m: Tensor) -> Tensor:
        """Return the diameter in pixels of the disc of blur at depths in metres; negative in front of the focus.

        It is f² / N · (D − F) / (D (F − f)) for depth D, focus F, focal length f and f-number N.
        """
        focal_m = self.focal_mm / 1e3
        far_px = focal_m**2 / self.f_number / (self.focus_m - focal_m) / (self.pixel_um / 1e6)
        return far_px * (1 - self.focus_m / depth_m)

    def blur(self, image: Tensor, depth_m: Tensor) -> Tensor:
        """See the image through this lens.

        Parameters
        ----------
        image : (N, C, H, W) float, sharp everywhere, any range
        depth_m : (N, H, W) float, metres; unknown ones (not finite, or 0 and less) are as far as the farthest of the image

        Returns
        -------
        (N, C, H, W). Peak memory: about 12 (C + 1) values a pixel.

        Raises
        ------
        InputError
            The sizes differ.
        """
        if image.ndim != 4 or depth_m.shape != image.shape[:1] + image.shape[2:]:
            raise InputError(
                f"the image is {tuple(image.shape)} and its depth {tuple(depth_m.shape)}; expected (N, C, H, W) and (N, H, W)."
            )
        level = self.circle_of_confusion_px(self._filled(depth_m)) * (SIGMA_PER_CIRCLE / LAYER_SIGMA_PX)
        layers = range(math.floor(float(level.min())), math.floor(float(level.max())) + 2)
        seen = torch.cat([image, torch.ones_like(image[:, :1])], dim=1)  # colours, and how far they cover
        drawn = torch.zeros_like(seen, memory_format=torch.channels_last)
        covered, covered_by_next = torch.zeros_like(drawn[:, :1]), torch.zeros_like(drawn[:, :1])
        for start in range(0, len(layers), TOGETHER):
            some = layers[start : start + TOGETHER]
            cut = torch.cat([seen * (1 - (level - plane).abs()).clamp_min(0)[:, None] for plane in some], dim=1)
            for layer in _blurred(cut, [abs(plane) * LAYER_SIGMA_PX for plane in some]).chunk(len(some), dim=1):
                drawn.addcmul_(layer, (1 - covered).clamp_min(0))
                covered = covered + covered_by_next
                covered_by_next = layer[:, -1:]
        return drawn[:, :-1] / drawn[:, -1:].clamp_min(MIN_COVER)

    def _filled(self, depth_m: Tensor) -> Tensor:
        known = torch.isfinite(depth_m) & (depth_m > 0)
        farthest = torch.where(known, depth_m, 0).amax(dim=(1, 2), keepdim=True)
        return torch.where(known, depth_m, torch.where(farthest > 0, farthest, self.focus_m))


def _blurred(layers: Tensor, sigmas_px: list[float]) -> Tensor:
    """Return (N, C, H, W) with as many channels for each sigma; pixels beyond the border count as empty."""
    reach = max(1, math.ceil(REACH_SIGMA * max(sigmas_px)))
    steps = torch.arange(-reach, reach + 1, dtype=layers.dtype, device=layers.device)
    sigmas = torch.tensor(sigmas_px, dtype=layers.dtype, device=layers.device).clamp_min(1e-3)[:, None]
    kernels = torch.exp(-0.5 * (steps / sigmas).square()) * (steps.abs() <= REACH_SIGMA * sigmas)
    kernels /= kernels.sum(dim=1, keepdim=True)
    channels = layers.shape[1]
    rows = kernels.repeat_interleave(channels // len(sigmas_px), dim=0)[:, None, None]
    layers = layers.to(memory_format=torch.channels_last)
    across: Any = conv2d(layers, rows, padding=(0, reach), groups=channels)
    return conv2d(across, rows.transpose(2, 3).contiguous(), padding=(reach, 0), groups=channels)


class BlurNet(nn.Module):
    """A small network of three scales without strides in its first layers, so that it sees how sharp things are.

    Parameters
    ----------
    in_channels, num_classes : bands, and channels of the output, at least 1
    width : channels of the finest scale; the others have twice and three times as many

    Examples
    --------
    >>> BlurNet(1, 1, width=4).eval()(torch.zeros(1, 1, 30, 41)).shape
    torch.Size([1, 1, 30, 41])
    """

    def __init__(self, in_channels: int, num_classes: int, *, width: int = 24) -> None:
        super().__init__()
        self.fine = nn.Sequential(_convolution(in_channels, width), _convolution(width, width))
        self.middle = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), _convolution(width, 2 * width), _convolution(2 * width, 2 * width)
        )
        wide = [_convolution(3 * width, 3 * width, dilation) for dilation in (2, 4)]
        self.coarse = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), _convolution(2 * width, 3 * width), *wide)
        self.output = nn.Conv2d(6 * width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, C, H, W) float32, standardised · returns : (N, K, H, W)."""
        fine = self.fine(image)
        middle = self.middle(fine)
        maps = torch.cat(
            [avg_pool2d(fine, 4, ceil_mode=True), avg_pool2d(middle, 2, ceil_mode=True), self.coarse(middle)], dim=1
        )
        return interpolate(self.output(maps), image.shape[2:], mode="bilinear")


def _convolution(before: int, after: int, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
