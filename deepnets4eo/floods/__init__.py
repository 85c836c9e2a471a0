"""Floods: water from radar and optical images, and which of it is new."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".buildings": "BuildingWater OUTER_M water_around write_seen_water",
        ".optical": "COARSEST_M optical_water",
        ".units": "check_radar_pair RadarImage",
        ".speckle": "equivalent_looks lee_sigma_filter log_ratio refined_lee_filter",
        ".job": "FloodMap map_flood",
        ".options": "FloodOptions",
        ".radar": "measure_radar radar_water RadarOptions RadarStatistics RadarWater",
        ".mapper": "new_water WaterMapper",
        ".water_masks": "open_new_water",
        ".dates": "surface_scene",
        ".recognition": "measure_recognition Recognition write_sure_water",
        ".spectrum": "water_indices",
        ".thresholds": "WaterThreshold",
    },
)
