"""The order of bands of two layers, unless both name their bands: by names, colour interpretation or wavelengths."""

from __future__ import annotations

import logging

from deepnets4eo.rasters.band_roles import colour_positions, order_by_colours
from deepnets4eo.rasters.layer import Layer

log = logging.getLogger(__name__)


def in_colour_order_of(layer: Layer, other: Layer) -> Layer:
    """Return the bands in the order of another layer's, if both state red, green and blue and not both by names; warn of another order."""
    both_named = all(colour_positions(entry.band_names, None) for entry in (layer, other))
    order = order_by_colours(other.colour_positions, other.count, layer.colour_positions, layer.count)
    if both_named or order is None or order == list(range(layer.count)):
        return layer
    log.warning(
        "%s states its colours in another order than %s, by names, colour interpretation or wavelengths: its bands are read in the order %s.",
        layer.source, other.source, ", ".join(str(index + 1) for index in order),
    )  # fmt: skip
    return layer.subset([layer.bands[index] for index in order])
