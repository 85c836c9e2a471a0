"""The products of a flood map beside its rasters: polygons, buildings, summary, page, and the manifest last.

Snow, ice, salt, wet fields and the shore of the sea may look like a flood. They are measured on the map and on an
overview of POST, and findings name them.

They stay in the map: a flood in snow or over rice fields is still a flood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.change import RegionPage, area_in_words, changed_area, hectares_by_window, scored_polygons
from deepnets4eo.files import write_json
from deepnets4eo.floods.buildings import NOT_KNOWN, YES, water_around
from deepnets4eo.floods.dates import FIRST
from deepnets4eo.floods.mapper import PERMANENT, POST, PRE, WaterMapper
from deepnets4eo.floods.options import LABELS, MANIFEST, POLYGONS, PROBABILITY, FloodOptions
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.floods.sensors import Kind
from deepnets4eo.floods.spectrum import measure_land_nir, water_indices
from deepnets4eo.floods.thresholds import DRY, FLOOD, PERMANENT_WATER
from deepnets4eo.grid import Grid, blocks, coarse_grid, mean_gsd_m, transform_shapes
from deepnets4eo.outputs import (
    EventInfo,
    Finding,
    describe,
    filled_qml,
    manifest,
    worst_first,
    write_event,
    write_styles,
)
from deepnets4eo.outputs.map_page import MapKind, file_name
from deepnets4eo.polygons import write_layers
from deepnets4eo.rasters import Layer, Scene, areas_in_pixels
from deepnets4eo.tiling import spread_windows

if TYPE_CHECKING:
    import geopandas as gpd

SUBJECT = "Flood map"  # of titles
LAYER, BUILDINGS = "flood", "buildings"  # of flood.gpkg
READ_PX = 1024
COLOURS = {FLOOD: (0, 188, 224), PERMANENT_WATER: (52, 112, 214)}
TITLES = {FLOOD: "Flood", PERMANENT_WATER: "Water, not known since when"}
MOST_FLOODED = 0.5  # share beyond which a map says more about the images than about the ground
KIND = MapKind(
    title=SUBJECT, subject=SUBJECT, one="polygon", many="polygons", file="flood", made_up="This place and its flood are made up.",
    empty="No new water of the least size was recognised. Muddy or shallow water, water under trees and between houses is often not seen: an "
    "empty list is no proof that the ground is dry. Look at both images, and lay the probability of water over them.",
    package="deepnets4eo.change", scripts=("classes.js", "summary.js"), styles=("columns.css",),
)  # fmt: skip
CAVEATS = (
    "Images are averaged down where the page holds no detail; flood.tif, probability.tif and flood.gpkg hold the full resolution.",
    "Calm water is dark in radar, and so are tarmac, sand, salt flats and radar shadow; wind makes water bright. Water between "
    "houses and under trees is often not seen. Wet rice fields, frozen lakes and the sea at high tide look like floods.",
    "In fine optical images large surfaces of one colour are mapped as water: car parks and bare fields that are new can be among "
    "them, and narrow or dark, noisy water is missed.",
    "The interval of the flooded area comes from drawing blocks of the scene at random many times; it says nothing about errors of the map.",
)
OVERVIEW_PX = 1024
ORDER_WINDOWS, ORDER_PX, MOST_WHOLE_PX = (
    3,
    384,
    512,
)  # along each side, in which the order of the dates is tested; smaller scenes are read whole
LEAST_LOST, MORE_LOST = 0.01, 5.0  # of the ground, and times what is flooded, of water that is gone
WHITE = 180  # of 255, of the darkest of red, green and blue: muddy water and glint stay below it
LEAST_WHITE, LEAST_SNOW = 0.2, 0.01  # of the flood, and of the ground, to be named
LARGEST_FIELD_M2, LEAST_FIELD_PX = 50_000.0, 9  # smaller regions of a few pixels are four-sided by chance
FOUR_SIDED = 0.8  # share of a field in the smallest rectangle around it
LEAST_FIELDS, LEAST_IN_FIELDS = 8, 0.5  # number, and share of the flooded area
SEA_BORDER = 0.2  # of the border of the map, in one piece, along which water leaves it; rivers cross it by less
SEA_M = 2000.0  # the same at least: in a small tile a river can be as wide as that
LEAST_AT_SEA = 0.1  # of the flood


def write_products(
    dates: FloodScene,
    mapper: WaterMapper,
    folder: Path,
    options: FloodOptions,
    event: EventInfo,
    findings: Sequence[Finding],
    mapped_all: Layer | None = None,
) -> tuple[gpd.GeoDataFrame, dict[str, Any], list[str], list[Finding]]:
    """Write what follows from flood.tif and probability.tif; returns polygons, summary, the names of all files, and all findings.

    mapped_all : the labels before ground that is not surely dry was left out, where water is not recognised."""
    labels, probability = Layer.open(folder / LABELS), Layer.open(folder / PROBABILITY)
    mapped = FLOOD if dates.knows_before else PERMANENT_WATER
    polygons = flood_polygons(labels, probability, mapped, options)
    layers, buildings = {LAYER: polygons}, None
    if dates.footprints is not None and (outlines := dates.outlines) is not None:
        buildings = buildings_in_water(
            dates.footprints.frame["id"].to_numpy(), outlines, labels, dates, options.workers
        )
        layers[BUILDINGS] = buildings
    path = write_layers(layers, folder / POLYGONS)
    write_event(path, event, SUBJECT, LAYER)
    write_styles(path, [(LAYER, "flood", filled_qml(COLOURS[mapped]), TITLES[mapped])])
    figures = _figures(labels, dates, buildings, options)
    if mapped_all is not None:
        figures["area"] = _with_unknown(figures["area"], changed_area(mapped_all).seen_ha)
    if dates.knows_before:
        findings = [*findings, *_order_findings(labels, dates.scene, mapper)]
        findings += lookalike_findings(labels, dates.scene.layers[POST], dates.kinds[POST], polygons)
    ordered = list(worst_first([*findings, *_figure_findings(figures)]))
    summary = {
        "product": "deepnets4eo flood map",
        "synthetic": dates.scene.synthetic,
        "event": event.to_dict(),
        **{name: dates.scene.layers[name].source for name in dates.kinds},
        "sensors": dates.kinds,
        **figures,
        "polygons": {"count": len(polygons), "min_area_m2": options.min_area_m2},
        "thresholds": {name: _thresholds(mapper, name) for name in mapper.dates},
        "registration": {} if dates.registration is None else dates.registration.to_dict(),
        "findings": [finding.to_dict() for finding in ordered],
    }
    summary = summary if labels.grid.crs is not None else areas_in_pixels(summary)
    write_json(folder / "summary.json", summary)
    page = _page(dates, polygons, summary, mapped)
    page_summary = summary | {"pre": summary.get(FIRST)}
    page.write(folder / "report.html", probability, polygons, page_summary, event, ordered)
    names = sorted(item.name for item in folder.iterdir())
    write_json(folder / MANIFEST, _manifest(dates, options, summary, folder, names))
    return polygons, summary, [*names, MANIFEST], ordered


def flood_polygons(labels: Layer, probability: Layer, value: int, options: FloodOptions) -> gpd.GeoDataFrame:
    """Polygons of a class, the largest first: `id`, `area_m2`, what it is half a pixel farther in and out (`area_low_m2`,
    `area_high_m2`), and the mean probability of water `score`, 0–1."""
    frame = scored_polygons(labels, value, probability, options.min_area_m2, options.workers)
    shapes = frame.geometry.to_numpy()
    half = np.sqrt(abs(labels.grid.affine.determinant)) / 2
    areas = shapely.area(shapes)
    for column, distance in (("area_low_m2", -half), ("area_high_m2", half)):
        ratio = np.divide(
            shapely.area(shapely.buffer(shapes, distance)), areas, out=np.ones(len(frame)), where=areas > 0
        )
        frame.insert(len(frame.columns) - 2, column, frame["area_m2"] * ratio)
    return frame


def buildings_in_water(
    ids: NDArray[Any], outlines: NDArray[np.object_], labels: Layer, dates: FloodScene, workers: int
) -> gpd.GeoDataFrame:
    """The buildings with the columns `water_share`, `water_ring_share` and `inundated`, in the CRS of the map."""
    import geopandas as gpd

    water = water_around(labels, outlines, any_water=not dates.knows_before, workers=workers)
    columns = {
        "id": ids, "inundated": water.inundated,
        "water_share": water.share, "water_ring_share": water.ring_share,
    }  # fmt: skip
    crs = None if labels.grid.crs is None else labels.grid.crs.proj
    return gpd.GeoDataFrame(columns, geometry=outlines, crs=crs)


def headline(summary: dict[str, Any]) -> str:
    """The flooded area in one line, and the buildings in it."""
    return "".join(_headline(summary))


def _headline(summary: dict[str, Any]) -> tuple[str, str]:
    area, buildings = summary["area"], summary.get("buildings")
    unit = "px" if "seen_px" in area else "ha"
    if not area[f"seen_{unit}"]:
        return "", "Nothing could be compared."
    knows = any(name != POST for name in summary["sensors"])
    name, word = ("flood", "flooded") if knows else ("permanent_water", "of water, not known since when")
    if f"unknown_{unit}" in area:
        text = f"It is not told how much is flooded: {area_in_words(area, name, area[f'{name}_{unit}_interval'])}"
        rest = f", of which {area_in_words(area, 'unknown')} are not known; {area_in_words(area, 'seen')} are surely wet or dry"
    elif not area[f"{name}_{unit}"]:
        text, rest = (
            "No flood was found" if knows else "No water was found",
            f" in {area_in_words(area, 'seen')} that was seen",
        )
    else:
        text = f"{area_in_words(area, name, area[f'{name}_{unit}_interval'])} {word}"
        rest = f", {100 * area[f'{name}_share']:.1f} % of {area_in_words(area, 'seen')} that was seen"
    if buildings is not None:
        unknown, stand = buildings["count"] - buildings["known"], f"{buildings['inundated']:,} of "
        stand += f"{buildings['count']:,} buildings are known to" if unknown else f"{buildings['known']:,} buildings"
        rest += f"; {stand} stand in it" + (f", of {unknown:,} it is not known" if unknown else "")
    return text, rest


def _figures(
    labels: Layer, dates: FloodScene, buildings: gpd.GeoDataFrame | None, options: FloodOptions
) -> dict[str, Any]:
    """Areas, buildings and land cover."""
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
        wet = (buildings["inundated"] == YES).to_numpy()
        built = shapely.area(buildings.geometry.to_numpy()) / abs(labels.grid.affine.determinant)  # pixels
        pixel_ha = total_ha / np.prod(labels.shape)
        figures["buildings"] = {
            "count": len(buildings),
            "known": int((buildings["inundated"] != NOT_KNOWN).sum()),
            "inundated": int(wet.sum()),
            "built_inundated_ha": float(built[wet].sum() * pixel_ha),
        }
    if dates.cover is not None:
        figures["cover"] = _flooded_cover(dates.cover, labels)
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
    windows = blocks(labels.shape, READ_PX)
    sizes = np.array([window.height * window.width for window in windows])
    return float(sizes @ hectares_by_window(labels.grid, windows))


def _flooded_cover(cover: Layer, labels: Layer) -> list[dict[str, Any]]:
    """Flooded hectares of each class of land cover."""
    legend, sums = cover.legend, np.zeros((2, 256))
    assert legend is not None
    windows = blocks(labels.shape, READ_PX)
    for window, pixel_ha in zip(windows, hectares_by_window(labels.grid, windows), strict=True):
        classes, known = cover.read(window)
        water, seen = labels.read(window)
        both = known & seen
        for row, mask in enumerate((both, both & (water[0] == FLOOD))):
            sums[row] += np.bincount(classes[0][mask].astype(np.intp), minlength=256)[:256] * pixel_ha
    names = zip(legend.values, legend.names, strict=True)
    return [{"class": name, "seen_ha": sums[0, value], "flood_ha": sums[1, value]} for value, name in names]


def _figure_findings(figures: dict[str, Any]) -> list[Finding]:
    area = figures["area"]
    if "unknown_ha" not in area and area["seen_ha"] and area["flood_ha"] > MOST_FLOODED * area["seen_ha"]:
        return [Finding("most_flooded", "caution", {"share": area["flood_share"]})]
    return []


def _order_findings(labels: Layer, scene: Scene, mapper: WaterMapper) -> list[Finding]:
    """Where far more ground fell dry than is flooded, the dates may be swapped; measured in windows spread over the scene."""
    swapped, lost, new, seen = mapper.swap_dates(), 0, 0, 0
    if swapped is None:
        return []
    side_px = MOST_WHOLE_PX if max(labels.shape) <= MOST_WHOLE_PX else ORDER_PX
    for window in spread_windows(labels.shape, (side_px, side_px), ORDER_WINDOWS):
        sample = scene.read(window, [FIRST, POST])
        sample[FIRST], sample[POST] = sample[POST], sample[FIRST]
        classes = swapped.predict_proba(swapped.inputs.prepare(sample)[None])[0].argmax(axis=0)
        mapped, known = labels.read(window)
        lost += int(((classes == FLOOD) & known).sum())
        new, seen = new + int((mapped[0] == FLOOD).sum()), seen + int(known.sum())
    if lost < LEAST_LOST * seen or lost < MORE_LOST * new or not lost:
        return []
    return [
        Finding("dates_swapped", "caution", {"dried": lost / seen, "flooded": new / seen}, wording="water_fell_back")
    ]


def _thresholds(mapper: WaterMapper, name: str) -> dict[str, float | None]:
    return {
        band: None if threshold is None else threshold.value
        for band, threshold in mapper.dates[name].thresholds.items()
    }


def _page(dates: FloodScene, polygons: gpd.GeoDataFrame, summary: dict[str, Any], mapped: int) -> RegionPage:
    area = summary["area"]
    images = {role: dates.pictures[name] for role, name in (("pre", FIRST), ("post", POST)) if name in dates.pictures}
    facts = [("Flooded" if mapped == FLOOD else "Water", _headline(summary)[0])]
    if dates.knows_before:
        facts.append(("Permanent water", area_in_words(area, "permanent_water")))
    facts.append(("Not seen", area_in_words(area, "not_seen")))
    facts += [
        ("Not told", area_in_words(area, name)) for name in ("unknown",) if {"unknown_ha", "unknown_px"} & area.keys()
    ]
    if (buildings := summary.get("buildings")) is not None:
        text = f"{buildings['inundated']:,} of {buildings['known']:,}, {area_in_words(buildings | area, 'built_inundated')} of roofs"
        text += f"; {unknown:,} not known" if (unknown := buildings["count"] - buildings["known"]) else ""
        facts.append(("Buildings in the flood", text))
    for entry in summary.get("cover", []):
        facts.append((f"Flooded {entry['class']}", area_in_words(entry | {"seen_ha": 0}, "flood")))
    for name, kind in dates.kinds.items():
        cuts = ", ".join(
            f"{band} {value:.3g}" for band, value in summary["thresholds"].get(name, {}).items() if value is not None
        )
        file = file_name(str(summary[name]))
        facts.append((_role(name, dates), f"{file}: {kind}{f', threshold {cuts}' if cuts else ''}"))
    hectares = float(polygons["area_m2"].sum()) / 10_000
    classes = [
        {
            "key": "class-0",
            "title": TITLES[mapped],
            "color": list(COLOURS[mapped]),
            "count": len(polygons),
            "area_ha": hectares,
        }
    ]
    numbers = np.zeros(len(polygons), np.intp)
    return RegionPage(KIND, "Water", "Probability", _headline(summary), facts, CAVEATS, classes, numbers, images)


def _role(name: str, dates: FloodScene) -> str:
    """What an input is called on the page; dates before are numbered where there are several, of which the page shows the first."""
    several = sum(layer.startswith(PRE) for layer in dates.kinds) > 1
    number = f" {name.removeprefix(PRE)}" if several else ""
    return (
        f"Image before{number}" if name.startswith(PRE) else {POST: "Image after", PERMANENT: "Permanent water"}[name]
    )


def _manifest(
    dates: FloodScene, options: FloodOptions, summary: dict[str, Any], folder: Path, names: Sequence[str]
) -> dict[str, Any]:
    paths = {name: dates.scene.layers[name].paths for name in dates.kinds}
    images = {name: [describe(path) for path in files] for name, files in paths.items()}
    further = {role: describe(source) for role, source in options.further_inputs.items()}
    return manifest(summary, asdict(options), images | further, folder, names)


def lookalike_findings(labels: Layer, post: Layer, kind: Kind, polygons: gpd.GeoDataFrame) -> list[Finding]:
    """What of a flood may be none. labels : the map; post : the flood image on its grid, of a kind; polygons : of the flood."""
    grid = coarse_grid(labels.grid, OVERVIEW_PX)
    classes = labels.on(grid, "nearest").read()[0][0]
    named = [_fields(polygons, labels.grid), _sea(classes, mean_gsd_m(grid))]
    if kind in ("surface", "spectrum"):
        values, seen, _ = post.thumbnail(OVERVIEW_PX)
        bands = dict(zip(post.band_names, values.astype(np.float32), strict=True))
        named += [_snow(bands, seen) if kind == "spectrum" else None, _white(bands, classes, seen)]
    return [finding for finding in named if finding is not None]


def _snow(bands: dict[str, FloatImage], seen: Mask) -> Finding | None:
    snow = water_indices(bands, measure_land_nir(bands, seen))[1]
    share = float(snow[seen].mean()) if seen.any() else 0.0
    if share < LEAST_SNOW:
        return None
    return Finding("snow_left_out", "note", {"share": share})


def _white(bands: dict[str, FloatImage], classes: ByteImage, seen: Mask) -> Finding | None:
    """Flooded ground that is brighter than dry land in the infrared, where water is dark, or white where only colours are known."""
    flood, dry = seen & (classes == FLOOD), seen & (classes == DRY)
    infrared = bands.get("swir", bands.get("nir"))
    if not flood.any() or (infrared is not None and not dry.any()):
        return None
    white = np.min(list(bands.values()), axis=0) > WHITE if infrared is None else infrared > np.median(infrared[dry])
    share = float(white[flood].mean())
    if share < LEAST_WHITE:
        return None
    return Finding("flood_is_white", "caution", {"share": share})


def _fields(polygons: gpd.GeoDataFrame, grid: Grid) -> Finding | None:
    """Many separate regions that are four-sided and of the size of fields."""
    areas = polygons["area_m2"].to_numpy(float)
    shapes = transform_shapes(~grid.affine, polygons.geometry.to_numpy())
    pixels = shapely.area(shapes)
    around = shapely.area(shapely.minimum_rotated_rectangle(shapes))
    fields = (pixels > FOUR_SIDED * around) & (pixels >= LEAST_FIELD_PX) & (areas <= LARGEST_FIELD_M2)
    if fields.sum() < LEAST_FIELDS or areas[fields].sum() < LEAST_IN_FIELDS * areas.sum():
        return None
    share, number = float(areas[fields].sum() / areas.sum()), int(fields.sum())
    return Finding(
        "flood_in_fields", "caution", {"share": share, "number": number, "most_ha": LARGEST_FIELD_M2 / 10_000}
    )


def _sea(classes: ByteImage, gsd_m: float) -> Finding | None:
    """A flood along permanent water that leaves the map by much of its border: tides and waves move such a shore."""
    old, _ = ndimage.label(classes == PERMANENT_WATER, np.ones((3, 3)))
    around = np.concatenate([old[0], old[1:, -1], old[-1, -2::-1], old[-2:0:-1, 0]])  # the border, once around
    first = int(np.flatnonzero(around != around[0])[0]) if (around != around[0]).any() else 0
    around = np.roll(around, -first)  # begins where a piece does
    starts = np.flatnonzero(np.r_[True, np.diff(around) != 0])
    lengths = np.diff(np.r_[starts, len(around)])
    at_sea = (lengths >= max(SEA_BORDER * len(around), SEA_M / gsd_m)) & (around[starts] > 0)
    sea = np.unique(around[starts][at_sea])
    flood = classes == FLOOD
    if not len(sea) or not flood.any():
        return None
    parts, _ = ndimage.label(flood | (old > 0), np.ones((3, 3)))
    joined = np.isin(parts, np.unique(parts[np.isin(old, sea)])) & flood
    share = joined.sum() / flood.sum()
    if share < LEAST_AT_SEA:
        return None
    border = float(lengths[at_sea].sum() / len(around))
    return Finding("shore_of_the_sea", "caution", {"share": float(share), "border": border})
