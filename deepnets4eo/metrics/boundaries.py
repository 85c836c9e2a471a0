"""Borders between classes: a reference without them, as ISPRS scores it, and the agreement of a prediction's borders.

Refuses negative radii, shapes that differ, and margins that are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError

ROWS = 96  # of one pass, whose arrays stay in the processor's cache
COUNTS = ("predicted", "predicted_near", "reference", "reference_near")


def erode_boundaries(labels: np.ndarray, radius_px: int) -> np.ndarray:
    """Set every pixel to void that has another class within a disc: the ISPRS reference without object borders.

    The disc is dx² + dy² ≤ radius_px². Void neighbours and the image's edge are not a border. A straight border loses
    2 · radius_px pixels (6 for 3).

    The eroded files of ISPRS lose 5 (Vaihingen) and 7 (Potsdam): use them where you have them.

    Memory: the output and one band of rows. Source: ISPRS 2D semantic labelling; Audebert et al., GRETSI 2017.

    Errors: InputError (the radius is negative).

    Parameters
    ----------
    labels : (H, W) uint8, void is 255
    radius_px : 0 or more; 3 in the ISPRS papers

    Returns
    -------
    ndarray
        (H, W) uint8, the labels with void along the borders.

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
    """Return (H, W) bool: True where a True pixel is within the disc dx² + dy² ≤ radius_px².

    >>> dilate(np.array([[True, False, False, False]]), 2).tolist()
    [[True, True, True, False]]
    """
    return _over_disc(mask.astype(np.uint8), radius_px, np.maximum, 0).astype(bool)


def _over_disc(values: np.ndarray, radius_px: int, extreme: np.ufunc, neutral: int) -> np.ndarray:
    """Return the greatest or smallest value in the disc around each pixel, row by row: 4 · radius comparisons."""
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


