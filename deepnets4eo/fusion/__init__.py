"""Several sensors together: fusion networks, built by `create_model` and in recipes; heights and map layers for them."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.osm.rasterize import rasterize_osm as rasterize_osm
    from deepnets4eo.osm.rules import OsmRules as OsmRules
    from deepnets4eo.terrain.composites import composite_raster as composite_raster
    from deepnets4eo.terrain.ground_filter import ground as ground
    from deepnets4eo.terrain.heights import ndsm as ndsm, slope_deg as slope_deg, surface_gradient as surface_gradient

    from .fusenet import FuseNet as FuseNet, VFuseNet as VFuseNet
    from .late_fusion import DualStream as DualStream, ResidualCorrection as ResidualCorrection
    from .osmnet import OSMNet as OSMNet
    from .smp_fusion import SmpFusion as SmpFusion
    from .streams import Streams as Streams, stream_sizes as stream_sizes
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            "deepnets4eo.osm.rasterize": ["rasterize_osm"],
            "deepnets4eo.osm.rules": ["OsmRules"],
            "deepnets4eo.terrain.composites": ["composite_raster"],
            "deepnets4eo.terrain.ground_filter": ["ground"],
            "deepnets4eo.terrain.heights": ["ndsm", "slope_deg", "surface_gradient"],
            ".fusenet": ["FuseNet", "VFuseNet"],
            ".late_fusion": ["DualStream", "ResidualCorrection"],
            ".osmnet": ["OSMNet"],
            ".smp_fusion": ["SmpFusion"],
            ".streams": ["Streams", "stream_sizes"],
        },
    )
