"""What is wrong with two images: noise, one picture twice, the wrong order, radar, undeclared nodata."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from deepnets4eo.arrays import Floats, Geometries, Mask
from deepnets4eo.damage.evidence.colours import in_colour, unknown_colours, unmasked_bands
from deepnets4eo.damage.evidence.working_grid import UNKNOWN_GSD_M, mean_gsd
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.inspection import sample_windows, undeclared_nodata as undeclared_nodata
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, moving_moments
from deepnets4eo.registration import ImagePair, Role
from deepnets4eo.tiling import spread_windows
from deepnets4eo.zonal import FinePixels

MIN_COUNT, MIN_SHARE = 10, 0.1  # buildings that only the pre image shows damaged, and their share of all
TIMES = 4.0  # as many as those that only the post image shows damaged
MIN_BUILDINGS = 5
DAMAGED_AT = 0.5  # probability from which a building looks damaged
# Agreement of edge directions (`EvidenceTable.agreement`, not the column relative to the site) that all but a tenth of the roofs exceed:
# an image and its copy, moved by half a pixel or at half the size, 0.88 to 0.96 at two places; ten real pairs of two days 0.06 to 0.21, and
# 0.66 at one with five roofs.
ONE_IMAGE, MIN_ALIKE = 0.8, 10  # the latter a percentile

WINDOW_PX = 512
WINDOWS = 3  # along each side
SIDE_PX = 5
DARK = 0.03  # of the brightest: below, the share is noise
SMOOTHEST = 10  # percentile of the variation over a window: its smooth ground
SPECKLED = 0.09  # smooth ground of 18 optical samples varied by 0.02 to 0.08, of 4 radar samples by 0.11 to 0.22

LOOK_PX = 512  # longer side of a look at a whole image

MIN_VALID = 0.9  # of a window's pixels, for its structure to count
SCALES_PX = (1, 4)
MIN_CELLS = 32  # along a side, for a correlation of neighbours
# Correlation of neighbouring means over squares of 1 and 4 pixels, median over windows: 40 real images had 0.56 or more,
# radar among them; noise has 0.00 at one of the two. Smoother noise passes, and then no footprint aligns with it.
MIN_CORRELATION = 0.25


@dataclass(frozen=True)
class CheckedImages(ImagePair):
    """Red, green and blue of the images with nodata declared. radar : roles of those that look like it."""

    radar: tuple[Role, ...] = ()


def check_images(pair: ImagePair) -> CheckedImages:
    """The images of a pair in colour with nodata declared, and findings. Errors: InputError for noise and copies."""
    images = {"pre": pair.pre, "post": pair.post}
    require_pixels(pair.post, "post")
    findings = (*unknown_colours(images), *unmasked_bands(images), *assumed_gsd(pair.post))
    pre = None if pair.pre is None else in_colour(pair.pre)
    pair = ImagePair(pre, in_colour(pair.post), findings).declare_nodata("post")
    radar: list[Role] = ["post"] if _is_radar(pair.post, "post") else []
    pair = pair.check_two_images("or - for PRE to assess from the post image alone").declare_nodata("pre")
    if pair.pre is not None:
        try:
            require_pixels(pair.pre, "pre")
            if _is_radar(pair.pre, "pre"):
                radar.insert(0, "pre")
        except InputError as error:
            unused = Finding("pre_without_structure", "caution", {"reason": str(error)})
            pair = ImagePair(None, pair.post, (*pair.findings, unused))
    return CheckedImages(pair.pre, pair.post, pair.findings, radar=tuple(radar))


def require_pixels(layer: Layer, role: str) -> None:
    """Refuse an image without a valid pixel. Errors: InputError."""
    if any(layer.read(window)[1].any() for window in sample_windows(layer.shape)) or layer.thumbnail(LOOK_PX)[1].any():
        return
    raise InputError(
        f"the {role} image {layer.source} has no valid pixel: all values are NaN or nodata. Look at its values and its nodata "
        f"with `deepnets4eo check {layer.source}`, and give an image."
    )


def require_fine_pixels(post: Layer, outlines_px: Geometries) -> None:
    """Refuse an image in which nearly all buildings have too few pixels. outlines_px : (N,) on post. Errors: InputError."""
    if post.grid.crs is None:
        return
    gsd_m = mean_gsd(post)
    inside = shapely.intersects(outlines_px, shapely.box(0, 0, post.shape[1], post.shape[0]))
    if problem := FinePixels().problem(shapely.area(outlines_px[inside]) * gsd_m**2, gsd_m):
        raise InputError(f"pixels of {gsd_m:.2g} m in POST are {problem}")


def _is_radar(layer: Layer, role: Role) -> bool:
    """Whether an image is radar. Errors: InputError for other noise."""
    if is_radar(layer):
        return True
    _require_structure(layer, role)
    return False


def assumed_gsd(post: Layer) -> list[Finding]:
    """That the size of a pixel is assumed, without a CRS."""
    if post.grid.crs is not None:
        return []
    return [Finding("pixel_size_assumed", "caution", {"gsd_m": UNKNOWN_GSD_M})]


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
    """Correlation of neighbouring means over squares of 1 and 4 pixels; NaN where flat or too small."""
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


def is_radar(layer: Layer) -> bool:
    """Whether a grey layer is speckled like radar amplitude; False for colour images."""
    windows = spread_windows(layer.shape, (WINDOW_PX, WINDOW_PX), WINDOWS)
    variation = [value for window in windows if np.isfinite(value := _variation(layer, window))]
    return bool(variation) and float(np.median(variation)) > SPECKLED


def _variation(layer: Layer, window: Window) -> float:
    """Standard deviation over mean of a window's smoothest ground; NaN where nothing is bright, or in colour."""
    data, valid = layer.read(window)
    bands = data[:3].astype(np.float32)
    if not valid.any() or (bands != bands[:1])[:, valid].any():
        return float("nan")
    return _smoothest(np.where(valid, bands[0], 0), valid)


