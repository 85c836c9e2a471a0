"""OpenStreetMap vectors as raster layers on an image's grid, one band per class; unknown differs from absent.

Takes vector files, tables, or a mapping from class to either, and a grid or raster. Refuses sources off the image.

Values are positive inside a class, negative outside, and 0 if unknown.

A pixel is unknown beyond the extent of the source. A whole band is unknown if the source has nothing of its class
near the image.

To a scene 0 is an ordinary value, so unknown pixels stay valid.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import READ_PX, Grid, Window, blocks, crop, crs_text, gsd_m, whole
from deepnets4eo.jobs import new_output
from deepnets4eo.osm.covered_boxes import Boxes, joined_boxes, near_boxes
from deepnets4eo.osm.reading import Features, read_area, read_features
from deepnets4eo.osm.rules import OsmRules
from deepnets4eo.osm.shapes import area_shapes, class_shapes, metre_outlines
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import CogWriter, Layer, LayerLike
from deepnets4eo.zonal import Outlines

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.osm.reading import OsmSource


Encoding = Literal["binary", "distance"]

UNKNOWN = 0
CLIP_M = 20.0
EVERYWHERE = "everywhere"
ATTRIBUTION = "© OpenStreetMap contributors"
LICENSE = "ODbL 1.0, https://opendatacommons.org/licenses/odbl/"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _OsmLayers:
    """The outlines of all classes, on the grid grown by `margin_px`."""

    grid: Grid
    margin_px: int
    classes: dict[str, Outlines | None]  # None: unknown
    covered: Outlines | None  # None: everywhere
    partial: Outlines | None  # ground of areas that are known in part, and so unknown; None without any
    priority: tuple[str, ...]
    clip_m: float

    def masks(self, window: Window) -> list[NDArray[np.bool_]]:
        """Pixels of each class in a window of the grown grid, without those that classes of higher priority cover."""
        masks = {name: _inside(shapes, window) for name, shapes in self.classes.items() if shapes is not None}
        above = np.zeros((window.height, window.width), bool)
        for name in reversed(self.priority):
            if name in masks:
                masks[name] &= ~above
                above |= masks[name]
        nowhere = np.zeros((window.height, window.width), bool)
        return [masks.get(name, nowhere) for name in self.classes]

    def binary(self, window: Window) -> NDArray[np.int8]:
        """1 inside, -1 outside, 0 unknown, (C, h, w), in a window of the grid."""
        grown = _on_grown_grid(window, self.margin_px)
        values = np.array([2 * mask.view(np.int8) - 1 for mask in self.masks(grown)], np.int8)
        return self._without_unknown(values, grown)

    def distance(self, window: Window) -> NDArray[np.float32]:
        """Signed distances in metres, 0 unknown, (C, h, w), in a window of the grid."""
        grown = _on_grown_grid(window, self.margin_px)
        around = grown.grow(self.margin_px)
        inner = grown.within(around).slices
        step_m = gsd_m(self.grid)
        values = np.array([signed_distance(mask, self.clip_m, step_m)[inner] for mask in self.masks(around)])
        return self._without_unknown(values, grown)

    def _without_unknown(self, values: NDArray[Any], grown: Window) -> NDArray[Any]:
        for band, shapes in zip(values, self.classes.values(), strict=True):
            if shapes is None:
                band[:] = UNKNOWN
        if self.covered is not None:
            values[:, ~_inside(self.covered, grown)] = UNKNOWN
        if self.partial is not None:
            values[:, _inside(self.partial, grown)] = UNKNOWN
        return values


def rasterize_osm(
    source: OsmSource,
    target: Grid | LayerLike,
    out: str | Path,
    *,
    encoding: str = "binary",
    clip_m: float = CLIP_M,
    rules: str | Path | OsmRules | None = None,
    coverage: str | Path | gpd.GeoDataFrame | gpd.GeoSeries | None = None,
    unknown: Sequence[str] = (),
    complete: Sequence[str] = (),
    attribution: str = ATTRIBUTION,
    block_px: int = READ_PX,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Write OpenStreetMap classes as a COG on an image's grid, one band per class in the order of the rules; return its path.

    Parameters
    ----------
    source
        .osm, .osm.bz2 or .pbf, a vector file of `formats.vectors`, a table with one column per tag, a list of them, or a
        mapping {class: file or table} for vectors without tags. Layers named like a class are of that class.
    target : the grid, or a raster on it
    out : the file to write
    encoding
        "binary": int8, 1 inside and −1 outside; "distance": float32 metres between pixel centres, positive inside and
        negative outside, ± clip_m at most. 0 is unknown in both.
    clip_m : largest distance, metres
    rules : table of tags, widths and priority, or its file; by default `osm_rules.yaml` of the package
    coverage
        Polygons, or a file of them, within which the source is complete; "everywhere"; by default the bounds stated in
        the file, else the box around its features (two narrow boxes if they are on both sides of 180° of longitude).
    unknown : classes that are unknown everywhere
    complete : classes that are absent, not unknown, if none is near the image
    attribution : for the file's tags, as the licence of OpenStreetMap (ODbL) requires it; "" for other sources
    block_px : side of the blocks; the result does not depend on it
    overwrite : whether an existing file is replaced
    progress : called with the finished share, 0–1

    Returns
    -------
    The path of the file.

    Raises
    ------
    InputError
        A file that cannot be read or has no known tag; sources without any feature that state no bounds.
    GridError
        Source and image do not meet, or only one has a CRS.
    OutputError
        `out` exists and is not to be overwritten.

    Memory: the features near the image, about three times, and 60·block² bytes per core.

    Examples
    --------
    ::

        rasterize_osm("extract.osm.pbf", "ortho.tif", "osm.tif", encoding="distance")
    """
    check_not_inputs([out], [source, target, rules, coverage])
    table = rules if isinstance(rules, OsmRules) else OsmRules.load(rules)
    _check(table, encoding, clip_m, [*unknown, *complete])
    with new_output(out, overwrite=overwrite):
        layers, tags = _prepare(source, target, table, encoding, clip_m, coverage, unknown, complete)
        tags |= {"ATTRIBUTION": attribution, "LICENSE": LICENSE} if attribution else {}
        _write(layers, Path(out), encoding, tags, block_px, progress)
    return Path(out)


