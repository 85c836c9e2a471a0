"""What images show before any long work: whether two are two, are images at all, by day and in colour, and what declares no nodata.

Takes opened layers; looks at a few windows of each. Refuses one image given twice, and numbers of colours. Zeros count as
undeclared nodata where many pixels are 0 in every band and hardly any are near it, as in stripes and collars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.rasters.sources import same_grid
from deepnets4eo.rasters.values import find_outliers
from deepnets4eo.tiling.sampling import spread_windows

WINDOW_PX, WINDOWS = 256, 4  # side of a window, and how many along each side of the image
SHOWN_CHANGE = 0.002  # share of the values that must differ between two images

BRIGHT_PERCENTILE, DARKEST = 95, 40  # by day the brightest pixels of real scenes have 90 and more of 255
STEP = 7  # every so many pixels of a window are looked at

LEAST_SHARE = 0.005  # of the valid pixels
LEAST_VALUES = 64  # different values of an image; masks and labels have fewer, and their 0 says something
NEAR, NEAR_STEPS = 0.02, 2  # a pixel is near 0 up to this share of the median, or these steps of whole numbers
RARE = 0.1  # of the zeros: more pixels near 0 than that, and 0 is a value like others


def sample_windows(shape: tuple[int, int]) -> list[Window]:
    """Windows spread over an image of (h, w) pixels."""
    return spread_windows(shape, (WINDOW_PX, WINDOW_PX), WINDOWS)


def check_no_colour_table(image: Layer, role: str) -> None:
    """Refuse an image whose numbers stand for colours (InputError); `role` is "pre", "post" or its date, for the
    message."""
    if image.colour_roles == ["palette"]:
        raise InputError(
            f"the {role} image {image.source} has a colour table: its numbers are no brightness. Write its colours: "
            f"gdal_translate -expand rgb {image.source} rgb.tif"
        )


def check_two_images(pre: Layer, post: Layer, otherwise: str = "") -> None:
    """Refuse one image given twice (InputError): the same files, or the same values on one grid; `otherwise` says what
    else the user can do."""
    files = [{str(Path(path).resolve()) for path in layer.paths} for layer in (pre, post)]
    one_file = bool(files[0]) and files[0] == files[1] and pre.bands == post.bands
    if one_file or (same_grid(pre.grid, post.grid) and _same_values(pre, post)):
        raise InputError(
            f"PRE ({pre.source}) and POST ({post.source}) are one image: nothing can have changed between them. Give two "
            f"images of two dates{', ' + otherwise if otherwise else ''}."
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


def declare_nodata(layer: Layer, role: str, findings: list[Finding]) -> Layer:
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


def bright_value(image: Layer) -> float | None:
    """Return the display value 0–255 that 95 % of the values of a uint8 image do not reach; None where no pixel of its
    windows is valid. Below `DARKEST` the image is as dark as by night."""
    values = [data[:, valid].ravel()[::STEP] for data, valid in map(image.read, sample_windows(image.shape))]
    pixels = np.concatenate(values)
    return float(np.percentile(pixels, BRIGHT_PERCENTILE)) if pixels.size else None


def is_grey(image: Layer) -> bool:
    """Return whether all bands of an image hold the same values: a panchromatic image that was saved with several
    bands. False where no pixel of its windows is valid."""
    seen = False
    for data, valid in map(image.read, sample_windows(image.shape)):
        if (data[:1, valid] != data[1:, valid]).any():
            return False
        seen = seen or bool(valid.any())
    return seen


def undeclared_zeros(layer: Layer) -> float:
    """Return the share of valid pixels of an image (brightness, backscatter, reflectance) that are 0 in every band and
    no values; 0.0 where zeros may be values."""
    largest = [
        np.abs(data[:, valid].astype(np.float64)).max(axis=0)
        for data, valid in map(layer.read, sample_windows(layer.shape))
    ]
    values = np.concatenate(largest)
    seen = values[values > 0]
    zeros = values.size - seen.size
    if zeros < max(1, LEAST_SHARE * values.size) or len(np.unique(seen)) < LEAST_VALUES:
        return 0.0
    near = max(NEAR * float(np.median(seen)), NEAR_STEPS if layer.dtype.kind in "iu" else 0.0)
    return zeros / values.size if (seen <= near).sum() <= RARE * zeros else 0.0


def describe_unmasked_band(layer: Layer) -> tuple[str, str] | None:
    """Return what was done with a band that its file marks as alpha though it shows something, and a remedy; None where
    no band is marked so, or that band is a mask."""
    name = layer.unmasked_band
    if name is None:
        return None
    words = ",".join(layer.colour_roles or ["undefined"] * layer.count)
    return (
        f"band {name!r} is marked as alpha, but its name or values are no mask's: it was read as a band, and hides nothing. GDAL "
        "marks the fourth of four bands so whatever it shows, and calls the others red, green and blue.",
        f"Say what each band shows, with one word a band: rio edit-info --colorinterp {words} FILE. A mask has 0 and 255, "
        "or the name alpha.",
    )
