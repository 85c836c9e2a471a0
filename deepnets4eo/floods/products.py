"""The products of a flood map in addition to its rasters: polygons, buildings, summary, page, and the manifest last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.change import scored_polygons
from deepnets4eo.evaluation import PredictedMap
from deepnets4eo.files import write_json
from deepnets4eo.floods.buildings import water_around
from deepnets4eo.floods.figures import figure_findings, measure_figures
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.lookalikes import lookalike_findings, order_findings
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.options import LABELS, MANIFEST, POLYGONS, PROBABILITY, FloodOptions
from deepnets4eo.floods.page import COLOURS, SUBJECT, TITLES, flood_page
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
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
from deepnets4eo.polygons import write_layers
from deepnets4eo.rasters import Layer, areas_in_pixels

if TYPE_CHECKING:
    import geopandas as gpd

LAYER, BUILDINGS = "flood", "buildings"  # of flood.gpkg


def write_products(
    opened: FloodScene,
    mapper: WaterMapper,
    folder: Path,
    options: FloodOptions,
    event: EventInfo,
    findings: Sequence[Finding],
    mapped_all: Layer | None = None,
) -> tuple[gpd.GeoDataFrame, dict[str, Any], list[str], list[Finding]]:
    """Write the products of flood.tif and probability.tif; return polygons, summary, the names of all files, and all findings.

    mapped_all : the labels before ground that is not surely dry was left out, if water is not recognised."""
    labels, probability = Layer.open(folder / LABELS), Layer.open(folder / PROBABILITY)
    mapped = FLOOD if opened.knows_before else PERMANENT_WATER
    polygons = flood_polygons(labels, probability, mapped, options)
    layers, buildings = {LAYER: polygons}, None
    if opened.footprints is not None and (outlines := opened.outlines) is not None:
        buildings = buildings_in_water(
            opened.footprints.frame["id"].to_numpy(),
            outlines,
            labels,
            opened,
            options.workers,
            mapper.is_patch(labels.shape),
        )
        layers[BUILDINGS] = buildings
    path = write_layers(layers, folder / POLYGONS)
    write_event(path, event, SUBJECT, LAYER)
    write_styles(path, [(LAYER, "flood", filled_qml(COLOURS[mapped]), TITLES[mapped])])
    figures = measure_figures(labels, opened, buildings, options, mapped_all)
    if opened.knows_before:
        findings = [*findings, *order_findings(labels, opened.scene, mapper)]
        findings += lookalike_findings(labels, opened.scene.layers[POST], opened.dates[POST], polygons)
    ordered = list(worst_first([*findings, *figure_findings(figures)]))
    summary = {
        "product": "deepnets4eo flood map",
        "synthetic": opened.scene.synthetic,
        "event": event.to_dict(),
        **{name: opened.scene.layers[name].source for name in opened.dates},
        "sensors": opened.kinds,
        **figures,
        "polygons": {"count": len(polygons), "min_area_m2": options.min_area_m2},
        "thresholds": {name: _thresholds(mapper, name) for name in mapper.dates},
        "registration": {} if opened.registration is None else opened.registration.to_dict(),
        "findings": [finding.to_dict() for finding in ordered],
    }
    summary = summary if labels.grid.crs is not None else areas_in_pixels(summary)
    write_json(folder / "summary.json", summary)
    page = flood_page(opened, polygons, summary, mapped)
    page_summary = summary | {"pre": summary.get(FIRST)}
    page.write(folder / "report.html", probability, polygons, page_summary, event, ordered)
    names = sorted(item.name for item in folder.iterdir())
    computed = (mapped_all or labels).tags.get(PredictedMap.precision_tag, PredictedMap.scored_in)
    write_json(folder / MANIFEST, _manifest(opened, options, computed, summary, folder, names))
    return polygons, summary, [*names, MANIFEST], ordered


def flood_polygons(labels: Layer, probability: Layer, value: int, options: FloodOptions) -> gpd.GeoDataFrame:
    """Return the polygons of a class, the largest first.

    Columns: `id`, `area_m2`, the area with borders half a pixel further in and out (`area_low_m2`, `area_high_m2`), and the
    mean probability of water `score`, 0–1."""
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
    ids: NDArray[Any], outlines: NDArray[np.object_], labels: Layer, opened: FloodScene, workers: int, is_patch: bool
) -> gpd.GeoDataFrame:
    """Return the buildings with the columns `water_share`, `water_ring_share` and `inundated`, in the CRS of the map."""
    import geopandas as gpd

    water = water_around(labels, outlines, any_water=not opened.knows_before, workers=workers)
    if is_patch:
        water = water.by_colour()
    columns = {
        "id": ids, "inundated": water.inundated,
        "water_share": water.share, "water_ring_share": water.ring_share,
    }  # fmt: skip
    crs = None if labels.grid.crs is None else labels.grid.crs.proj
    return gpd.GeoDataFrame(columns, geometry=outlines, crs=crs)


def _thresholds(mapper: WaterMapper, name: str) -> dict[str, float | None]:
    return {
        band: None if threshold is None else threshold.value
        for band, threshold in mapper.dates[name].thresholds.items()
    }


def _manifest(
    opened: FloodScene,
    options: FloodOptions,
    computed: str,
    summary: dict[str, Any],
    folder: Path,
    names: Sequence[str],
) -> dict[str, Any]:
    """Return the manifest. computed : arithmetic of the network."""
    paths = {name: opened.scene.layers[name].paths for name in opened.dates}
    images = {name: [describe(path) for path in files] for name, files in paths.items()}
    further = {role: describe(source) for role, source in options.further_inputs.items()}
    return manifest(summary, asdict(options) | {"computed": computed}, images | further, folder, names)
