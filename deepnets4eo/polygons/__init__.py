"""From label rasters to polygons: trace, simplify, make right-angled, write."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".extraction": "Shaping polygonize write_polygons",
        ".smoothing": "grow_into_borders",
        ".vector_files": "write_vector",
    },
)
