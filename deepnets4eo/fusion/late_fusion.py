"""Late fusion: one network a sensor, and the mean of their scores, which a small network may correct."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.streams import MEAN, FusionNetwork, average, first_weights, mask_absent_streams, one_each
from deepnets4eo.segmentation import conv_block, he_init
from deepnets4eo.segmenters import IMAGENET, NetworkSegmenter, create_model, last_layer, load_run, replace_last_layer

SCORES, PROBABILITIES = "scores", "probabilities"


class LateFusion(FusionNetwork):
    """Base of networks that fuse the scores of `members`, one a stream; frozen ones keep weights and statistics."""

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        streams: Sequence[int] | None,
        members: MemberSpec,
        *,
        frozen: bool,
        absent: str,
    ) -> None:
        super().__init__(in_channels, streams, absent)
        self.frozen = frozen
        built = [self.as_member(network, num_classes) for network in members.build(self.sizes, num_classes)]
        self.members = nn.ModuleList(built).requires_grad_(not frozen)
        self.train(self.training)

    def as_member(self, network: nn.Module, num_classes: int) -> nn.Module:
        """Return a network of a stream in the form that this fusion needs."""
        return network

    @abstractmethod
    def stream_networks(self) -> Sequence[nn.Module]:
        """Return the network of each stream, as `create_model` built it."""

    def train(self, mode: bool = True) -> LateFusion:
        """Set the mode of the module; members that are frozen stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.members.eval()
        return self

    def encoder_modules(self) -> Sequence[nn.Module]:
        """Return the encoders of all streams. Errors: InputError if a network has no encoder."""
        networks = self.stream_networks()
        without = [type(network).__name__ for network in networks if not hasattr(network, "encoder")]
        if without:
            raise InputError(
                f"{', '.join(without)} has no part named encoder. Set train.encoder_lr_factor to 1, train.pull_to_start to 0."
            )
        return [network.get_submodule("encoder") for network in networks]


