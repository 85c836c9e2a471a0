"""How good detections are: one detection a thing, by overlap or by distance; precision, recall, F1, average precision.

Takes detections and a reference, both polygons. Further detections of the same thing are false alarms.
Refuses layers of which only one has a CRS.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.errors import GridError, InputError

if TYPE_CHECKING:
    import geopandas as gpd

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

MIN_IOU = 0.5
DIFFICULT = "difficult"  # column of a reference: neither missed nor a false alarm


@dataclass(frozen=True)
class DetectionScores:
    """Precision, recall and F1 of all detections given, average precision over their scores; NaN where undefined."""

    precision: float
    recall: float
    f1: float
    average_precision: float
    hits: int
    false_alarms: int
    missed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Match:
    """Of each detection (N,): whether it is the one for a thing, and whether it counts at all (on a difficult one)."""

    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


def evaluate_detections(
    detections: gpd.GeoDataFrame,
    reference: gpd.GeoDataFrame,
    *,
    min_iou: float = MIN_IOU,
    max_distance_m: float | None = None,
) -> DetectionScores:
    """Score detections against reference outlines.

    detections : polygons, with a column `score` where they have any; without, the average precision is NaN.
    reference : polygons; a bool column `difficult` marks those that count neither way, such as things cut by the edge.
    min_iou : a hit overlaps its thing by more than this share of their union
    max_distance_m : if given, a hit's middle lies within this distance of the thing's instead

    Errors: GridError where only one has a CRS; InputError for a limit that lets nothing or everything pass.
    Source: Randrianarivo et al., 2015; Everingham et al., IJCV 88(2), 2010, all points for the average precision.
    """
    if not 0 <= min_iou < 1 or (max_distance_m is not None and not 0 < max_distance_m < np.inf):
        raise InputError(f"min_iou is {min_iou}, max_distance_m {max_distance_m}; expected 0 to 1, and above 0.")
    detections, reference, unit_m = _on_one_plane(detections, reference, metric=max_distance_m is not None)
    difficult = np.zeros(len(reference), bool)
    if DIFFICULT in reference.columns:
        difficult = reference[DIFFICULT].to_numpy(bool)
    scored = "score" in detections.columns
    scores = detections["score"].to_numpy(np.float64) if scored else np.ones(len(detections))
    found = match(
        np.asarray(detections.geometry.to_numpy(), object),
        scores,
        np.asarray(reference.geometry.to_numpy(), object),
        difficult,
        min_iou=min_iou,
        max_distance=None if max_distance_m is None else max_distance_m / unit_m,
    )
    counted = ~found.ignored
    result = scores_of(found.hit[counted], scores[counted], int((~difficult).sum()))
    return result if scored else replace(result, average_precision=float("nan"))


def match(
    detections: NDArray[np.object_],
    scores: NDArray[np.float64],
    reference: NDArray[np.object_],
    difficult: NDArray[np.bool_],
    *,
    min_iou: float = MIN_IOU,
    max_distance: float | None = None,
) -> Match:
    """Give each thing its best-scored detection that overlaps it by more than `min_iou`; best detections choose first.

    A detection goes to the thing it overlaps most, as long as that one is free; among equal scores the closest pair
    comes first. max_distance : of middles, in the plane's units, takes the place of the overlap where given.
    """
    hit, ignored = np.zeros(len(detections), bool), np.zeros(len(detections), bool)
    if max_distance is None:
        one, other, closeness = overlapping(detections, reference)
        good = closeness > min_iou
        one, other, closeness = one[good], other[good], closeness[good]
    else:
        one, other, closeness = _within(detections, reference, max_distance)
    order = np.lexsort((other, one, -closeness, -scores[one]))
    taken = np.zeros(len(reference), bool)
    for place, thing in zip(one[order], other[order], strict=True):
        if difficult[thing]:
            ignored[place] = not hit[place]
        elif not (hit[place] or taken[thing]):
            hit[place], taken[thing], ignored[place] = True, True, False
    return Match(hit, ignored)


def overlapping(first: NDArray[np.object_], second: NDArray[np.object_]) -> tuple[Places, Places, Floats]:
    """Pairs of polygons that share area: places in `first`, places in `second`, intersection over union."""
    one, other = shapely.STRtree(second).query(first, predicate="intersects")
    common = shapely.area(shapely.intersection(first[one], second[other]))
    union = shapely.area(first)[one] + shapely.area(second)[other] - common
    shared = common > 0
    return one[shared], other[shared], common[shared] / union[shared]


def _within(first: NDArray[np.object_], second: NDArray[np.object_], distance: float) -> tuple[Places, Places, Floats]:
    """Pairs whose middles lie within `distance`, and their distance, negative."""
    middles, others = shapely.centroid(first), shapely.centroid(second)
    one, other = shapely.STRtree(others).query(middles, predicate="dwithin", distance=distance)
    return one, other, -shapely.distance(middles[one], others[other])


def _on_one_plane(
    detections: gpd.GeoDataFrame, reference: gpd.GeoDataFrame, *, metric: bool
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, float]:
    """Both in one CRS, and the metres of its unit; degrees are put in a UTM zone where distances matter."""
    if (detections.crs is None) != (reference.crs is None):
        raise GridError("one of detections and reference has a CRS, the other has none. Assign the missing one.")
    if detections.crs is None:
        return detections, reference, 1.0
    crs: Any = detections.crs
    if metric and crs.is_geographic and len(reference) + len(detections):
        crs = (reference if len(reference) else detections).estimate_utm_crs()
    moved = [frame if frame.crs == crs else frame.to_crs(crs) for frame in (detections, reference)]
    return moved[0], moved[1], float(crs.axis_info[0].unit_conversion_factor) if metric else 1.0


def scores_of(hit: NDArray[np.bool_], scores: NDArray[np.float64], total: int) -> DetectionScores:
    """Scores from hits (N,) and the number of things there are.

    >>> scores_of(np.array([True, False, True]), np.array([0.9, 0.8, 0.7]), 4).average_precision.__round__(4)
    0.4167
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(hit[order])
    number = int(hits[-1]) if len(hits) else 0
    precision = number / len(hit) if len(hit) else float("nan")
    recall = number / total if total else float("nan")
    f1 = 2 * number / (len(hit) + total) if len(hit) + total else float("nan")
    curve = hits / np.arange(1, len(hit) + 1)
    envelope = np.maximum.accumulate(curve[::-1])[::-1]
    area = float((envelope * hit[order]).sum()) / total if total else float("nan")
    return DetectionScores(precision, recall, f1, area, number, len(hit) - number, total - number)


def area_scores(detections: gpd.GeoDataFrame, reference: gpd.GeoDataFrame) -> tuple[float, float, float]:
    """Precision, recall and F1 by area, as of pixels small enough: of the union of each.

    Errors: none; NaN where one of them is empty.
    """
    found, true = shapely.union_all(detections.geometry), shapely.union_all(reference.geometry)
    common = shapely.area(shapely.intersection(found, true))
    areas = shapely.area(found), shapely.area(true)
    precision = common / areas[0] if areas[0] else float("nan")
    recall = common / areas[1] if areas[1] else float("nan")
    return precision, recall, 2 * common / sum(areas) if sum(areas) else float("nan")
