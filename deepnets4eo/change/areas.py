"""The changed area of a map with its interval, and polygons of change with their scores.

Takes label rasters of no change (0) and change (1); areas are in hectares on the ground."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.cards import Legend
from deepnets4eo.errors import LabelError
from deepnets4eo.evaluation import LabelReader, LegendLabels, Remedies
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.polygons import Shaping, polygonize
from deepnets4eo.rasters import Layer
from deepnets4eo.tiling import Packed
from deepnets4eo.zonal import band_sums, class_counts

if TYPE_CHECKING:
    import geopandas as gpd

log = logging.getLogger(__name__)

CHANGE = 1
BLOCK_PX, MIN_BLOCK_PX = 256, 32
MIN_BLOCKS = 8
DRAWS, LEVEL = 1000, 0.95
SQUARE_METRES = 10_000.0  # of a hectare
MIN_HA = 0.1  # smaller areas are read in square metres


@dataclass(frozen=True)
class ChangedArea:
    """Hectares that changed, out of the hectares that both images show.

    `interval` is a percentile interval over resampled blocks of `block_px`, None for fewer than 8 blocks without doubtful ground;
    it does not cover errors of the map. Of `changed_ha`, `doubtful_ha` is under clouds, or in shadow at one date: it counts as
    unchanged at the low end, and all doubtful ground as changed at the high end."""

    changed_ha: float
    seen_ha: float
    interval: tuple[float, float] | None
    block_px: int = BLOCK_PX
    doubtful_ha: float | None = None

    @property
    def share(self) -> float:
        """Return the changed share of the area that both images show; NaN if that area is empty."""
        return self.changed_ha / self.seen_ha if self.seen_ha else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "changed_ha": self.changed_ha, "changed_ha_interval": self.interval, "interval_level": LEVEL,
            "interval_of": f"bootstrap over blocks of {self.block_px} px; says nothing about errors of the map",
            "seen_ha": self.seen_ha, "changed_share": self.share,
            **({} if self.doubtful_ha is None else {"changed_in_doubt_ha": self.doubtful_ha}),
        }  # fmt: skip


def changed_area(labels: Layer, *, seed: int = 0, value: int = CHANGE, doubt: Layer | None = None) -> ChangedArea:
    """Measure the area of one label, by default the label of change, with its interval.

    Parameters
    ----------
    labels : of the whole scene, void in pixels that were not seen. Memory: one block, and two numbers per block
    seed : of the blocks that are drawn with replacement for the interval (Efron 1979)
    value : the label
    doubt : not 0 in any band where the label cannot be known; None if there is no such ground

    Returns
    -------
    ChangedArea
        Hectares, with their interval.
    """
    block_px = int(np.clip(min(labels.shape) // 4, MIN_BLOCK_PX, BLOCK_PX))
    windows = labels.blocks(block_px)
    ground = GroundArea(labels.grid)
    areas = np.array([_areas(ground, labels, window, value, doubt) for window in windows], float)
    areas = areas[areas[:, 1] > 0]
    changed, seen, sure, possible = areas.sum(axis=0).tolist() if len(areas) else (0.0,) * 4
    intervals = [_interval(areas[:, [column, 1]], seen, seed) for column in (0, 2, 3)]
    if doubt is None:
        return ChangedArea(changed, seen, intervals[0], block_px)
    low, high = intervals[1] or (sure, sure), intervals[2] or (possible, possible)
    return ChangedArea(changed, seen, (low[0], high[1]), block_px, changed - sure)


def to_hectares(area_m2: Floats) -> Floats:
    """Return areas in square metres as hectares."""
    return area_m2 / SQUARE_METRES


def area_text(hectares: float, interval: Sequence[float] | None = None) -> str:
    """Return an area on the ground as text, its interval in brackets: three digits; square metres below a tenth of a hectare.

    >>> [area_text(hectares) for hectares in (1234.567, 12.345, 0.123, 0.0123456, 0.0)]
    ['1,230 ha', '12.3 ha', '0.123 ha', '123 m²', '0 ha']
    >>> area_text(1.5, (1.2, 11.26))
    '1.50 ha (1.20–11.3)'
    """
    scale, unit = (SQUARE_METRES, "m²") if 0 < hectares < MIN_HA else (1.0, "ha")
    around = "" if interval is None else f" ({'–'.join(_three_digits(scale * end) for end in interval)})"
    return f"{_three_digits(scale * hectares)} {unit}{around}"


def _three_digits(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(rounded))) if rounded > 0 else 0}f}"


def redraw_blocks(counts: NDArray[Any], draws: int, seed: int) -> NDArray[np.float64]:
    """Return (draws, …) sums over a site whose blocks (blocks, …) are redrawn with replacement (Efron and Tibshirani 1993)."""
    number = len(counts)
    return np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), draws) @ counts


def change_polygons(
    labels: Layer, score: Layer, *, min_area_m2: float = 0.0, workers: int | None = None
) -> gpd.GeoDataFrame:
    """Return polygons of connected changed pixels, the largest first, in the CRS of the raster.

    Columns: `id` text, `area_m2` (at least `min_area_m2`), and mean `score` 0–1 (bytes value / 254 in the raster).
    """
    return scored_polygons(labels, CHANGE, score, min_area_m2, workers)


def scored_polygons(
    labels: Layer, value: int, score: Layer, min_area_m2: float, workers: int | None
) -> gpd.GeoDataFrame:
    """Return polygons of connected pixels of a label with their mean score.

    Parameters
    ----------
    labels, score : rasters of one grid; scores are bytes, value / 254
    value : the label
    min_area_m2 : smaller regions are left out
    workers : threads; one a core where None

    Returns
    -------
    GeoDataFrame
        In the CRS of the raster, the largest first: `id` text, `area_m2`, `score` 0–1, geometry.
    """
    frame = polygonize(labels, {value: "region"}, Shaping(min_area_m2=min_area_m2), workers=workers)
    frame = frame.drop(columns=["class", "value"])
    means = band_sums(score, frame.geometry.to_numpy(), workers=workers).mean[:, 0] if len(frame) else np.zeros(0)
    frame.insert(2, "score", means / Packed.one)
    frame = frame.sort_values("area_m2", ascending=False, kind="stable", ignore_index=True)
    return frame.assign(id=[str(number) for number in range(1, len(frame) + 1)])


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


def _areas(ground: GroundArea, labels: Layer, window: Any, value: int, doubt: Layer | None) -> Floats:
    """Measure the hectares of a label, of valid pixels, of pixels that surely have the label, and of pixels that may have it."""
    data, valid = labels.read(window)
    there = valid & (data[0] == value)
    unknown = np.zeros_like(valid) if doubt is None else valid & (doubt.read(window)[0] != 0).any(axis=0)
    return np.asarray(ground.of(window, there, valid, there & ~unknown, there | unknown))


def _interval(areas: NDArray[np.float64], seen_ha: float, seed: int) -> tuple[float, float] | None:
    if len(areas) < MIN_BLOCKS:
        return None
    changed, seen = redraw_blocks(areas, DRAWS, seed).T
    low, high = np.quantile(changed / seen, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) * seen_ha
    return float(low), float(high)
