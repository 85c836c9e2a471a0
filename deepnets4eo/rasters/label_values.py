"""Values of a label raster as whole numbers and as bytes.

Takes values (h, w) of any type with a mask of what is valid; void (255) is where nothing is.
Refuses fractions, and as bytes values outside 0 to 255, naming the raster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import LabelError

MOST_LABEL = 2**31


def whole_numbers(values: NDArray[Any], valid: NDArray[np.bool_], source: str) -> NDArray[np.int64]:
    """Values (h, w) as integers, void where not valid; MATLAB and some tools store labels as floats.

    source : the raster's name. Errors: LabelError for fractions, and for floats beyond 2³¹.
    """
    if values.dtype.kind in "biu":
        return np.where(valid, values.astype(np.int64), VOID)
    numbers = np.where(valid, values, VOID)
    if (numbers != np.rint(numbers)).any() or np.abs(numbers).max(initial=0) > MOST_LABEL:
        raise LabelError(f"{source} holds {values.dtype} that are no labels. Take the argmax of scores first.")
    return numbers.astype(np.int64)


def label_bytes(values: NDArray[Any], valid: NDArray[np.bool_], source: str) -> NDArray[np.uint8]:
    """Label values (h, w) uint8, void where not valid.

    source : the raster's name. Errors: LabelError for what is no whole number 0–255.
    """
    if values.dtype == np.uint8:
        return np.where(valid, values, np.uint8(VOID))
    labels = whole_numbers(values, valid, source)
    strange = np.unique(labels[(labels < 0) | (labels > VOID)])
    if strange.size:
        raise LabelError(
            f"{source} holds the value {strange[0]}, expected label values 0 to 254 and {VOID} for void. "
            "Remap it, or declare it as nodata: gdal_edit.py -a_nodata VALUE FILE."
        )
    return labels.astype(np.uint8)