def _prepare(
    source: OsmSource,
    target: Grid | LayerLike,
    table: OsmRules,
    encoding: str,
    clip_m: float,
    coverage: str | Path | gpd.GeoDataFrame | gpd.GeoSeries | None,
    unknown: Sequence[str],
    complete: Sequence[str],
) -> tuple[_OsmLayers, dict[str, str]]:
    """Return the outlines of all classes, and the tags that describe them."""
    grid, tags = _grid_and_tags(target)
    margin_px = math.ceil(clip_m / min(gsd_m(grid))) + 1
    around = crop(grid, whole(grid).grow(margin_px))
    features = read_features(source, table, around)
    covered = _coverage_outlines(features, coverage, grid, around)
    shapes = class_shapes(features, table, around)
    boxes = [part.partial for part in features if part.partial is not None]
    partial = metre_outlines(area_shapes(boxes, around), around) if boxes else None
    del features
    missing = [name for name, polygons in shapes.items() if name in unknown or not (len(polygons) or name in complete)]
    if missing:
        every = "Nothing at all is known. " if len(missing) == len(table.names) else ""
        _log.warning("%s%s: no feature near the image; the band is unknown.", every, ", ".join(missing))
    known = [name for name in table.names if name not in missing]
    laid = in_order(lambda name: metre_outlines(shapes.pop(name), around), known)
    outlines = dict.fromkeys(table.names) | dict(zip(known, laid, strict=True))
    layers = _OsmLayers(grid, margin_px, outlines, covered, partial, table.priority, clip_m)
    tags |= {"OSM_ENCODING": encoding, "OSM_UNKNOWN_VALUE": str(UNKNOWN), "OSM_UNKNOWN_CLASSES": ",".join(missing)}
    tags |= {"OSM_CLIP_M": f"{clip_m:g}"} if encoding == "distance" else {}
    return layers, tags


def _write(
    layers: _OsmLayers,
    out: Path,
    encoding: str,
    tags: dict[str, str],
    block_px: int,
    progress: Callable[[float], None] | None,
) -> None:
    draw: Callable[[Window], NDArray[Any]] = layers.binary if encoding == "binary" else layers.distance
    dtype = "int8" if encoding == "binary" else "float32"
    names = list(layers.classes)
    windows = blocks((layers.grid.shape[0], layers.grid.shape[1]), block_px)
    # Overviews take values as they are: an average of inside and outside would be unknown. Flat areas pack well at
    # any level, and the lowest takes half the time.
    with CogWriter(
        out, layers.grid, count=len(names), dtype=dtype, categorical=True, band_names=names, tags=tags, level=1
    ) as writer:
        for done, (window, values) in enumerate(zip(windows, in_order(draw, windows), strict=True), start=1):
            writer.write(window, values)
            if progress is not None:
                progress(done / len(windows))


def _inside(shapes: Outlines, window: Window) -> NDArray[np.bool_]:
    """Pixels (h, w) whose centre any of the polygons holds."""
    spans = shapes.spans(window)
    stride = window.width + 1  # one more number a row, for spans that end at its end, so that one sum does for all rows
    steps = np.zeros(window.height * stride, np.int16)
    np.add.at(steps, spans.row * stride + spans.start, np.int16(1))
    np.subtract.at(steps, spans.row * stride + spans.stop, np.int16(1))
    return np.cumsum(steps, dtype=np.int16).reshape(window.height, stride)[:, :-1] > 0


