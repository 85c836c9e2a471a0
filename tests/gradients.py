"""Whether all parameters of a network learn: their gradient is there, finite and not all zero."""

from __future__ import annotations

from torch import nn


def without_gradient(network: nn.Module) -> list[str]:
    """Names of the parameters whose gradient is missing, not finite or zero everywhere.

    Errors: ValueError for a network without parameters.
    """
    parameters = dict(network.named_parameters())
    if not parameters:
        raise ValueError("the network has no parameters")
    return [
        name
        for name, one in parameters.items()
        if one.grad is None or not one.grad.isfinite().all() or not one.grad.any()
    ]
