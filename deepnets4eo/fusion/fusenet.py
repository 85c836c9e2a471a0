"""FuseNet: one SegNet, and a second encoder whose activations are added to the first's before each pooling.

Takes the bands of the main sensor followed by those of the auxiliary ones; returns logits of the image's size.
Refuses images of other bands than it was built for. Not symmetric: the main encoder's pooling indices are used.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from deepnets4eo.fusion.segnet_fusion import WIDTH, SegNetFusion, next_stage
from deepnets4eo.fusion.streams import MEAN, mask_absent_streams, total
from deepnets4eo.segmentation import NORM_FIRST, Order, SegNetEncoder, max_pool


class FuseNet(SegNetFusion):
    """FuseNet on SegNet: after each stage the auxiliary encoders' maps are added to the main encoder's, then pooled.

    Each auxiliary encoder pools its own maps. Main encoder, decoder and head are named as SegNet's, whose weights
    fit; where the auxiliary activations are zero, the logits are that SegNet's. 44,169,606 weights for 3 + 3 bands
    and 6 classes. Sources: Hazirbas et al., ACCV 2016; Audebert, Le Saux, Lefèvre, ISPRS J. 2018.

    Parameters
    ----------
    in_channels
        Bands of the main sensor and of one or more auxiliary ones, or their sum beside `streams`.
    num_classes
        Classes K, at least 1.
    streams
        Bands of each sensor, in the order of the layers.
    width
        Channels of the first stage; VGG-16 has 64.
    order
        Of convolution, normalisation and ReLU, see `deepnets4eo.segmentation.conv_block`.
    absent
        What an absent stream is replaced by, see `Streams`. With "silent" and without its auxiliary sensors the
        network is a SegNet of the main sensor.
    weights
        First weights of the encoders: "imagenet" for the main one, or "RUN,RUN" or "FILE,FILE" for both, see
        `deepnets4eo.segmentation.load_encoder`.

    Raises
    ------
    InputError
        Streams that do not add up, and weights that do not fit.

    Examples
    --------
    >>> import torch
    >>> network = FuseNet((3, 1), 6, width=4).eval()
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
        main, *others = self.sizes
        self.encoder = SegNetEncoder(main, width=width, order=order)
        auxiliary = [SegNetEncoder(size, width=width, order=order) for size in others]
        self.auxiliary = nn.ModuleList(auxiliary)
        self.add_decoder(num_classes, width, order, [self.encoder, *auxiliary], weights)

    def encoder_modules(self) -> Sequence[nn.Module]:
        """The encoders of all sensors."""
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
