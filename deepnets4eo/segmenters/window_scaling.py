"""Networks whose first layer scales each window by its own values, and how they take images that are scaled already.

Tiles of one scene have different values of their own, so that such a network shows their borders: prediction scales the
whole scene beforehand (`prediction.scene_scaling`). Takes any segmenter; works without PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from deepnets4eo.segmenters.segmenter import Segmenter

LEAST_SPREAD = 0.05  # of standardised values: a window of one grey value stays grey


class WindowScaler(Protocol):
    """A layer that removes each window's mean by band and divides by its spread plus `LEAST_SPREAD`.

    The spread is the root mean square of these bands without their means. The last `unscaled_bands` keep their values, and
    images that are scaled already stay as they are.
    """

    scaled_beforehand: bool
    unscaled_bands: int


def window_scalers(segmenter: Segmenter) -> list[WindowScaler]:
    """Layers of that kind in all networks of a segmenter; none where one of its networks has no such layer, or scales other bands.

    Parameters
    ----------
    segmenter
        A network, an ensemble, or any other.

    Returns
    -------
    list
        The layers.
    """
    members = getattr(segmenter, "members", None)
    if members is not None:
        layers = [window_scalers(member) for member in members]
        kinds = {of_member[0].unscaled_bands if of_member else None for of_member in layers}
        return [layer for of_member in layers for layer in of_member] if len(kinds) == 1 and None not in kinds else []
    module = getattr(segmenter, "module", None)
    return [] if module is None else [layer for layer in module.modules() if hasattr(layer, "scaled_beforehand")]


@contextmanager
def scaled_beforehand(layers: Sequence[WindowScaler]) -> Iterator[None]:
    """Within the context the layers leave their input as it is.

    Parameters
    ----------
    layers
        The same as in `window_scalers`.
    """
    for layer in layers:
        layer.scaled_beforehand = True
    try:
        yield
    finally:
        for layer in layers:
            layer.scaled_beforehand = False
