"""OpenStreetMap and other vectors as layers of an image."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .rasterize import rasterize_osm as rasterize_osm
    from .reading import read_area, sources_of_words
    from .rules import OsmRules as OsmRules
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".rasterize": ["rasterize_osm"],
            ".rules": ["OsmRules"],
        },
        internal={
            ".reading": ["read_area", "sources_of_words"],
        },
    )
