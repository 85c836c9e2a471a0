"""Residual correction: the mean of two networks' scores, and a small network that learns where that mean is wrong.

Takes the bands of the sensors one after the other; gives logits of the image's size.
Refuses images of other bands than it was built for. Equals averaging until the correction has learned something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.fusion.dual_stream import encoder_parameters_of
from deepnets4eo.fusion.members import MemberSpec, NetworkWithFeatures, check_no_head
from deepnets4eo.fusion.streams import MEAN, Streams, average, mask_absent_streams, stream_sizes
from deepnets4eo.segmentation import conv_block, he_init


class ResidualCorrection(nn.Module):
    """P = ½ (P_a + P_b) + C(Z_a, Z_b) (Audebert et al., ACCV 2016), on scores, Z the maps before each last layer.

    C is two convolutions with normalisation and ReLU, and one to the scores whose weights start at zero: the first
    logits are the average. With SegNet streams Z_a and Z_b are 64 + 64 maps.

    in_channels : bands of each sensor, or their sum beside `streams`. network, encoder, weights, options : of the
    streams, see `MemberSpec`; weights "RUN,RUN" start from trained streams, which the paper does.
    frozen : only C learns; for streams that are trained already. correction_width : channels within C.
    absent : see `Streams`; "silent": averages, and corrects with, what is there.
    A head of `create_model` takes the place of C's last layer; it does not start at zero.
    Errors: InputError for what does not fit together.

    >>> network = ResidualCorrection((3, 1), 6, options={"width": 4}).eval()
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
        frozen: bool = False,
        correction_width: int = 64,
        absent: str = MEAN,
    ) -> None:
        super().__init__()
        sizes = stream_sizes(in_channels, streams)
        self.frozen = frozen
        self.streams = Streams(sizes, absent)
        check_no_head(options)
        members = MemberSpec(network, encoder, weights, options).build(sizes, num_classes)
        telling = [NetworkWithFeatures(member, num_classes) for member in members]
        self.members = nn.ModuleList(telling).requires_grad_(not frozen)
        seen = sum(member.width for member in telling)
        self.correction = conv_block([seen, correction_width, correction_width])
        self.head: nn.Module = nn.Conv2d(correction_width, num_classes, 3, padding=1)
        he_init(self.correction)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.train(self.training)

    def train(self, mode: bool = True) -> ResidualCorrection:
        """As of any module; frozen streams keep the statistics of their normalisation, too."""
        super().train(mode)
        if self.frozen:
            self.members.eval()
        return self

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the streams' encoders, which may learn at a rate of their own."""
        return encoder_parameters_of([member.network for member in self.members])  # type: ignore[misc]

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        parts, present = self.streams(image)
        told = [member(part) for member, part in zip(self.members, parts, strict=True)]
        scores, maps = zip(*told, strict=True)
        correction: Tensor = self.head(self.correction(torch.cat(mask_absent_streams(maps, present), dim=1)))
        return average(scores, present) + correction
