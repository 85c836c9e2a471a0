"""Floods: water from radar and optical images, and which of it is new."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "BuildingWater": "deepnets4eo.floods.buildings",
    "COARSEST_M": "deepnets4eo.floods.optical",
    "check_radar_pair": "deepnets4eo.floods.units",
    "equivalent_looks": "deepnets4eo.floods.speckle",
    "FloodMap": "deepnets4eo.floods.job",
    "FloodOptions": "deepnets4eo.floods.options",
    "lee_sigma_filter": "deepnets4eo.floods.speckle",
    "log_ratio": "deepnets4eo.floods.speckle",
    "map_flood": "deepnets4eo.floods.job",
    "measure_radar": "deepnets4eo.floods.radar",
    "new_water": "deepnets4eo.floods.mapper",
    "OUTER_M": "deepnets4eo.floods.buildings",
    "open_new_water": "deepnets4eo.floods.water_masks",
    "optical_water": "deepnets4eo.floods.optical",
    "radar_water": "deepnets4eo.floods.radar",
    "RadarImage": "deepnets4eo.floods.units",
    "RadarOptions": "deepnets4eo.floods.radar",
    "RadarStatistics": "deepnets4eo.floods.radar",
    "RadarWater": "deepnets4eo.floods.radar",
    "refined_lee_filter": "deepnets4eo.floods.speckle",
    "surface_scene": "deepnets4eo.floods.dates",
    "water_around": "deepnets4eo.floods.buildings",
    "water_indices": "deepnets4eo.floods.spectrum",
    "WaterMapper": "deepnets4eo.floods.mapper",
    "WaterThreshold": "deepnets4eo.floods.thresholds",
    "write_seen_water": "deepnets4eo.floods.buildings",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
