"""Mean and deviation of three bands in every superpixel: bincount against scikit-image's table and a loop over masks.

Run: python experiments/benchmarks/superpixel_statistics.py [--side 2048 --repeats 5 --sample 100]
All are timed in one run on one thread, in CPU seconds; the loop on a sample of the regions. Results must agree.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.superpixels import Superpixels, region_sums
from deepnets4eo.synthetic import City

RGB = ("image.red", "image.green", "image.blue")


def by_table(image: NDArray[np.float32], ids: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    """scikit-image's way: means and deviations as intensity properties."""
    table: dict[str, NDArray[np.float64]] = regionprops_table(
        ids + 1, np.moveaxis(image, 0, -1), properties=("label", "intensity_mean", "intensity_std")
    )
    return table


def by_masks(image: NDArray[np.float32], ids: NDArray[np.int32], regions: NDArray[np.int64]) -> NDArray[np.float64]:
    """The plain way: one mask of the whole image a region; (n, 3) means."""
    return np.stack([image[:, ids == region].mean(axis=1, dtype=np.float64) for region in regions])


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU time of a few runs, which others on the machine do not change."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times)


def main() -> None:
    """Cut a made-up city, time the three ways, print MPix/s and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sample", type=int, default=100)
    options = parser.parse_args()
    image = np.ascontiguousarray(City(seed=0, size_px=options.side, gsd_m=0.25).image[:3], np.float32)
    ids = Superpixels("slic").segment(Bands(image, RGB))
    count, megapixels = int(ids.max()) + 1, ids.size / 1e6
    print(f"{options.side} x {options.side} px, 3 bands, {count} superpixels")

    table = by_table(image, ids)
    sums = region_sums(image, ids, count)
    for band in range(3):
        np.testing.assert_allclose(sums.mean[:, band], table[f"intensity_mean-{band}"], rtol=1e-4)
        np.testing.assert_allclose(sums.std[:, band], table[f"intensity_std-{band}"], rtol=1e-3, atol=1e-2)
    chosen = np.random.default_rng(0).choice(count, min(options.sample, count), replace=False)
    np.testing.assert_allclose(sums.mean[chosen], by_masks(image, ids, chosen), rtol=1e-6)

    def ours() -> object:
        sums = region_sums(image, ids, count)
        return sums.mean, sums.std

    times = {
        "bincount": seconds(ours, options.repeats),
        "regionprops_table": seconds(lambda: by_table(image, ids), 1),
        "loop over masks": seconds(lambda: by_masks(image, ids, chosen), 1) * count / chosen.size,
    }
    for name, time_s in times.items():
        ratio = time_s / times["bincount"]
        print(f"{name:18} {time_s:9.3f} s  {megapixels / time_s:8.2f} MPix/s  {ratio:8.1f} x the time of bincount")


if __name__ == "__main__":
    main()
