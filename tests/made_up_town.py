"""A small town of houses on textured ground, before and after an event that turned some of them to rubble."""

from dataclasses import dataclass
from functools import cache

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from scipy.ndimage import gaussian_filter

from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer

GSD_M = 0.5
SIDE = 512
LOT_PX = 64
GRID = Grid((SIDE, SIDE), Affine(GSD_M, 0, 500_000, 0, -GSD_M, 4_000_000), "EPSG:32615")
POST_SHIFT = (4, -3)  # rows, columns by which the post image shows everything displaced


@dataclass(frozen=True)
class House:
    """Upper left corner and size in pixels, whether it is rubble afterwards."""

    row: int
    col: int
    height: int
    width: int
    rubble: bool


@cache
def houses(seed: int = 0, rubble_share: float = 0.5) -> tuple[House, ...]:
    """One house a lot, anywhere on it."""
    rng = np.random.default_rng(seed)
    lots = [(row, col) for row in range(LOT_PX // 2, SIDE - LOT_PX, LOT_PX) for col in range(32, SIDE - 64, LOT_PX)]
    return tuple(
        House(row + int(rng.integers(0, 30)), col + int(rng.integers(0, 30)), *map(int, rng.integers(20, 34, 2)),
              bool(rng.random() < rubble_share))
        for row, col in lots
    )  # fmt: skip


@cache
def photo(*, after: bool, seed: int = 0, rubble_share: float = 0.5) -> np.ndarray:
    """(3, H, W) uint8."""
    rng = np.random.default_rng([seed, 7])
    ground = sum(weight * gaussian_filter(rng.normal(size=(SIDE, SIDE)), side) * side
                 for weight, side in ((25, 2), (20, 8), (25, 30)))  # fmt: skip
    image = 95 + ground
    for house in houses(seed, rubble_share):
        rows, cols = slice(house.row, house.row + house.height), slice(house.col, house.col + house.width)
        middle = house.row + house.height // 2
        image[house.row + house.height : house.row + house.height + 4, cols] = 25
        image[house.row : middle, cols] = 150 + int(rng.integers(0, 20))
        image[middle : house.row + house.height, cols] = 190 + int(rng.integers(0, 20))
        debris = rng.uniform(20, 240, (house.height, house.width))
        if after and house.rubble:
            image[rows, cols] = debris
    image = image + np.random.default_rng([seed, int(after)]).normal(0, 2, image.shape)
    if after:
        image = np.roll(0.85 * image + 10, POST_SHIFT, axis=(0, 1))
    return np.clip(np.stack([image, image + 6, image - 6]), 1, 255).astype(np.uint8)


def layer(image: np.ndarray) -> Layer:
    """A photo where the town lies."""
    return Layer.open(np.ascontiguousarray(image), grid=GRID)


def outlines(seed: int = 0, rubble_share: float = 0.5, *, off_m: tuple[float, float] = (0.0, 0.0)) -> gpd.GeoDataFrame:
    """The houses' outlines where the pre image shows them, moved by metres (east, south)."""
    shapes = []
    for house in houses(seed, rubble_share):
        west, north = GRID.affine * (house.col, house.row)
        shapes.append(
            shapely.box(
                west + off_m[0],
                north - off_m[1] - house.height * GSD_M,
                west + off_m[0] + house.width * GSD_M,
                north - off_m[1],
            )
        )
    return gpd.GeoDataFrame({"id": [f"h{k}" for k in range(len(shapes))]}, geometry=shapes, crs="EPSG:32615")


def is_rubble(seed: int = 0, rubble_share: float = 0.5) -> np.ndarray:
    """(N,) bool, in the order of the outlines."""
    return np.array([house.rubble for house in houses(seed, rubble_share)])
