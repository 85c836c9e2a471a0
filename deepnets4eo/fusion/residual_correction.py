"""Residual correction: the mean of two networks' scores, and a small network that learns where that mean is wrong.

Takes the bands of the sensors one after the other; returns logits of the image's size.
Refuses images of other bands than it was built for. Equals averaging until the correction is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.fusion.late_fusion import LateFusion
from deepnets4eo.fusion.members import MemberSpec, NetworkWithFeatures, check_no_head
from deepnets4eo.fusion.streams import MEAN, average, mask_absent_streams
from deepnets4eo.segmentation import conv_block, he_init


class ResidualCorrection(LateFusion):
    """P = ½ (P_a + P_b) + C(Z_a, Z_b), on scores, with Z the maps before each network's last layer.

    C is two convolutions with normalisation and ReLU, and one to the scores whose weights start at zero: the first
    logits are the average. With SegNet streams Z_a and Z_b are 64 + 64 maps. A head of `create_model` replaces C's
    last layer; it does not start at zero. Source: Audebert et al., ACCV 2016.

    Parameters
    ----------
    in_channels
        Bands of each sensor, or their sum beside `streams`.
    num_classes
        Classes K, at least 1.
    streams
        Bands of each sensor, in the order of the layers.
    network, encoder, weights, options
        Of the streams' networks, see `MemberSpec`; weights "RUN,RUN" start from trained streams, as in the paper.
    frozen
        Only C is trained: for streams that are trained already.
    correction_width
        Channels within C.
    absent
        What an absent stream is replaced by, see `Streams`; "silent": mean and correction use the sensors present.

    Raises
    ------
    InputError
        Arguments that do not fit together.

    Examples
    --------
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
        super().__init__(in_channels, streams, absent)
        check_no_head(options)
        built = MemberSpec(network, encoder, weights, options).build(self.sizes, num_classes)
        members = [NetworkWithFeatures(member, num_classes) for member in built]
        self.add_members(members, frozen=frozen)
        feature_channels = sum(member.width for member in members)
        self.correction = conv_block([feature_channels, correction_width, correction_width])
        self.head: nn.Module = nn.Conv2d(correction_width, num_classes, 3, padding=1)
        he_init(self.correction)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def stream_networks(self) -> Sequence[nn.Module]:
        """The network of each stream."""
        return [member.get_submodule("network") for member in self.members]

    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """The mean of the scores, corrected."""
        outputs = [member(part) for member, part in zip(self.members, parts, strict=True)]
        scores, maps = zip(*outputs, strict=True)
        correction: Tensor = self.head(self.correction(torch.cat(mask_absent_streams(maps, present), dim=1)))
        return average(scores, present) + correction
