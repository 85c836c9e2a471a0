"""Rasters as files: opened one by one or as mosaics, read ahead, written as COG."""

from .acquisition import named_day
from .array_files import scales_beside
from .array_source import ArraySource, Source
from .averages import read_averaged
from .band_roles import (
    COLOURS,
    COLOURS_NM,
    ROLES,
    band_key,
    colour_bands,
    colour_positions,
    excess_green,
    layer_names,
    name_band,
    nearest_indices,
    normalised_difference,
    order_by_colours,
    role_indices,
    spectral_bands,
)
from .clouds import CloudBand, check_zero_is_value, cloud_band, cloud_share, coded_clouds, zero_is_unseen
from .cog import BLOCK_PX, LEVEL, CogWriter, check_raster_suffix
from .colour_order import in_colour_order_of
from .display import coarse_labels
from .gdal_memory import cache_bytes, gdal_cache, widen_cache
from .layer import Layer, LayerLike
from .length_units import metres_of
from .longitudes import usual_longitudes
from .moments import BandMoments, Matrix, Moments, MomentSums, Vector, moving_moments, moving_variance
from .mosaic import TILE_SUFFIXES, copy_box, find_tiles
from .plane_crs import PLAIN_METRES, areas_in_pixels, flat_crs, is_placed, length_unit, without_heights
from .radar_bands import ORBIT_TAGS, RadarUnit, relative_orbit, stated_unit
from .readers import OpenRequest, Reader
from .scene import WHOLE, Scene, fit_axes
from .thresholds import THRESHOLDS, Histogram, TwoGaussians
from .values import (
    SENTINELS,
    Outliers,
    find_outliers,
    is_nodata,
    is_usual_nodata,
    label_bytes,
    same_unit,
    to_physical,
    valid_pixels,
    whole_numbers,
)
from .views import BandGapsSource, CollarSource, LabelMask, LayerView, PictureSource, is_small, without_implausible
from .warped_source import same_grid
from .windowed_source import WindowedSource
from .xarray_sources import grid_of, plane_of