def _coverage_outlines(features: Sequence[Features], coverage: Any, grid: Grid, around: Grid) -> Outlines | None:
    """Return the outlines within which the source is complete, on the grown grid; None for everywhere."""
    if isinstance(coverage, str) and coverage == EVERYWHERE:
        return None
    if coverage is None:
        boxes = _stated_boxes(features)
        areas = [_box_series(box, crs) for box, crs in boxes]
        near = [_box_series(_near(box, crs, around), crs) for box, crs in boxes]
    else:
        near = areas = [read_area(coverage) if isinstance(coverage, (str, Path)) else coverage.geometry]
    if coverage is not None and (areas[0].crs is None) != (grid.crs is None):
        raise GridError("only one of coverage and image has a CRS. Give both one, or none.")
    shapes = area_shapes(near, around)
    image = area_shapes([_outline(grid)], around)[0]
    if not any(shapely.area(shapely.intersection(shapely.make_valid(shapes), image)) > 0):
        listed = "; ".join(f"{_round_bounds(area.total_bounds)} in {crs_text(area.crs)}" for area in areas)
        raise GridError(
            f"the OSM source covers {listed}, the image lies at {_round_bounds(grid.extent.boundingbox.bbox)} in "
            f"{crs_text(grid.crs)}: they do not meet. Get an extract of the image's site, or state that it covers all: "
            f"coverage={EVERYWHERE!r}, on the command line --coverage {EVERYWHERE}."
        )
    return metre_outlines(shapes, around)


def _stated_boxes(features: Sequence[Features]) -> list[tuple[Boxes, Any]]:
    """Return boxes (1, 4) around each file, and around all tables together, each with its CRS; two for an area across 180°."""
    boxes: dict[tuple[str, str], list[Boxes]] = {}
    for part in features:
        if len(part.boxes):
            boxes.setdefault((part.name, str(part.table.crs)), []).append(part.boxes)
    if not boxes:
        names = ", ".join(dict.fromkeys(part.name for part in features))
        raise InputError(
            f"{names} holds no feature and states no bounds, so that it is unknown what it covers. Get an extract of the "
            f"image's site, or state what it covers with coverage, on the command line --coverage FILE or {EVERYWHERE}."
        )
    crs_of = {str(part.table.crs): part.table.crs for part in features}
    joined = [
        (joined_boxes(np.concatenate(parts), geographic=_in_degrees(crs_of[crs])), crs_of[crs])
        for (_, crs), parts in boxes.items()
    ]
    return [(box[None], crs) for around_all, crs in joined for box in around_all]


def _near(boxes: Boxes, crs: Any, around: Grid) -> Boxes:
    return near_boxes(boxes, crs, around) if _in_degrees(crs) and around.crs is not None else boxes


def _in_degrees(crs: Any) -> bool:
    return crs is not None and bool(crs.is_geographic)


def _box_series(boxes: Boxes, crs: Any) -> gpd.GeoSeries:
    """Return the boxes as polygons with points along their sides, which are not straight in another CRS."""
    import geopandas as gpd

    sides = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1e-9)
    return gpd.GeoSeries(shapely.segmentize(shapely.box(*boxes.T), sides / 16), crs=crs)


def _outline(grid: Grid) -> gpd.GeoSeries:
    import geopandas as gpd

    return gpd.GeoSeries([grid.extent.geom], crs=None if grid.crs is None else grid.crs.proj)


def _grid_and_tags(target: Grid | LayerLike) -> tuple[Grid, dict[str, str]]:
    if isinstance(target, Grid):
        return target, {}
    layer = Layer.open(target)
    layer.check_position("the target")
    return layer.grid, {"SYNTHETIC": layer.tags["SYNTHETIC"]} if layer.synthetic else {}


def _on_grown_grid(window: Window, margin_px: int) -> Window:
    return window.move(margin_px, margin_px)


def _check(rules: OsmRules, encoding: str, clip_m: float, named: Sequence[str]) -> None:
    if encoding not in get_args(Encoding):
        raise InputError(f"encoding is {encoding!r}, expected one of {', '.join(get_args(Encoding))}.")
    if not 0 < clip_m < math.inf:
        raise InputError(f"clip_m is {clip_m}, expected metres above 0.")
    if strange := sorted(set(named) - set(rules.names)):
        raise InputError(f"the OSM rules know the classes {rules.names}, not {strange}.")


def _round_bounds(bounds: Any) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in bounds)


def signed_distance(
    mask: NDArray[np.bool_], clip_m: float, step_m: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.float32]:
    """Distance in metres (h, w) float32 from pixel centre to the nearest centre of the other kind, ± clip_m at most.

    Positive inside, negative outside; never 0, it jumps across the border. step_m : along rows and columns.
    A mask without a border is ± clip_m throughout. Memory: 40 bytes a pixel.

    >>> mask = np.zeros((7, 7), bool)
    >>> mask[2:5, 2:5] = True
    >>> signed_distance(mask, 9)[3].tolist()
    [-2.0, -1.0, 1.0, 2.0, 1.0, -1.0, -2.0]
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, clip_m if mask.any() else -clip_m, np.float32)
    inside, outside = (distance_transform_edt(side, sampling=step_m) for side in (mask, ~mask))
    return np.asarray(np.clip(inside - outside, -clip_m, clip_m), np.float32)
