"""Transitions: classes from → to of two maps of land cover, and their areas with intervals.

More than 15 classes of land cover make more pairs than a byte can store."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Color, Legend, LegendClass
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, hectares_by_window
from deepnets4eo.maps import redraw_blocks
from deepnets4eo.metrics import area_adjusted
from deepnets4eo.outputs import Quantity, Unit
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.read_as import LABELS, Door

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MAX_COVERS = 15
ARROW = " → "


class CoverLayers:
    """Layers of a map from → to: change, and the land cover of both dates."""

    change: ClassVar[str] = "change"
    pre: ClassVar[str] = "cover_pre"
    post: ClassVar[str] = "cover_post"


def from_to_legend(cover: Legend) -> Legend:
    """Return the legend of all pairs of covers: value i · L + j was class i and is class j; equal classes keep their plain name.

    Parameters
    ----------
    cover : classes of land cover, L of them

    Returns
    -------
    Legend
        L² classes. A change has a mixture of both colours, more of the later one.

    Raises
    ------
    InputError
        For one class, or more than 15.

    Examples
    --------
    >>> from_to_legend(Legend.load("change")).names
    ('no change', 'no change → change', 'change → no change', 'change')
    """
    count = cover.num_classes
    if not 2 <= count <= MAX_COVERS:
        raise InputError(
            f"legend {cover.name!r} has {count} classes; pairs from → to need 2 to {MAX_COVERS}. Merge classes."
        )
    used: set[Color] = {cover.void_color, *(member.color for member in cover.classes)}
    classes = []
    for i, before in enumerate(cover.classes):
        for j, after in enumerate(cover.classes):
            name = before.name if i == j else f"{before.name}{ARROW}{after.name}"
            color = before.color if i == j else _mix(before.color, after.color, used)
            classes.append(LegendClass(i * count + j, name, color))
    title = f"Land cover from{ARROW}to, {cover.title or cover.name}"
    return Legend(f"{cover.name}-from-to", tuple(classes), cover.void_color, title=title, source=cover.source)


def cover_legend(from_to: Legend) -> Legend:
    """Return the legend of L land-cover classes that a legend of `from_to_legend` was made of. Raises InputError for
    any other legend.

    >>> cover_legend(from_to_legend(Legend.load("change"))).names
    ('no change', 'change')
    """
    count = math.isqrt(from_to.num_classes)
    same = from_to.classes[:: count + 1]
    classes = tuple(LegendClass(index, member.name, member.color) for index, member in enumerate(same))
    name = from_to.name.removesuffix("-from-to")
    if count < 2 or from_to.names != from_to_legend(Legend(name, classes, from_to.void_color)).names:
        raise InputError(
            f"legend {from_to.name!r} has no pairs from → to. Predict with a run of land cover at two dates."
        )
    return Legend(name, classes, from_to.void_color)


def join_covers(pre: ByteImage, post: ByteImage, count: int) -> ByteImage:
    """Return class indices i · count + j of two maps of indices, void where either is.

    >>> join_covers(np.array([[1, 2, 255]], np.uint8), np.array([[1, 0, 0]], np.uint8), 3)
    array([[  4,   6, 255]], dtype=uint8)
    """
    known = (pre != VOID) & (post != VOID)
    pairs = pre.astype(np.int64) * count + post
    return np.where(known, pairs, VOID).astype(np.uint8)


def split_from_to(source: Path | str, folder: Path | str, *, tags: Mapping[str, str] | None = None) -> dict[str, Path]:
    """Write change, land cover before and land cover after of a map from → to as separate rasters.

    Parameters
    ----------
    source : a raster that a run of classes from → to predicted
    folder : for change.tif, cover_pre.tif and cover_post.tif; created if it is missing
    tags : further tags of the rasters

    Returns
    -------
    dict
        "change", "cover_pre", "cover_post" → file.

    Raises
    ------
    InputError
        For a raster without such a legend.
    """
    layer, legend = _open_from_to(source)
    cover, folder = cover_legend(legend), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    legends = {CoverLayers.change: Legend.load("change"), CoverLayers.pre: cover, CoverLayers.post: cover}
    tables = dict(zip(legends, _lookups(cover.num_classes), strict=True))
    paths = {name: folder / f"{name}.tif" for name in legends}
    all_tags = {key: value for key, value in layer.tags.items() if key == "SYNTHETIC"} | dict(tags or {})
    for name, map_legend in legends.items():
        with CogWriter(paths[name], layer.grid, legend=map_legend, tags=all_tags, nodata=VOID) as cog:
            for window in cog.windows:
                cog.write(window, tables[name][_read(layer, window)][None])
    return paths


@dataclass(frozen=True)
class Transitions:
    """Areas of all pairs from → to, and their intervals.

    Parameters
    ----------
    names : the L classes of land cover
    hectares : (L, L) float64, rows = before, columns = after
    low, high : (L, L) limits of the intervals
    method : where the intervals come from
    """

    names: tuple[str, ...]
    hectares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    method: str

    def headline(self) -> str:
        """Return the changed area in one line."""
        changed = Quantity(float(self.hectares.sum() - self.hectares.trace()), Unit.hectares)
        return f"{changed.text()} changed class"

    def table(self) -> pd.DataFrame:
        """Return one row for each pair: from, to, hectares, low, high."""
        import pandas as pd

        pairs = [(before, after) for before in self.names for after in self.names]
        columns = {"hectares": self.hectares, "low": self.low, "high": self.high}
        values = {name: matrix.ravel() for name, matrix in columns.items()}
        return pd.DataFrame({"from": [pair[0] for pair in pairs], "to": [pair[1] for pair in pairs], **values})


def transitions_of_counts(
    counts: NDArray[np.int64],
    names: Sequence[str],
    pixel_ha: NDArray[np.float64],
    *,
    level: float,
    draws: int,
    seed: int,
    where: tuple[str, int],
) -> Transitions:
    """Return areas of pairs i · L + j and their intervals from counts (blocks, L²), drawn with replacement, and
    hectares of a pixel (blocks,). Raises InputError for fewer than two blocks."""
    number, (source, block_px) = len(counts), where
    if number < 2:
        raise InputError(f"{source} is one block of {block_px} px; intervals need two or more. Set block_px lower.")
    areas = counts * pixel_ha[:, None]
    low, high = np.quantile(redraw_blocks(areas, draws, seed), ((1 - level) / 2, (1 + level) / 2), axis=0)
    shape = (len(names), len(names))
    total, low, high = (np.reshape(values, shape) for values in (areas.sum(axis=0), low, high))
    return Transitions(tuple(names), total, low, high, f"{draws} draws of {number} blocks of {block_px} px")


def adjust_transitions(
    mapped: Transitions, sample: NDArray[np.int64] | Sequence[Sequence[int]], *, level: float = 0.95
) -> Transitions:
    """Estimate areas from a sample of references stratified by the mapped pairs, with intervals of the sampling error.

    Source: Olofsson et al., Remote Sensing of Environment 148, 2014, equations 1 to 11 (`metrics.area_adjusted`).

    Parameters
    ----------
    mapped : areas as mapped, of `compare_covers`
    sample
        (L², L²) counts, rows = mapped pair, columns = reference pair, both in the order i · L + j. Pairs that are nowhere
        on the map have no stratum: their rows stay empty.
    level : probability of the intervals, between 0 and 1

    Returns
    -------
    Transitions
        Hectares.

    Raises
    ------
    InputError
        For another shape, a mapped pair with fewer than two samples, and samples of pairs that are not mapped.

    Examples
    --------
    >>> two = np.array([[90.0, 10.0], [0.0, 0.0]])
    >>> areas = Transitions(("a", "b"), two, two, two, "mapped")
    >>> sample = np.diag([8, 8, 0, 0])
    >>> sample[1] = [2, 6, 0, 0]
    >>> adjust_transitions(areas, sample).hectares.round(6).tolist()
    [[92.5, 7.5], [0.0, 0.0]]
    """
    counts, area = np.asarray(sample), mapped.hectares.ravel()
    if counts.shape != (area.size, area.size):
        raise InputError(f"the sample is {counts.shape}, expected {(area.size, area.size)}: one row and column a pair.")
    strata = area > 0
    if counts[~strata].any():
        raise InputError("the sample has references in pairs that are nowhere on the map. Draw it within mapped pairs.")
    used = strata | counts.any(axis=0)
    estimate = area_adjusted(counts[np.ix_(used, used)], area[used], level=level)
    hectares, margin = np.zeros(area.size), np.zeros(area.size)
    hectares[used], margin[used] = estimate.area, estimate.area_margin
    shape = mapped.hectares.shape
    low, high = np.maximum(hectares - margin, 0), hectares + margin
    return Transitions(
        mapped.names, hectares.reshape(shape), low.reshape(shape), high.reshape(shape),
        f"{int(counts.sum())} references, stratified by mapped pair (Olofsson et al. 2014)",
    )  # fmt: skip


def _open_from_to(source: Path | str) -> tuple[Layer, Legend]:
    layer = LABELS.open(source, Door("the map"))
    if layer.legend is None:
        raise InputError(f"{source} names no legend. Give a raster that a run of land cover at two dates predicted.")
    layer.warn_of_legend(layer.legend)
    return layer, layer.legend


def _read(layer: Layer, window: Window) -> NDArray[np.uint8]:
    data, valid = layer.read(window)
    return np.where(valid, data[0], VOID).astype(np.uint8)


def _lookups(count: int) -> list[NDArray[np.uint8]]:
    """Return (256,) tables from pairs to change, cover before and cover after."""
    pair = np.arange(count * count)
    tables = []
    for values in (pair // count != pair % count, pair // count, pair % count):
        table = np.full(256, VOID, np.uint8)
        table[: count * count] = values
        tables.append(table)
    return tables


def hectares_on_the_ground(grid: Grid, windows: Sequence[Window], source: str) -> NDArray[np.float64]:
    """Sum hectares by pair, see `hectares_by_window`. source : for the message. Errors: InputError without a CRS."""
    if grid.crs is None:
        raise InputError(f"{source} has no CRS, so its pixels have no area. Give a georeferenced raster.")
    return hectares_by_window(grid, windows)


def _mix(before: Color, after: Color, used: set[Color]) -> Color:
    """Two thirds of the later colour, darker than both; the nearest one that is still free."""
    mixed = [round(0.8 * (level / 3 + 2 * other / 3)) for level, other in zip(before, after, strict=True)]
    while (color := (mixed[0], mixed[1], mixed[2])) in used:
        mixed[2] = (mixed[2] + 1) % 256
    used.add(color)
    return color
