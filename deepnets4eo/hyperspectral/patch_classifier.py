"""Networks that label the centre of a patch, or whole cubes in one pass with the same weights; and their layers.

On whole cubes each spatial stride becomes a dilation of all that follows. Whole cubes are computed in windows, so that memory
depends only on the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError

WINDOW_BYTES = 96 << 20  # of values that a network holds at once
MIN_WINDOW_PX = 8
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
WINDOWED = (nn.Conv2d, nn.Conv3d, nn.MaxPool2d, nn.MaxPool3d)
MAX_PX = 4096  # beyond it nothing is tried


class PatchClassifier(nn.Module):
    """Base of networks that label the centre of a patch.

    A subclass computes `patch_scores`, with strides and poolings as published.

    It also computes `inner_scores`: the same weights on a whole cube, without padding at its edges and with dilations
    instead of strides; by default patch by patch.

    Parameters
    ----------
    patch_px : side P of the published patch; the labelled pixel is number P // 2 along each axis
    before_px, after_px
        Rows and columns before and after the labelled pixel that its logits depend on; poolings may leave pixels out.
    values_per_pixel : how many numbers `inner_scores` holds at once for each pixel, about; None: P² × 512

    Examples
    --------
    >>> from deepnets4eo.hyperspectral import build
    >>> network = build("hamida", bands=103, num_classes=9)
    >>> network.patch_px, network.halo_px, tuple(network(torch.zeros(1, 103, 6, 7)).shape)
    (5, 2, (1, 9, 6, 7))
    """

    def __init__(self, patch_px: int, before_px: int, after_px: int, values_per_pixel: int | None = None) -> None:
        super().__init__()
        self.patch_px, self.before_px, self.after_px = patch_px, before_px, after_px
        self.values_per_pixel = values_per_pixel or patch_px**2 * 512

    @property
    def halo_px(self) -> int:
        """Context that each pixel needs on each side."""
        return max(self.before_px, self.after_px)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        raise TypeError(f"{type(self).__name__} does not implement patch_scores")

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Return logits wherever the context is inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px."""
        patches = cube.unfold(2, self.patch_px, 1).unfold(3, self.patch_px, 1).permute(0, 2, 3, 1, 4, 5)
        scores = self.patch_scores(patches.flatten(0, 2))
        return scores.unflatten(0, patches.shape[:3]).permute(0, 3, 1, 2)

    def window_scores(self, cube: Tensor) -> Tensor:
        """`inner_scores`, computed in windows outside training: memory depends on the network, not on the cube."""
        if self.training or torch.compiler.is_compiling():  # normalisation needs the whole batch; a graph has no loops
            return self.inner_scores(cube)
        context = self.before_px + self.after_px
        height, width = cube.shape[2] - context, cube.shape[3] - context
        side = self._window_px(len(cube))
        rows = [
            torch.cat([self.inner_scores(cube[:, :, r : r + side + context, c : c + side + context])
                       for c in range(0, width, side)], dim=3)
            for r in range(0, height, side)
        ]  # fmt: skip
        return torch.cat(rows, dim=2)

    def forward(self, cube: Tensor) -> Tensor:
        """Logits of all pixels, the cube mirrored at its edges. cube : (N, B, h, w) → (N, K, h, w)"""
        return self.window_scores(mirror_edges(cube, self.before_px, self.after_px))

    def check_patches(self, patches: Tensor) -> None:
        """Refuse patches of another side than P. Errors: InputError."""
        if patches.shape[2:] != (self.patch_px, self.patch_px):
            raise InputError(
                f"patches of {' × '.join(map(str, patches.shape[2:]))} pixels were given; the network takes {self.patch_px} "
                f"× {self.patch_px}, with the pixel to label at {self.patch_px // 2}. Cut them so."
            )

    def _window_px(self, batch: int) -> int:
        """Side of the windows whose values, with their context, fit into WINDOW_BYTES; at least as wide as the context."""
        fit = math.isqrt(WINDOW_BYTES // (4 * batch * self.values_per_pixel))
        context = self.before_px + self.after_px
        return max(fit - context, context, MIN_WINDOW_PX)


def mirror_edges(cube: Tensor, before_px: int, after_px: int) -> Tensor:
    """Add mirrored rows and columns, the edge itself not repeated, also to cubes smaller than what is added.

    >>> mirror_edges(torch.tensor([[[[1, 2, 3]]]]), 0, 2)[0, 0, 0].tolist()
    [1, 2, 3, 2, 1]
    """
    if not (before_px or after_px):
        return cube
    for axis in (2, 3):
        size = cube.shape[axis]
        positions = torch.arange(-before_px, size + after_px, device=cube.device)
        period = torch.full_like(positions, torch.sym_max(2 * (size - 1), 1))  # a tensor, as ONNX needs it
        in_period = torch.remainder(positions, period)
        cube = cube.index_select(axis, torch.minimum(in_period, period - in_period).clamp(max=size - 1))
    return cube


@dataclass(frozen=True)
class PatchGeometry:
    """Geometry of a patch after the layers.

    It has the side of the last map, the dilation between its values on the dense map, and the context of the labelled pixel
    on the cube."""

    side_px: int
    dilation: int
    before_px: int
    after_px: int


def measure_patch(layers: Iterable[nn.Module], patch_px: int) -> PatchGeometry:
    """Measure layers on patches of a side. Errors: InputError for a patch without any output; names a side that fits."""
    layers = list(layers)
    side = out_length(layers, patch_px, -1)
    if side < 1:
        least = next((px for px in range(patch_px, MAX_PX) if out_length(layers, px, -1) >= 1), None)
        raise InputError(f"patch_px={patch_px} is too small for the layers of the network; expected at least {least}.")
    reach, dilation = 0, 1
    for layer in layers:
        if isinstance(layer, WINDOWED):
            reach += (_along(layer.kernel_size, -1) - 1) * _along(layer.dilation, -1) * dilation
            dilation *= _along(layer.stride, -1)
    reach += (side - 1) * dilation
    before = patch_px // 2
    return PatchGeometry(side, dilation, before, reach - before)


def out_length(layers: Iterable[nn.Module], length: int, axis: int) -> int:
    """Return the length of an axis (−3: bands, −2: rows, −1: columns) after layers; less than 1 if they do not fit."""
    for layer in layers:
        if isinstance(layer, WINDOWED):
            kernel, stride, padding, dilation = (
                _along(value, axis) for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            )
            length = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            if length < 1:
                return 0
    return length


def check_bands(network: str, in_channels: int, length: Callable[[int], int]) -> None:
    """Refuse cubes of too few bands. length : bands → their number after the layers. Errors: InputError, names the minimum."""
    if in_channels < 1 or length(in_channels) < 1:
        least = next(bands for bands in count(1) if length(bands) >= 1)
        raise InputError(
            f"in_channels={in_channels} bands are too few for {network}: its convolutions along the spectrum need at least "
            f"{least}. Give more bands, or choose another network."
        )


def apply_dense(layers: Iterable[nn.Module], cube: Tensor) -> Tensor:
    """Apply layers to a whole cube (N, C, [bands,] h, w), with dilations instead of spatial strides; convolutions are
    not padded, poolings have windows of two."""
    dilation = 1
    for layer in layers:
        if isinstance(layer, (nn.MaxPool2d, nn.MaxPool3d)):
            cube = _pool_two(_pool_two(cube, -1, dilation), -2, dilation)
        elif isinstance(layer, nn.Conv3d):
            stride, padding, spectral = (_along(value, -3) for value in (layer.stride, layer.padding, layer.dilation))
            cube = convolve(cube, layer.weight, layer.bias, stride, padding, (spectral, dilation, dilation))
        elif isinstance(layer, nn.Conv2d):
            cube = F.conv2d(cube, layer.weight, layer.bias, dilation=dilation)
        else:
            cube = layer(cube)
        if isinstance(layer, WINDOWED):
            dilation *= _along(layer.stride, -1)
    return cube


def apply_linear(layer: nn.Linear, maps: Tensor, side_px: int, dilation: int = 1) -> Tensor:
    """Apply a layer made for flat maps (C, [bands,] side, side) at every pixel. maps : (N, C, [bands,] h, w) → (N, K, h, w)"""
    weight = layer.weight.unflatten(1, (*maps.shape[1:-2], side_px, side_px))
    if maps.ndim == 4:
        return F.conv2d(maps, weight, layer.bias, dilation=dilation)
    return convolve(maps, weight, layer.bias, dilation=(1, dilation, dilation)).squeeze(2)


def convolve(
    cube: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int = 1,
    padding: int = 0,
    dilation: tuple[int, int, int] = (1, 1, 1),
) -> Tensor:
    """Compute a 3-D convolution in the layout that is fastest on CPUs (two to ten times).

    Stride and padding are only along the spectrum.

    For a single map, the bands of a kernel become channels of 2-D images. A kernel only along the spectrum sees all
    pixels as one row.
    """
    depth, height, width = weight.shape[2:]
    if cube.shape[1] == 1:
        bands = F.pad(cube[:, 0], (0, 0, 0, 0, padding, padding)).unfold(1, dilation[0] * (depth - 1) + 1, stride)
        images = bands[..., :: dilation[0]].permute(0, 1, 4, 2, 3)  # (N, T, depth, h, w)
        maps = _convolve_images(images.flatten(0, 1), weight[:, 0], bias, dilation=dilation[1:])
        return maps.unflatten(0, images.shape[:2]).transpose(1, 2)
    if height == width == 1:
        rows = cube.contiguous(memory_format=torch.channels_last_3d).flatten(3)
        maps = _convolve_images(rows, weight[..., 0], bias, (stride, 1), (padding, 0), (dilation[0], 1))
        return maps.unflatten(3, cube.shape[3:])
    cube, weight = (tensor.contiguous(memory_format=torch.channels_last_3d) for tensor in (cube, weight))
    return F.conv3d(cube, weight, bias, (stride, 1, 1), (padding, 0, 0), dilation)


def _convolve_images(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...] = (1, 1),
    padding: tuple[int, ...] = (0, 0),
    dilation: tuple[int, ...] = (1, 1),
) -> Tensor:
    images, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (images, weight))
    return F.conv2d(images, weight, bias, stride, padding, dilation)


