"""The display of images of more than 8 bits to a run that was trained on images of 8 bits."""

from __future__ import annotations

from collections.abc import Mapping

from deepnets4eo.damage.images.dates import in_colour
from deepnets4eo.damage.network.pairs import POST, PRE, with_bands
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import LayerInput, Stretch, needed_stretch


def image_stretches(expected: Mapping[str, LayerInput], pre: Layer | None, post: Layer | None) -> dict[str, Stretch]:
    """Return the stretch of each image that needs one, by role, measured on only this image."""
    stretches = {}
    for role, image in ((PRE, pre), (POST, post)):
        if image is not None and role in expected:
            colours = with_bands(in_colour(image), len(expected[role].bands))
            stretches[role] = needed_stretch(expected[role], colours)
    return {role: stretch for role, stretch in stretches.items() if stretch is not None}
