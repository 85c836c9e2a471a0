"""Alignment of the heights of a later date with the heights of the first: measurement, reliable motions, and findings for the reader."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deepnets4eo.addresses import file_name_of
from deepnets4eo.arrays import Floats
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.points.rubble.epoch_points import sample_area, surface_points
from deepnets4eo.points.rubble.epochs import EpochFit, register_points
from deepnets4eo.points.rubble.motion import RigidMotion
from deepnets4eo.points.rubble.surfaces import Heights

MARGIN_M = 10.0  # around the sampled parts, for heights that lie off

logger = logging.getLogger(__name__)

SIGMAS = 3.0  # a motion counts from so many times its standard error
MIN_CELLS = 0.25  # and from this share of a cell or pixel
MIN_TILT_M = 0.15
MIN_UP_M = 2.0  # a smaller difference in height alone is measured in each block on the ground


def lay_on_first(
    later: Heights, first: Heights, bounds: Sequence[float], centres: Floats, cell_m: float
) -> tuple[Heights, EpochFit]:
    """Measure the offset of a later date from the first; return the later heights, moved if necessary, and the fit.

    bounds : left, bottom, right, top of the area. centres : (K, 2) of the buildings. cell_m : side of the cells that are compared.
    """
    pixels = [
        max(map(abs, (heights.layer.grid.affine.a, heights.layer.grid.affine.e)))
        for heights in (later, first)
        if heights.layer
    ]
    finest_m = max([0.0, *pixels])
    sampling = sample_area(bounds, centres, finest_m)
    moving, fixed = surface_points(later, sampling.grow(MARGIN_M)), surface_points(first, sampling)
    level = float(np.median(fixed.xyz[:, 2])) if len(fixed.xyz) else 0.0
    corners = np.array([[x, y, level] for x in bounds[::2] for y in bounds[1::2]])
    fit = register_points(moving, fixed, corners)
    motion = motion_that_counts(fit, MIN_CELLS * max(cell_m, finest_m))
    logger.info("%s against %s: %s, residual %.2f m. %s",
                later.source, first.source, describe(fit).text(), fit.quality.residual_m, fit.reason_text)  # fmt: skip
    return replace(later, motion=motion), replace(fit, applied=motion, sources=(later.source, first.source))


def motion_that_counts(fit: EpochFit, least_m: float) -> RigidMotion | None:
    """Return the motion to apply: None below its own standard error and `least_m` in the plane, or where the fit failed."""
    if fit.status == "failed":
        return None
    plane_m, tilt_m, up_m = fit.off_m
    known = np.nan_to_num(SIGMAS * np.array([fit.quality.sigma_m, fit.quality.sigma_up_m]))
    if fit.in_plane and (plane_m > max(known[0], least_m) or tilt_m > max(known[1], MIN_TILT_M)):
        return fit.motion
    return RigidMotion.upwards(-fit.shift_m[2], fit.motion.centre) if up_m > MIN_UP_M else None


def describe(fit: EpochFit) -> Phrase:
    """Describe the offset of a date in words."""
    east, north, up = fit.shift_m
    if not fit.in_plane:
        return Phrase("epoch_offset_in_height", {"up": up})
    turned = {"turn_deg": -fit.motion.turn_deg, "tilt_deg": fit.motion.tilt_deg}
    return Phrase("epoch_offset", {"east": east, "north": north, "up": up, **turned})


def epoch_findings(fits: Sequence[EpochFit]) -> tuple[Finding, ...]:
    """Return the findings that name the limits of the comparison of the dates, and the dates that were moved."""
    findings = []
    all_failed = all(fit.status == "failed" for fit in fits)
    for fit in fits:
        later, first = map(file_name_of, fit.sources)
        names = {"later": Finding.verbatim(later), "first": Finding.verbatim(first)}
        if fit.status == "failed":
            findings.append(
                Finding("dates_do_not_fit", "worthless" if all_failed else "caution", {**names, "reason": fit.reason})
            )
            continue
        if fit.applied is not None:
            residual_m = fit.quality.residual_m
            findings.append(
                Finding("dates_moved", "note", {**names, "offset": describe(fit), "residual_m": residual_m})
            )
        if fit.status == "degraded":
            code = "dates_fit_weakly" if fit.in_plane else "dates_position_unknown"
            findings.append(Finding(code, "caution", {**names, "reason": fit.reason}))
    return tuple(findings)
