"""Footprints of buildings: files of any format read, repaired and given unique ids, and laid on the roofs of an image."""

from .alignment import MIN_FOOTPRINTS, align_footprints
from .files import read_table
from .offsets import FootprintAlignment
from .outlines import (
    encloses_others,
    larger_than_buildings,
    order_by_place,
    outline_areas_m2,
    repeated_outlines,
    without,
)
from .read import Footprints, check_degrees, read_footprints
from .repair import Unusable
from .sources import find_buildings, write_buildings

__all__ = [
    "FootprintAlignment",
    "Footprints",
    "align_footprints",
    "find_buildings",
    "read_footprints",
    "write_buildings",
]
