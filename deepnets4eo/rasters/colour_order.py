"""The order of bands of two layers if one names its bands and the other states colours by interpretation."""

from __future__ import annotations

import logging

from deepnets4eo.rasters.band_roles import colour_positions, order_by_colours
from deepnets4eo.rasters.layer import Layer

log = logging.getLogger(__name__)


def in_colour_order_of(layer: Layer, other: Layer) -> Layer:
    """Return the bands in the order of another layer's, if both state red, green and blue and only one has names; warn of another order."""
    names, other_names = (bool(colour_positions(entry.band_names, None)) for entry in (layer, other))
    order = order_by_colours(other.colour_positions, other.count, layer.colour_positions, layer.count)
    if names == other_names or order is None or order == list(range(layer.count)):
        return layer
    log.warning(
        "%s states its colours in another order than %s, one by names and one by colour interpretation: its bands are read in the order %s.",
        layer.source, other.source, ", ".join(str(index + 1) for index in order),
    )  # fmt: skip
    return layer.subset([layer.bands[index] for index in order])
