"""OpenStreetMap and other vectors as layers of an image."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "OsmRules": "deepnets4eo.osm.rules",
    "rasterize_osm": "deepnets4eo.osm.rasterize",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
