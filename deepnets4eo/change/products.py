"""The products of a change map in addition to its rasters: polygons, summary, page, and the manifest last.

Takes the rasters that the job wrote; returns polygons, figures, and the names of all files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.cards import Legend
from deepnets4eo.change.areas import change_polygons, changed_area, with_doubt, with_transitions
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.cover_table import compare_covers, write_transitions
from deepnets4eo.change.options import MANIFEST, ChangeOptions, ChangeProducts
from deepnets4eo.change.page import SUBJECT, write_page
from deepnets4eo.change.pair import ChangePair, clouded_area
from deepnets4eo.files import write_json
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
from deepnets4eo.polygons import write_vector
from deepnets4eo.rasters import Layer, areas_in_pixels

if TYPE_CHECKING:
    import geopandas as gpd

LAYER = "change"  # of change.gpkg


def write_products(
    pair: ChangePair,
    products: ChangeProducts,
    notes: dict[str, Any],
    options: ChangeOptions,
    event: EventInfo,
    findings: Sequence[Finding],
    covers: tuple[Layer, Layer] | None = None,
) -> tuple[gpd.GeoDataFrame, dict[str, Any], list[str]]:
    """Write what follows from change.tif and score.tif; returns polygons, summary, and the names of all files in the folder.

    notes : the method and its threshold, for the summary. event : what the map is of. covers : land cover of both dates, if known.
    """
    labels, score = Layer.open(products.labels), Layer.open(products.score)
    polygons = change_polygons(labels, score, min_area_m2=options.min_area_m2, workers=options.workers)
    if covers is not None:
        covers = covers[0].on(labels.grid, "nearest"), covers[1].on(labels.grid, "nearest")
        polygons = with_transitions(polygons, *covers)
        if labels.grid.crs is not None and _same_classes(*covers):  # without a CRS pixels have no area
            write_transitions(
                products.folder / "transitions.csv", compare_covers(*covers, seed=options.seed), event.columns
            )
    if pair.doubt is not None:
        polygons = with_doubt(polygons, pair.doubt)
    write_vector(polygons, products.polygons, LAYER)
    write_event(products.polygons, event, SUBJECT, LAYER)
    changed = Legend.load("change").classes[1]
    write_styles(products.polygons, [(LAYER, changed.name, filled_qml(changed.color), SUBJECT)])
    ordered = worst_first(findings)
    summary = summarize(pair, labels, polygons, notes, options, event, ordered)
    write_json(products.folder / "summary.json", summary)
    write_page(products.folder / "report.html", pair.scene, score, polygons, summary, event, ordered)
    names = sorted(item.name for item in products.folder.iterdir())
    write_json(products.folder / MANIFEST, _manifest(pair, options, summary, products.folder, names))
    return polygons, summary, [*names, MANIFEST]


def _same_classes(pre: Layer, post: Layer) -> bool:
    return pre.legend is not None and post.legend is not None and pre.legend.names == post.legend.names


def summarize(
    pair: ChangePair,
    labels: Layer,
    polygons: gpd.GeoDataFrame,
    notes: dict[str, Any],
    options: ChangeOptions,
    event: EventInfo,
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Compute the figures of a change map, ready for JSON."""
    pre, post = pair.scene.layers[DateLayers.pre], pair.scene.layers[DateLayers.post]
    clouds = clouded_area(pair.scene, (DateLayers.pre, DateLayers.post))
    figures = {
        "product": "deepnets4eo change map",
        "synthetic": pair.scene.synthetic,
        "event": event.to_dict(),
        "pre": pre.source,
        "post": post.source,
        "bands": {"pre": pre.band_names, "post": post.band_names},
        "area": changed_area(labels, seed=options.seed, doubt=pair.doubt).to_dict(),
        "polygons": {
            "count": len(polygons),
            "min_area_m2": options.min_area_m2,
            "area_ha": float(polygons["area_m2"].sum()) / 10_000,
            "largest_m2": float(polygons["area_m2"].max()) if len(polygons) else None,
        },
        **notes,
        **({"clouds": clouds.to_dict()} if clouds is not None else {}),
        "refined": options.refines,
        "registration": pair.registration.to_dict(),
        "findings": [finding.to_dict() for finding in findings],
    }
    return figures if labels.grid.crs is not None else areas_in_pixels(figures)


def _manifest(
    pair: ChangePair, options: ChangeOptions, summary: dict[str, Any], folder: Path, names: Sequence[str]
) -> dict[str, Any]:
    sources = {
        "pre": pair.scene.layers[DateLayers.pre].source,
        "post": pair.scene.layers[DateLayers.post].source,
        **options.further_inputs,
    }
    paths = {"pre": pair.scene.layers[DateLayers.pre].paths, "post": pair.scene.layers[DateLayers.post].paths}
    inputs = {
        role: [describe(path) for path in paths.get(role, [])] or describe(source) for role, source in sources.items()
    }
    return manifest(summary, asdict(options), inputs, folder, names)
