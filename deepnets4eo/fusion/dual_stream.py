"""Late fusion by averaging: one network a sensor, the mean of their scores or of their probabilities.

Takes the bands of the sensors one after the other; gives logits of the image's size.
Refuses images of other bands than it was built for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.members import MemberSpec
from deepnets4eo.fusion.streams import MEAN, Streams, average, parameters_of, stream_sizes

SCORES, PROBABILITIES = "scores", "probabilities"


class DualStream(nn.Module):
    """The mean of two networks, one a sensor (Audebert et al., ACCV 2016); of more, where there are more sensors.

    in_channels : bands of each sensor, or their sum beside `streams`. network, encoder, weights, options : of the
    streams, see `MemberSpec`. of : "scores": the mean before the softmax, a geometric mean of the probabilities;
    "probabilities": their arithmetic mean, given as its logarithm. absent : see `Streams`; "silent": the mean is
    over the sensors that are there. A head of `create_model` goes on each stream. frozen : the streams stay as they
    are, the statistics of their normalisation too: the mean of networks that were trained before.
    Errors: InputError for what does not fit together.

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
        super().__init__()
        if of not in (SCORES, PROBABILITIES):
            raise InputError(f"of={of!r} is unknown; expected {SCORES} or {PROBABILITIES}.")
        sizes = stream_sizes(in_channels, streams)
        self.of, self.frozen = of, frozen
        self.streams = Streams(sizes, absent)
        members = MemberSpec(network, encoder, weights, options).build(sizes, num_classes)
        self.members = nn.ModuleList(members).requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> DualStream:
        """As of any module; frozen streams keep the statistics of their normalisation, too."""
        super().train(mode)
        if self.frozen:
            self.members.eval()
        return self

    @property
    def averaged(self) -> list[nn.Module]:
        """The streams' networks: a head of the toolbox replaces the last layer of each."""
        return list(self.members)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the streams' encoders, which may learn at a rate of their own."""
        return encoder_parameters_of(list(self.members))

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        parts, present = self.streams(image)
        scores = [member(part) for member, part in zip(self.members, parts, strict=True)]
        if self.of == SCORES:
            return average(scores, present)
        mean = average([score.softmax(dim=1) for score in scores], present)
        return mean.clamp(min=1e-12).log()  # what no stream thinks possible stays finite


def encoder_parameters_of(networks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Parameters of the parts named `encoder`; InputError where a network has none."""
    without = [type(network).__name__ for network in networks if not hasattr(network, "encoder")]
    if without:
        raise InputError(f"{', '.join(without)} has no part named encoder. Set train.encoder_lr_factor to 1.")
    return parameters_of(*(network.get_submodule("encoder") for network in networks))
