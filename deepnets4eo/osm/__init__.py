"""OpenStreetMap and other vectors as layers of an image."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".rules": "OsmRules", ".rasterize": "rasterize_osm"})
