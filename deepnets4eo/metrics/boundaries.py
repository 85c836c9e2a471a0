"""A reference without object borders, as ISPRS scores it.

Takes label arrays with void 255; returns them with a band along class borders set to void.
Refuses negative radii. Blocks that are read with a halo of `radius_px` have the same pixels as the whole image."""

from __future__ import annotations

import math

import numpy as np

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError

ROWS = 96  # of one pass, whose arrays stay in the processor's cache


def erode_boundaries(labels: np.ndarray, radius_px: int) -> np.ndarray:
    """Sets every pixel to void that has another class within a disc: the ISPRS reference without object borders.

    The disc is dx² + dy² ≤ radius_px². Void neighbours and the image's edge are no border. A straight border loses
    2 · radius_px pixels (6 for 3); the eroded files of ISPRS lose 5 (Vaihingen) and 7 (Potsdam, both measured on a
    crop), so use those files where you have them. Memory: the output and one band of rows. Source: ISPRS 2D semantic
    labelling; radius from Audebert et al., GRETSI 2017.

    Parameters
    ----------
    labels : (H, W) uint8, void is 255
    radius_px : radius of the disc in pixels, 0 or more; 3 in the ISPRS papers

    Returns
    -------
    ndarray
        (H, W) uint8, the labels with void along the borders.

    Raises
    ------
    InputError
        The radius is negative.

    Examples
    --------
    >>> erode_boundaries(np.array([[0, 0, 0, 1, 1, 1]], np.uint8), 1).tolist()
    [[0, 0, 255, 255, 1, 1]]
    """
    if radius_px < 0:
        raise InputError(f"Got an erosion radius of {radius_px} px, expected 0 or more.")
    eroded = labels.copy()
    height = labels.shape[0]
    for row in range(0, height if radius_px else 0, ROWS):
        top, bottom = max(row - radius_px, 0), min(row + ROWS + radius_px, height)
        band = labels[top:bottom]
        # of the classes within the disc: one alone when the greatest is the smallest, void being neither
        greatest = _over_disc(np.where(band == VOID, np.uint8(0), band), radius_px, np.maximum, 0)
        smallest = _over_disc(band, radius_px, np.minimum, VOID)
        inner = slice(row - top, row - top + min(ROWS, height - row))
        eroded[row : row + ROWS][(greatest != smallest)[inner]] = VOID
    return eroded


def dilate(mask: np.ndarray, radius_px: int) -> np.ndarray:
    """Returns (H, W) bool: True where a True pixel lies within the disc dx² + dy² ≤ radius_px².

    >>> dilate(np.array([[True, False, False, False]]), 2).tolist()
    [[True, True, True, False]]
    """
    return _over_disc(mask.astype(np.uint8), radius_px, np.maximum, 0).astype(bool)


def _over_disc(values: np.ndarray, radius_px: int, extreme: np.ufunc, neutral: int) -> np.ndarray:
    """Returns the greatest or smallest value in the disc around each pixel, row by row: 4 · radius comparisons."""
    height, width = values.shape
    wide = np.pad(values, radius_px, constant_values=neutral)
    result = values.copy()
    for reach in range(radius_px + 1):
        if reach:  # the window grows by one pixel on either side
            wider = wide.copy()
            extreme(wider[:, 1:], wide[:, :-1], out=wider[:, 1:])
            extreme(wider[:, :-1], wide[:, 1:], out=wider[:, :-1])
            wide = wider
        for step in range(radius_px + 1):
            if math.isqrt(radius_px * radius_px - step * step) != reach:
                continue
            for shift in {step, -step}:
                shifted = wide[radius_px + shift : radius_px + shift + height, radius_px : radius_px + width]
                extreme(result, shifted, out=result)
    return result
