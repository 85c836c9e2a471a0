"""Footprints of buildings: files of any format read, repaired and given unique ids, and laid on the roofs of an image."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Footprints": "deepnets4eo.footprints.read",
    "read_footprints": "deepnets4eo.footprints.read",
    "find_buildings": "deepnets4eo.footprints.sources",
    "write_buildings": "deepnets4eo.footprints.sources",
    "footprint_findings": "deepnets4eo.footprints.read",
    "FootprintAlignment": "deepnets4eo.footprints.offsets",
    "align_footprints": "deepnets4eo.footprints.alignment",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
