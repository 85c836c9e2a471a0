"""The single objects of a class in a label raster: segmentation before detection, types, counts and density maps."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__, {".extraction": "ObjectRules extract_objects", ".density": "density_grid density_map write_density_map"}
)
