"""Possible false floods: snow and ice, salt, wet fields, the shore of the sea, or dates in the wrong order.

Measured on the map and on an overview of POST. They stay in the map: a flood in snow or over rice fields is still a flood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy import ndimage

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.thresholds import DRY, FLOOD, PERMANENT_WATER
from deepnets4eo.floods.water_date import WaterDate
from deepnets4eo.grid import Grid, coarse_grid, mean_gsd_m, transform_shapes
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.tiling import spread_windows

if TYPE_CHECKING:
    import geopandas as gpd

OVERVIEW_PX = 1024


@dataclass(frozen=True)
class LookalikeRules:
    """Rules for when a mapped flood is named as something else."""

    order_windows: int = 3  # along each side, in which the order of the dates is tested
    order_window_px: int = 384
    max_whole_px: int = 512  # scenes up to this side are tested as a whole
    min_dried_share: float = 0.01  # of the ground: below this the dates count as in order
    min_dried_per_flooded: float = 5.0
    min_white_byte: int = 180  # of the darkest of red, green and blue: muddy water and glint stay below it
    min_white_share: float = 0.2  # of the flood
    min_snow_share: float = 0.01  # of the ground
    max_field_m2: float = 50_000.0
    min_field_px: int = 9  # regions of fewer pixels are four-sided by chance
    min_rectangle_share: float = 0.8  # share of a field in the smallest rectangle around it
    min_fields: int = 8
    min_share_in_fields: float = 0.5  # of the flooded area
    min_sea_border_share: float = 0.2  # of the border of the map, in one piece: rivers cross less of it
    min_sea_border_m: float = 2000.0  # in a small tile a river can be as wide as the share
    min_share_at_sea: float = 0.1  # of the flood


def lookalike_findings(labels: Layer, post: Layer, date: WaterDate, polygons: gpd.GeoDataFrame) -> list[Finding]:
    """Report which parts of a flood may be no flood. labels : the map; post : the flood image on its grid; date : its date; polygons : of the flood."""
    grid = coarse_grid(labels.grid, OVERVIEW_PX)
    classes = labels.on(grid, "nearest").read()[0][0]
    named = [_fields(polygons, labels.grid), _sea(classes, mean_gsd_m(grid))]
    if date.optical:
        values, seen, _ = post.thumbnail(OVERVIEW_PX)
        bands = dict(zip(post.band_names, values.astype(np.float32), strict=True))
        named += [_snow(date.snow(bands, seen), seen), _white(bands, classes, seen)]
    return [finding for finding in named if finding is not None]


def order_findings(labels: Layer, scene: Scene, mapper: WaterMapper) -> list[Finding]:
    """Return a finding that dates may be swapped if far more ground fell dry than is flooded, by windows all over the scene."""
    swapped, lost, new, seen = mapper.swap_dates(), 0, 0, 0
    if swapped is None:
        return []
    side_px = (
        LookalikeRules.max_whole_px
        if max(labels.shape) <= LookalikeRules.max_whole_px
        else LookalikeRules.order_window_px
    )
    for window in spread_windows(labels.shape, (side_px, side_px), LookalikeRules.order_windows):
        sample = scene.read(window, [FIRST, POST])
        sample[FIRST], sample[POST] = sample[POST], sample[FIRST]
        classes = swapped.predict_proba(swapped.inputs.prepare(sample)[None])[0].argmax(axis=0)
        mapped, known = labels.read(window)
        lost += int(((classes == FLOOD) & known).sum())
        new, seen = new + int((mapped[0] == FLOOD).sum()), seen + int(known.sum())
    if lost < LookalikeRules.min_dried_share * seen or lost < LookalikeRules.min_dried_per_flooded * new or not lost:
        return []
    return [
        Finding("dates_swapped", "caution", {"dried": lost / seen, "flooded": new / seen}, wording="water_fell_back")
    ]


def _snow(snow: Mask | None, seen: Mask) -> Finding | None:
    share = float(snow[seen].mean()) if snow is not None and seen.any() else 0.0
    if share < LookalikeRules.min_snow_share:
        return None
    return Finding("snow_left_out", "note", {"share": share})


def _white(bands: dict[str, FloatImage], classes: ByteImage, seen: Mask) -> Finding | None:
    """Flooded ground that is brighter than dry land in the infrared, where water is dark, or white where only colours are known."""
    flood, dry = seen & (classes == FLOOD), seen & (classes == DRY)
    infrared = bands.get("swir", bands.get("nir"))
    if not flood.any() or (infrared is not None and not dry.any()):
        return None
    white = (
        np.min(list(bands.values()), axis=0) > LookalikeRules.min_white_byte
        if infrared is None
        else infrared > np.median(infrared[dry])
    )
    share = float(white[flood].mean())
    if share < LookalikeRules.min_white_share:
        return None
    return Finding("flood_is_white", "caution", {"share": share})


def _fields(polygons: gpd.GeoDataFrame, grid: Grid) -> Finding | None:
    """Many separate regions that are four-sided and of the size of fields."""
    areas = polygons["area_m2"].to_numpy(float)
    shapes = transform_shapes(~grid.affine, polygons.geometry.to_numpy())
    pixels = shapely.area(shapes)
    around = shapely.area(shapely.minimum_rotated_rectangle(shapes))
    fields = (
        (pixels > LookalikeRules.min_rectangle_share * around)
        & (pixels >= LookalikeRules.min_field_px)
        & (areas <= LookalikeRules.max_field_m2)
    )
    if (
        fields.sum() < LookalikeRules.min_fields
        or areas[fields].sum() < LookalikeRules.min_share_in_fields * areas.sum()
    ):
        return None
    share, number = float(areas[fields].sum() / areas.sum()), int(fields.sum())
    return Finding(
        "flood_in_fields",
        "caution",
        {"share": share, "number": number, "most_ha": LookalikeRules.max_field_m2 / 10_000},
    )


def _sea(classes: ByteImage, gsd_m: float) -> Finding | None:
    """Report a flood along permanent water that leaves the map by much of its border: tides and waves move such a shore."""
    old, _ = ndimage.label(classes == PERMANENT_WATER, np.ones((3, 3)))
    around = np.concatenate([old[0], old[1:, -1], old[-1, -2::-1], old[-2:0:-1, 0]])  # the border, once around
    first = int(np.flatnonzero(around != around[0])[0]) if (around != around[0]).any() else 0
    around = np.roll(around, -first)  # begins where a piece does
    starts = np.flatnonzero(np.r_[True, np.diff(around) != 0])
    lengths = np.diff(np.r_[starts, len(around)])
    at_sea = (
        lengths >= max(LookalikeRules.min_sea_border_share * len(around), LookalikeRules.min_sea_border_m / gsd_m)
    ) & (around[starts] > 0)
    sea = np.unique(around[starts][at_sea])
    flood = classes == FLOOD
    if not len(sea) or not flood.any():
        return None
    parts, _ = ndimage.label(flood | (old > 0), np.ones((3, 3)))
    joined = np.isin(parts, np.unique(parts[np.isin(old, sea)])) & flood
    share = joined.sum() / flood.sum()
    if share < LookalikeRules.min_share_at_sea:
        return None
    border = float(lengths[at_sea].sum() / len(around))
    return Finding("shore_of_the_sea", "caution", {"share": float(share), "border": border})
