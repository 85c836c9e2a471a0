"""How good detections are: one detection a thing, overlap above a half, precision, recall, F1, average precision.

Takes detections with scores and a reference, both polygons. Further detections of the same thing are false alarms.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.baselines.parts.boxes import overlapping
from deepnets4eo.errors import GridError, InputError

if TYPE_CHECKING:
    import geopandas as gpd

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
    detections: gpd.GeoDataFrame, reference: gpd.GeoDataFrame, *, min_iou: float = MIN_IOU
) -> DetectionScores:
    """Score detections against reference outlines.

    detections : polygons with a column `score`. reference : polygons; a bool column `difficult` marks those that count
    neither way, such as things cut by the edge. Overlap is intersection over union.
    Errors: InputError without scores; GridError where only one has a CRS.
    Source: Randrianarivo et al., 2015; Everingham et al., IJCV 88(2), 2010, all points for the average precision.
    """
    if "score" not in detections.columns:
        raise InputError(f"detections have the columns {list(detections.columns)}, not 'score'. Give one from 0 to 1.")
    if (detections.crs is None) != (reference.crs is None):
        raise GridError("one of detections and reference has a CRS, the other has none. Assign the missing one.")
    if detections.crs is not None and detections.crs != reference.crs:
        reference = reference.to_crs(detections.crs)
    difficult = np.zeros(len(reference), bool)
    if DIFFICULT in reference.columns:
        difficult = reference[DIFFICULT].to_numpy(bool)
    scores = detections["score"].to_numpy(np.float64)
    found = match(
        np.asarray(detections.geometry.to_numpy(), object),
        scores,
        np.asarray(reference.geometry.to_numpy(), object),
        difficult,
        min_iou=min_iou,
    )
    counted = ~found.ignored
    return scores_of(found.hit[counted], scores[counted], int((~difficult).sum()))


def match(
    detections: NDArray[np.object_],
    scores: NDArray[np.float64],
    reference: NDArray[np.object_],
    difficult: NDArray[np.bool_],
    *,
    min_iou: float = MIN_IOU,
) -> Match:
    """Give each thing its best-scored detection that overlaps it by more than `min_iou`; best detections choose first.

    A detection goes to the thing it overlaps most, as long as that one is free.
    """
    hit, ignored = np.zeros(len(detections), bool), np.zeros(len(detections), bool)
    one, other, iou = overlapping(detections, reference)
    good = iou > min_iou
    one, other, iou = one[good], other[good], iou[good]
    order = np.lexsort((-iou, one, -scores[one]))
    taken = np.zeros(len(reference), bool)
    for place, thing in zip(one[order], other[order], strict=True):
        if difficult[thing]:
            ignored[place] = not hit[place]
        elif not (hit[place] or taken[thing]):
            hit[place], taken[thing], ignored[place] = True, True, False
    return Match(hit, ignored)


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
