"""V-FuseNet: one encoder a sensor and a virtual one, which belongs to no sensor and learns what they share.

Takes the bands of the sensors one after the other; returns logits of the image's size.
Refuses images of other bands than it was built for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepnets4eo.fusion.segnet_fusion import WIDTH, SegNetFusion, next_stage
from deepnets4eo.fusion.streams import MEAN, mask_absent_streams, total
from deepnets4eo.segmentation import NORM_FIRST, Order, SegNetEncoder, max_pool


class VFuseNet(SegNetFusion):
    """V-FuseNet: a virtual encoder between those of the sensors, whose maps are added after each stage.

    The first virtual stage takes the sensors' first maps side by side, the others the pooled sums. After each stage
    the maps of the virtual encoder and of the sensors are added, then pooled; the decoder uses those pooling
    indices. Each sensor's encoder pools its own maps. No sensor comes first: swapped with their encoders, and with
    their halves of the first virtual convolution, they return the same logits. 58,964,742 weights for 3 + 3 bands
    and 6 classes. Source: Audebert, Le Saux, Lefèvre, ISPRS J. 2018.

    Parameters
    ----------
    in_channels
        Bands of each sensor, or their sum beside `streams`.
    num_classes
        Classes K, at least 1.
    streams
        Bands of each sensor, in the order of the layers.
    width
        Channels of the first stage; VGG-16 has 64.
    order
        Of convolution, normalisation and ReLU, see `deepnets4eo.segmentation.conv_block`.
    absent
        What an absent stream is replaced by, see `Streams`.
    weights
        First weights of the sensors' encoders, "RUN,RUN", "FILE,FILE" or "imagenet", see
        `deepnets4eo.segmentation.load_encoder`; the authors began with SegNets trained on each sensor.

    Raises
    ------
    InputError
        Streams that do not add up, and weights that do not fit.

    Examples
    --------
    >>> network = VFuseNet((3, 1), 6, width=4).eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

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
        encoders = [SegNetEncoder(size, width=width, order=order) for size in self.sizes]
        self.encoders = nn.ModuleList(encoders)
        self.virtual = SegNetEncoder(len(encoders) * width, width=width, order=order)
        self.add_decoder(num_classes, width, order, encoders, weights)

    def encoder_modules(self) -> Sequence[nn.Module]:
        """The encoders of all sensors, and the virtual one."""
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
