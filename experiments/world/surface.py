"""The painted state of a world at one date: heights, colours and materials of every pixel; and the miniature city in this form.

Positions are local metres (x to the right, y down); pixel (row, col) covers x from col · gsd_m to (col + 1) · gsd_m. Pairs of the
city are what a training on suburbs alone is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.surface import CitySurface

CITY_SHARE = {"world": 0.0, "both": 1 / 3, "city": 1.0}  # of the pairs that are suburbs of the miniature city
CITY_DRAW = 9  # beside a pair's seed, so that no other draw follows from the same numbers

_MIN = np.float32(1e-5)

Floats = NDArray[np.float32]
_ALIGNED = 64  # bytes


def _layer(dtype: type, depth: int = 0) -> Any:
    return field(default_factory=lambda: np.zeros((0, 0, depth) if depth else (0, 0), dtype), repr=False)


@dataclass
class WorldSurface:
    """Arrays of one date, all (H, W) unless said; painters change them in their own memory.

    Parameters
    ----------
    gsd_m : side of a pixel, metres
    seed : the seed of the noise, the same at both dates
    ground : height of the terrain, metres
    height : top of solid things (roofs, cars, walls, rubble) above the ground, metres
    canopy : top of tree crowns above the ground, metres; 0 where none
    cover : opacity of the crown, 0–1
    leaf : (H, W, 4) display colour of the crown, 0–255: red, green, blue, near infrared
    albedo : (H, W, 4) display colour under the crowns, 0–255; reflectance is its square over 255²
    material : code of `materials.NAMES`
    building : row of `plan.buildings` plus 1, 0 for none
    roof : row of the date's `plan.roofs` plus 1, 0 for none
    inward : metres inside the edge of the roof, 0 elsewhere
    slope_x, slope_y : gradient of the roof (rise over run to the right, down)
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
        """Return a surface (rows, columns) of zeros with the pixel size in metres and the seed of the noise."""
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
    if abs(cos) > _MIN:
        middle, reach = -sin * dy_m / cos, half_a / abs(cos)
        low, high = max(low, middle - reach), min(high, middle + reach)
    if abs(sin) > _MIN:
        middle, reach = cos * dy_m / sin, half_b / abs(sin)
        low, high = max(low, middle - reach), min(high, middle + reach)
    return max(int((x_m + low) / gsd_m - 1), 0), min(int((x_m + high) / gsd_m) + 2, cols)


@dataclass(frozen=True)
class CityPair:
    """Both dates of a city and their truth on the image grids, with the fields of the world's `PairSample`: images (4,
    H, W) uint8, labels of the legend `minicity`, numbers of roofs (0 for none) and heights above ground in metres."""

    pre: ByteImage
    post: ByteImage
    labels_pre: NDArray[np.uint8]
    labels_post: NDArray[np.uint8]
    roofs_pre: NDArray[np.int32]
    roofs_post: NDArray[np.int32]
    height_pre: NDArray[np.float32]
    height_post: NDArray[np.float32]
    gsd_m: float
    seed: int
    style: str = "city"


def is_city(seed: int, world: str) -> bool:
    """Whether the training pair of a seed is a suburb of the miniature city: never for "world", a third of the seeds
    for "both", always for "city".

    >>> is_city(3, "world"), is_city(3, "city")
    (False, True)
    """
    return bool(np.random.default_rng([seed, CITY_DRAW]).random() < CITY_SHARE[world])


def city_pair(seed: int, *, size_px: int = 512) -> CityPair:
    """Make a city of 0.3 to 0.7 m a pixel; its truth is as each image shows it, except for relief displacement.

    >>> city_pair(3, size_px=64).roofs_pre.shape
    (64, 64)
    """
    gsd_m = float(np.random.default_rng([seed, 51]).uniform(0.3, 0.7))
    city = City(seed, size_px, gsd_m)
    fields: dict[str, Any] = {}
    for name, date in (("pre", city.pre), ("post", city.post)):
        fields |= {name: date.image, f"labels_{name}": date.labels("minicity"), f"roofs_{name}": date.building_ids()}
        fields[f"height_{name}"] = date.dsm - date.dtm
    return CityPair(**fields, gsd_m=gsd_m, seed=seed)


def surface_of(surface: WorldSurface) -> CitySurface:
    """Return the surface in the miniature city's layout.

    Parameters
    ----------
    surface : painted; display values are rounded to whole numbers

    Returns
    -------
    Surface, for `synthetic.materials.sample_points` and `synthetic.materials.material_spectra`; its `dsm` is the top of all.
    """
    return CitySurface(
        surface.gsd_m,
        surface.ground,
        height=surface.height,
        canopy=surface.canopy,
        cover=np.rint(surface.cover * 255).astype(np.uint8),
        leaf=_bands_first(surface.leaf),
        building=surface.building,
        material=surface.material,
        albedo=_bands_first(surface.albedo),
        slope_x=surface.slope_x.astype(np.float16),
        slope_y=surface.slope_y.astype(np.float16),
    )


def _bands_first(colours: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rint(np.clip(colours, 0, 255)).astype(np.uint8).transpose(2, 0, 1))
