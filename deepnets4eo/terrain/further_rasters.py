"""Rasters that help a job in addition to its images: heights of the ground, heights above drainage, people, intensities of an event.

They are brought to the unit that the job needs, or refused by name. The usual nodata values count as no data, also
if they are not declared.

The mask of missing values is kept separately from the values of a raster.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.read_as import SCORES, Door, sample_windows
from deepnets4eo.read_as.assessment import Assessment
from deepnets4eo.read_as.kinds import HEIGHTS

Measure = Literal["metres", "people"]
DENSITY = re.compile(r"/|\bper\b|[-^]\s?[12]|\b(km|m)2\b|²|\bdensity\b|\bha\b")


def open_further(source: LayerLike, role: str, measure: Measure | None = None, *, gsd_m: float | None = None) -> Layer:
    """Open a raster as `assess_further`, with its findings in the log."""
    return assess_further(source, role, measure, gsd_m=gsd_m).report()


def assess_further(
    source: LayerLike, role: str, measure: Measure | None = None, *, gsd_m: float | None = None
) -> Assessment:
    """Open a raster of one band that helps a job.

    Parameters
    ----------
    source : what is read from
    role : how messages call it, such as its option
    measure : what the job takes its values as: "metres", "people" a pixel, or None as they are
    gsd_m : size of a pixel in metres, for rasters without CRS

    Returns
    -------
    Assessment
        The raster on its own grid, a unit of length that it states brought to metres, and findings on what was put right.

    Raises
    ------
    InputError
        It has several bands, or states another unit.
    """
    layer = Layer.open(source).with_gsd(gsd_m)
    if layer.count != 1:
        raise InputError(
            f"{role}: {layer.source} has {layer.count} bands; expected one. Extract one: gdal_translate -b 1."
        )
    unit = layer.declared.unit
    if measure == "people" and DENSITY.search(unit.casefold()):
        raise InputError(
            f"{role}: {layer.source} states that its values are in {unit!r}; expected people per pixel. Multiply each by the area of its pixel, or "
            "give a raster of counts."
        )
    return (HEIGHTS if measure == "metres" else SCORES).assess(layer, Door(role))


def place_further(layer: Layer, grid: Grid, role: str, resampling: str = "bilinear") -> Layer:
    """Return the raster on the grid of a job. Errors: GridError if it does not reach the grid."""
    layer.covered_share(grid, role)
    return layer.on(grid, resampling)


def unknown_share(image: Layer, others: Sequence[Layer]) -> float:
    """Return the share of an image's pixels without a value in any other layer on its grid, in windows spread over it."""
    seen = missing = 0
    for window in sample_windows(image.shape):
        unknown = image.read(window)[1]
        seen += int(unknown.sum())
        for other in others:
            unknown = unknown & ~other.read(window)[1]
        missing += int(unknown.sum())
    return missing / max(seen, 1)
