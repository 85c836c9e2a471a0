"""Masks of clouds: rasters in which 0 is clear and any other value hides the ground.

Takes a mask and the image that it belongs to. Refuses masks of several bands, masks that do not overlap their image, and
masks whose nodata value is 0 where 0 is clear.
"""

from __future__ import annotations

from deepnets4eo.errors import InputError
from deepnets4eo.rasters.layer import Layer, LayerLike
from deepnets4eo.rasters.scene import covered_share


def open_cloud_mask(mask: LayerLike, image: Layer, flag: str, *, zero_is_clear: bool = True) -> Layer:
    """Open a mask of clouds (0 clear, other values not looked at, nor where it has no data) of an image, on its own
    grid; `flag` names it in messages. Raises InputError for several bands, or nodata 0 where 0 is clear, GridError
    where mask and image do not fit."""
    layer = Layer.open(mask, labels=True)
    if layer.count != 1:
        raise InputError(
            f"{flag} {layer.source} has {layer.count} bands; expected one band, which says where the image is clear. Take one "
            "out, e.g. with gdal_translate -b 1."
        )
    if zero_is_clear and layer.nodata == 0:
        raise InputError(
            f"{flag} {layer.source} declares 0 as nodata, but 0 is clear in a mask of clouds. Remove that, e.g. with "
            "gdal_edit.py -unsetnodata."
        )
    covered_share(image.grid, layer, flag)
    layer.on(image.grid, "nearest")  # which refuses another size where only pixel numbers pair them
    return layer
