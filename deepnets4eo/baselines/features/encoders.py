"""Frozen encoders by name: the levels of a timm or smp network as maps of features, and the positions of their cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.segmenters import (
    IMAGENET,
    LEVEL_CHANNELS,
    EfficientNetLite0,
    EncoderName,
    SameConv,
    check_download,
    load_pretrained,
)

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's photographs, red, green, blue
STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)  # mean and deviation that EfficientNet-Lite0 was trained with
TRIAL_PX = 256  # side of the image from which the geometry is measured; a multiple of every reduction
BUILD_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    AssertionError,
    KeyError,
)  # of timm and smp for what they cannot do


class FrozenEncoder:
    """One level of an encoder, in inference mode: (N, 3, H, W) → (N, channels, about H / reduction, about W /
    reduction) float32.

    Parameters
    ----------
    name : the name of timm ("resnet18", "convnext_atto") or of smp ("mit_b0"), or "efficientnet-lite0"
    reduction : pixels per cell along a side; None: the deepest level
    weights
        None (random), "efficientnet-lite0" (comes with the toolbox), "imagenet" (downloaded), or a .safetensors file of the
        encoder, of a network that contains it, or of a run.
    seed : int, for random weights

    Raises
    ------
    InputError
        For names, levels, or files that do not exist or do not fit.

    >>> encoder = FrozenEncoder("resnet18", 8)
    >>> encoder(torch.zeros(1, 3, 64, 64)).shape, encoder.offset_px
    (torch.Size([1, 128, 8, 8]), 0.0)
    """

    def __init__(
        self, name: str, reduction: int | None = None, *, weights: str | Path | None = None, seed: int = 0
    ) -> None:
        self.name = name
        download = weights == IMAGENET
        if download:
            check_download(f"the weights {IMAGENET!r} of {name!r}")
        with _seeded(seed), _as_input_error(name, weights):
            build, levels = _levels(name)
            self.reduction, self.channels = _level(name, levels, reduction)
            self.module = build(self.reduction, download).eval().requires_grad_(requires_grad=False)
        if weights is None:
            _enable_residual_branches(self.module)
        elif not download:
            load_pretrained(self.module, weights, complete=True)
        self.mean, self.std = (HALF, HALF) if name == EncoderName.lite0 else (MEAN, STD)
        self.module.to(memory_format=torch.channels_last)  # 1.3 times as fast on CPUs
        self.device = "cpu"
        self._geometry: tuple[float, float] | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Return the maps of the level. Errors: InputError for a size that the encoder does not take."""
        with torch.inference_mode():
            try:
                maps: Tensor = self.module(images.contiguous(memory_format=torch.channels_last))[-1]
            except (RuntimeError, AssertionError, ValueError) as error:
                raise InputError(
                    f"encoder {self.name!r} does not take images of {tuple(images.shape[2:])} pixels: {error}. Cut "
                    "patches and give their size as input_px, or take a convolutional encoder."
                ) from error
        if maps.shape[1] != self.channels:  # swin puts channels last
            maps = maps.permute(0, 3, 1, 2)
        return maps.contiguous()

    def to(self, device: str) -> None:
        """Move to a device."""
        self.module.to(device)
        self.device = device

    @property
    def offset_px(self) -> float:
        """Position of the centre of the first cell in the image, in pixels: 0 for ResNets, (reduction − 1) / 2 for VGG."""
        return self._cached_geometry()[0]

    @property
    def reach_px(self) -> float:
        """Return the largest distance in pixels from a cell's centre within which pixels affect the cell."""
        return self._cached_geometry()[1]

    def state(self) -> dict[str, Tensor]:
        """Return name → tensor, on the CPU."""
        return {key: value.detach().cpu().contiguous().clone() for key, value in self.module.state_dict().items()}

    def _cached_geometry(self) -> tuple[float, float]:
        if self._geometry is None:
            self._geometry = _geometry(self)
        return self._geometry


Build = Callable[[int, bool], nn.Module]