def _pool_two(cube: Tensor, axis: int, dilation: int) -> Tensor:
    length = cube.shape[axis] - dilation
    return torch.maximum(cube.narrow(axis, 0, length), cube.narrow(axis, dilation, length))


def _along(value: int | str | tuple[int, ...], axis: int) -> int:
    """Return an attribute of a layer along one axis."""
    return cast(int, value[axis] if isinstance(value, tuple) else value)


def initialise(modules: Iterable[nn.Module], weight: Callable[[Tensor], object], *, zero_bias: bool = False) -> None:
    """Set the weights of all linear layers and convolutions by one of `torch.nn.init`; biases become 0, or stay as
    torch makes them."""
    for module in modules:
        if isinstance(module, WEIGHTED):
            weight(module.weight)
            if zero_bias and module.bias is not None:
                nn.init.zeros_(module.bias)


def map_pixels(function: Callable[[Tensor], Tensor], cube: Tensor, pixels: int | None = None) -> Tensor:
    """Apply a function (M, B) → (M, C) of spectra to each pixel of a cube (N, B, h, w), `pixels` at once.

    None takes all, as batch statistics in training need it.
    """
    count, _, height, width = cube.shape
    spectra = cube.permute(0, 2, 3, 1).flatten(0, 2)
    outputs = function(spectra) if pixels is None else torch.cat([function(part) for part in spectra.split(pixels)])
    return outputs.reshape(count, height, width, -1).permute(0, 3, 1, 2)
