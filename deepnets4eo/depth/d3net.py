"""D3-Net: DenseNet-121 without its coarse first layer, and a decoder of transposed convolutions with skips, for depth, heights and classes.

Takes images whose sides are multiples of 32; returns maps of their size, one decoder tail a task.

Sources: Carvalho et al., On Regression Losses for Deep Depth Estimation (ICIP 2018), and Multi-Task Learning of Height
and Semantics from Aerial Images (GRSL 2020).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import DenseNet

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import COUNTER, Loaded, read_tensors

log = logging.getLogger(__name__)

SLOPE = 0.2  # of the encoder's rectifiers below 0
STEM = 64  # channels of the first layers
FEATURES = re.compile(r"(?:.*\.)?features\.(.+)")
SPLIT_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")  # of torchvision's older files


class D3Net(nn.Module):
    """D3-Net with skips.

    Parameters
    ----------
    in_channels, num_classes : bands, and channels of the output: 1 for only depth or heights
    tasks : channels of each task, with a decoder tail each; by default one task of all channels
    dropout : share of the channels dropped in the two deepest blocks of the decoder, 0 to 1; published 0.5
    blocks, growth : layers of the dense blocks, and their channels
    weights : safetensors file of a DenseNet with torchvision's names, as of `load_dense_features`

    Raises
    ------
    InputError
        Tasks that do not sum up to `num_classes`, dropout outside 0 to 1, or weights that do not fit at all.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in D3Net(3, 1).parameters())
    24212544
    >>> D3Net(3, 22, tasks=[21, 1]).eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 22, 32, 32])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        tasks: Sequence[int] = (),
        dropout: float = 0.0,
        blocks: Sequence[int] = (6, 12, 24, 16),
        growth: int = 32,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        tasks = tuple(tasks) or (num_classes,)
        if sum(tasks) != num_classes or min(tasks) < 1:
            raise InputError(
                f"tasks={list(tasks)} have {sum(tasks)} channels, but {num_classes} are estimated. Make them agree."
            )
        if not 0 <= dropout < 1:
            raise InputError(f"dropout={dropout} is no share of channels; expected at least 0 and below 1.")
        self.encoder = DenseEncoder(in_channels, blocks, growth)
        *skips, deepest = self.encoder.channels  # fine to coarse
        stem, first, second, third = skips
        self.decoder = nn.ModuleList(
            [
                UpsamplingBlock(deepest, third, dropout), UpsamplingBlock(2 * third, second, dropout), UpsamplingBlock(2 * second, first),
            ]
        )  # fmt: skip
        self.tails = nn.ModuleList(Tail(first, stem, count) for count in tasks)
        if weights is not None:
            load_dense_features(self.encoder.features, weights)

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, C, H, W) float32, standardised · returns : (N, K, H, W), the channels of the tasks in their order."""
        stem, first, second, third, maps = self.encoder(image)
        for block, skip in zip(self.decoder, (None, third, second), strict=True):
            maps = block(maps if skip is None else torch.cat([maps, skip], dim=1))
        return torch.cat([tail(maps, first, stem) for tail in self.tails], dim=1)


class DenseEncoder(nn.Module):
    """Dense blocks behind two strided convolutions; returns maps of `channels` at 1/2, 1/4 … 1/32 of the side."""

    def __init__(self, in_channels: int, blocks: Sequence[int], growth: int) -> None:
        super().__init__()
        dense = DenseNet(growth_rate=growth, block_config=tuple(blocks), num_init_features=STEM).features
        for name in ("conv0", "norm0", "relu0", "pool0"):
            delattr(dense, name)
        self.first = _strided(in_channels, 3)
        self.second = _strided(STEM, 4)
        self.features = dense
        last = [getattr(dense, f"transition{level}").conv.out_channels for level in (1, 2, 3)]
        self.channels = (STEM, *last, dense.norm5.num_features)

    def forward(self, image: Tensor) -> Iterable[Tensor]:
        """Return maps of five sizes; the maps at 1/4 to 1/16 come from the transitions before their pooling."""
        maps = [self.first(image)]
        current = self.second(maps[0])
        for level in (1, 2, 3):
            current = self.features.get_submodule(f"denseblock{level}")(current)
            transition = self.features.get_submodule(f"transition{level}")
            maps.append(transition.conv(transition.relu(transition.norm(current))))
            current = transition.pool(maps[-1])
        deepest = self.features.get_submodule("norm5")(self.features.get_submodule("denseblock4")(current))
        return [*maps, nn.functional.leaky_relu(deepest, SLOPE)]


def _strided(in_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, STEM, kernel, stride=2, padding=1, bias=False), nn.BatchNorm2d(STEM), nn.LeakyReLU(SLOPE)
    )


class UpsamplingBlock(nn.Module):
    """Twice the size by a transposed convolution, then a convolution, with dropout."""

    def __init__(self, in_channels: int, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        drop = [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(in_channels, channels, 4, stride=2, padding=1), nn.BatchNorm2d(channels), *drop, nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), *drop, nn.ReLU(),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of twice the size.

        maps : (N, C, h, w) · returns : (N, channels, 2 h, 2 w)."""
        larger: Tensor = self.layers(maps)
        return larger


class Tail(nn.Module):
    """The last two blocks of the decoder and the output of one task."""

    def __init__(self, coarse: int, fine: int, count: int) -> None:
        super().__init__()
        self.coarse, self.fine = UpsamplingBlock(2 * coarse, fine), UpsamplingBlock(2 * fine, fine)
        self.last = nn.Conv2d(fine, count, 3, padding=1, bias=False)

    def forward(self, maps: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return the output of a task.

        maps : shared, with the encoder's skips (N, C, h, w) and twice their size · returns : (N, count, 4 h, 4 w)."""
        own = self.coarse(torch.cat([maps, coarse], dim=1))
        output: Tensor = self.last(self.fine(torch.cat([own, fine], dim=1)))
        return output


def load_dense_features(features: nn.Module, path: str | Path) -> None:
    """Load a file's weights of a DenseNet's dense blocks and transitions, by name and shape; a message lists what is missing.

    path : safetensors with torchvision's names, also those before 2018. Raises InputError if nothing fits, or if the file cannot be read."""
    tensors = read_tensors(Path(path), [FEATURES])
    named = {SPLIT_NAME.sub(r"\1\2", FEATURES.fullmatch(name)[1]): value for name, value in tensors.items()}  # type: ignore[index]
    expected = features.state_dict()
    fitting = {name: value for name, value in named.items() if name in expected and expected[name].shape == value.shape}
    if not fitting:
        raise InputError(
            f"{path} holds no weights that fit the dense blocks. Give a DenseNet-121 as safetensors with torchvision's names "
            "(features.denseblock1.denselayer1.conv1.weight …)."
        )
    features.load_state_dict(expected | fitting)
    counters = {name for name in expected if name.endswith(COUNTER)}
    lacking, left = sorted(expected.keys() - fitting.keys() - counters), sorted(named.keys() - fitting.keys())
    report = Loaded(str(path), loaded=sorted(fitting.keys() - counters), missing=lacking, left=left)
    log.info("%s The first layers and the decoder are random from the start.", report)
