"""The single objects of a class in a label raster: segmentation before detection, types, counts and density maps."""

from .density import (
    density_grid,
    density_map,
    write_density_map,
)
from .extraction import ObjectRules, extract_objects

__all__ = ["ObjectRules", "density_grid", "density_map", "extract_objects", "write_density_map"]
