"""Scores of detections: one detection per object, by overlap or by distance; precision, recall, F1, average precision.

Refuses two layers if only one has a CRS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import metric_crs
from deepnets4eo.reprojection import to_crs

if TYPE_CHECKING:
    import geopandas as gpd


MIN_IOU = 0.5
COCO_IOU = np.linspace(0.5, 0.95, 10)
COCO_RECALL = np.linspace(0, 1, 101)
DIFFICULT = "difficult"  # column of a reference: neither missed nor a false alarm


@dataclass(frozen=True)
class DetectionScores:
    """Scores of detections; NaN if undefined.

    Parameters
    ----------
    precision, recall, f1 : of all detections, 0–1
    average_precision : area under the curve of precision over recall, 0–1; NaN without scores
    hits, false_alarms : numbers of detections that are right, and wrong
    missed : number of reference objects without a detection
    """

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
    """Two flags of each detection, (N,) bool: it is a hit; it is ignored, because its object is a difficult one."""

    hit: Mask
    ignored: Mask


def evaluate_detections(
    detections: gpd.GeoDataFrame,
    reference: gpd.GeoDataFrame,
    *,
    min_iou: float = MIN_IOU,
    max_distance_m: float | None = None,
) -> DetectionScores:
    """Score detections against reference outlines.

    Source: Randrianarivo et al., 2015; Everingham et al., IJCV 88(2), 2010, all points for the average precision.

    Errors: GridError (only one has a CRS); InputError (a limit out of range, other values in `difficult`, invalid outlines).

    Parameters
    ----------
    detections : polygons, with a column `score` if they have scores
    reference
        Polygons; a bool column `difficult` marks objects that count neither way, such as objects cut by the edge.
    min_iou : a hit overlaps its object by more than this share of their union, 0 ≤ min_iou < 1
    max_distance_m : largest distance in metres of the centres of a hit and its object, instead of an overlap

    Returns
    -------
    Scores as fractions, and the counts.

    Examples
    --------
    >>> import geopandas as gpd
    >>> cars = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 2, 4), shapely.box(9, 0, 11, 4)])
    >>> evaluate_detections(cars.head(1), cars).recall
    0.5
    """
    if not 0 <= min_iou < 1 or (max_distance_m is not None and not 0 < max_distance_m < np.inf):
        raise InputError(f"min_iou is {min_iou}, max_distance_m {max_distance_m}; expected 0 to 1, and above 0.")
    detections, reference = _on_one_plane(detections, reference, metric=max_distance_m is not None)
    if max_distance_m is None:
        _check_valid(detections, reference)
    difficult = _difficult(reference)
    scored = "score" in detections.columns
    scores = detections["score"].to_numpy(np.float64) if scored else np.ones(len(detections))
    result = match(
        np.asarray(detections.geometry.to_numpy(), object),
        scores,
        np.asarray(reference.geometry.to_numpy(), object),
        difficult,
        min_iou=min_iou,
        max_distance=max_distance_m,
    )
    counted = ~result.ignored
    summary = scores_of(result.hit[counted], scores[counted], int((~difficult).sum()))
    return summary if scored else replace(summary, average_precision=float("nan"))


def match(
    detections: NDArray[np.object_],
    scores: Floats,
    reference: NDArray[np.object_],
    difficult: Mask,
    *,
    min_iou: float = MIN_IOU,
    max_distance: float | None = None,
) -> Match:
    """Assign objects the detection of the highest score that overlaps by `min_iou`, or is within `max_distance`.

    Detections are taken by falling score, each for the object it overlaps most, unless that object is taken; ties: the closest.
    """
    hit, ignored = np.zeros(len(detections), bool), np.zeros(len(detections), bool)
    if max_distance is None:
        one, other, closeness = overlapping_pairs(detections, reference)
        good = closeness > min_iou
        one, other, closeness = one[good], other[good], closeness[good]
    else:
        one, other, closeness = _pairs_within(detections, reference, max_distance)
    order = np.lexsort((other, one, -closeness, -scores[one]))
    taken = np.zeros(len(reference), bool)
    for detection, item in zip(one[order], other[order], strict=True):
        if difficult[item]:
            ignored[detection] = not hit[detection]
        elif not (hit[detection] or taken[item]):
            hit[detection], taken[item], ignored[detection] = True, True, False
    return Match(hit, ignored)


def overlapping_pairs(first: NDArray[np.object_], second: NDArray[np.object_]) -> tuple[Indices, Indices, Floats]:
    """Return pairs of polygons that share area: indices in `first`, indices in `second`, intersection over union."""
    one, other = shapely.STRtree(second).query(first, predicate="intersects")
    common = shapely.area(shapely.intersection(first[one], second[other]))
    union = shapely.area(first)[one] + shapely.area(second)[other] - common
    shared = common > 0
    return one[shared], other[shared], common[shared] / union[shared]


def _pairs_within(
    first: NDArray[np.object_], second: NDArray[np.object_], distance: float
) -> tuple[Indices, Indices, Floats]:
    """Return pairs whose centres are within `distance`, and their negative distance."""
    centres, others = shapely.centroid(first), shapely.centroid(second)
    one, other = shapely.STRtree(others).query(centres, predicate="dwithin", distance=distance)
    return one, other, -shapely.distance(centres[one], others[other])


def _difficult(reference: gpd.GeoDataFrame) -> Mask:
    """Return (N,) bool: which objects are marked as difficult; a missing mark means no."""
    if DIFFICULT not in reference.columns:
        return np.zeros(len(reference), bool)
    column = reference[DIFFICULT]
    marks = [False if missing else mark for mark, missing in zip(column.tolist(), column.isna(), strict=True)]
    if strange := sorted({str(mark) for mark in marks if mark not in (False, True)}):
        raise InputError(
            f"The column {DIFFICULT!r} holds {', '.join(strange[:5])}, expected True and False (or 1 and 0)."
        )
    return np.array(marks, bool)


def _check_valid(detections: gpd.GeoDataFrame, reference: gpd.GeoDataFrame) -> None:
    """Refuses outlines that cross themselves: their overlap is not defined."""
    for name, frame in (("detections", detections), ("reference objects", reference)):
        outlines = np.asarray(frame.geometry.to_numpy(), object)
        if count := int((~shapely.is_valid(outlines) & ~shapely.is_missing(outlines)).sum()):
            raise InputError(f"{count} {name} have an outline that is not valid. Repair them: frame.make_valid().")


def _on_one_plane(
    detections: gpd.GeoDataFrame, reference: gpd.GeoDataFrame, *, metric: bool
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return both in one CRS, which is in metres on the ground if distances matter."""
    if (detections.crs is None) != (reference.crs is None):
        raise GridError("one of detections and reference has a CRS, the other has none. Assign the missing one.")
    if detections.crs is None:
        return detections, reference
    crs: Any = detections.crs
    if metric:
        both = [*to_crs(reference.geometry, crs), *detections.geometry]
        crs = metric_crs(crs, shapely.bounds(both).reshape(-1, 4)[:, :2])
    one, other = (frame if frame.crs == crs else to_crs(frame, crs) for frame in (detections, reference))
    return one, other


