"""Forecast of a damage job from its open inputs, before any long work: which buildings it would assess, and why not the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.images.dates import known_or_assumed_gsd_m
from deepnets4eo.damage.network.stretches import stretch_findings, stretches_of_job
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import Inputs
from deepnets4eo.damage.structure.coverage import mark_too_little
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.outputs import count_of
from deepnets4eo.rasters import Layer

SEEN_PX = 2048  # longer side of what says where the post image has data
MAX_PX = 100_000_000  # a larger image is not read as a whole for that


def foreseen_lines(inputs: Inputs, out: Path) -> list[str]:
    """Return in lines how many buildings would be assessed, and why the others would not."""
    left_out = Counter(reason for reason in foreseen_reasons(inputs).tolist() if reason)
    total, assessed = len(inputs.footprints), len(inputs.footprints) - left_out.total()
    which = count_of(total, "building") if assessed == total else f"{assessed:,} of {count_of(total, 'building')}"
    lines = [f"{which} would be assessed into {out}"]
    if left_out:
        lines.append(
            "not assessed: " + "; ".join(f"{count:,} × {reason.sentence}" for reason, count in left_out.most_common())
        )
    return lines


def foreseen_reasons(inputs: Inputs) -> NDArray[np.object_]:
    """Return (N,) why each building would not be assessed, "" if it would be. Memory: the outlines, and 2048² pixels."""
    outlines, post = inputs.outlines_px, inputs.post
    height, width = post.shape
    area_px = shapely.area(outlines)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = shapely.area(shapely.intersection(outlines, shapely.box(0, 0, width, height))) / area_px
    reasons = np.full(len(outlines), "", object)
    if height * width <= MAX_PX:
        reasons[~_seen(inputs, outlines) & (inside > 0)] = Reason.NODATA
    area_m2 = area_px * np.prod(known_or_assumed_gsd_m(post.grid))
    mark_too_little(reasons, inside, area_px, area_m2)
    reasons[~(area_px > 0)] = Reason.EMPTY
    gone = shapely.is_empty(outlines) & ~shapely.is_empty(inputs.footprints.frame.geometry.to_numpy())
    reasons[gone] = Reason.OUTSIDE  # beyond the reach of the image's CRS
    return reasons


def _seen(inputs: Inputs, outlines: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return (N,) whether the post image has data at a point within each outline."""
    _, valid, _ = inputs.post.thumbnail(SEEN_PX)
    points = shapely.point_on_surface(outlines)
    scale = np.array(valid.shape) / inputs.post.shape
    row_col = np.full((len(points), 2), np.nan)
    there = shapely.is_geometry(points) & ~shapely.is_empty(points)  # no point is within an empty outline
    row_col[there] = shapely.get_coordinates(points[there])[:, ::-1] * scale
    known = np.asarray(np.isfinite(row_col).all(axis=1))
    row, col = np.clip(np.where(known[:, None], row_col, 0).astype(int), 0, np.array(valid.shape) - 1).T
    return np.asarray(known & valid[row, col])


def dry_settings(settings: Settings, pre: Layer | None, post: Layer) -> Settings:
    """Return settings without the default network, slow to load, unless an image has more than 8 bits."""
    return settings if _is_wide(pre, post) else replace(settings, network=False)


def stretch_lines(model: DecisionModel, settings: Settings, pre: Layer | None, post: Layer) -> list[str]:
    """Return in lines how images of more than 8 bits would be shown to networks."""
    if not _is_wide(pre, post):
        return []
    stretches = stretches_of_job(model.network.stretches, settings.segmenter, pre, post)
    return [finding.message for finding in stretch_findings(stretches, {"pre": pre, "post": post})]


def _is_wide(*images: Layer | None) -> bool:
    """Return whether an image has values of more than 8 bits."""
    return any(image is not None and image.as_stored().dtype.itemsize > 1 for image in images)
