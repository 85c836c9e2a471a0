"""Areas of a label raster with intervals, and its regions as polygons with their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.outputs import Quantity
from deepnets4eo.polygons import Shaping, polygonize
from deepnets4eo.rasters import Layer
from deepnets4eo.tiling import Packed
from deepnets4eo.zonal import band_sums

if TYPE_CHECKING:
    import geopandas as gpd

BLOCK_PX, MIN_BLOCK_PX = 256, 32
MIN_BLOCKS = 8
DRAWS, LEVEL = 1000, 0.95


@dataclass(frozen=True)
class LabelArea:
    """Area of one label of a map, and the area that the map covers.

    Parameters
    ----------
    area : of the label; its interval is a percentile interval over resampled blocks and does not include errors of the map
    seen : the area of all pixels with a label
    block_px : side length of the resampled blocks, pixels
    """

    area: Quantity
    seen: Quantity
    block_px: int

    @property
    def share(self) -> float:
        """Return the share of the label in the area with labels, 0–1; NaN if no pixel has a label."""
        return self.area.value / self.seen.value if self.seen.value else float("nan")

    @property
    def interval_of(self) -> str:
        """Return what the interval is, for a summary."""
        return f"bootstrap over blocks of {self.block_px} px; says nothing about errors of the map"

    def to_dict(self, name: str) -> dict[str, Any]:
        """Return the area for summary.json. name : of what has the label, such as "changed\""""
        unknown = self.area.unknown
        return {
            **self.area.to_dict(name), "interval_level": LEVEL, "interval_of": self.interval_of,
            **self.seen.to_dict("seen", interval=False), f"{name}_share": self.share,
            **({} if unknown is None else Quantity(unknown, self.seen.unit).to_dict(f"{name}_in_doubt", interval=False)),
        }  # fmt: skip


def label_area(labels: Layer, value: int, *, seed: int = 0, doubt: Layer | None = None) -> LabelArea:
    """Measure the area of one label with its interval.

    Parameters
    ----------
    labels : of the whole scene, void in pixels that were not seen. Memory: one block, and four numbers per block
    value : the label
    seed : of the blocks that are drawn with replacement for the interval (Efron 1979)
    doubt : not 0 in any band where the label cannot be known; None if there is no such ground. Doubtful ground does not count
        at the low end of the interval and counts whole at its high end

    Returns
    -------
    LabelArea
        In hectares, or in pixels if the raster has no CRS; without interval for fewer than 8 blocks, unless ground is in doubt.
    """
    block_px = int(np.clip(min(labels.shape) // 4, MIN_BLOCK_PX, BLOCK_PX))
    ground, on_ground = GroundArea(labels.grid), labels.grid.crs is not None
    areas = np.array([_areas(ground, labels, window, value, doubt) for window in labels.blocks(block_px)], float)
    areas = areas[areas[:, 1] > 0]
    there, seen, sure, possible = areas.sum(axis=0).tolist() if len(areas) else (0.0,) * 4
    intervals = [_interval(areas[:, [column, 1]], seen, seed) for column in (0, 2, 3)]
    covered = Quantity.area(seen, on_ground=on_ground)
    if doubt is None:
        return LabelArea(Quantity.area(there, on_ground=on_ground, interval=intervals[0]), covered, block_px)
    low, high = intervals[1] or (sure, sure), intervals[2] or (possible, possible)
    area = Quantity.area(there, on_ground=on_ground, interval=(low[0], high[1]), unknown=there - sure)
    return LabelArea(area, covered, block_px)


def redraw_blocks(counts: NDArray[Any], draws: int, seed: int) -> NDArray[np.float64]:
    """Return (draws, …) sums over a site whose blocks (blocks, …) are redrawn with replacement (Efron and Tibshirani 1993)."""
    # Blocks are drawn, not pixels: objects and errors reach over neighbouring pixels, which would count as independent and make intervals as
    # narrow as the image is large. How often each block is drawn is multinomial, so the sums of all draws are one product of matrices.
    number = len(counts)
    return np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), draws) @ counts


def scored_polygons(
    labels: Layer, value: int, score: Layer, min_area_m2: float, workers: int | None
) -> gpd.GeoDataFrame:
    """Return polygons of connected pixels of a label with their mean score.

    Parameters
    ----------
    labels, score : rasters of one grid; scores are bytes, value / 254
    value : the label
    min_area_m2 : smaller regions are left out
    workers : threads; one per core if None

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


def _areas(ground: GroundArea, labels: Layer, window: Any, value: int, doubt: Layer | None) -> Floats:
    """Measure the hectares of a label, of valid pixels, of pixels that surely have the label, and of pixels that may have it."""
    data, valid = labels.read(window)
    there = valid & (data[0] == value)
    unknown = np.zeros_like(valid) if doubt is None else valid & (doubt.read(window)[0] != 0).any(axis=0)
    return np.asarray(ground.of(window, there, valid, there & ~unknown, there | unknown))


def _interval(areas: NDArray[np.float64], seen_ha: float, seed: int) -> tuple[float, float] | None:
    if len(areas) < MIN_BLOCKS:
        return None
    there, seen = redraw_blocks(areas, DRAWS, seed).T
    # The share of the drawn ground is scaled to the ground that is seen: blocks at edges and under clouds have less of it, and the drawn
    # hectares themselves would vary with the ground of the drawn blocks, not only with the map.
    low, high = np.quantile(there / seen, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) * seen_ha
    return float(low), float(high)
