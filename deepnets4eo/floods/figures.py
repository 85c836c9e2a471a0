"""The figures of a flood map: its area with an interval, buildings and land cover in it, and all of it in one line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from deepnets4eo.floods.buildings import BuildingWater
from deepnets4eo.floods.layer_names import POST
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.maps import label_area
from deepnets4eo.outputs import Finding, Headline, Language, Phrase, Quantity, bar_of
from deepnets4eo.rasters import Layer

if TYPE_CHECKING:
    import geopandas as gpd

MAX_FLOODED_SHARE = 0.5  # share beyond which a map says more about the images than about the ground
ROUNDING = 0.1  # of a mean pixel: sums over pixels whose area depends on their latitude leave .006 (Mekong, 512²)


def measure_figures(
    labels: Layer,
    opened: FloodScene,
    buildings: gpd.GeoDataFrame | None,
    options: FloodOptions,
    mapped_all: Layer | None = None,
) -> dict[str, Any]:
    """Measure areas, buildings and land cover. mapped_all : the labels before ground that is not surely dry was left out, if water is not recognised."""
    total = Quantity.area(_total_hectares(labels), on_ground=labels.grid.crs is not None)
    area: dict[str, Any] = {}
    for name, value in (("flood", FLOOD), ("permanent_water", PERMANENT_WATER)):
        measured = label_area(labels, value, seed=options.seed)
        water = measured.area if measured.area.value else replace(measured.area, interval=None)
        area |= water.to_dict(name) | {f"{name}_share": measured.share} | measured.seen.to_dict("seen", interval=False)
    seen = measured.seen
    area["interval_of"] = measured.interval_of.replace("; says", ", 95 %; says")
    pixel = total.value / np.prod(labels.shape)
    area |= replace(total, value=_rest(total.value, seen.value, pixel)).to_dict("not_seen", interval=False)
    figures: dict[str, Any] = {"area": area}
    if buildings is not None:
        wet, known = BuildingWater.read_column(buildings["inundated"])
        built = shapely.area(buildings.geometry.to_numpy()) / abs(labels.grid.affine.determinant)  # pixels
        roofs = float(built[wet].sum() * pixel)
        figures["buildings"] = {
            "count": len(buildings),
            "known": int(known.sum()),
            "inundated": int(wet.sum()),
            **replace(total, value=roofs).to_dict("built_inundated", interval=False),
        }
    if opened.cover is not None:
        figures["cover"] = _flooded_cover(opened.cover, labels)
    if mapped_all is not None:
        looked_at = label_area(mapped_all, FLOOD).seen
        figures["area"] = _with_unknown(area, looked_at.value - seen.value, pixel)
    elif opened.hidden.is_much:
        hidden = min(total.value - seen.value, opened.hidden.post_share * total.value)
        figures["area"] = _with_unknown(area, hidden, pixel)
    return figures


def _with_unknown(area: dict[str, Any], unknown: float, pixel: float) -> dict[str, Any]:
    """Return areas if water is not recognised: the flood may be as large as all ground that is not known, and at least what was found.

    pixel : the mean area of a pixel
    """
    flood, not_seen = Quantity.read(area, "flood"), Quantity.read(area, "not_seen")
    low = (flood.interval or (flood.value,))[0]
    what = f"{area['interval_of']}; the upper end of the flood holds all ground that is not known"
    possible = replace(flood, interval=(low, flood.value + unknown))
    return area | {
        **replace(not_seen, value=_rest(not_seen.value, unknown, pixel)).to_dict("not_seen", interval=False),
        **replace(not_seen, value=unknown).to_dict("unknown", interval=False),
        "interval_of": what, "flood_share": None, **possible.to_dict("flood"),
    }  # fmt: skip


def _rest(whole: float, part: float, pixel: float) -> float:
    """Return the area without a part of it; 0 if only the rounding of sums over pixels is left, which would be printed as 0.625 m².

    pixel : the mean area of a pixel

    >>> _rest(7.59, 7.59 - 1e-4, 0.01), round(_rest(7.59, 4.78, 0.01), 2)
    (0.0, 2.81)
    """
    return whole - part if whole - part > ROUNDING * pixel else 0.0


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
    flood, seen = Quantity.read(area, "flood"), Quantity.read(area, "seen")
    unknown = unknown_area(area)
    looked_at = seen.value + (0.0 if unknown is None else unknown.value)
    if looked_at and flood.value > MAX_FLOODED_SHARE * looked_at:
        return [Finding("most_flooded", "caution", {"share": flood.value / looked_at})]
    return []


def unknown_area(area: dict[str, Any]) -> Quantity | None:
    """Return the area that may be wet or dry; None if water was recognised."""
    return Quantity.find(area, "unknown")


def headline(summary: dict[str, Any]) -> str:
    """Return the flooded area and the buildings in it, in one line, and what the interval of the area does not include."""
    area = summary["area"]
    measured = unknown_area(area) is None and Quantity.read(area, _shown_water(summary)[0]).interval is not None
    return "".join((*headline_parts(summary), "; the range does not include errors of the map" if measured else ""))


def _shown_water(summary: dict[str, Any]) -> tuple[str, str]:
    """Return the name of the water in the figures that the map is about, and what it is called; without a date before, its age is unknown."""
    if any(name != POST for name in summary["sensors"]):
        return "flood", "flooded"
    return "permanent_water", "of water of unknown age"


def headline_parts(summary: dict[str, Any]) -> tuple[str, str]:
    """Return the flooded area, and the whole that the area and the buildings are parts of."""
    area, buildings = summary["area"], summary.get("buildings")
    seen, unknown = Quantity.read(area, "seen"), unknown_area(area)
    if not seen.value and (unknown is None or not unknown.value):
        return "", "Nothing could be compared."
    name, word = _shown_water(summary)
    water = Quantity.read(area, name)
    if unknown is not None and water.value and unknown.value < seen.value:
        text, rest = f"{water.text()} {word}", f"; for {unknown.text()} it is unknown"
    elif unknown is not None:
        text = f"It is not known how much is flooded: {water.text()}"
        rest = f"; {unknown.text()} are unknown, {seen.text()} are certainly wet or dry"
    elif not water.value:
        text = "No flood was found" if name == "flood" else "No water was found"
        rest = f" in {seen.text()} of visible ground"
    else:
        text = f"{water.text()} {word}"
        rest = f", {100 * area[f'{name}_share']:.1f} % of {seen.text()} of visible ground"
    if buildings is not None:
        not_known, stand = buildings["count"] - buildings["known"], f"{buildings['inundated']:,} of "
        stand += f"{buildings['count']:,} buildings are known to" if not_known else f"{buildings['known']:,} buildings"
        rest += f"; {stand} stand in it" + (f", for {not_known:,} it is unknown" if not_known else "")
    return text, rest


def page_headline(summary: dict[str, Any], language: Language = "en") -> Headline:
    """Return the first lines of the page: the flooded area with its interval, and what is not known."""
    area, buildings = summary["area"], summary.get("buildings")
    seen, unknown = Quantity.read(area, "seen"), unknown_area(area)
    looked_at = replace(seen, value=seen.value + (0.0 if unknown is None else unknown.value))
    if not looked_at.value:
        return Headline(Phrase("number_unknown").text(language), Phrase("nothing_compared").text(language))
    name, _ = _shown_water(summary)
    water, key = Quantity.read(area, name), "flood" if name == "flood" else "water"
    number, share = water.value_text(language), area.get(f"{name}_share")
    if unknown is not None and not (water.value and unknown.value < seen.value):
        number, key = water.interval_text(language) or number, f"{key}_may_be"
    elif share is not None and water.value:
        key = f"{key}_is"
    else:
        key = f"{key}_of"
    sentences = [Phrase(key, {"share": share, "seen": Phrase.verbatim(looked_at.value_text(language))})]
    if buildings is not None:
        sentences.append(Phrase("buildings_in_flood", {"number": buildings["inundated"], "known": buildings["known"]}))
    bar = bar_of(water, looked_at, language)
    return Headline(number, " ".join(sentence.text(language) for sentence in sentences), _limit(summary, language), bar)


def _limit(summary: dict[str, Any], language: Language) -> str:
    """Return what the flooded area does not cover."""
    area, buildings = summary["area"], summary.get("buildings")
    parts = [
        Phrase(f"area_{name}", {"area": Phrase.verbatim(quantity.value_text(language))})
        for name in ("unknown", "not_seen")
        if (quantity := Quantity.find(area, name)) is not None and quantity.value
    ]
    if buildings is not None and (left := buildings["count"] - buildings["known"]):
        parts.append(Phrase("buildings_not_known", {"number": left}))
    return Phrase("area_leaves_out", {"left_out": [*parts, Phrase("water_not_recognised")]}).text(language)
