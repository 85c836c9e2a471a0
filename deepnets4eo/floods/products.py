"""Drawing of a flood map: what is surely wet or dry, polygons, buildings in water, and the figures of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo import maps
from deepnets4eo.cards import Legend
from deepnets4eo.evaluation import PredictedMap
from deepnets4eo.floods.buildings import water_around, write_seen_water
from deepnets4eo.floods.date_findings import level_findings, mode_findings
from deepnets4eo.floods.figures import figure_findings, measure_figures
from deepnets4eo.floods.layer_names import POST
from deepnets4eo.floods.lookalikes import lookalike_findings, order_findings
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.mud import WithMud, with_mud
from deepnets4eo.floods.options import LABELS, PROBABILITY, FloodOptions
from deepnets4eo.floods.page import COLOURS, TITLES
from deepnets4eo.floods.permanent import write_proven_water
from deepnets4eo.floods.recognition import measure_recognition, write_sure_water, write_without_flood
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.maps import Drawn, Measured, Style, scored_polygons, write_labels_and_score
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.polygons import areas_half_a_pixel_apart
from deepnets4eo.rasters import Layer

if TYPE_CHECKING:
    import geopandas as gpd

LAYER, BUILDINGS = "flood", "buildings"  # of flood.gpkg
MUDDY = "muddy.tif"  # labels with muddy water that was found by its colour
PROVEN = "proven.tif"  # labels whose permanent water is known from a date before
VISIBLE = "visible.tif"  # labels without ground near new water that crowns and shadows hide
SURE = "sure.tif"  # labels of a scene in which water is not recognised, or no flood is expected


def draw_flood(
    opened: FloodScene, measured: Measured, folder: Path, products: Path, options: FloodOptions, event: EventInfo
) -> Drawn:
    """Write the rasters of a flood map; return polygons, buildings, figures and findings. folder : of labels and probabilities"""
    mapper = measured.run.segmenter
    assert isinstance(mapper, WaterMapper)
    mapped, dry = Layer.open(folder / maps.LABELS), Layer.open(folder / maps.PROBABILITIES)
    sure, has_mud, findings = _sure_labels(opened, mapper, mapped, dry, folder / SURE, event)
    if has_mud:
        dry = Layer(WithMud(dry, mapped, sure))
    legend = Legend.load("water")
    write_labels_and_score(
        sure, dry, products / LABELS, products / PROBABILITY, legend=legend, name="water", event=event
    )
    labels, probability = Layer.open(products / LABELS), Layer.open(products / PROBABILITY)
    polygons = flood_polygons(labels, probability, opened.mapped, options)
    layers, buildings = {LAYER: polygons}, None
    if opened.footprints is not None and (outlines := opened.outlines) is not None:
        ids, is_patch = opened.footprints.frame["id"].to_numpy(), mapper.is_patch(labels.shape)
        visible = labels
        if mapper.dates[POST].by_appearance:
            visible = write_seen_water(labels, opened.scene.layers[POST], mapper.pixel_m2**0.5, folder / VISIBLE)
        buildings = buildings_in_water(ids, outlines, visible, opened, options.workers, is_patch)
        layers[BUILDINGS] = buildings
    figures = measure_figures(labels, opened, buildings, options, None if sure is mapped else mapped)
    if opened.knows_before:
        findings = [*findings, *order_findings(labels, opened.scene, mapper)]
        findings += lookalike_findings(labels, opened.scene.layers[POST], opened.dates[POST], polygons)
    described = {
        **{name: image.source for name, image in opened.images.items()},
        "sensors": opened.kinds,
        **figures,
        "polygons": {"count": len(polygons), "min_area_m2": options.min_area_m2},
        "thresholds": {name: _thresholds(mapper, name) for name in mapper.dates},
        "registration": {} if opened.registration is None else opened.registration.to_dict(),
    }
    computed = mapped.tags.get(PredictedMap.precision_tag, PredictedMap.scored_in)
    return Drawn(
        layers, Style("flood", COLOURS[opened.mapped], TITLES[opened.mapped]), described,
        [*findings, *figure_findings(figures)], labels, probability, {"computed": computed},
    )  # fmt: skip


def _sure_labels(
    opened: FloodScene, mapper: WaterMapper, labels: Layer, dry: Layer, path: Path, event: EventInfo
) -> tuple[Layer, bool, list[Finding]]:
    """Return the labels of what is surely wet or dry, whether they have muddy water, and the findings.

    The labels are written to a path unless all are sure. dry : probability of dry ground"""
    recognition = measure_recognition(opened.scene, mapper, labels)
    if event.is_flood is not False:
        labels, recognition = with_mud(labels, path.with_name(MUDDY), opened.scene, mapper, recognition)
    labels, of_age = write_proven_water(labels, path.with_name(PROVEN), opened.scene, mapper)
    # whoever maps a flood states that there is one: colours of which nothing is found do not prove that there is none
    flooded = True if event.is_flood is None and mapper.dates[POST].by_appearance else event.is_flood
    doubt = recognition.finding(flooded, "look_for_water")
    first = [] if doubt is None else [doubt]
    of_dates = [*level_findings(mapper), *mode_findings(mapper)]
    is_in_order = event.date_pre and event.date_post and not event.has_reversed_dates
    order = () if is_in_order else recognition.order_finding()
    findings = [*first, *order, *recognition.mud_finding(), *event.findings(), *opened.findings, *of_dates]
    if event.is_flood is False and mapper.dates[POST].by_appearance:
        sure = write_without_flood(labels, path) or labels
        return sure, False, [*_dry_hazard(event, sure is not labels), *findings]
    has_mud = recognition.muddy == "found"
    if doubt is None:
        return labels, has_mud, [*findings, *of_age]
    reach_m = recognition.doubted_m(flooded)
    return write_sure_water(labels, path, opened.scene, mapper, opened.outlines, dry, reach_m), has_mud, findings


def _dry_hazard(event: EventInfo, is_wet: bool) -> list[Finding]:
    """Report that new water was found by its colour although the event is no flood. is_wet : whether it was"""
    name = Finding.verbatim(event.name)
    return [Finding("flood_at_dry_hazard", "caution", {"name": name})] if is_wet else []


def flood_polygons(labels: Layer, probability: Layer, value: int, options: FloodOptions) -> gpd.GeoDataFrame:
    """Return the polygons of a class, the largest first.

    Columns: `id`, `area_m2`, the area with borders half a pixel further in and out (`area_low_m2`, `area_high_m2`), and the
    mean probability of water `score`, 0–1."""
    frame = scored_polygons(labels, value, probability, options.min_area_m2, options.workers)
    shares = areas_half_a_pixel_apart(frame.geometry.to_numpy(), labels.grid.affine)
    for column, share in zip(("area_low_m2", "area_high_m2"), shares, strict=True):
        frame.insert(len(frame.columns) - 2, column, frame["area_m2"] * share)
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
