"""The layer of a network that computes the scores, and its replacement: so that one head fits every network.

Takes any module that ends in a convolution with as many channels as there are classes; refuses others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from deepnets4eo.errors import InputError


def last_layer(network: nn.Module, num_classes: int) -> tuple[str, nn.Conv2d]:
    """The last convolution with as many channels as there are classes, in the order of registration.

    Parameters
    ----------
    network
        Any module.
    num_classes
        Classes K.

    Returns
    -------
    name : str
        Dotted name within the network.
    layer : nn.Conv2d
        The convolution.

    Raises
    ------
    InputError
        The network has none.

    Examples
    --------
    >>> last_layer(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 1)), 5)[0]
    '2'
    """
    layers = [
        (name, layer)
        for name, layer in network.named_modules()
        if name and isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer.out_channels == num_classes
    ]
    name, layer = layers[-1] if layers else ("", None)
    if not isinstance(layer, nn.Conv2d):
        raise InputError(
            f"{type(network).__name__} has no convolution with {num_classes} channels, so its last layer cannot be "
            "replaced by a head. Choose a network that ends in one, or leave the head out."
        )
    return name, layer


def replace_last_layer(network: nn.Module, num_classes: int, build: Callable[[nn.Conv2d], nn.Module], /) -> nn.Module:
    """Replace the last convolution by `build(last convolution)`.

    A network that is the mean of others has one last convolution in each: it lists them in `averaged`, and each of
    them is changed.

    Parameters
    ----------
    network
        Changed in place.
    num_classes
        Classes K, the channels of the last convolution.
    build
        Returns the new layer from the old one.

    Returns
    -------
    nn.Module
        The network.

    Raises
    ------
    InputError
        There is no last convolution.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1))
    >>> replace_last_layer(network, 5, lambda layer: nn.Conv2d(layer.in_channels, 5, 3))[1].kernel_size
    (3, 3)
    """
    parts: Iterable[nn.Module] = getattr(network, "averaged", [network])
    for part in parts:
        name, layer = last_layer(part, num_classes)
        parent, _, leaf = name.rpartition(".")
        setattr(part.get_submodule(parent), leaf, build(layer))
    return network
