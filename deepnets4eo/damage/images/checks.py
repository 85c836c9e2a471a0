"""Checks of two images: noise, one picture twice, the wrong order, radar, undeclared nodata."""

from __future__ import annotations

import numpy as np
import shapely

from deepnets4eo.arrays import Floats, Geometries
from deepnets4eo.damage.images.dates import (
    DatePair,
    assumed_gsd,
    in_colour,
    is_radar,
    mean_gsd,
    unknown_colours,
    unmasked_bands,
)
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import check_any_valid, sample_windows, undeclared_nodata as undeclared_nodata
from deepnets4eo.registration import ImagePair, Role
from deepnets4eo.zonal import FinePixels

MIN_VALID = 0.9  # of a window's pixels, for its structure to count
SCALES_PX = (1, 4)
MIN_CELLS = 32  # along a side, for a correlation of neighbours
# Correlation of neighbouring means over squares of 1 and 4 pixels, median over windows: 40 real images had 0.56 or more,
# radar among them; noise has 0.00 at one of the two. Smoother noise passes, and then no footprint aligns with it.
MIN_CORRELATION = 0.25


def check_images(pair: ImagePair) -> DatePair:
    """Return the images of a pair in colour with nodata declared, and findings. Raises InputError for noise and copies."""
    images = {"pre": pair.pre, "post": pair.post}
    check_any_valid(pair.post, "the post image")
    findings = (*pair.findings, *unknown_colours(images), *unmasked_bands(images), *assumed_gsd(pair.post))
    pre = None if pair.pre is None else in_colour(pair.pre)
    pair = ImagePair(pre, in_colour(pair.post), findings).declare_nodata("post", by_camera=True)
    radar: list[Role] = ["post"] if _is_radar(pair.post, "post") else []
    pair = pair.check_two_images("or - for PRE to assess only from the post image")
    pair = pair.declare_nodata("pre", by_camera=True)
    if pair.pre is not None:
        try:
            check_any_valid(pair.pre, "the pre image")
            if _is_radar(pair.pre, "pre"):
                radar.insert(0, "pre")
        except InputError as error:
            unused = Finding("pre_without_structure", "caution", {"reason": Finding.verbatim(str(error))})
            pair = ImagePair(None, pair.post, (*pair.findings, unused))
    return DatePair(pair.pre, pair.post, pair.findings, radar=tuple(radar))


def require_fine_pixels(post: Layer, outlines_px: Geometries) -> None:
    """Refuse an image that has too few pixels for nearly all buildings. outlines_px : (N,) on post. Raises InputError."""
    if post.grid.crs is None:
        return
    gsd_m = mean_gsd(post)
    inside = shapely.intersects(outlines_px, shapely.box(0, 0, post.shape[1], post.shape[0]))
    if problem := FinePixels().problem(shapely.area(outlines_px[inside]) * gsd_m**2, gsd_m):
        raise InputError(f"pixels of {gsd_m:.2g} m in POST are {problem}")


def _is_radar(layer: Layer, role: Role) -> bool:
    """Return whether an image is radar. Raises InputError for other noise."""
    if is_radar(layer):
        return True
    _require_structure(layer, role)
    return False


def _require_structure(layer: Layer, role: str) -> None:
    """Refuse noise and images of one value. Errors: InputError."""
    correlations = []
    for window in sample_windows(layer.shape):
        data, valid = layer.read(window)
        if valid.mean() >= MIN_VALID:
            correlations.append(neighbour_correlations(np.where(valid, data[:3].mean(axis=0, dtype=np.float64), 0.0)))
    if not correlations:
        return
    table = np.array(correlations)
    known = np.isfinite(table[:, 0])
    if not known.any():
        raise InputError(f"the {role} image {layer.source} has one single value where it was looked at. Give an image.")
    for scale, values in zip(SCALES_PX, table[known].T, strict=True):
        middle = float(np.nanmedian(values)) if np.isfinite(values).any() else 1.0
        if middle < MIN_CORRELATION:
            raise InputError(
                f"the {role} image {layer.source} looks like noise: neighbouring values, {scale} pixels apart, correlate "
                f"with {middle:.2f} (at least {MIN_CORRELATION} in an image of the ground). Give another image."
            )


def neighbour_correlations(image: Floats) -> Floats:
    """Return the correlation of neighbouring means over squares of 1 and 4 pixels; NaN if flat or too small."""
    out = np.full(len(SCALES_PX), np.nan)
    for k, side in enumerate(SCALES_PX):
        rows, cols = (length // side for length in image.shape)
        if min(rows, cols) < MIN_CELLS:
            continue
        means = image[: rows * side, : cols * side].reshape(rows, side, cols, side).mean(axis=(1, 3))
        means = means - means.mean()
        power = float((means * means).mean())
        if power > 1e-12:
            down, right = (means[1:] * means[:-1]).mean(), (means[:, 1:] * means[:, :-1]).mean()
            out[k] = (down + right) / 2 / power
    return out