def scores_of(hit: Mask, scores: Floats, total: int) -> DetectionScores:
    """Return the scores from hits (N,) and the number of reference objects."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(hit[order])
    number = int(hits[-1]) if len(hits) else 0
    precision = number / len(hit) if len(hit) else float("nan")
    recall = number / total if total else float("nan")
    f1 = 2 * number / (len(hit) + total) if len(hit) + total else float("nan")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan))  # equal scores enter together
    curve, steps = hits[ends] / (ends + 1), np.diff(hits[ends], prepend=0)
    envelope = np.maximum.accumulate(curve[::-1])[::-1]
    area = float((envelope * steps).sum()) / total if total else float("nan")
    return DetectionScores(precision, recall, f1, area, number, len(hit) - number, total - number)


@dataclass(frozen=True)
class InstanceScores:
    """Average precision of outlined instances as COCO counts it, 0–1; NaN without a reference.

    Parameters
    ----------
    mean_ap, ap50, ap75
        Mean over the classes of the reference, and over overlaps of 0.5, 0.55 … 0.95; at 0.5; at 0.75.
    by_class : class → mean over the overlaps
    """

    mean_ap: float
    ap50: float
    ap75: float
    by_class: dict[str, float]


def score_instances(images: Sequence[tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]], *, most: int = 1500) -> InstanceScores:
    """Scores outlined instances with classes by COCO's average precision, as BRIGHT's instance challenge does.

    Source: Lin et al., ECCV 2014; cvprw26/src/eval.py of ChenHongruixuan/BRIGHT.

    Errors: InputError (a table lacks a column, or an outline is not valid).

    Parameters
    ----------
    images : for each image, detections with the columns `label` and `score`, and the reference with `label`
    most : detections of an image and class that count, those with the highest scores

    Returns
    -------
    Over all images together.
    """
    for detections, reference in images:
        for table, columns in ((detections, {"label", "score"}), (reference, {"label"})):
            if missing := columns - set(table.columns):
                raise InputError(
                    f"instances have no column {', '.join(sorted(missing))}. Give one class each, and scores."
                )
        _check_valid(detections, reference)
    images = [(_with_text_labels(detections), _with_text_labels(reference)) for detections, reference in images]
    names = sorted({label for _, reference in images for label in reference["label"]})
    table = np.array([[_coco_precision(images, name, iou, most) for iou in COCO_IOU] for name in names])
    table = table.reshape(len(names), len(COCO_IOU))
    if not names:
        return InstanceScores(float("nan"), float("nan"), float("nan"), {})
    by_class = {name: float(row.mean()) for name, row in zip(names, table, strict=True)}
    return InstanceScores(float(table.mean()), float(table[:, 0].mean()), float(table[:, 5].mean()), by_class)


def _with_text_labels(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the table with labels as text: 1 and 1.0, as in a column with gaps, are one class."""
    text = [f"{label:.17g}" if isinstance(label, Real) else str(label) for label in table["label"]]
    return table.assign(label=np.array(text, object))


def _coco_precision(
    images: Sequence[tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]], label: str, iou: float, most: int
) -> float:
    """Mean over 101 recalls of the greatest precision at that recall or a higher one, of one class at one overlap."""
    hits, scores, total = [np.zeros(0, bool)], [np.zeros(0)], 0
    for detections, reference in images:
        mine = detections[detections["label"] == label].sort_values("score", ascending=False, kind="stable")[:most]
        true = np.asarray(reference.geometry[reference["label"] == label].to_numpy(), object)
        outlines, falling = np.asarray(mine.geometry.to_numpy(), object), -np.arange(len(mine), dtype=float)
        least = float(np.nextafter(iou, 0))  # an overlap of exactly `iou` is enough
        hits.append(match(outlines, falling, true, np.zeros(len(true), bool), min_iou=least).hit)
        scores.append(mine["score"].to_numpy(float))
        total += len(true)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.cumsum(np.concatenate(hits)[order])
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    at = np.searchsorted(right / total, COCO_RECALL, side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())
