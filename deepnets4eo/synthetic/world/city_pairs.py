"""Pairs of the miniature city in the form of the world's: what a training on suburbs alone is compared with.

Takes a seed; refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage
from deepnets4eo.synthetic.city import City
from deepnets4eo.synthetic.surface import Surface
from deepnets4eo.synthetic.world.surface import WorldSurface

CITY_SHARE = {"world": 0.0, "both": 1 / 3, "city": 1.0}  # of the pairs that are suburbs of the miniature city
CITY_DRAW = 9  # beside a pair's seed, so that no other draw follows from the same numbers


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


def surface_of(surface: WorldSurface) -> Surface:
    """Return the surface in the miniature city's layout.

    Parameters
    ----------
    surface
        Painted; display values are rounded to whole numbers.

    Returns
    -------
    Surface, for `synthetic.points.sample_points` and `synthetic.materials.material_spectra`; its `dsm` is the top of all.
    """
    return Surface(
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
