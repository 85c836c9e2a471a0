"""Masks of water drawn by a person: which of their values is water, and a check that they also mark dry ground.

Takes a raster in the legend `water`, or of 0 and 1 (or 255); for new water also depths. Returns 0 and 1 on the grid of
the map.

Refuses masks whose dry ground has no data, such as masks that declare 0 as nodata: neither the share of water nor
new water could be computed from them. Refuses other numbers, such as classes of land cover.
"""

from __future__ import annotations

from collections.abc import Collection

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer, check_zero_is_value
from deepnets4eo.read_as import MASK, ClassMask, Door, ValuesSeen, check_dry_ground

NEW_WATER = ("flood",)  # the class of a legend


def open_water_mask(source: str, grid: Grid, flag: str, names: Collection[str], *, depths: bool = False) -> Layer:
    """Open a mask of water on a grid, 0 and 1.

    flag : name of the mask in messages
    names : classes of its legend that are water, if it has a legend
    depths : whether the raster may also contain depths of water; all depths above 0 are water

    Errors: InputError, GridError.
    """
    stored = MASK.check(Layer.open(source, labels=True), Door(flag)).report()
    if stored.count != 1:
        raise InputError(
            f"{flag} {stored.source} has {stored.count} bands; expected one, which is 0 where there is no water. Extract one: gdal_translate -b 1."
        )
    stored.covered_share(grid, flag)
    layer, legend = stored.on(grid, "nearest"), stored.legend
    if legend is not None and (known := [legend.value(name) for name in legend.names if name in names]):
        return Layer(ClassMask(layer, known))
    check_zero_is_value(stored, flag, "dry ground in a map of water")
    _check_values(layer, stored, flag, depths=depths)
    return Layer(ClassMask(layer, ()))


def open_new_water(source: str, grid: Grid) -> Layer:
    """Open the raster of `--water`, a map of new water, on a grid.

    Parameters
    ----------
    source : a raster in a legend with the class `flood`, a mask of 0 and 1 (or 255), or depths of water
    grid : target grid of the raster

    Returns
    -------
    Layer
        (1, H, W) uint8: 1 in new water, 0 elsewhere.

    Raises
    ------
    InputError
        Several bands, dry ground without data, for example because 0 is declared as nodata, or other numbers, such as classes.
    GridError
        It does not overlap the grid.
    """
    return open_water_mask(source, grid, "--water", NEW_WATER, depths=True)


def is_flood_map(source: str) -> bool:
    """Return whether a raster has the legend of a map that was made from images, whose dry ground may be hidden; a mask or depths state it.

    Parameters
    ----------
    source : the raster

    Returns
    -------
    bool
        True if its legend has a class of new water.
    """
    legend = Layer.open(source, labels=True).legend
    return legend is not None and any(name in NEW_WATER for name in legend.names)


def _check_values(layer: Layer, stored: Layer, flag: str, *, depths: bool) -> None:
    """Refuse a raster that is neither a mask nor, if allowed, of depths, and one whose dry ground is a gap.

    layer : as it is read; stored : the raster itself, which states unit and scale
    """
    seen = ValuesSeen.of(layer)
    check_dry_ground(layer, seen, flag)
    stated = stored.stored_values[0]
    if seen.is_mask or (depths and seen.is_depth(stated.unit, scaled=not stated.plain)):
        return
    or_depths = (
        ""
        if not depths
        else ", or depths of water in metres (0 where it is dry; a unit states that they are: gdal_edit.py -units m FILE)"
    )
    raise InputError(
        f"{flag} {layer.source} holds the values {seen.listed}; expected a mask, 0 where there is no water and 1 (or 255) where there is"
        f'{or_depths}. Make a mask: gdal_calc.py -A FILE --calc="A>=50" of percent of occurrence, --calc="A==80" of ESA WorldCover.'
    )
