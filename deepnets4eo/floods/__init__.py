"""Floods: water from radar and optical images, and which of it is new."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .buildings import (
        BuildingWater as BuildingWater,
        RingRules,
        water_around as water_around,
        write_seen_water as write_seen_water,
    )
    from .job import FloodJob, FloodMap as FloodMap, map_flood as map_flood
    from .mapper import WaterMapper as WaterMapper
    from .mud import with_mud as with_mud
    from .optical import SurfaceRules, optical_water as optical_water
    from .options import FloodOptions as FloodOptions
    from .radar import (
        RadarOptions as RadarOptions,
        RadarStatistics as RadarStatistics,
        RadarWater as RadarWater,
        measure_radar as measure_radar,
        radar_water as radar_water,
    )
    from .recognition import (
        Recognition as Recognition,
        measure_recognition as measure_recognition,
        write_sure_water as write_sure_water,
    )
    from .speckle import (
        equivalent_looks as equivalent_looks,
        lee_sigma_filter as lee_sigma_filter,
        log_ratio as log_ratio,
        refined_lee_filter as refined_lee_filter,
    )
    from .spectrum import water_indices as water_indices
    from .thresholds import WaterThreshold as WaterThreshold
    from .units import RadarImage as RadarImage, check_radar_pair as check_radar_pair
    from .water_date import (
        Recognised as Recognised,
        Sample as Sample,
        Tile as Tile,
        WaterDate as WaterDate,
        WaterSearch as WaterSearch,
        new_water as new_water,
    )
    from .water_masks import is_flood_map as is_flood_map, open_new_water as open_new_water
    from .working_grid import surface_scene as surface_scene
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".buildings": ["BuildingWater", "water_around", "write_seen_water"],
            ".job": ["FloodMap", "map_flood"],
            ".mapper": ["WaterMapper"],
            ".mud": ["with_mud"],
            ".optical": ["optical_water"],
            ".options": ["FloodOptions"],
            ".radar": ["RadarOptions", "RadarStatistics", "RadarWater", "measure_radar", "radar_water"],
            ".recognition": ["Recognition", "measure_recognition", "write_sure_water"],
            ".speckle": ["equivalent_looks", "lee_sigma_filter", "log_ratio", "refined_lee_filter"],
            ".spectrum": ["water_indices"],
            ".thresholds": ["WaterThreshold"],
            ".units": ["RadarImage", "check_radar_pair"],
            ".water_date": ["Recognised", "Sample", "Tile", "WaterDate", "WaterSearch", "new_water"],
            ".water_masks": ["is_flood_map", "open_new_water"],
            ".working_grid": ["surface_scene"],
        },
        internal={
            ".buildings": ["RingRules"],
            ".job": ["FloodJob"],
            ".optical": ["SurfaceRules"],
        },
    )
