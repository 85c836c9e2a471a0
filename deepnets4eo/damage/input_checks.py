"""What is wrong with two images as a pair, seen before any long work: no picture, one picture twice, dates, nodata.

Takes opened layers; looks at a few windows of each. Refuses noise, an image without any structure, and one image given
twice; undeclared nodata is declared and named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.colour_choice import in_colour, masking_bands, unknown_colours
from deepnets4eo.damage.radar import is_radar
from deepnets4eo.errors import InputError
from deepnets4eo.inspection.pairs import check_two_images, sample_windows
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.rasters.outliers import find_outliers
from deepnets4eo.rasters.scene import Layer

LEAST_VALID = 0.9  # of a window's pixels, for its structure to count
SCALES_PX = (1, 4)
LEAST_CELLS = 32  # along a side, for a correlation of neighbours
# Correlation of neighbouring means over squares of 1 and 4 pixels, median over windows: 40 real images had 0.56 or more,
# radar among them; noise has 0.00 at one of the two. Smoother noise passes, and then no footprint aligns with it.
LEAST_CORRELATION = 0.25


@dataclass(frozen=True)
class CheckedImages:
    """The images to work on: red, green and blue, nodata declared; and what was seen.

    radar : those that look like radar, "pre" or "post".
    """

    pre: Layer | None
    post: Layer
    findings: tuple[Finding, ...] = ()
    radar: tuple[str, ...] = ()


def check_images(pre: Layer | None, post: Layer) -> CheckedImages:
    """Check what can be seen of one or two images without registering them.

    returns : the layers with their red, green and blue band, in which undeclared nodata is now declared, and findings.
    Errors: InputError for an image without structure (noise, one single value), and for one image given twice.
    Peak memory: one window of 256² pixels.
    """
    images = {"pre": pre, "post": post}
    for role, image in images.items():
        _check_no_colour_table(image, role)
    findings = [*unknown_colours(images), *masking_bands(images)]
    radar: list[str] = []
    pre, post = None if pre is None else in_colour(pre), in_colour(post)
    post = _declare_nodata(post, "post", findings)
    if is_radar(post):  # its speckle is noise too
        radar.append("post")
    else:
        _require_structure(post, "post")
    if pre is not None:
        check_two_images(pre, post, "or - for PRE to assess from the post image alone")
        pre = _declare_nodata(pre, "pre", findings)
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


def _check_no_colour_table(image: Layer | None, role: str) -> None:
    if image is not None and image.count == 1 and image.colour_roles == ["palette"]:
        raise InputError(
            f"the {role} image {image.source} has a colour table: its numbers are no brightness. Write its colours: "
            f"gdal_translate -expand rgb {image.source} rgb.tif"
        )


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
    numbers = layer.as_stored()
    for window in sample_windows(layer.shape):
        data, valid = numbers.read(window)
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
