"""Images and numbers of RGB-D frames: depth in millimetres, also as SUN RGB-D stores it, colours, labels, matrices of text.

Takes paths; returns arrays. Refuses what is missing, damaged, or of another kind, naming the file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.formats.rasters import READ_ERRORS, open_raster
from deepnets4eo.points.rgbd.frame import Frame, Intrinsics

MM = 1000.0
UNKNOWN_MM = (0, 65535)  # what Kinects store where they measure nothing
LOST_BITS, WORD_BITS = 3, 16  # SUN RGB-D turns each word of 16 bits by three
MOST_CODE = 255

Depth = Callable[[NDArray[np.uint16]], FloatImage]


class FrameSource(Protocol):
    """A frame that is read when it is needed."""

    @property
    def name(self) -> str:
        """The name of the frame, unique within its dataset."""

    def read(self) -> Frame:
        """The frame, with its labels where there are any. Errors: InputError for files that do not fit together."""


def depth_of_mm(stored: NDArray[np.uint16]) -> FloatImage:
    """Return the depth (h, w) in metres of millimetres in 16 bits; 0 and 65535 are unknown and become 0.

    >>> depth_of_mm(np.array([[0, 1500, 65535]], np.uint16)).tolist()
    [[0.0, 1.5, 0.0]]
    """
    return np.where(np.isin(stored, UNKNOWN_MM), 0, stored / MM).astype(np.float32)


def depth_of_sun(stored: NDArray[np.uint16]) -> FloatImage:
    """Return the depth (h, w) in metres of what SUN RGB-D stores: millimetres, each word of 16 bits turned left by
    three; 0 where unknown.

    >>> depth_of_sun(np.array([[0, 1500 << 3, 7]], np.uint16)).tolist()
    [[0.0, 1.5, 57.34400177001953]]
    """
    turned = (stored >> LOST_BITS) | (stored << (WORD_BITS - LOST_BITS))
    return (turned.astype(np.uint16) / MM).astype(np.float32)


def read_colour(path: Path) -> ByteImage:
    """Return the colours (3, h, w) uint8 of an image of three or four bands. Raises InputError for no image, or other
    bands or values."""
    values = _read(path)
    if len(values) not in (3, 4) or values.dtype != np.uint8:
        raise InputError(
            f"{path} has {len(values)} bands of {values.dtype}; expected red, green, blue of uint8. Convert it to a PNG."
        )
    return values[:3]


def read_depth(path: Path, metres: Depth = depth_of_mm) -> FloatImage:
    """Return the depth (h, w) in metres of a PNG of 16 bits and one band, 0 where unknown; `metres` converts what is
    stored. Raises InputError for anything else."""
    values = _read(path)
    if len(values) != 1 or values.dtype != np.uint16:
        raise InputError(
            f"{path} has {len(values)} bands of {values.dtype}; expected depth in one band of uint16. A picture of depth "
            "with fewer steps has no metres: take the file that the camera wrote."
        )
    return metres(values[0])


def read_labels(path: Path) -> ByteImage:
    """Return the codes (h, w) uint8 of a label image of one band. Raises InputError for no image, several bands or
    codes above 255."""
    values = _read(path)
    if len(values) != 1 or values.dtype.kind not in "ui" or values.max(initial=0) > MOST_CODE:
        raise InputError(
            f"{path} has {len(values)} bands of {values.dtype}, up to {values.max(initial=0)}; expected one band of codes "
            "0 to 255. Convert the labels to the classes of a legend first."
        )
    return values[0].astype(np.uint8)


def read_matrix(path: Path, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return a matrix of a shape from a text file. Raises InputError where it is missing, or holds no such matrix of
    finite numbers."""
    try:
        numbers = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a matrix of numbers: {error}. Check the file.") from error
    if numbers.size != shape[0] * shape[1] or not np.isfinite(numbers).all():
        raise InputError(f"{path} has {numbers.size} numbers; expected {shape[0]} x {shape[1]}, all of them finite.")
    return numbers.reshape(shape)


def read_intrinsics(path: Path) -> Intrinsics:
    """Return (fx, fy, cx, cy) in pixels from a text file with the 3 x 3 matrix of the camera. Raises InputError where
    it is missing: depth without intrinsics is no cloud."""
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: depth without intrinsics cannot be turned into points. Write the camera's 3 x 3 matrix "
            "there: fx 0 cx, 0 fy cy, 0 0 1, in pixels."
        )
    matrix = read_matrix(path, (3, 3))
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])


def _read(path: Path) -> NDArray[Any]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with open_raster(path) as raster:
            try:
                values: NDArray[Any] = raster.read()
            except READ_ERRORS as error:
                raise InputError(f"{path} cannot be read: the file is truncated or damaged.") from error
    return values
