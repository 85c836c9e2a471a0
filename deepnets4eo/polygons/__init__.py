"""From label rasters to polygons: trace, simplify, make right-angled, write."""

from deepnets4eo.polygons.extraction import Shaping, polygonize, write_polygons
from deepnets4eo.polygons.smoothing import grow_into_borders
from deepnets4eo.polygons.vector_files import write_vector

__all__ = [
    "Shaping",
    "grow_into_borders",
    "polygonize",
    "write_polygons",
    "write_vector",
]
