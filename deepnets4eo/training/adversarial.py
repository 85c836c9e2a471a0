"""LS-GAN beside a loss of values: a discriminator learns to separate measured from estimated maps, the network to be taken for measured.

Both learn in one step of one optimiser, and lie in one checkpoint: the discriminator's gradients come from its own loss alone, those of the
network pass through the discriminator as it is. Mao et al., Least Squares GAN (ICCV 2017); Carvalho et al., ICIP 2018."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from deepnets4eo.segmenters.units import InUnits


def adversarial_loss(network: InUnits, image: Tensor, estimate: Tensor, values: Tensor) -> Tensor:
    """Return ½ (D(estimate) − 1)² of the network plus ½ (D(values) − 1)² + ½ D(estimate)² of its discriminator, () float32.

    image : (N, C, H, W) · estimate : (N, H, W), in the unit · values : (N, H, W), NaN where void: there both are the estimate."""
    assert network.discriminator is not None
    known = values.isfinite()
    truth = torch.where(known, values.nan_to_num(), estimate.detach())
    real, made = (
        torch.cat([image, ((one - network.offset) / network.scale)[:, None]], dim=1) for one in (truth, estimate)
    )
    own = (network.discriminator(real) - 1).square().mean() / 2 + network.discriminator(
        made.detach()
    ).square().mean() / 2
    as_it_is = {name: weight.detach() for name, weight in network.discriminator.named_parameters()}
    passed = functional_call(network.discriminator, as_it_is, (made,))
    return own + (passed - 1).square().mean() / 2
