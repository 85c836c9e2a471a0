"""Common parts of all fusion networks: the image cut into one tensor per sensor, absent sensors, padding, and encoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import pad_to_stride

MEAN, SILENT, LEARNED = "mean", "silent", "learned"
ABSENT = (MEAN, SILENT, LEARNED)
STRIDE_PX = 32  # the encoders halve the image five times


def stream_sizes(in_channels: int | Sequence[int], streams: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the bands of each stream, from one number per stream, or from their sum and `streams`.

    Errors: InputError for fewer than two streams, empty streams, or a sum that is not `in_channels`.

    Parameters
    ----------
    in_channels, streams : bands of each sensor, or their sum; with the sum, also the bands of each sensor

    Returns
    -------
    tuple[int, ...]
        Two or more numbers, each at least 1.

    Examples
    --------
    >>> stream_sizes((3, 1)), stream_sizes(4, [3, 1])
    ((3, 1), (3, 1))
    """
    if isinstance(in_channels, int) and streams is None:
        raise InputError(
            f"a fusion network got in_channels={in_channels} without streams. Set how many bands each sensor has, "
            f"e.g. model.options={{streams: [{max(in_channels - 1, 1)}, 1]}}, in the order of model.layers."
        )
    sizes = tuple(in_channels) if isinstance(in_channels, Sequence) else tuple(streams or ())
    bands = in_channels if isinstance(in_channels, int) else sum(sizes)
    if streams is not None and tuple(streams) != sizes:
        raise InputError(f"in_channels={list(sizes)} and streams={list(streams)} disagree. Keep one of them.")
    if len(sizes) < 2 or min(sizes) < 1 or sum(sizes) != bands:
        raise InputError(
            f"a fusion network of {bands} bands got streams={list(sizes)}; expected two or more numbers, each at least "
            f"1, that sum to {bands}."
        )
    return sizes


def one_each(value: Any, count: int, name: str) -> list[Any]:
    """Return one value per stream, from a common value or a list. Errors: InputError for a list of another length."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * count
    if len(value) != count:
        raise InputError(f"{name}={list(value)} has {len(value)} entries for {count} streams. Give one, or one each.")
    return list(value)


def first_weights(weights: str | None, count: int) -> list[str | None]:
    """Return the source of each stream's first weights, separated by commas; streams without a source start at random."""
    sources = [source.strip() or None for source in (weights or "").split(",")]
    if len(sources) > count:
        raise InputError(
            f"weights={weights!r} names {len(sources)} sources for {count} streams. Name one each at most."
        )
    return sources + [None] * (count - len(sources))


class Streams(nn.Module):
    """Split of the concatenated tensor into streams, with the presence of each stream image by image.

    A stream is absent if it is exactly zero all over an image of the batch, as `InputSpec.prepare` and modality dropout
    make it for a missing layer.

    Errors: InputError for another `absent`.

    Parameters
    ----------
    sizes : bands of each stream
    absent
        "mean": an absent stream stays zero, its mean, everywhere. "silent": the output of its encoder is not added.
        "learned": it is filled with one learned value per band.

    Examples
    --------
    >>> streams = Streams((3, 1), absent="silent")
    >>> parts, present = streams(torch.cat([torch.ones(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)], dim=1))
    >>> [part.shape[1] for part in parts], [flag.flatten().tolist() for flag in present]
    ([3, 1], [[1.0, 1.0], [0.0, 0.0]])
    """

    def __init__(self, sizes: Sequence[int], absent: str = MEAN) -> None:
        super().__init__()
        if absent not in ABSENT:
            raise InputError(f"absent={absent!r} is unknown; expected one of {', '.join(ABSENT)}.")
        self.sizes, self.absent = tuple(sizes), absent
        shapes = [(1, size, 1, 1) for size in sizes] if absent == LEARNED else []
        self.fill = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor] | None]:
        """Return the streams (N, size, H, W) of an image (N, sum of sizes, H, W), and flags (N, 1, 1, 1) of 1 or 0.

        The flags are None unless `absent` is "silent": then all streams count."""
        if image.shape[1] != sum(self.sizes):
            raise InputError(
                f"an image of {image.shape[1]} bands was given to a fusion network of {' + '.join(map(str, self.sizes))}. "
                "Choose the bands that it was built for, or build it with the streams of the image."
            )
        parts = list(image.split(self.sizes, dim=1))
        if self.absent == MEAN:
            return parts, None
        present = [part.abs().amax(dim=(1, 2, 3), keepdim=True) > 0 for part in parts]
        if self.absent == SILENT:
            return parts, [flag.to(image.dtype) for flag in present]
        filled = zip(parts, present, self.fill, strict=True)
        return [torch.where(flag, part, value.to(part.dtype)) for part, flag, value in filled], None


def mask_absent_streams(maps: Sequence[Tensor], present: Sequence[Tensor] | None) -> list[Tensor]:
    """Return maps of each stream, (N, ·, ·, ·), zero for absent streams; `present` as `Streams` returns it."""
    return list(maps) if present is None else [features * flag for features, flag in zip(maps, present, strict=True)]


def total(maps: Sequence[Tensor]) -> Tensor:
    """Sum of equally shaped maps."""
    return reduce(add, maps)


def average(maps: Sequence[Tensor], present: Sequence[Tensor] | None) -> Tensor:
    """Return the mean over the present streams; zeros if no stream is present."""
    if present is None:
        return total(maps) / len(maps)
    return total(mask_absent_streams(maps, present)) / total(present).clamp(min=1)


class FusionNetwork(nn.Module, ABC):
    """Base of networks with one stream a sensor, see `Streams`; subclasses fuse them."""

    def __init__(self, in_channels: int | Sequence[int], streams: Sequence[int] | None, absent: str) -> None:
        super().__init__()
        self.streams = Streams(stream_sizes(in_channels, streams), absent)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bands of each stream."""
        return self.streams.sizes

    @abstractmethod
    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Logits (N, K, H, W) from the streams (N, size, H, W), and which are present, both as `Streams` returns them."""

    @abstractmethod
    def encoder_modules(self) -> Sequence[nn.Module]:
        """Return the encoders of all sensors."""

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of all encoders, for which training can set another learning rate."""
        return [parameter for module in self.encoder_modules() for parameter in module.parameters()]

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        return self.fuse(*self.streams(image))


class EncoderFusion(FusionNetwork):
    """Base of networks whose encoders are fused stage by stage: images of any size are padded and cut again."""

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        height, width = image.shape[2:]
        logits = super().forward(pad_to_stride(image, STRIDE_PX))
        return logits[:, :, :height, :width]
