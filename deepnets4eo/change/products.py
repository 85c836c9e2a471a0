"""Drawing of a change map: score.tif and change.tif, polygons with land cover and doubts, and the figures of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.cards import Legend
from deepnets4eo.change.areas import change_polygons, changed_area, with_doubt, with_transitions
from deepnets4eo.change.change_scores import change_scores
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.cover_table import compare_covers, write_transitions
from deepnets4eo.change.deciding import method_findings
from deepnets4eo.change.doubts import doubt_findings
from deepnets4eo.change.options import ChangeOptions, ChangeProducts
from deepnets4eo.change.page import SUBJECT
from deepnets4eo.change.pair import ChangePair, clouded_area
from deepnets4eo.change.rasters import covers_of, write_rasters
from deepnets4eo.ground_area import SQUARE_METRES
from deepnets4eo.maps import LABELS, PROBABILITIES, Drawn, Measured, Style
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer

if TYPE_CHECKING:
    import geopandas as gpd

LAYER = "change"  # of change.gpkg


def draw_change(
    pair: ChangePair, measured: Measured, folder: Path, out: Path, options: ChangeOptions, event: EventInfo
) -> Drawn:
    """Write the rasters of a change map; return polygons, figures and findings. folder : of labels and probabilities. out : of products"""
    products, run = ChangeProducts(out), measured.run
    covers = covers_of(run, folder / LABELS, products, pair, event)
    by_class = pair.run is not None and not options.refines  # else a threshold or the refined scores decide
    classes = Layer.open(folder / LABELS) if by_class else None
    scores = change_scores(Layer.open(folder / PROBABILITIES), run.legend, str(run.folder), classes=classes)
    of_rasters = write_rasters(scores, products, pair.scene, options, event)
    labels, score = Layer.open(products.labels), Layer.open(products.score)
    doubts = doubt_findings(score, pair.doubt)
    pair = pair if doubts else replace(pair, doubt=None)
    polygons = _polygons(pair, labels, score, covers, products, options, event)
    changed = Legend.load("change").classes[1]
    return Drawn(
        {LAYER: polygons}, Style(changed.name, changed.color, SUBJECT),
        _figures(pair, labels, polygons, measured.notes, options),
        [*doubts, *event.findings(), *pair.findings, *method_findings(pair, run), *of_rasters], labels, score,
    )  # fmt: skip


def _polygons(
    pair: ChangePair, labels: Layer, score: Layer, covers: tuple[Layer, Layer] | None, products: ChangeProducts,
    options: ChangeOptions, event: EventInfo,
) -> gpd.GeoDataFrame:  # fmt: skip
    """Return the regions of change with land cover and doubts; the table of transitions is written if classes can be compared."""
    polygons = change_polygons(labels, score, min_area_m2=options.min_area_m2, workers=options.workers)
    if covers is not None:
        covers = covers[0].on(labels.grid, "nearest"), covers[1].on(labels.grid, "nearest")
        polygons = with_transitions(polygons, *covers)
        if labels.grid.crs is not None and _same_classes(*covers):  # without a CRS pixels have no area
            table = compare_covers(*covers, seed=options.seed)
            write_transitions(products.folder / "transitions.csv", table, event.columns)
    return polygons if pair.doubt is None else with_doubt(polygons, pair.doubt)


def _same_classes(pre: Layer, post: Layer) -> bool:
    return pre.legend is not None and post.legend is not None and pre.legend.names == post.legend.names


def _figures(
    pair: ChangePair, labels: Layer, polygons: gpd.GeoDataFrame, notes: Mapping[str, Any], options: ChangeOptions
) -> dict[str, Any]:
    """Compute the figures of a change map for summary.json. notes : the method with its threshold"""
    pre, post = pair.dated
    clouds = clouded_area(pair.scene, (DateLayers.pre, DateLayers.post))
    return {
        "pre": pre.source,
        "post": post.source,
        "bands": {"pre": pre.band_names, "post": post.band_names},
        "area": changed_area(labels, seed=options.seed, doubt=pair.doubt).to_dict("changed"),
        "polygons": {
            "count": len(polygons),
            "min_area_m2": options.min_area_m2,
            "area_ha": float(polygons["area_m2"].sum()) / SQUARE_METRES,
            "largest_m2": float(polygons["area_m2"].max()) if len(polygons) else None,
        },
        **notes,
        **({"clouds": clouds.to_dict()} if clouds is not None else {}),
        "refined": options.refines,
        "registration": pair.registration.to_dict(),
    }
