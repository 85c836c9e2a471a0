"""Footprints of buildings: files of any format read, repaired and given unique ids, and laid on the roofs of an image."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".read": "Footprints read_footprints footprint_findings",
        ".sources": "find_buildings write_buildings",
        ".offsets": "FootprintAlignment",
        ".alignment": "align_footprints",
    },
)
