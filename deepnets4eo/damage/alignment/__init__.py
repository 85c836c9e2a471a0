"""Alignment of footprints: how polygons must move to lie on the roofs of an image."""

from deepnets4eo.damage.alignment.footprint_offsets import FootprintAlignment
from deepnets4eo.damage.alignment.footprints import align_footprints

__all__ = ["FootprintAlignment", "align_footprints"]