class BoundaryScores:
    """Counts of border pixels by class, and of border pixels near a border pixel of the same class on the other side.

    A pixel of a class is on its border if one of its four neighbours has another class; void is not a class.

    Pixels within radius_px of void in the reference, or of its edge, are not counted.

    Source: boundary F1 of Csurka et al., BMVC 2013, by class, counts summed over all images.

    Errors: InputError (the radius is below one pixel).

    Parameters
    ----------
    num_classes : K, without void
    radius_px : largest distance of matching border pixels, dx² + dy² ≤ radius_px², 1 or more

    Examples
    --------
    >>> scores = BoundaryScores(2, radius_px=1)
    >>> labels = np.repeat([[0] * 4 + [1] * 4], 8, axis=0).astype(np.uint8)
    >>> scores.update(labels, labels)
    >>> scores.mean_f1
    1.0
    """

    def __init__(self, num_classes: int, radius_px: int) -> None:
        if radius_px < 1:
            raise InputError(f"Got a reach of {radius_px} px for borders, expected 1 or more.")
        self.num_classes, self.radius_px = num_classes, radius_px
        self.counts = {name: np.zeros(num_classes, np.int64) for name in COUNTS}

    @property
    def margin_px(self) -> int:
        """Margin in pixels that a window needs on each side for the same counts as the whole image."""
        return self.radius_px + 1

    def update(self, reference: NDArray[np.uint8], prediction: NDArray[np.uint8], *, margin_px: int = 0) -> None:
        """Add the counts of a window of class indices (H, W) uint8, void 255. Memory: about 10 bytes per pixel.

        margin_px : pixels on each side that are not counted: 0 for a whole image, else at least `self.margin_px`. Errors:
        InputError (the shapes differ, labels are not uint8, or the margin is too narrow)."""
        if not reference.dtype == prediction.dtype == np.uint8:
            raise InputError(
                f"Got a reference of {reference.dtype} and a prediction of {prediction.dtype}, expected uint8 with void 255."
            )
        if reference.shape != prediction.shape:
            raise InputError(f"Got a reference of {reference.shape} and a prediction of {prediction.shape} pixels.")
        if margin_px != 0 and margin_px < self.margin_px:
            raise InputError(f"Got a margin of {margin_px} px, expected 0, or {self.margin_px} or more.")
        height, width = reference.shape
        inner = (slice(margin_px, height - margin_px), slice(margin_px, width - margin_px))
        known = ~dilate(np.pad(reference == VOID, 1, constant_values=True), self.radius_px)[1:-1, 1:-1]
        sides = {"reference": reference, "predicted": prediction}
        borders = {side: boundary_pixels(labels) for side, labels in sides.items()}
        for class_index in range(self.num_classes):
            lines = {side: borders[side] & (sides[side] == class_index) for side in sides}
            for side, other in (("reference", "predicted"), ("predicted", "reference")):
                counted = (lines[side] & known)[inner]
                if not counted.any():
                    continue
                near = counted & dilate(lines[other], self.radius_px)[inner]
                self.counts[side][class_index] += np.count_nonzero(counted)
                self.counts[f"{side}_near"][class_index] += np.count_nonzero(near)

    def __iadd__(self, other: BoundaryScores) -> BoundaryScores:
        """Add the counts of another object; InputError if it has other classes or another radius."""
        if (self.num_classes, self.radius_px) != (other.num_classes, other.radius_px):
            raise InputError(
                f"Got {self.num_classes} classes within {self.radius_px} px and {other.num_classes} within "
                f"{other.radius_px} px; add counts of one legend and one radius only."
            )
        for name in COUNTS:
            self.counts[name] += other.counts[name]
        return self

    def leave_out(self, class_indices: list[int]) -> None:
        """Set the counts of some classes to zero: their scores become NaN."""
        for counts in self.counts.values():
            counts[class_indices] = 0

    @property
    def precision(self) -> Floats:
        """Return the (K,) share of predicted border pixels near a reference border pixel; NaN if no border was predicted."""
        return _ratio(self.counts["predicted_near"], self.counts["predicted"])

    @property
    def recall(self) -> Floats:
        """Return the (K,) share of reference border pixels near a predicted border pixel; NaN if the reference has no border."""
        return _ratio(self.counts["reference_near"], self.counts["reference"])

    @property
    def f1(self) -> Floats:
        """Return the (K,) harmonic mean of precision and recall; 0 if only one side has borders, NaN if neither has."""
        both = self.counts["predicted"] + self.counts["reference"] > 0
        precision, recall = np.nan_to_num(self.precision), np.nan_to_num(self.recall)
        return np.where(both, np.nan_to_num(_ratio(2 * precision * recall, precision + recall)), np.nan)

    @property
    def mean_f1(self) -> float:
        """Return the mean over the classes that have borders on either side; NaN if no class has borders."""
        defined = self.f1[~np.isnan(self.f1)]
        return float(defined.mean()) if defined.size else float("nan")

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values for a report: each score by class, and the mean."""
        by_class = {
            score: {name: float(value) for name, value in zip(names, getattr(self, score), strict=True)}
            for score in ("f1", "precision", "recall")
        }
        pixels = {name: int(count) for name, count in zip(names, self.counts["reference"], strict=True)}
        return {"radius_px": self.radius_px, "mean_f1": self.mean_f1, **by_class, "reference_boundary_px": pixels}


def boundary_pixels(labels: NDArray[np.uint8]) -> Mask:
    """Return True for pixels with another class, not void, above, below, left or right of them.

    >>> boundary_pixels(np.array([[0, 0, 1, 1, 255, 2]], np.uint8)).tolist()
    [[False, True, True, False, False, False]]
    """
    border = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first, second = (_along(labels, axis, part) for part in (slice(None, -1), slice(1, None)))
        apart = (first != second) & (first != VOID) & (second != VOID)
        _along(border, axis, slice(None, -1))[apart] = True
        _along(border, axis, slice(1, None))[apart] = True
    return border


def _along(array: NDArray[Any], axis: int, part: slice) -> NDArray[Any]:
    return array[part] if axis == 0 else array[:, part]


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
