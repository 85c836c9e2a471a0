"""How fast label rasters become polygons: `polygonize` against `rasterio.features.shapes`, in the same run.

Prints the processor time of both on noisy land cover of several sizes, and their ratio. `shapes` leaves dictionaries of
coordinates in pixels; `polygonize` valid polygons on the ground with areas, in a table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import rasterio.features

from deepnets4eo.polygons import polygonize
from deepnets4eo.rasters.scene import Layer

SALT = 0.05  # share of pixels with a class of their own: some 40,000 regions a million pixels


def noisy_cover(side_px: int, patch_px: int = 40) -> np.ndarray:
    """Patches of six classes with salt noise."""
    random = np.random.default_rng(0)
    cover = np.kron(random.integers(0, 6, (side_px // patch_px,) * 2), np.ones((patch_px,) * 2, int)).astype(np.uint8)
    salt = random.random(cover.shape) < SALT
    cover[salt] = random.integers(0, 6, np.count_nonzero(salt))
    return cover


def seconds(work: Callable[[], object]) -> float:
    """Processor time of a run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[1000, 4000], help="sides of the rasters in px")
    options = parser.parse_args()
    polygonize(Layer.open(noisy_cover(80)))  # loads what it needs
    for side in options.sides:
        cover = noisy_cover(side)
        plain = seconds(lambda: list(rasterio.features.shapes(cover, connectivity=4)))  # noqa: B023
        ours = seconds(lambda: polygonize(Layer.open(cover)))  # noqa: B023
        print(f"{side} px: shapes {plain:.2f} s, polygonize {ours:.2f} s, ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main()
