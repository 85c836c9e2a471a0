"""What images show before any long work: whether two are two, whether they are images at all, and undeclared nodata.

Takes opened layers; looks at a few windows of each. Refuses one image given twice, and numbers of colours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.rasters.outliers import find_outliers
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.rasters.sources import same_grid
from deepnets4eo.tiling.spread import spread_windows

WINDOW_PX, WINDOWS = 256, 4  # side of a window, and how many along each side of the image
SHOWN_CHANGE = 0.002  # share of the values that must differ between two images


def sample_windows(shape: tuple[int, int]) -> list[Window]:
    """Windows spread over an image of (h, w) pixels."""
    return spread_windows(shape, (WINDOW_PX, WINDOW_PX), WINDOWS)


def check_no_colour_table(image: Layer, role: str) -> None:
    """Refuse an image whose numbers stand for colours.

    Parameters
    ----------
    image
        The image.
    role
        "pre", "post" or its date, for the message.

    Raises
    ------
    InputError
        It has a colour table.
    """
    if image.colour_roles == ["palette"]:
        raise InputError(
            f"the {role} image {image.source} has a colour table: its numbers are no brightness. Write its colours: "
            f"gdal_translate -expand rgb {image.source} rgb.tif"
        )


def check_two_images(pre: Layer, post: Layer, otherwise: str = "") -> None:
    """Refuse one image given twice: the same files, or the same values on one grid.

    Parameters
    ----------
    pre, post
        The two images.
    otherwise
        What else the user can do, for the message.

    Raises
    ------
    InputError
        They are one image.
    """
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
