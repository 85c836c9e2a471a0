"""The layer of a network that gives the scores, found and replaced: so that one head fits every network.

Takes any module that ends in a convolution with as many channels as there are classes; refuses others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from deepnets4eo.errors import InputError


def last_layer(network: nn.Module, num_classes: int) -> tuple[str, nn.Conv2d]:
    """Dotted name of the last convolution with `num_classes` channels, in the order of registration, and itself.

    Errors: InputError where the network has none.

    >>> last_layer(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 1)), 5)[0]
    '2'
    """
    found = [
        (name, layer)
        for name, layer in network.named_modules()
        if name and isinstance(layer, nn.Conv2d) and layer.out_channels == num_classes
    ]
    if not found:
        raise InputError(
            f"{type(network).__name__} has no convolution with {num_classes} channels, so its last layer cannot be "
            "replaced by a head. Take a network that ends in one, or leave the head out."
        )
    return found[-1]


def replace_last_layer(network: nn.Module, num_classes: int, build: Callable[[nn.Conv2d], nn.Module], /) -> nn.Module:
    """Put `build(last convolution)` in the last convolution's place; returns the network, changed.

    A network that is the mean of others has one last convolution in each: it names them in `averaged`, and each of
    them is changed. Errors: InputError where there is no last convolution.
    """
    parts: Iterable[nn.Module] = getattr(network, "averaged", [network])
    for part in parts:
        name, layer = last_layer(part, num_classes)
        parent, _, leaf = name.rpartition(".")
        setattr(part.get_submodule(parent), leaf, build(layer))
    return network