def _levels(name: str) -> tuple[Build, list[tuple[int, int]]]:
    """Return a function that builds an encoder up to a level, and (reduction, channels) of its levels from fine to coarse."""
    import timm
    from segmentation_models_pytorch.encoders import get_encoder, get_encoder_names

    if name == EncoderName.lite0:
        levels = [(2**depth, width) for depth, width in enumerate(LEVEL_CHANNELS, start=1)]
        return lambda reduction, _: EfficientNetLite0(levels=reduction.bit_length() - 1), levels
    if timm.is_model(name):
        with torch.device("meta"):  # only the list: no memory, no time
            info: Any = timm.create_model(name, pretrained=False, features_only=True).feature_info
        levels = list(zip(info.reduction(), info.channels(), strict=True))
        index_of = dict(zip(info.reduction(), info.out_indices, strict=True))  # of transformers the last block
        return lambda reduction, download: timm.create_model(
            name, pretrained=download, features_only=True, out_indices=(index_of[reduction],)
        ), levels
    if name in get_encoder_names():
        channels = get_encoder(name, weights=None).out_channels
        levels = [(2**depth, width) for depth, width in enumerate(channels)][1:]
        return lambda reduction, download: get_encoder(
            name, depth=reduction.bit_length() - 1, weights=IMAGENET if download else None
        ), levels
    hint = name_hint(
        name, [EncoderName.lite0, *timm.list_models(), *get_encoder_names()], "timm.list_models() lists them."
    )
    raise InputError(f"encoder {name!r} is unknown to timm and to smp. {hint}")


def _level(name: str, levels: Sequence[tuple[int, int]], reduction: int | None) -> tuple[int, int]:
    known = dict(levels)  # the last level of a reduction wins
    chosen = levels[-1][0] if reduction is None else reduction
    if chosen not in known:
        raise InputError(f"encoder {name!r} has no level of reduction {chosen}; it has {', '.join(map(str, known))}.")
    return chosen, known[chosen]


@contextmanager
def _seeded(seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _as_input_error(name: str, weights: str | Path | None) -> Any:
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"the weights {str(weights)!r} of {name!r} could not be downloaded: {error}. Give a .safetensors file, or "
            "connect to the internet once."
        ) from error
    except BUILD_ERRORS as error:
        raise InputError(f"encoder {name!r} with weights {str(weights)!r} cannot be built: {error}.") from error


def _enable_residual_branches(module: nn.Module) -> None:
    """Set zero scales of residual branches to 1: zeros are good for training and bad for features."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and not part.weight.any():
            nn.init.ones_(part.weight)


def _geometry(encoder: FrozenEncoder) -> tuple[float, float]:
    """Return the centre of the first cell and the largest reach of a cell, in pixels, from the kernels on the way.

    A kernel of side k with padding p moves the centre by (k − 1) / 2 − p pixels of its input. Parallel kernels are
    averaged.
    """
    moves: dict[float, list[float]] = defaultdict(list)
    reach = 0.0

    def record(module: Any, images: tuple[Tensor, ...], _: Any) -> None:
        nonlocal reach
        kernel, stride, padding, dilation = (
            _first(getattr(module, key, 1)) for key in ("kernel_size", "stride", "padding", "dilation")
        )
        step = TRIAL_PX / images[0].shape[-2]
        half = (kernel - 1) * dilation / 2
        padding = (
            (kernel - stride) // 2 if isinstance(module, SameConv) else padding
        )  # above and left, of whole strides
        reach += half * step
        if stride > 1:
            moves[step].append(half - padding if isinstance(padding, int) else 0.0)

    layers = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    hooks = [part.register_forward_hook(record) for part in encoder.module.modules() if isinstance(part, layers)]
    try:
        encoder(torch.zeros(1, 3, TRIAL_PX, TRIAL_PX, device=encoder.device))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(step * sum(shifts) / len(shifts) for step, shifts in moves.items()), reach


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value
