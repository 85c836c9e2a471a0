"""V-FuseNet: one encoder a sensor and a virtual one, which belongs to none and learns what they share.

Takes the bands of the sensors one after the other; gives logits of the image's size.
Refuses images of other bands than it was built for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.fusion.fusenet import STRIDE_PX, WIDTH, load_first, stages_of
from deepnets4eo.fusion.streams import MEAN, Streams, mask_absent_streams, parameters_of, stream_sizes, total
from deepnets4eo.segmentation import SegNetDecoder, SegNetEncoder, he_init, max_pool, pad_to_stride


class VFuseNet(nn.Module):
    """V-FuseNet (Audebert, Le Saux, Lefèvre, ISPRS J. 2018).

    The first virtual stage sees the sensors' first maps side by side, the others what was pooled before. After each
    stage virtual and sensors' maps are added, then pooled; those places lead the one decoder. The sensors' encoders
    pool what is their own. No sensor comes first: swapped with their encoders, and with their halves of the first
    virtual convolution, they give the same logits.

    58,964,742 weights for 3 + 3 bands and 6 classes. in_channels : bands of each sensor, or their sum beside
    `streams`. width : channels of the first stage. absent : see `Streams`. weights : first ones of the sensors'
    encoders, "FILE,FILE" or "imagenet", see `deepnets4eo.segmentation.load_encoder`; the authors began with SegNets
    trained on each sensor. Errors: InputError for streams that do not add up, and weights that do not fit.

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
        absent: str = MEAN,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        sizes = stream_sizes(in_channels, streams)
        self.streams = Streams(sizes, absent)
        self.encoders = nn.ModuleList(SegNetEncoder(size, width=width) for size in sizes)
        self.virtual = SegNetEncoder(len(sizes) * width, width=width)
        self.decoder = SegNetDecoder(width=width)
        self.head: nn.Module = nn.Conv2d(width, num_classes, 3, padding=1)
        he_init(self)
        load_first(weights, list(self.encoders))

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of all encoders, which may learn at a rate of their own."""
        return parameters_of(self.encoders, self.virtual)

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        height, width = image.shape[2:]
        parts, present = self.streams(pad_to_stride(image, STRIDE_PX))
        maps, places = image, []
        for depth, stage in enumerate(self.virtual.stages):
            if depth:
                parts = [F.max_pool2d(part, 2) for part in parts]
            parts = [stages_of(encoder)[depth](part) for encoder, part in zip(self.encoders, parts, strict=True)]
            added = mask_absent_streams(parts, present)
            shared = stage(maps if depth else torch.cat(added, dim=1))
            maps, found = max_pool(shared + total(added))
            places.append(found)
        logits: Tensor = self.head(self.decoder(maps, places)[-1])
        return logits[:, :, :height, :width]
