"""From label rasters to polygons: trace, simplify, make right-angled, write."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .boxes import boxes_around, corners, outlines
    from .extraction import (
        Shaping as Shaping,
        areas_m2,
        find_legend,
        legend_or_none,
        polygonize as polygonize,
        selected_classes,
        write_polygons as write_polygons,
    )
    from .half_pixel import areas_half_a_pixel_apart
    from .regions import trace_regions
    from .smoothing import grow_into_borders as grow_into_borders, without_stairs
    from .unknown_labels import warn_of_unknown_labels
    from .vector_files import (
        add_layer,
        check_ground,
        check_vector_suffix,
        set_fixed_times,
        write_layers,
        write_vector as write_vector,
    )
    from .vertices import centres, map_shapes, off_the_earth
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".extraction": ["Shaping", "polygonize", "write_polygons"],
            ".smoothing": ["grow_into_borders"],
            ".vector_files": ["write_vector"],
        },
        internal={
            ".boxes": ["boxes_around", "corners", "outlines"],
            ".extraction": ["areas_m2", "find_legend", "legend_or_none", "selected_classes"],
            ".half_pixel": ["areas_half_a_pixel_apart"],
            ".regions": ["trace_regions"],
            ".smoothing": ["without_stairs"],
            ".unknown_labels": ["warn_of_unknown_labels"],
            ".vector_files": ["add_layer", "check_ground", "check_vector_suffix", "set_fixed_times", "write_layers"],
            ".vertices": ["centres", "map_shapes", "off_the_earth"],
        },
    )
