"""The one way in for files of others: which formats are read, what they may refer to, how much they may unpack to.

GDAL chooses drivers by content, and some go online: so the first bytes are read first, and GDAL gets one driver.
"""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from . import envi, hdf5, mat5
    from .access import (
        allow_user_files,
        check_beside,
        check_exist,
        check_online,
        is_remote,
        lies_beside,
        missing_error,
        offline,
        user_files,
    )
    from .array_files import ArrayReference, ImageArray, list_arrays, open_array, other_axes, parse_reference
    from .array_info import ArrayInfo
    from .band_info import BandInfo, StoredValues
    from .category_legend import colour_table
    from .declared import Declared
    from .drivers import need_few_drivers
    from .envi import marked_bands
    from .left_out import is_picture, report_left_out, warn_of_left_out
    from .numpy_files import list_npz, open_npz
    from .picture_structure import Structure
    from .protobuf import protobuf_fields
    from .rasters import READ_ERRORS, clear_messages, open_raster, place_advice
    from .stac_items import ITEM_ERRORS, Asset, StacItem, asset_of, fetch_document, parse_document, parse_time
    from .unpacking import check_array_sizes
    from .vector_layers import OSM_AREAS, POINTS, choose_layers, join_layers, split_layer
    from .vector_writing import write_frame
    from .vectors import (
        WKT_NAMES,
        Coordinates,
        coordinate_columns,
        is_parquet,
        is_undefined,
        keep_whole_numbers,
        read_ogr,
        read_unsorted,
        vector_errors,
        vector_file,
    )
    from .web import Session, WebRequest, failure_text, is_web_address
    from .xbd import read_xbd
    from .zarr import parse_zarr
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            ".": ["envi", "hdf5", "mat5"],
            ".access": [
                "allow_user_files",
                "check_beside",
                "check_exist",
                "check_online",
                "is_remote",
                "lies_beside",
                "missing_error",
                "offline",
                "user_files",
            ],
            ".array_files": [
                "ArrayReference",
                "ImageArray",
                "list_arrays",
                "open_array",
                "other_axes",
                "parse_reference",
            ],
            ".array_info": ["ArrayInfo"],
            ".band_info": ["BandInfo", "StoredValues"],
            ".category_legend": ["colour_table"],
            ".declared": ["Declared"],
            ".drivers": ["need_few_drivers"],
            ".envi": ["marked_bands"],
            ".left_out": ["is_picture", "report_left_out", "warn_of_left_out"],
            ".numpy_files": ["list_npz", "open_npz"],
            ".picture_structure": ["Structure"],
            ".protobuf": ["protobuf_fields"],
            ".rasters": ["READ_ERRORS", "clear_messages", "open_raster", "place_advice"],
            ".stac_items": [
                "ITEM_ERRORS",
                "Asset",
                "StacItem",
                "asset_of",
                "fetch_document",
                "parse_document",
                "parse_time",
            ],
            ".unpacking": ["check_array_sizes"],
            ".vector_layers": ["OSM_AREAS", "POINTS", "choose_layers", "join_layers", "split_layer"],
            ".vectors": [
                "WKT_NAMES",
                "Coordinates",
                "coordinate_columns",
                "is_parquet",
                "is_undefined",
                "keep_whole_numbers",
                "read_ogr",
                "read_unsorted",
                "vector_errors",
                "vector_file",
            ],
            ".vector_writing": ["write_frame"],
            ".web": ["Session", "WebRequest", "failure_text", "is_web_address"],
            ".xbd": ["read_xbd"],
            ".zarr": ["parse_zarr"],
        },
    )
