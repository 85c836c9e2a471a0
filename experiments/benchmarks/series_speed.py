"""Speed and memory of ranking a series of dates, timed by stage; by default a part of 50 dates of 4,000² × 4 bands.

Run: python experiments/benchmarks/series_speed.py [--dates 10 --side 2000] [--workers 2]; all of it: --dates 50 --side 4000
Rasters are written first by another process (tiled, deflate; SYNTHETIC: smooth ground, noise, and squares that change for
good), then read, described, ranked and written as polygons and page by the same code as `deepnets4eo series`, so that
the peak memory is that of the job. The ratio is that of the measuring of features against plainly reading the same windows
in the same run. What a part says of the whole takes reading and features as proportional to pixels, the ranking as
proportional to cells × dates; the page does not grow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio

from deepnets4eo.change import NoveltyOptions, rank_novelty
from deepnets4eo.change.series.features import CellGrid, SpectralTexture, measure_cells
from deepnets4eo.change.series.page import write_page
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.grid import READ_PX
from deepnets4eo.prediction.memory import peak_bytes
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters.gdal_cache import CACHE_BYTES, gdal_cache

FULL_DATES, FULL_SIDE = 50, 4000
CHANGES, CHANGED_PX = 40, 64


def write_dates(folder: Path, count: int, side: int) -> None:
    """GeoTIFFs of noise over smooth ground, uint16; squares of other ground appear in the second half and stay."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(300, 3000, (4, side // 50 + 1, side // 50 + 1))
    ground = np.kron(coarse, np.ones((1, 50, 50), np.float32))[:, :side, :side]
    corners = rng.integers(0, side - CHANGED_PX, (CHANGES, 2))
    begins = rng.integers(count // 2, count - 2, CHANGES)
    profile = dict(driver="GTiff", count=4, height=side, width=side, dtype="uint16", crs="EPSG:32633", tiled=True, compress="deflate",
                   zlevel=1, predictor=2, blockxsize=512, blockysize=512)  # fmt: skip
    for number in range(count):
        for row, col in corners[begins == number]:
            ground[:, row : row + CHANGED_PX, col : col + CHANGED_PX] = rng.integers(300, 3000, (4, 1, 1))
        day = date(2019, 1, 1) + timedelta(days=15 * number)
        image = (ground * rng.uniform(0.9, 1.1) + rng.integers(0, 60, (4, side, side))).astype(np.uint16)
        with rasterio.open(
            folder / f"{day}.tif", "w", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **profile
        ) as file:
            file.write(image)


def run_stages(folder: Path, cell_px: int, workers: int) -> tuple[list[tuple[float, float]], int]:
    """(seconds, processor seconds) of plain reading, features, ranking and writing; number of changes."""
    series = ImageSeries.open(folder, bands=["red", "green", "blue", "nir"])
    cells = CellGrid(series.grid, cell_px, cell_px)
    tasks = [(index, block.window) for index in range(len(series)) for block in cells.blocks(READ_PX)]
    times = [(time.perf_counter(), time.process_time())]
    for _ in in_order(lambda task: series.read(*task)[1].any(), tasks, workers):
        pass
    times.append((time.perf_counter(), time.process_time()))
    measured = measure_cells(series, cells, SpectralTexture(series.band_names), workers=workers)
    times.append((time.perf_counter(), time.process_time()))
    ranking = rank_novelty(measured, NoveltyOptions(cell_px=cell_px))
    times.append((time.perf_counter(), time.process_time()))
    with tempfile.TemporaryDirectory() as out:
        ranking.write(out)
        write_page(ranking, series, Path(out) / "report.html")
    times.append((time.perf_counter(), time.process_time()))
    return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(times, times[1:], strict=False)], len(ranking)


def main() -> None:
    """Time the stages and print what the whole takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, default=10)
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--cell", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        writer = multiprocessing.get_context("spawn").Process(
            target=write_dates, args=(Path(folder), chosen.dates, chosen.side)
        )
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("the rasters could not be written: see the message above")
        with gdal_cache(CACHE_BYTES):  # as the job
            stages, changes = run_stages(Path(folder), chosen.cell, chosen.workers)
    pixels = FULL_DATES * FULL_SIDE**2 / (chosen.dates * chosen.side**2)
    what = f"{chosen.dates} dates of {chosen.side}² × 4, cells of {chosen.cell} px, {chosen.workers} threads"
    print(f"SYNTHETIC: {what}, {changes} changes")
    for name, (seconds, processor) in zip(("plain reading", "reading and features", "ranking", "polygons and page"), stages, strict=True):  # fmt: skip
        print(f"{name}: {seconds:.1f} s, processor time {processor:.1f} s")
    print(f"features take {stages[1][1] / stages[0][1]:.1f} times the processor time of plain reading")
    seconds, processor = (sum(stage[k] for stage in stages[1:3]) * pixels + stages[3][k] for k in (0, 1))
    how = "measured" if pixels == 1 else "extrapolated"
    print(
        f"{FULL_DATES} dates of {FULL_SIDE}² ({how}): {seconds / 60:.1f} min, processor time {processor / 60:.1f} min"
    )
    print(f"peak memory {peak_bytes() / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
