"""What is wrong with two images as a pair, seen before any long work: no picture, one picture twice, dates, nodata.

Takes opened layers; looks at a few windows of each. Refuses noise, an image without any structure, and one image given
twice; undeclared nodata is declared and named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.findings import Finding
from deepnets4eo.damage.radar import is_radar
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.outliers import find_outliers
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.rasters.sources import same_grid
from deepnets4eo.tiling.spread import spread_windows

WINDOW_PX, WINDOWS = 256, 4  # side of a window, and how many along each side of the image
LEAST_VALID = 0.9  # of a window's pixels, for its structure to count
SCALES_PX = (1, 4)
LEAST_CELLS = 32  # along a side, for a correlation of neighbours
# Correlation of neighbouring means over squares of 1 and 4 pixels, median over windows: 40 real images had 0.56 or more,
# radar among them; noise has 0.00 at one of the two. Smoother noise passes, and then no footprint aligns with it.
LEAST_CORRELATION = 0.25
SHOWN_CHANGE = 0.002  # share of the values that must differ between two images
DATE_TAGS = ("ACQUISITIONDATETIME", "ACQUISITION_DATETIME", "ACQUISITION_DATE", "ACQUISITIONDATE", "DATE_ACQUIRED",
             "NITF_IDATIM", "TIFFTAG_DATETIME")  # fmt: skip
DATE = re.compile(r"((?:19|20)\d\d)[-:/]?(\d\d)[-:/]?(\d\d)")


@dataclass(frozen=True)
class CheckedImages:
    """The images to work on, nodata declared, and what was seen. radar : those that look like radar, "pre" or "post"."""

    pre: Layer | None
    post: Layer
    findings: tuple[Finding, ...] = ()
    radar: tuple[str, ...] = ()


def check_images(pre: Layer | None, post: Layer) -> CheckedImages:
    """Check what can be seen of one or two images without registering them.

    returns : the layers, in which undeclared nodata is now declared, and findings.
    Errors: InputError for an image without structure (noise, one single value), and for one image given twice.
    Peak memory: one window of 256² pixels.
    """
    findings: list[Finding] = []
    radar: list[str] = []
    post = _declare_nodata(post, "post", findings)
    if is_radar(post):  # its speckle is noise too
        radar.append("post")
    else:
        _require_structure(post, "post")
    if pre is not None:
        _require_two_images(pre, post)
        pre = _declare_nodata(pre, "pre", findings)
        findings += _reversed_dates(pre, post)
        try:
            if is_radar(pre):
                radar.insert(0, "pre")
            else:
                _require_structure(pre, "pre")
        except InputError as error:
            pre = None
            findings.append(
                Finding("pre_without_structure", "caution", f"{error} It was not used: buildings are assessed from the "
                        "post image alone.", "Give another pre image, or - for PRE.")
            )  # fmt: skip
    return CheckedImages(pre, post, tuple(findings), tuple(radar))


def sample_windows(shape: tuple[int, int]) -> list[Window]:
    """Windows spread over an image of (h, w) pixels."""
    return spread_windows(shape, (WINDOW_PX, WINDOW_PX), WINDOWS)


def _declare_nodata(layer: Layer, role: str, findings: list[Finding]) -> Layer:
    """The layer with the nodata value that its file does not declare, as `deepnets4eo check` finds it."""
    value = undeclared_nodata(layer)
    if value is None:
        return layer
    findings.append(
        Finding(
            f"undeclared_nodata_{role}", "caution",
            f"The {role} image {layer.source} holds {value:g} where it has no data, and does not declare it; it was taken "
            "as no data.",
            f"Declare it: gdal_edit.py -a_nodata {value:.17g} FILE",
        )
    )  # fmt: skip
    return layer.with_nodata(value)


def undeclared_nodata(layer: Layer) -> float | None:
    """The value that means no data by custom and stands far from all others; None where there is none."""
    if layer.dtype.itemsize == 1:
        return None
    values: list[NDArray[Any]] = []
    for window in sample_windows(layer.shape):
        data, valid = layer.read(window)
        same = (data == data[:1]).all(axis=0) & valid  # no data is no data in every band
        values.append(np.concatenate([data[0][valid][::7], np.unique(data[0][same])]))
    far = find_outliers(np.concatenate(values))
    return None if far is None else far.nodata


def _require_structure(layer: Layer, role: str) -> None:
    """Refuse noise and images of one value. Errors: InputError."""
    correlations = []
    for window in sample_windows(layer.shape):
        data, valid = layer.read(window)
        if valid.mean() >= LEAST_VALID:
            correlations.append(neighbour_correlations(np.where(valid, data[:3].mean(axis=0, dtype=np.float64), 0.0)))
    if not correlations:
        return
    table = np.array(correlations)
    known = np.isfinite(table[:, 0])
    if not known.any():
        raise InputError(f"the {role} image {layer.source} has one single value where it was looked at. Give an image.")
    for scale, values in zip(SCALES_PX, table[known].T, strict=True):
        middle = float(np.nanmedian(values)) if np.isfinite(values).any() else 1.0
        if middle < LEAST_CORRELATION:
            raise InputError(
                f"the {role} image {layer.source} looks like noise: neighbouring values, {scale} pixels apart, correlate "
                f"with {middle:.2f} (at least {LEAST_CORRELATION} in an image of the ground). Give another image."
            )


def neighbour_correlations(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of neighbouring means over squares of 1 and 4 pixels; NaN where flat or too small."""
    out = np.full(len(SCALES_PX), np.nan)
    for k, side in enumerate(SCALES_PX):
        rows, cols = (length // side for length in image.shape)
        if min(rows, cols) < LEAST_CELLS:
            continue
        means = image[: rows * side, : cols * side].reshape(rows, side, cols, side).mean(axis=(1, 3))
        means = means - means.mean()
        power = float((means * means).mean())
        if power > 1e-12:
            down, right = (means[1:] * means[:-1]).mean(), (means[:, 1:] * means[:, :-1]).mean()
            out[k] = (down + right) / 2 / power
    return out


def _require_two_images(pre: Layer, post: Layer) -> None:
    """Refuse one image given twice: the same files, or the same values on one grid. Errors: InputError."""
    files = [{str(Path(path).resolve()) for path in layer.paths} for layer in (pre, post)]
    one_file = bool(files[0]) and files[0] == files[1] and pre.bands == post.bands
    if one_file or (same_grid(pre.grid, post.grid) and _same_values(pre, post)):
        raise InputError(
            f"PRE ({pre.source}) and POST ({post.source}) are one image: nothing can have changed between them. Give the "
            "image from before the event, or - for PRE to assess from the post image alone."
        )


def _same_values(pre: Layer, post: Layer) -> bool:
    """Whether two layers on one grid show the same values in all windows looked at, and some values at all."""
    if pre.count != post.count:
        return False
    differing, seen = 0, 0
    for window in sample_windows(post.shape):
        (first, valid), (second, also) = pre.read(window), post.read(window)
        both = valid & also
        differing += int((first[:, both] != second[:, both]).sum())
        seen += first.shape[0] * int(both.sum())
    return seen > 0 and differing <= SHOWN_CHANGE * seen


def _reversed_dates(pre: Layer, post: Layer) -> list[Finding]:
    """A finding where the tags of both images date the pre image after the post image."""
    for tag in DATE_TAGS:
        before, after = acquisition_date(pre, tag), acquisition_date(post, tag)
        if before is not None and after is not None:
            if before <= after:
                return []
            return [
                Finding(
                    "dates_reversed", "caution",
                    f"By their tag {tag}, the pre image is of {before:%Y-%m-%d} and the post image of {after:%Y-%m-%d}, "
                    "which is earlier.",
                    "Check which image is which; the tag may be the date at which a file was written.",
                )
            ]  # fmt: skip
    return []


def acquisition_date(layer: Layer, tag: str) -> datetime | None:
    """The day that a tag of a layer names, in any case of letters; None where there is none."""
    text = {name.upper(): value for name, value in layer.tags.items()}.get(tag, "")
    match = DATE.search(text)
    try:
        return datetime(*(int(part) for part in match.groups())) if match else None  # type: ignore[arg-type]
    except ValueError:
        return None
