"""What averaging and residual correction share: one network a stream, which may stay as it was trained before.

Refuses another learning rate for encoders where a stream's network has no part named encoder.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.network import FusionNetwork


class LateFusion(FusionNetwork):
    """Base of networks that fuse the scores of one network a stream, the `members`."""

    def add_members(self, members: Sequence[nn.Module], *, frozen: bool) -> None:
        """Set the networks of the streams. frozen : neither their weights nor their statistics change in training."""
        self.frozen = frozen
        self.members = nn.ModuleList(members).requires_grad_(not frozen)
        self.train(self.training)

    @abstractmethod
    def stream_networks(self) -> Sequence[nn.Module]:
        """The network of each stream, as `create_model` built it."""

    def train(self, mode: bool = True) -> LateFusion:
        """As of any module; members that are frozen stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.members.eval()
        return self

    def encoder_modules(self) -> Sequence[nn.Module]:
        """The encoders of all streams. Errors: InputError where a network has none."""
        networks = self.stream_networks()
        without = [type(network).__name__ for network in networks if not hasattr(network, "encoder")]
        if without:
            raise InputError(f"{', '.join(without)} has no part named encoder. Set train.encoder_lr_factor to 1.")
        return [network.get_submodule("encoder") for network in networks]
