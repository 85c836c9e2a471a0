"""Footprints of buildings: files of any format read, repaired and given unique ids, and laid on the roofs of an image."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .alignment import MIN_FOOTPRINTS, align_footprints as align_footprints
    from .files import read_table
    from .offsets import FootprintAlignment as FootprintAlignment
    from .outlines import (
        encloses_others,
        larger_than_buildings,
        order_by_place,
        outline_areas_m2,
        repeated_outlines,
        without,
    )
    from .read import Footprints as Footprints, check_degrees, read_footprints as read_footprints
    from .sources import find_buildings as find_buildings, write_buildings as write_buildings
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".alignment": ["align_footprints"],
            ".offsets": ["FootprintAlignment"],
            ".read": ["Footprints", "read_footprints"],
            ".sources": ["find_buildings", "write_buildings"],
        },
        internal={
            ".alignment": ["MIN_FOOTPRINTS"],
            ".files": ["read_table"],
            ".outlines": [
                "encloses_others",
                "larger_than_buildings",
                "order_by_place",
                "outline_areas_m2",
                "repeated_outlines",
                "without",
            ],
            ".read": ["check_degrees"],
        },
    )
