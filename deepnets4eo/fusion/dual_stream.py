"""Late fusion by averaging: one network a sensor, the mean of their scores or of their probabilities.

Takes the bands of the sensors one after the other; returns logits of the image's size.
Refuses images of other bands than it was built for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.late_fusion import LateFusion
from deepnets4eo.fusion.members import MemberSpec
from deepnets4eo.fusion.streams import MEAN, average

SCORES, PROBABILITIES = "scores", "probabilities"


class DualStream(LateFusion):
    """The mean of two or more networks, one a sensor.

    A head of `create_model` is added to each stream. Source: Audebert et al., ACCV 2016.

    Parameters
    ----------
    in_channels
        Bands of each sensor, or their sum beside `streams`.
    num_classes
        Classes K, at least 1.
    streams
        Bands of each sensor, in the order of the layers.
    network, encoder, weights, options
        Of the streams' networks, see `MemberSpec`.
    of
        "scores": the mean before the softmax, a geometric mean of the probabilities; "probabilities": their
        arithmetic mean, of which the network returns the logarithm.
    frozen
        The streams are not trained, nor the statistics of their normalisation: for networks trained before.
    absent
        What an absent stream is replaced by, see `Streams`; "silent": the mean is over the sensors present.

    Raises
    ------
    InputError
        Arguments that do not fit together.

    Examples
    --------
    >>> import torch
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
        super().__init__(in_channels, streams, absent)
        self.of = of
        members = MemberSpec(network, encoder, weights, options).build(self.sizes, num_classes)
        self.add_members(members, frozen=frozen)

    @property
    def averaged(self) -> list[nn.Module]:
        """The streams' networks: a head of the toolbox replaces the last layer of each."""
        return list(self.members)

    def stream_networks(self) -> Sequence[nn.Module]:
        """The network of each stream."""
        return list(self.members)

    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Mean over the streams that are present."""
        scores = [member(part) for member, part in zip(self.members, parts, strict=True)]
        if self.of == SCORES:
            return average(scores, present)
        mean = average([score.softmax(dim=1) for score in scores], present)
        return mean.clamp(min=1e-12).log()  # a probability of 0 in all streams stays finite