def _smoothest(image: NDArray[np.float32], valid: Mask) -> float:
    mean, spread = moving_moments(image, SIDE_PX)
    usable = (uniform_filter(valid.astype(np.float32), SIDE_PX) > 0.999) & (mean > DARK * image.max())
    return float(np.percentile(spread[usable] / mean[usable], SMOOTHEST)) if usable.any() else float("nan")


def require_order(before: Floats, after: Floats) -> None:
    """Refuse a pair in which many buildings are damaged before alone, by (N,) probabilities of each image. Errors: InputError."""
    worse_before, worse_after, known = _worse(before, after)
    if worse_before >= max(MIN_COUNT, MIN_SHARE * known) and worse_before >= TIMES * worse_after:
        raise InputError(
            f"{worse_before} of {known} buildings look damaged in PRE and intact in POST, {worse_after} the other way "
            "round: the images seem to be swapped. Give the image from before the event first; or, where the damage in "
            "PRE is real and older, give - for PRE to assess from the post image alone."
        )


def order_finding(before: Floats, after: Floats, agreeing: tuple[float, float]) -> Finding:
    """What it means that outlines follow the image after and not the one before: swapped dates where more buildings look damaged before.

    before, after : (N,) probabilities of damage by each image; agreeing : shares of the outlines that agree on one offset on each."""
    worse_before, worse_after, known = _worse(before, after)
    values = {
        "agree_before": agreeing[0], "agree_after": agreeing[1], "worse_before": worse_before, "worse_after": worse_after, "known": known,
    }  # fmt: skip
    if worse_before > worse_after:
        return Finding("dates_swapped", "worthless", values)
    return Finding("outlines_fit_after", "caution", values)


def _worse(before: Floats, after: Floats) -> tuple[int, int, int]:
    """How many buildings look damaged before alone and after alone, and of how many both are known."""
    known = np.isfinite(before) & np.isfinite(after)
    pre, post = before[known] >= DAMAGED_AT, after[known] >= DAMAGED_AT
    return int((pre & ~post).sum()), int((post & ~pre).sum()), int(known.sum())


def require_two_pictures(agreement: Floats) -> None:
    """Refuse an image and its copy, by (N,) agreements of the edge directions of roofs, as measured. Errors: InputError."""
    known = agreement[np.isfinite(agreement)]
    if len(known) < MIN_BUILDINGS:
        return
    least = float(np.percentile(known, MIN_ALIKE))
    if least > ONE_IMAGE:
        raise InputError(
            f"PRE and POST seem to be one image, resampled: at nine of ten buildings their edges agree by {least:.2f} "
            f"or more (images of two days: below {ONE_IMAGE}). Give the image from before the event, or - for PRE to assess "
            "from the post image alone."
        )
