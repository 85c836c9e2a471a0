"""Masks of clouds: rasters in which 0 is clear and any other value hides the ground.

Takes a mask and the image that it belongs to. Refuses masks of several bands, masks that do not overlap their image, and
masks whose nodata value is 0 where 0 is clear.
"""

from __future__ import annotations

from deepnets4eo.errors import InputError
from deepnets4eo.rasters.layer import Layer, LayerLike
from deepnets4eo.rasters.scene import covered_share


def open_cloud_mask(mask: LayerLike, image: Layer, flag: str, *, zero_is_clear: bool = True) -> Layer:
    """Open a mask of clouds of an image.

    Parameters
    ----------
    mask
        0 where the image is clear, any other value where it is not looked at; one band. Pixels that the mask does not
        reach, or where it has no data, are not looked at either.
    image
        The image that it belongs to.
    flag
        Option that names it, or what it is, for messages.
    zero_is_clear
        Whether 0 says that the image is clear; False where other values say what is clear, and 0 may be nodata.

    Returns
    -------
    Layer
        The mask on its own grid.

    Raises
    ------
    InputError
        For several bands, or a nodata value of 0 where 0 is clear.
    GridError
        Where mask and image do not overlap, or only one has a place and the sizes differ.
    """
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
