"""First weights as published."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def initialise(modules: Iterable[nn.Module], weight: Callable[[Tensor], object], *, zero_bias: bool = False) -> None:
    """Set the weights of all linear layers and convolutions by one of `torch.nn.init`; biases become 0, or stay as
    torch makes them."""
    for module in modules:
        if isinstance(module, WEIGHTED):
            weight(module.weight)
            if zero_bias and module.bias is not None:
                nn.init.zeros_(module.bias)
