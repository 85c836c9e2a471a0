"""The changed area of a map with its interval, and polygons of change with their scores.

Takes label rasters of no change (0) and change (1); areas are in hectares on the ground."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from deepnets4eo.cards import Legend
from deepnets4eo.errors import LabelError
from deepnets4eo.evaluation import LabelReader, LegendLabels, Remedies
from deepnets4eo.maps import LabelArea, label_area, scored_polygons
from deepnets4eo.rasters import Layer
from deepnets4eo.zonal import band_sums, class_counts

if TYPE_CHECKING:
    import geopandas as gpd

log = logging.getLogger(__name__)

CHANGE = 1


def changed_area(labels: Layer, *, seed: int = 0, doubt: Layer | None = None) -> LabelArea:
    """Measure the changed area with its interval, see `maps.label_area`.

    Parameters
    ----------
    labels : of no change (0) and change (1), void in pixels that were not seen
    seed : of the interval
    doubt : not 0 in any band where change cannot be known; None if there is no such ground

    Returns
    -------
    LabelArea
        In hectares, or in pixels if the raster has no CRS.
    """
    return label_area(labels, CHANGE, seed=seed, doubt=doubt)


def change_polygons(
    labels: Layer, score: Layer, *, min_area_m2: float = 0.0, workers: int | None = None
) -> gpd.GeoDataFrame:
    """Return polygons of connected changed pixels, the largest first, in the CRS of the raster.

    Columns: `id` text, `area_m2` (at least `min_area_m2`), and mean `score` 0–1 (bytes value / 254 in the raster).
    """
    return scored_polygons(labels, CHANGE, score, min_area_m2, workers)


def with_transitions(polygons: gpd.GeoDataFrame, cover_pre: Layer, cover_post: Layer) -> gpd.GeoDataFrame:
    """Return the polygons with their most frequent land cover at both dates in the columns `from` and `to`.

    The columns are None for polygons without counted pixels. Raises LabelError if a raster has no legend."""
    columns = {"from": _majority(polygons, cover_pre), "to": _majority(polygons, cover_post)}
    return polygons.assign(**columns)[[*polygons.columns[:-1], *columns, polygons.geometry.name]]


def with_doubt(polygons: gpd.GeoDataFrame, doubt: Layer) -> gpd.GeoDataFrame:
    """Return the polygons with the shares 0–1 of each under clouds and in shadow at one date, in the columns `clouds` and `shadows`."""
    shares = band_sums(doubt, polygons.geometry.to_numpy()).mean if len(polygons) else np.zeros((0, 2))
    columns = dict(zip(doubt.band_names, shares.T, strict=True))
    return polygons.assign(**columns)[[*polygons.columns[:-1], *columns, polygons.geometry.name]]


def legend_of_cover(cover: Layer) -> Legend:
    """Return the legend that a raster of land cover has in its tags. Raises LabelError without one."""
    if cover.legend is None:
        raise LabelError(
            f"{cover.source} has no legend in its tags, expected land cover with the names of its classes. Give labels that "
            "`deepnets4eo predict` wrote, or write the legend into its tags, as here that of hrscd: rio edit-info "
            f'{cover.source} --tag LEGEND="$(deepnets4eo datasets --legends hrscd --json -)".'
        )
    return cover.legend


def _majority(polygons: gpd.GeoDataFrame, cover: Layer) -> list[str | None]:
    legend = legend_of_cover(cover)
    if not len(polygons):
        return []
    reader = LabelReader(cover, legend, remedies=Remedies())
    if (hidden := reader.hidden_note) is not None:
        log.warning(hidden)
    labels = Layer(LegendLabels(reader, legend))
    counts = class_counts(labels, polygons, max(legend.values) + 1).counts
    names = dict(zip(legend.values, legend.names, strict=True))
    return [names.get(int(row.argmax())) if row.any() else None for row in counts]
