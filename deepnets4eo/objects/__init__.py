"""The single objects of a class in a label raster: segmentation before detection, types, counts and density maps."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .density import (
        density_grid as density_grid,
        density_map as density_map,
        write_density_map as write_density_map,
    )
    from .extraction import ObjectRules as ObjectRules, extract_objects as extract_objects
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".density": ["density_grid", "density_map", "write_density_map"],
            ".extraction": ["ObjectRules", "extract_objects"],
        },
    )
