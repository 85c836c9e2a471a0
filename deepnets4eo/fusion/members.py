"""The networks of a late fusion: one of the toolbox a stream, each returning its scores and its last maps.

Takes names and options as `create_model` does, and optionally runs whose weights the networks start from.
Refuses runs of another network, and networks that do not end in a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.streams import first_weights, one_each
from deepnets4eo.segmentation import last_layer, replace_last_layer
from deepnets4eo.segmenters.networks import create_model
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter


@dataclass(frozen=True)
class MemberSpec:
    """What the networks of the streams are: `create_model`'s arguments, one for all or one each.

    weights : of each stream, separated by commas: what `create_model` takes, or the folder of a run on that stream.
    options : further arguments of the networks, e.g. {"width": 32}; one mapping for all, or one each.
    """

    network: str | Sequence[str] = "segnet"
    encoder: str | Sequence[str | None] | None = None
    weights: str | None = None
    options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None

    def build(self, sizes: Sequence[int], num_classes: int) -> list[nn.Module]:
        """One network a stream. Errors: InputError as `create_model`, and for runs that do not fit."""
        count = len(sizes)
        networks, encoders = one_each(self.network, count, "network"), one_each(self.encoder, count, "encoder")
        options, sources = one_each(self.options, count, "options"), first_weights(self.weights, count)
        return [
            _build(size, num_classes, *arguments)
            for size, *arguments in zip(sizes, networks, encoders, options, sources, strict=True)
        ]


class ScoreAndFeatureLayer(nn.Module):
    """A network's last convolution, which returns its scores followed by the maps that it took.

    What a network does after it (interpolation, cutting) is then done to both alike.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: Tensor) -> Tensor:
        """maps : (N, C, h, w) · returns : (N, K + C, h, w)."""
        return torch.cat([self.layer(maps), maps], dim=1)


class NetworkWithFeatures(nn.Module):
    """A network of the toolbox that returns scores (N, K, H, W) and its last maps (N, width, H, W).

    Errors: InputError for a network without a last convolution of `num_classes` channels.
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.width = last_layer(network, num_classes)[1].in_channels
        self.network = replace_last_layer(network, num_classes, ScoreAndFeatureLayer)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image : (N, C, H, W) · returns : scores and maps."""
        output: Tensor = self.network(image)
        return output[:, : self.num_classes], output[:, self.num_classes :]


def check_no_head(options: Any) -> None:
    """Refuse heads: they are more than one convolution, so no one layer takes the last maps."""
    for one in options if isinstance(options, Sequence) else [options or {}]:
        if one.get("head"):
            raise InputError(
                f"streams of a residual correction got head={one['head']!r}; they end in one convolution. Set the "
                "head of the residual correction itself, or leave it out."
            )


def _build(
    in_channels: int,
    num_classes: int,
    network: str,
    encoder: str | None,
    options: Mapping[str, Any] | None,
    source: str | None,
) -> nn.Module:
    further = dict(options or {})
    if further.get("deep_supervision"):
        raise InputError("deep_supervision returns several scores in training; a stream of a late fusion returns one.")
    is_run = source is not None and Path(source).is_dir()
    built = create_model(
        network, in_channels=in_channels, num_classes=num_classes, encoder=encoder,
        weights=None if is_run else source, **further,
    )  # fmt: skip
    if source is not None and is_run:
        _load_run(built, Path(source))
    return built


def _load_run(network: nn.Module, folder: Path) -> None:
    """Copy a run's weights. Its scaling is not copied, so the stream needs values scaled in the same way."""
    segmenter = load_run(folder).segmenter
    if not isinstance(segmenter, NetworkSegmenter):
        raise InputError(
            f"{folder} holds a segmenter of kind {segmenter.kind!r}, expected a network. Name another run."
        )
    try:
        network.load_state_dict(segmenter.module.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"{folder} holds the network {segmenter.network}, whose weights do not fit this stream: {error}. "
            "Describe the stream with the same network, bands, classes and options."
        ) from error
