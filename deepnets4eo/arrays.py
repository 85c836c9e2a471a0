"""Type names for arrays that state the dtype and the usual shape.

A function that takes several shapes names the shape in its docstring; the dtype is always the one in the type name."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

FloatImage: TypeAlias = NDArray[np.float32]  # (…, H, W): bands, scores or one grey image
Batch: TypeAlias = NDArray[np.float32]  # (N, C, H, W): prepared tiles
Vectors: TypeAlias = NDArray[np.float32]  # (n, F): one row of features a sample
ByteImage: TypeAlias = NDArray[np.uint8]  # (…, H, W): labels or packed fractions
Codes: TypeAlias = NDArray[np.unsignedinteger]  # (H, W): whole numbers of any unsigned dtype
RegionIds: TypeAlias = NDArray[np.int32]  # (H, W): number of the region of each pixel
Mask: TypeAlias = NDArray[np.bool_]  # (n,) or (…, H, W)
Pixels: TypeAlias = tuple[NDArray[Any], Mask]  # values (C, h, w), and where they are valid (h, w)
Spectrum: TypeAlias = NDArray[np.complex64]  # (…, H, W): a Fourier transform

Points: TypeAlias = NDArray[np.float64]  # (n, 2)
Boxes: TypeAlias = NDArray[np.float64]  # (n, 5): middle row and column, length, width, heading
Geometries: TypeAlias = NDArray[np.object_]  # (n,): shapely geometries
Texts: TypeAlias = NDArray[np.object_]  # (n,): words, or None
Floats: TypeAlias = NDArray[np.float64]  # (n,) or (n, k): measurements
BuildingSums: TypeAlias = NDArray[np.float64]  # (buildings, columns): sums of pixels over buildings
Indices: TypeAlias = NDArray[np.int64]  # (n,): positions in another array, or counts


def check_no_mask(array: object, name: str) -> None:
    """Refuse a masked array where its mask would be lost without a word."""
    if np.ma.is_masked(array):
        raise InputError(
            f"the {name} is a masked array, whose mask is not read here. Fill it first: array.filled(255) of labels, "
            "array.filled(np.nan) of measurements."
        )