class DualStream(LateFusion):
    """The mean of two or more networks, one per sensor. Source: Audebert et al., ACCV 2016.

    A head of `create_model` is added to each stream.

    Errors: InputError for arguments that do not fit together.

    Parameters
    ----------
    in_channels, num_classes, streams : bands of each sensor, or their sum together with `streams`; classes K
    network, encoder, weights, options : arguments of the networks of the streams, see `MemberSpec`
    of
        "scores": the mean before the softmax; "probabilities": the mean of the probabilities, returned as its logarithm
    frozen : neither the streams nor their normalisation statistics are trained: for networks trained before
    absent : replacement of an absent stream, see `Streams`; "silent": the mean is over the sensors present

    Examples
    --------
    >>> network = DualStream((3, 1), 6, options={"width": 4}).eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        *,
        streams: Sequence[int] | None = None,
        network: str | Sequence[str] = "segnet",
        encoder: str | Sequence[str | None] | None = None,
        weights: str | None = None,
        options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        of: str = SCORES,
        frozen: bool = False,
        absent: str = MEAN,
    ) -> None:
        if of not in (SCORES, PROBABILITIES):
            raise InputError(f"of={of!r} is unknown; expected {SCORES} or {PROBABILITIES}.")
        members = MemberSpec(network, encoder, weights, options)
        super().__init__(in_channels, num_classes, streams, members, frozen=frozen, absent=absent)
        self.of = of

    @property
    def averaged(self) -> list[nn.Module]:
        """The streams' networks: a head of the toolbox replaces the last layer of each."""
        return list(self.members)

    def stream_networks(self) -> Sequence[nn.Module]:
        """Return the network of each stream."""
        return list(self.members)

    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Mean over the streams that are present."""
        scores = [member(part) for member, part in zip(self.members, parts, strict=True)]
        if self.of == SCORES:
            return average(scores, present)
        mean = average([score.softmax(dim=1) for score in scores], present)
        return mean.clamp(min=1e-12).log()  # a probability of 0 in all streams stays finite


class ResidualCorrection(LateFusion):
    """P = ½ (P_a + P_b) + C(Z_a, Z_b), on scores, with Z the maps before each network's last layer.

    C is two convolutions with normalisation and ReLU, and a last convolution to the scores. The weights of the last
    convolution start at zero, so the first logits are the average.

    With SegNet streams Z_a and Z_b have 64 + 64 maps. A head of `create_model` replaces the last layer of C, and does
    not start at zero.

    Source: Audebert et al., ACCV 2016.

    Errors: InputError for arguments that do not fit together.

    Parameters
    ----------
    in_channels, num_classes, streams : bands of each sensor, or their sum together with `streams`; classes K
    network, encoder, weights, options
        Arguments of the networks of the streams, by default "segnet", see `MemberSpec`; weights "RUN,RUN" start from
        trained streams, as in the paper.
    frozen : only C is trained: for streams that are trained already
    correction_width : channels within C
    absent : replacement of an absent stream, see `Streams`; "silent": mean and correction use the sensors present

    Examples
    --------
    >>> network = ResidualCorrection((3, 1), 6, options={"width": 4}).eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

    usual_network = "segnet"  # of the streams, where none is named

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        *,
        streams: Sequence[int] | None = None,
        network: str | Sequence[str] | None = None,
        encoder: str | Sequence[str | None] | None = None,
        weights: str | None = None,
        options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        frozen: bool = False,
        correction_width: int = 64,
        absent: str = MEAN,
    ) -> None:
        check_no_head(options)
        members = MemberSpec(network or self.usual_network, encoder, weights, options)
        super().__init__(in_channels, num_classes, streams, members, frozen=frozen, absent=absent)
        features = sum(member.width for member in self.members)  # type: ignore[misc]
        channels = [features, correction_width, correction_width]
        self.correction = conv_block(channels)
        self.head: nn.Module = nn.Conv2d(correction_width, num_classes, 3, padding=1)
        he_init(self.correction)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.correction = self.correction_layers(self.correction, channels)

    def as_member(self, network: nn.Module, num_classes: int) -> nn.Module:
        """Return the network, changed to return its last maps in addition to the scores."""
        return NetworkWithFeatures(network, num_classes)

    def correction_layers(self, normalised: nn.Sequential, channels: Sequence[int]) -> nn.Sequential:
        """C but for its last layer: convolutions with normalisation, or others with `channels` before, between and after."""
        return normalised

    def join(self, scores: Sequence[Tensor], present: list[Tensor] | None) -> Tensor:
        """Return the mean of the scores (N, K, H, W) of the present streams, to be corrected; scores of absent streams are 0."""
        return average(scores, present)

    def stream_networks(self) -> Sequence[nn.Module]:
        """Return the network of each stream."""
        return [member.get_submodule("network") for member in self.members]

    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Return the joined scores, corrected."""
        outputs = [member(part) for member, part in zip(self.members, parts, strict=True)]
        scores, maps = zip(*outputs, strict=True)
        correction: Tensor = self.head(self.correction(torch.cat(mask_absent_streams(maps, present), dim=1)))
        return self.join(mask_absent_streams(scores, present), present) + correction


@dataclass(frozen=True)
class MemberSpec:
    """Networks of the streams: `create_model`'s arguments, one for all or one each; weights: also folders of runs."""

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
    """A network's last convolution, which returns scores and the maps that it took, for the same steps after it."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: Tensor) -> Tensor:
        """Return the scores of the last layer together with its input maps.

        maps : (N, C, h, w) · returns : (N, K + C, h, w)."""
        return torch.cat([self.layer(maps), maps], dim=1)


class NetworkWithFeatures(nn.Module):
    """A network that returns scores (N, K, H, W) and its last maps (N, width, H, W); InputError without last convolution."""

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
    for stream in options if isinstance(options, Sequence) else [options or {}]:
        if stream.get("head"):
            raise InputError(
                f"streams of a residual correction got head={stream['head']!r}; they end in one convolution. Set the "
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
    is_run = source is not None and source != IMAGENET and Path(source).is_dir()
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
