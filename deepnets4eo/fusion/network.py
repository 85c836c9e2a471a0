"""What all fusion networks share: the image cut into streams, absent streams, padding, and parameters of encoders.

Takes the bands of the sensors one after the other; returns logits of the image's size.
Refuses images with another number of bands than the network was built for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from deepnets4eo.fusion.streams import Streams, parameters_of, stream_sizes
from deepnets4eo.segmentation import pad_to_stride

STRIDE_PX = 32  # the encoders halve the image five times


class FusionNetwork(nn.Module, ABC):
    """Base of networks with one stream a sensor; subclasses define how the streams are fused.

    Parameters
    ----------
    in_channels
        Bands of each sensor, or their sum beside `streams`.
    streams
        Bands of each sensor, in the order of the layers.
    absent
        What an absent stream is replaced by, see `Streams`.

    Raises
    ------
    InputError
        Streams that do not add up to `in_channels`, or an unknown `absent`.
    """

    def __init__(self, in_channels: int | Sequence[int], streams: Sequence[int] | None, absent: str) -> None:
        super().__init__()
        self.streams = Streams(stream_sizes(in_channels, streams), absent)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bands of each stream."""
        return self.streams.sizes

    @abstractmethod
    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Logits (N, K, H, W) from the streams (N, size, H, W), and which are present, both as `Streams` returns them."""

    @abstractmethod
    def encoder_modules(self) -> Sequence[nn.Module]:
        """The encoders of all sensors."""

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of all encoders, for which training can set another learning rate."""
        return parameters_of(*self.encoder_modules())

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        return self.fuse(*self.streams(image))


class EncoderFusion(FusionNetwork):
    """Base of networks whose encoders are fused stage by stage: images of any size are padded and cut again."""

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        height, width = image.shape[2:]
        logits = super().forward(pad_to_stride(image, STRIDE_PX))
        return logits[:, :, :height, :width]
