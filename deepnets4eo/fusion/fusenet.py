"""FuseNet: one SegNet, and a second encoder whose activations are added to the first's before each pooling.

Takes the bands of the main sensor followed by those of the auxiliary ones; gives logits of the image's size.
Refuses images of other bands than it was built for. Not symmetric: the main encoder's pooling places are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.fusion.streams import (
    MEAN,
    Streams,
    first_weights,
    mask_absent_streams,
    parameters_of,
    stream_sizes,
    total,
)
from deepnets4eo.segmentation import SegNetDecoder, SegNetEncoder, he_init, load_encoder, max_pool, pad_to_stride

WIDTH = 64  # channels of VGG-16's first stage
STRIDE_PX = 32


class FuseNet(nn.Module):
    """FuseNet (Hazirbas et al. 2016) on SegNet (Audebert et al., ISPRS J. 2018): after each stage of the encoders
    E_main = B_main(E_main) + B_auxiliary(E_auxiliary), then pooling; an auxiliary encoder pools what is its own.

    44,169,606 weights for 3 + 3 bands and 6 classes. Main encoder, decoder and head are named as SegNet's, whose
    weights fit; where the auxiliary activations are zero, the logits are that SegNet's.

    in_channels : bands of the main sensor and of one or more auxiliary ones, or their sum beside `streams`.
    width : channels of the first stage; smaller ones for trials. absent : see `Streams`; "silent": without its
    auxiliary it is a SegNet of the main sensor. weights : of the encoders, e.g. "imagenet" for the main one, or
    "FILE,FILE" for both, see `deepnets4eo.segmentation.load_encoder`.
    Errors: InputError for streams that do not add up, and weights that do not fit.

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
        absent: str = MEAN,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        main, *others = sizes = stream_sizes(in_channels, streams)
        self.streams = Streams(sizes, absent)
        self.encoder = SegNetEncoder(main, width=width)
        self.auxiliary = nn.ModuleList(SegNetEncoder(size, width=width) for size in others)
        self.decoder = SegNetDecoder(width=width)
        self.head: nn.Module = nn.Conv2d(width, num_classes, 3, padding=1)
        he_init(self)
        load_first(weights, [self.encoder, *self.auxiliary])

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of all encoders, which may learn at a rate of their own."""
        return parameters_of(self.encoder, self.auxiliary)

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        height, width = image.shape[2:]
        parts, present = self.streams(pad_to_stride(image, STRIDE_PX))
        maps, *others = parts
        places = []
        for depth, stage in enumerate(self.encoder.stages):
            if depth:
                others = [F.max_pool2d(other, 2) for other in others]
            others = [stages_of(encoder)[depth](other) for encoder, other in zip(self.auxiliary, others, strict=True)]
            maps, found = max_pool(total(mask_absent_streams([stage(maps), *others], present)))
            places.append(found)
        logits: Tensor = self.head(self.decoder(maps, places)[-1])
        return logits[:, :, :height, :width]


def stages_of(encoder: nn.Module) -> nn.ModuleList:
    """The stages of a SegNet encoder that a list of modules holds."""
    stages: nn.ModuleList = encoder.stages  # type: ignore[assignment]
    return stages


def load_first(weights: str | None, encoders: Sequence[SegNetEncoder]) -> None:
    """First weights of SegNet encoders, one source each, separated by commas."""
    for source, encoder in zip(first_weights(weights, len(encoders)), encoders, strict=True):
        if source is not None:
            load_encoder(encoder, source)
