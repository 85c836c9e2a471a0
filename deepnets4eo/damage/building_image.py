"""An image as the buildings' network learnt them: three bands as in 8 bits, by daylight, at its own ground size of a pixel.

Takes any optical image of 0.2 to 1.5 m a pixel, stretched where it has other values than those of 8 bits; refuses what the network never saw, since its answer would mean nothing.
"""

from __future__ import annotations

from deepnets4eo.damage.colour_choice import in_colour
from deepnets4eo.errors import InputError
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.inspection.daylight import BRIGHT_PERCENTILE, DARKEST, bright_value
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.any_size import COARSEST_M, FINEST_M, working_grid
from deepnets4eo.segmenters.inputs import DISPLAY_RGB
from deepnets4eo.segmenters.stretch import needed_stretch, show

REMEDY = "Give footprints, or --segmenter with a run that learnt such images."


def to_working_image(image: Layer, working_gsd_m: float) -> Layer:
    """Check an image and bring it to the ground size that the network works at.

    Parameters
    ----------
    image
        Red, green and blue among its bands, as it declares them or else the first three.
    working_gsd_m
        Ground size of a pixel of the result, metres.

    Returns
    -------
    Layer
        Three bands, warped and stretched window by window as it is read.

    Raises
    ------
    InputError
        The image has no CRS, a pixel outside 0.2–1.5 m, fewer than three bands, or is dark as by night.
    """
    _check_grid(image)
    image = image.as_shown()
    if image.count < 3:
        raise InputError(f"{image.source} has {image.count} band(s); buildings are found in red, green, blue. {REMEDY}")
    colour = in_colour(image)
    stretch = needed_stretch(DISPLAY_RGB, colour)
    if stretch is None:
        _check_daylight(colour)
    return show(colour.on(working_grid(image.grid, working_gsd_m)), stretch)


def _check_grid(image: Layer) -> None:
    """Errors: InputError where the ground size of a pixel is not known, or far from what was learnt."""
    if image.grid.crs is None:
        raise InputError(
            f"{image.source} has no CRS, so the ground size of its pixels is unknown, by which buildings are found. "
            f"Add one with gdal_edit.py -a_srs. {REMEDY}"
        )
    size_m = mean_gsd_m(image.grid)
    if not FINEST_M <= size_m <= COARSEST_M:
        raise InputError(
            f"{image.source} has pixels of {size_m:.3g} m; buildings are found in images of {FINEST_M:g} to {COARSEST_M:g} m. "
            f"Resample it with gdalwarp -tr where it is finer. {REMEDY}"
        )


def _check_daylight(image: Layer) -> None:
    """Errors: InputError for an image as dark as by night, or without any valid pixel where it was looked at."""
    bright = bright_value(image)
    if bright is None:
        raise InputError(f"{image.source} has no valid pixel where it was looked at. Check its nodata.")
    if bright < DARKEST:
        raise InputError(
            f"{image.source} is as dark as by night: {BRIGHT_PERCENTILE} % of its values are below {bright:.0f} of 255. "
            f"Stretch it with gdal_translate -scale if it was taken by day. {REMEDY}"
        )
