"""The figures of a flood map: its area with an interval, buildings and land cover in it, and all of it in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from deepnets4eo.change import area_in_words, changed_area
from deepnets4eo.floods.buildings import BuildingWater
from deepnets4eo.floods.layer_names import POST
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer

if TYPE_CHECKING:
    import geopandas as gpd

MAX_FLOODED_SHARE = 0.5  # share beyond which a map says more about the images than about the ground


def measure_figures(
    labels: Layer,
    opened: FloodScene,
    buildings: gpd.GeoDataFrame | None,
    options: FloodOptions,
    mapped_all: Layer | None = None,
) -> dict[str, Any]:
    """Measure areas, buildings and land cover. mapped_all : as for `write_products`."""
    area: dict[str, Any] = {}
    for name, value in (("flood", FLOOD), ("permanent_water", PERMANENT_WATER)):
        measured = changed_area(labels, seed=options.seed, value=value)
        area |= {
            f"{name}_ha": measured.changed_ha,
            f"{name}_ha_interval": measured.interval if measured.changed_ha else None,
            f"{name}_share": measured.share,
        }
        area["seen_ha"] = measured.seen_ha
    area["interval_of"] = f"bootstrap over blocks of {measured.block_px} px, 95 %; says nothing about errors of the map"
    total_ha = _total_hectares(labels)
    area["not_seen_ha"] = total_ha - area["seen_ha"]
    figures: dict[str, Any] = {"area": area}
    if buildings is not None:
        wet, known = BuildingWater.read_column(buildings["inundated"])
        built = shapely.area(buildings.geometry.to_numpy()) / abs(labels.grid.affine.determinant)  # pixels
        pixel_ha = total_ha / np.prod(labels.shape)
        figures["buildings"] = {
            "count": len(buildings),
            "known": int(known.sum()),
            "inundated": int(wet.sum()),
            "built_inundated_ha": float(built[wet].sum() * pixel_ha),
        }
    if opened.cover is not None:
        figures["cover"] = _flooded_cover(opened.cover, labels)
    if mapped_all is not None:
        figures["area"] = _with_unknown(area, changed_area(mapped_all).seen_ha)
    elif opened.hidden.is_much:
        hidden_ha = min(area["not_seen_ha"], opened.hidden.post_share * total_ha)
        figures["area"] = _with_unknown(area, area["seen_ha"] + hidden_ha)
    return figures


def _with_unknown(area: dict[str, Any], looked_at_ha: float) -> dict[str, Any]:
    """Areas where water is not recognised: the flood may be as large as all ground that is not known, and its least is what was found."""
    unknown_ha = looked_at_ha - area["seen_ha"]
    low = (area["flood_ha_interval"] or (area["flood_ha"],))[0]
    what = f"{area['interval_of']}; the upper end of the flood holds all ground that is not known"
    return area | {
        "not_seen_ha": area["not_seen_ha"] - unknown_ha, "unknown_ha": unknown_ha, "interval_of": what,
        "flood_share": None, "flood_ha_interval": (low, area["flood_ha"] + unknown_ha),
    }  # fmt: skip


def _total_hectares(labels: Layer) -> float:
    ground = GroundArea(labels.grid)
    return sum(ground.of(window, np.ones((window.height, window.width), bool)) for window in labels.blocks())


def _flooded_cover(cover: Layer, labels: Layer) -> list[dict[str, Any]]:
    """Flooded hectares of each class of land cover."""
    legend, sums = cover.legend, np.zeros((2, 256))
    assert legend is not None
    ground = GroundArea(labels.grid)
    for window in labels.blocks():
        classes, known = cover.read(window)
        water, seen = labels.read(window)
        both = known & seen
        for row, mask in enumerate((both, both & (water[0] == FLOOD))):
            sums[row] += ground.by_value(window, np.where(mask, classes[0].astype(np.intp), 256), 256)
    names = zip(legend.values, legend.names, strict=True)
    return [{"class": name, "seen_ha": sums[0, value], "flood_ha": sums[1, value]} for value, name in names]


def figure_findings(figures: dict[str, Any]) -> list[Finding]:
    """Return a caution if so much is flooded that the map reflects the images rather than a flood."""
    area = figures["area"]
    if "unknown_ha" not in area and area["seen_ha"] and area["flood_ha"] > MAX_FLOODED_SHARE * area["seen_ha"]:
        return [Finding("most_flooded", "caution", {"share": area["flood_share"]})]
    return []


def headline(summary: dict[str, Any]) -> str:
    """Return the flooded area and the buildings in it, in one line, and what the interval of the area does not include."""
    area, unit = summary["area"], _unit(summary["area"])
    measured = f"unknown_{unit}" not in area and area.get(f"{_shown_water(summary)[0]}_{unit}_interval") is not None
    return "".join((*headline_parts(summary), "; the range does not include errors of the map" if measured else ""))


def _unit(area: dict[str, Any]) -> str:
    return "px" if "seen_px" in area else "ha"


def _shown_water(summary: dict[str, Any]) -> tuple[str, str]:
    """Return the name of the water in the figures that the map is about, and what it is called; without a date before, its age is unknown."""
    if any(name != POST for name in summary["sensors"]):
        return "flood", "flooded"
    return "permanent_water", "of water of unknown age"


def headline_parts(summary: dict[str, Any]) -> tuple[str, str]:
    """Return the flooded area, and the whole that the area and the buildings are parts of."""
    area, buildings = summary["area"], summary.get("buildings")
    unit = _unit(area)
    if not area[f"seen_{unit}"] and not area.get(f"unknown_{unit}"):
        return "", "Nothing could be compared."
    name, word = _shown_water(summary)
    if f"unknown_{unit}" in area:
        text = f"It is not known how much is flooded: {area_in_words(area, name, area[f'{name}_{unit}_interval'])}"
        rest = f"; {area_in_words(area, 'unknown')} are unknown, {area_in_words(area, 'seen')} are certainly wet or dry"
    elif not area[f"{name}_{unit}"]:
        text, rest = (
            "No flood was found" if name == "flood" else "No water was found",
            f" in {area_in_words(area, 'seen')} of visible ground",
        )
    else:
        text = f"{area_in_words(area, name, area[f'{name}_{unit}_interval'])} {word}"
        rest = f", {100 * area[f'{name}_share']:.1f} % of {area_in_words(area, 'seen')} of visible ground"
    if buildings is not None:
        unknown, stand = buildings["count"] - buildings["known"], f"{buildings['inundated']:,} of "
        stand += f"{buildings['count']:,} buildings are known to" if unknown else f"{buildings['known']:,} buildings"
        rest += f"; {stand} stand in it" + (f", for {unknown:,} it is unknown" if unknown else "")
    return text, rest
