"""FuseNet and V-FuseNet: SegNet with one encoder a sensor, whose activations are added before each pooling.

V-FuseNet is symmetric: a virtual encoder learns what the sensors share.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.fusion.streams import MEAN, EncoderFusion, first_weights, mask_absent_streams, total
from deepnets4eo.segmentation import NORM_FIRST, Order, SegNetDecoder, SegNetEncoder, he_init, load_encoder, max_pool

WIDTH = 64  # channels of VGG-16's first stage


class SegNetFusion(EncoderFusion):
    """Base of fusion networks with SegNet's encoders and decoder; subclasses define the encoders and how they meet."""

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        *,
        streams: Sequence[int] | None = None,
        width: int = WIDTH,
        order: Order = NORM_FIRST,
        absent: str = MEAN,
        weights: str | None = None,
    ) -> None:
        super().__init__(in_channels, streams, absent)
        encoders = self.add_encoders(width, order)
        self.decoder = SegNetDecoder(width=width, order=order)
        self.head: nn.Module = nn.Conv2d(width, num_classes, 3, padding=1)
        he_init(self)
        for source, encoder in zip(first_weights(weights, len(encoders)), encoders, strict=True):
            if source is not None:
                load_encoder(encoder, source)

    @abstractmethod
    def add_encoders(self, width: int, order: Order) -> list[SegNetEncoder]:
        """Set the encoders as attributes and return the sensors' encoders, in the order of the streams."""

    def decode(self, maps: Tensor, pool_indices: list[Tensor]) -> Tensor:
        """Scores (N, K, H, W) from the last pooled maps and the pooling indices of all stages."""
        logits: Tensor = self.head(self.decoder(maps, pool_indices)[-1])
        return logits


def next_stage(encoders: Iterable[nn.Module], maps: Sequence[Tensor], stage_index: int) -> list[Tensor]:
    """Return the maps of several encoders after their next stage; each encoder pools its own maps before it."""
    if stage_index:
        maps = [F.max_pool2d(features, 2) for features in maps]
    stages = [encoder.get_submodule(f"stages.{stage_index}") for encoder in encoders]
    return [stage(features) for stage, features in zip(stages, maps, strict=True)]


class FuseNet(SegNetFusion):
    """FuseNet on SegNet: after each stage the auxiliary encoders' maps are added to the main encoder's, then pooled.

    Each auxiliary encoder pools its own maps.

    Main encoder, decoder and head are named as in SegNet, whose weights fit. If the auxiliary activations are zero, the
    logits equal the logits of that SegNet.

    The network has 44,169,606 weights for 3 + 3 bands and 6 classes. Sources: Hazirbas et al., ACCV 2016; Audebert, Le
    Saux, Lefèvre, ISPRS J. 2018.

    Errors: InputError for streams that do not add up, and weights that do not fit.

    Parameters
    ----------
    in_channels, num_classes, streams
        Bands of the main sensor and of one or more auxiliary sensors, or their sum together with `streams`; classes K.
    width : channels of the first stage; VGG-16 has 64
    order : the order of convolution, normalisation and ReLU, see `deepnets4eo.segmentation.conv_block`
    absent
        Replacement of an absent stream, see `Streams`. With "silent" and without its auxiliary sensors the network is a
        SegNet of the main sensor.
    weights
        First weights of the encoders: "imagenet" for the main encoder, or "RUN,RUN" or "FILE,FILE" for both, see
        `deepnets4eo.segmentation.load_encoder`.

    Examples
    --------
    >>> network = FuseNet((3, 1), 6, width=4).eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

    def add_encoders(self, width: int, order: Order) -> list[SegNetEncoder]:
        """One encoder a sensor; the first one is the main encoder."""
        self.encoder, *auxiliary = [SegNetEncoder(size, width=width, order=order) for size in self.sizes]
        self.auxiliary = nn.ModuleList(auxiliary)
        return [self.encoder, *auxiliary]

    def encoder_modules(self) -> Sequence[nn.Module]:
        """Return the encoders of all sensors."""
        return [self.encoder, self.auxiliary]

    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Logits of the padded streams: the main encoder's next stage takes the sums."""
        maps, *others = parts
        pool_indices = []
        for index, stage in enumerate(self.encoder.stages):
            others = next_stage(self.auxiliary, others, index)
            maps, indices = max_pool(total(mask_absent_streams([stage(maps), *others], present)))
            pool_indices.append(indices)
        return self.decode(maps, pool_indices)


class VFuseNet(SegNetFusion):
    """V-FuseNet: a virtual encoder between the encoders of the sensors, with all maps added after each stage.

    The first virtual stage takes the sensors' first maps, concatenated; later stages take the pooled sums.

    After each stage the maps of the virtual encoder and of the sensors are added, then pooled. The decoder uses those
    pooling indices; each sensor's encoder pools its own maps.

    The network has 58,964,742 weights for 3 + 3 bands and 6 classes. Source: Audebert, Le Saux, Lefèvre, ISPRS J. 2018.

    Errors: InputError for streams that do not add up, and weights that do not fit.

    Parameters
    ----------
    in_channels, num_classes, streams, width, order, absent : As for `FuseNet`, except that no sensor is the main sensor.
    weights
        First weights of the sensors' encoders, "RUN,RUN", "FILE,FILE" or "imagenet", see
        `deepnets4eo.segmentation.load_encoder`; the authors began with SegNets trained on each sensor.

    Examples
    --------
    >>> network = VFuseNet((3, 1), 6, width=4).eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

    def add_encoders(self, width: int, order: Order) -> list[SegNetEncoder]:
        """One encoder a sensor, and the virtual one."""
        encoders = [SegNetEncoder(size, width=width, order=order) for size in self.sizes]
        self.encoders = nn.ModuleList(encoders)
        self.virtual = SegNetEncoder(len(encoders) * width, width=width, order=order)
        return encoders

    def encoder_modules(self) -> Sequence[nn.Module]:
        """Return the encoders of all sensors and the virtual encoder."""
        return [self.encoders, self.virtual]

    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Logits of the padded streams: the virtual encoder's next stage takes the sums."""
        maps, pool_indices = parts[0], []
        for index, stage in enumerate(self.virtual.stages):
            parts = next_stage(self.encoders, parts, index)
            masked = mask_absent_streams(parts, present)
            shared = stage(maps if index else torch.cat(masked, dim=1))
            maps, indices = max_pool(shared + total(masked))
            pool_indices.append(indices)
        return self.decode(maps, pool_indices)
