"""What FuseNet and V-FuseNet share: SegNet's encoders a sensor, one decoder, and first weights of the encoders.

Takes maps and pooling indices of the fused encoders; returns scores. Refuses weights that do not fit an encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.fusion.network import EncoderFusion
from deepnets4eo.fusion.streams import first_weights
from deepnets4eo.segmentation import Order, SegNetDecoder, SegNetEncoder, he_init, load_encoder

WIDTH = 64  # channels of VGG-16's first stage


class SegNetFusion(EncoderFusion):
    """Base of fusion networks with SegNet's encoders and decoder; subclasses set the encoders, then the decoder."""

    def add_decoder(
        self, num_classes: int, width: int, order: Order, sensor_encoders: Sequence[SegNetEncoder], weights: str | None
    ) -> None:
        """Add the decoder and the last layer, draw all weights, then load those that `weights` names."""
        self.decoder = SegNetDecoder(width=width, order=order)
        self.head: nn.Module = nn.Conv2d(width, num_classes, 3, padding=1)
        he_init(self)
        sources = first_weights(weights, len(sensor_encoders))
        for source, encoder in zip(sources, sensor_encoders, strict=True):
            if source is not None:
                load_encoder(encoder, source)

    def decode(self, maps: Tensor, pool_indices: list[Tensor]) -> Tensor:
        """Scores (N, K, H, W) from the last pooled maps and the pooling indices of all stages."""
        logits: Tensor = self.head(self.decoder(maps, pool_indices)[-1])
        return logits


def next_stage(encoders: Iterable[nn.Module], maps: Sequence[Tensor], stage_index: int) -> list[Tensor]:
    """Maps of several encoders after their next stage; each encoder pools its own maps before it."""
    if stage_index:
        maps = [F.max_pool2d(one, 2) for one in maps]
    stages = [encoder.get_submodule(f"stages.{stage_index}") for encoder in encoders]
    return [stage(one) for stage, one in zip(stages, maps, strict=True)]
