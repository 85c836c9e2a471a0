"""The single objects of a class in a label raster: segmentation before detection, types, counts and density maps."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "ObjectRules": "deepnets4eo.objects.extraction",
    "density_grid": "deepnets4eo.objects.density",
    "density_map": "deepnets4eo.objects.density",
    "extract_objects": "deepnets4eo.objects.extraction",
    "write_density_map": "deepnets4eo.objects.density",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
