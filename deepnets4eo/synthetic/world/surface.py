"""The painted state of a world at one date: heights, colours and materials of every pixel.

Positions are local metres (x to the right, y down); pixel (row, col) covers x from col · gsd_m to (col + 1) · gsd_m.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LEAST = np.float32(1e-5)

Floats = NDArray[np.float32]
_ALIGNED = 64  # bytes


def _layer(dtype: type, depth: int = 0) -> Any:
    return field(default_factory=lambda: np.zeros((0, 0, depth) if depth else (0, 0), dtype), repr=False)


@dataclass
class WorldSurface:
    """Arrays of one date, all (H, W) unless said; painters change them in their own memory.

    Parameters
    ----------
    gsd_m
        Side of a pixel, metres.
    seed
        The seed of the noise, the same at both dates.
    ground
        Height of the terrain, metres.
    height
        Top of solid things (roofs, cars, walls, rubble) above the ground, metres.
    canopy
        Top of tree crowns above the ground, metres; 0 where none.
    cover
        Opacity of the crown, 0–1.
    leaf
        (H, W, 4) display colour of the crown, 0–255: red, green, blue, near infrared.
    albedo
        (H, W, 4) display colour under the crowns, 0–255; reflectance is its square over 255².
    material
        Code of `materials.NAMES`.
    building
        Row of `plan.buildings` plus 1, 0 for none.
    roof
        Row of the date's `plan.roofs` plus 1, 0 for none.
    inward
        Metres inside the edge of the roof, 0 elsewhere.
    slope_x, slope_y
        Gradient of the roof (rise over run to the right, down).
    """

    gsd_m: float
    seed: int
    ground: Floats = _layer(np.float32)
    height: Floats = _layer(np.float32)
    canopy: Floats = _layer(np.float32)
    cover: Floats = _layer(np.float32)
    leaf: Floats = _layer(np.float32, 4)
    albedo: Floats = _layer(np.float32, 4)
    material: NDArray[np.uint8] = _layer(np.uint8)
    building: NDArray[np.int32] = _layer(np.int32)
    roof: NDArray[np.int32] = _layer(np.int32)
    inward: Floats = _layer(np.float32)
    slope_x: Floats = _layer(np.float32)
    slope_y: Floats = _layer(np.float32)

    @classmethod
    def bare(cls, gsd_m: float, seed: int, shape: tuple[int, int]) -> WorldSurface:
        """Return a surface of zeros.

        Parameters
        ----------
        gsd_m
            Side of a pixel, metres.
        seed
            The seed of the noise.
        shape
            (rows, columns).
        """
        kinds = [(one.name, one.default_factory()) for one in fields(cls)[2:]]  # type: ignore[operator]
        sizes = [shape[0] * shape[1] * int(np.prod(empty.shape[2:])) * empty.itemsize for _, empty in kinds]
        starts = np.cumsum([0, *(-(-size // _ALIGNED) * _ALIGNED for size in sizes)])
        # One piece of memory: the system hands it out in large pages, ten times as fast as a dozen small pieces.
        memory = np.zeros(starts[-1], np.uint8)
        layers: dict[str, Any] = {}
        for (name, empty), start, size in zip(kinds, starts[:-1], sizes, strict=True):
            layers[name] = memory[start : start + size].view(empty.dtype).reshape(*shape, *empty.shape[2:])
        return cls(gsd_m, seed, **layers)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.ground.shape[0], self.ground.shape[1]


@njit(cache=True, nogil=True, error_model="numpy")
def rows_of(cos, sin, half_a, half_b, y_m, gsd_m, rows):  # type: ignore[no-untyped-def]
    """Return the first row, and the one after the last, of the pixels that a rectangle can cover; `half_a` and `half_b`
    are half its length and width, `y_m` its middle, metres."""
    reach = abs(sin) * half_a + abs(cos) * half_b
    return max(int((y_m - reach) / gsd_m), 0), min(int((y_m + reach) / gsd_m) + 2, rows)


@njit(cache=True, nogil=True, error_model="numpy")
def columns_of(cos, sin, half_a, half_b, x_m, dy_m, gsd_m, cols):  # type: ignore[no-untyped-def]
    """Return the first column, and the one after the last, that a rectangle can cover in the row `dy_m` below its
    middle; none where it does not reach the row."""
    low, high = -half_a - half_b, half_a + half_b
    if abs(cos) > _LEAST:
        middle, reach = -sin * dy_m / cos, half_a / abs(cos)
        low, high = max(low, middle - reach), min(high, middle + reach)
    if abs(sin) > _LEAST:
        middle, reach = cos * dy_m / sin, half_b / abs(sin)
        low, high = max(low, middle - reach), min(high, middle + reach)
    return max(int((x_m + low) / gsd_m - 1), 0), min(int((x_m + high) / gsd_m) + 2, cols)
