"""From label rasters to polygons: trace, simplify, make right-angled, write."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Shaping": "deepnets4eo.polygons.extraction",
    "grow_into_borders": "deepnets4eo.polygons.smoothing",
    "polygonize": "deepnets4eo.polygons.extraction",
    "write_polygons": "deepnets4eo.polygons.extraction",
    "write_vector": "deepnets4eo.polygons.vector_files",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
