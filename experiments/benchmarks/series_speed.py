"""Speed of ranking a series: a part of 50 dates of 4,000² × 4 bands, timed by stage, and what the whole would take.

Run: python experiments/benchmarks/series_speed.py [--dates 10 --side 2000] [--workers 2]
Rasters are written first (tiled, deflate), then read, described and ranked by the same code as `deepnets4eo series`.
The ratio is that of the measuring of features against plainly reading the same windows in the same run. The extrapolation
takes reading and features as proportional to pixels, the ranking as proportional to cells × dates.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio

from deepnets4eo.change import NoveltyOptions, rank_novelty
from deepnets4eo.change.series.cells import CellGrid
from deepnets4eo.change.series.features import SpectralTexture
from deepnets4eo.change.series.measure import BLOCK_PX, measure_cells
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.rasters.prefetch import in_order

FULL_DATES, FULL_SIDE = 50, 4000


def write_dates(folder: Path, count: int, side: int) -> None:
    """GeoTIFFs of noise over smooth ground, uint16."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(300, 3000, (4, side // 50 + 1, side // 50 + 1))
    ground = np.kron(coarse, np.ones((1, 50, 50), int))[:, :side, :side]
    profile = dict(driver="GTiff", count=4, height=side, width=side, dtype="uint16", crs="EPSG:32633", tiled=True, compress="deflate",
                   zlevel=1, predictor=2, blockxsize=512, blockysize=512)  # fmt: skip
    for number in range(count):
        day = date(2019, 1, 1) + timedelta(days=15 * number)
        image = (ground * rng.uniform(0.9, 1.1) + rng.integers(0, 60, (4, side, side))).astype(np.uint16)
        with rasterio.open(
            folder / f"{day}.tif", "w", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **profile
        ) as file:
            file.write(image)


def main() -> None:
    """Time the stages and print the extrapolation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=10)
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--cell", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_dates(Path(folder), chosen.dates, chosen.side)
        series = ImageSeries.open(folder, bands=["red", "green", "blue", "nir"])
        cells = CellGrid(series.grid, chosen.cell, chosen.cell)
        tasks = [(index, block.window) for index in range(len(series)) for block in cells.blocks(BLOCK_PX)]
        times = [(time.perf_counter(), time.process_time())]
        for _ in in_order(lambda task: series.read(*task)[1].any(), tasks, chosen.workers):
            pass
        times.append((time.perf_counter(), time.process_time()))
        measured = measure_cells(series, cells, SpectralTexture(series.band_names), workers=chosen.workers)
        times.append((time.perf_counter(), time.process_time()))
        ranking = rank_novelty(measured, NoveltyOptions(cell_px=chosen.cell))
        times.append((time.perf_counter(), time.process_time()))
    (read, _), (measure, measure_cpu), (rank, rank_cpu) = (
        (after[0] - before[0], after[1] - before[1]) for before, after in zip(times, times[1:], strict=False)
    )
    pixels = FULL_DATES * FULL_SIDE**2 / (chosen.dates * chosen.side**2)
    print(
        f"{chosen.dates} dates of {chosen.side}² × 4, cells of {chosen.cell} px, {chosen.workers} threads, {len(ranking)} changes"
    )
    print(
        f"plain reading {read:.1f} s; reading and features {measure:.1f} s ({measure / read:.1f} times); ranking {rank:.1f} s"
    )
    print(f"processor time: features {measure_cpu:.1f} s, ranking {rank_cpu:.1f} s")
    print(f"{FULL_DATES} dates of {FULL_SIDE}²: {(measure + rank) * pixels / 60:.1f} min at this load, "
          f"{(measure_cpu + rank_cpu) * pixels / 60:.1f} min of processor time")  # fmt: skip
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
