"""Speed and memory of change detection: pairs without training, diffusion along edges, series of dates.

Run: python experiments/benchmarks/change.py ir-mad|diffusion|series [options, see --help of each]
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
import scipy.linalg
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow
from scipy.stats import chi2

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_json, run_apart, store_part, time_of

from deepnets4eo.arrays import FloatImage
from deepnets4eo.change import Diffusion, NoveltyOptions, guided_anisotropic_diffusion, rank_novelty
from deepnets4eo.change.diffusion import _DiffusionStep
from deepnets4eo.change.series.features import CellGrid, SpectralTexture, measure_cells
from deepnets4eo.change.series.page import write_page
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.grid import READ_PX, blocks
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import gdal_cache
from deepnets4eo.system import peak_bytes

BLOCK_PX = 512


def make_pair_of_ir_mad(folder: Path, side: int, bands: int) -> tuple[Path, Path]:
    """Two tiled GeoTIFFs of blocks with noise, in other light; a tenth of the blocks has changed."""
    rng = np.random.default_rng(0)
    paths = folder / "pre.tif", folder / "post.tif"
    shape = (8, bands, BLOCK_PX // 16, BLOCK_PX // 16)
    before = np.kron(rng.integers(200, 3000, shape, dtype=np.uint16), np.ones((1, 1, 16, 16), np.uint16))
    after = (before * 1.2 + 100).astype(np.uint16)
    changed = np.kron(rng.random((8, 1, BLOCK_PX // 32, BLOCK_PX // 32)) < 0.1, np.ones((1, 1, 32, 32))) > 0
    after = np.where(changed, rng.integers(200, 4000, (8, bands, 1, 1), dtype=np.uint16), after)
    for path, patterns in zip(paths, (before, after), strict=True):
        noisy = (patterns + rng.integers(0, 60, patterns.shape, dtype=np.uint16)).astype(np.uint16)
        profile = {"driver": "GTiff", "count": bands, "dtype": "uint16", "height": side, "width": side}
        layout = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "zlevel": 1}
        georeference = {"crs": "EPSG:32615", "transform": Affine(10, 0, 500_000, 0, -10, 4_100_000)}
        with rasterio.open(path, "w", **profile, **layout, **georeference, BIGTIFF="IF_SAFER") as file:
            for number, window in enumerate(blocks((side, side), BLOCK_PX)):
                part = noisy[number % 8, :, : window.height, : window.width]
                file.write(part, window=RasterioWindow(window.col, window.row, window.width, window.height))
    return paths


def run_here(folder: Path, *, refine: bool) -> None:
    """Run one job and print how long it took."""
    from deepnets4eo.change import ChangeOptions, map_change

    started = time.process_time()
    options = ChangeOptions(refine=refine, assume_registered=True, min_area_m2=1000)
    change = map_change(str(folder / "pre.tif"), str(folder / "post.tif"), folder / "out", options)
    seconds, share = time.process_time() - started, change.summary["area"]["changed_share"]
    print(f"{seconds:.1f} processor s without loading the libraries, {share:.1%} changed", flush=True)


def plain_ir_mad(folder: Path) -> None:
    """IR-MAD as one writes it down: all pixels in one array, until no correlation moves by .001; writes labels, and nothing else."""
    with rasterio.open(folder / "pre.tif") as pre, rasterio.open(folder / "post.tif") as post:
        profile, bands = pre.profile, pre.count
        pair = np.concatenate([file.read().reshape(bands, -1) for file in (pre, post)]).astype(np.float32)
    pair -= pair.mean(axis=1, keepdims=True)
    weights, before = np.ones(pair.shape[1], np.float32), np.zeros(bands)
    while True:
        mean = pair @ weights / weights.sum()
        covariance = (pair * weights) @ pair.T / weights.sum() - np.outer(mean, mean)
        own, across, other = covariance[:bands, :bands], covariance[:bands, bands:], covariance[bands:, bands:]
        squares, of_pre = scipy.linalg.eigh(across @ np.linalg.solve(other, across.T), own)
        of_post = np.linalg.solve(other, across.T @ of_pre)
        of_post /= np.sqrt(np.einsum("ik,ij,jk->k", of_post, other, of_post))
        correlation = np.sqrt(np.clip(squares, 0, 1))
        variates = np.concatenate([of_pre, -of_post]).astype(np.float32).T @ pair
        variates -= (np.concatenate([of_pre, -of_post]).T @ mean)[:, None].astype(np.float32)
        distance = (variates**2 / (2 * (1 - correlation))[:, None].astype(np.float32)).sum(axis=0)
        weights = chi2.sf(distance, bands).astype(np.float32)
        if np.abs(correlation - before).max() < 1e-3:
            break
        before = correlation
    changed = (weights < 0.01).reshape(1, profile["height"], profile["width"])
    with rasterio.open(folder / "plain.tif", "w", **{**profile, "count": 1, "dtype": "uint8"}) as file:
        file.write(changed.astype(np.uint8))


def ir_mad(words: list[str]) -> None:
    """The change job without training, from file to file: processor time, and peak memory against the size of the pair.

    Run: python experiments/benchmarks/change.py ir-mad [--sizes 4000 10000 --bands 4 --refine]
    Each size runs in a process of its own. Beside the first size runs the plain way: IR-MAD of all pixels in one array, which writes
    labels and no scores, polygons or page; a probability below .01 is a changed pixel.
    """
    parser = argparse.ArgumentParser(
        "change.py ir-mad", description=ir_mad.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000, 10_000])
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--refine", action="store_true", help="fit the scores to edges too")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    add_json(parser)
    arguments = parser.parse_args(words)
    if arguments.plain:
        plain_ir_mad(arguments.plain)
        return
    if arguments.child:
        run_here(arguments.child, refine=arguments.refine)
        return
    figures: dict[str, dict[str, float]] = {}
    apart = [sys.executable, __file__, "ir-mad"]
    for side in arguments.sizes:
        with tempfile.TemporaryDirectory() as name:
            make_pair_of_ir_mad(Path(name), side, arguments.bands)
            seconds, peak = run_apart(
                [*apart, "--child", name, *(["--refine"] if arguments.refine else [])], quiet=False
            )
            figures[f"{side}"] = {"ours_s": round(seconds, 2), "ours_gb": round(peak / 1e3, 3)}
            print(f"{side}² px, {arguments.bands} bands: {seconds:.1f} processor s, peak {peak:.0f} MB", flush=True)
            if side == arguments.sizes[0]:
                plain_s, plain_mb = run_apart([*apart, "--plain", name], quiet=False)
                figures[f"{side}"] |= {"ratio": round(plain_s / seconds, 3), "plain_gb": round(plain_mb / 1e3, 3)}
                print(
                    f"the plain way: {plain_s:.1f} s, {plain_mb:.0f} MB; ratio of speed {plain_s / seconds:.2f}",
                    flush=True,
                )
    store_part(
        arguments.json,
        "ir-mad",
        threads=2,
        synthetic=True,
        bands=arguments.bands,
        refined=arguments.refine,
        sides_px=figures,
    )


BANDS = 3
FloatArray = NDArray[np.floating]


def make_pair_of_diffusion(side: int) -> tuple[list[FloatImage], FloatImage]:
    """Two images of flat blocks with noise, and scores."""
    rng = np.random.default_rng(0)
    blocks = [np.kron(rng.uniform(0, 255, (BANDS, side // 32, side // 32)), np.ones((1, 32, 32))) for _ in range(2)]
    guides = [(block + rng.normal(0, 3, block.shape)).astype(np.float32) for block in blocks]
    return guides, rng.random((1, side, side)).astype(np.float32)


def plain(
    scores: FloatArray,
    guides: list[FloatArray],
    steps: int,
    edge_level: float = Diffusion.edge_level,
    rate: float = Diffusion.rate,
) -> FloatArray:
    """Equations 3 and 4 of Daudt et al., EarthVision 2019, one array operation after another, in the arrays' own type."""
    arrays = [array.copy() for array in (*guides, scores)]
    for _ in range(steps):
        flows = []
        for axis in (1, 2):
            differences = [np.diff(array, axis=axis) for array in arrays]
            shares = [1 / (1 + (np.abs(one).mean(axis=0) / edge_level) ** 2) for one in differences[:-1]]
            least = np.minimum.reduce(shares)
            flows.append([rate * share * one for share, one in zip([*shares, least], differences, strict=True)])
        for array, down, right in zip(arrays, *flows, strict=True):
            array[:, :-1] += down
            array[:, 1:] -= down
            array[:, :, :-1] += right
            array[:, :, 1:] -= right
    return arrays[-1]


@contextmanager
def busy_threads() -> Iterator[dict[int, float]]:
    """Processor seconds of each thread within `_DiffusionStep.take`, where nearly all of them are spent."""
    seconds: dict[int, float] = defaultdict(float)
    take = _DiffusionStep.take

    def take_and_measure(step: _DiffusionStep, *arguments: Any) -> None:
        started = time.thread_time()
        take(step, *arguments)
        seconds[threading.get_ident()] += time.thread_time() - started

    with mock.patch.object(_DiffusionStep, "take", take_and_measure):
        yield seconds


def print_threads(run: Callable[[int], FloatImage], steps: int, all_steps: int, single: FloatImage) -> None:
    """Two threads beside one. run : takes a number of threads. single : the result of one"""
    clocks = []
    for workers in (1, 2):
        started = time.perf_counter()
        with busy_threads() as busy:
            result = run(workers)
        clocks.append(time.perf_counter() - started)
    busiest, total = max(busy.values()), sum(busy.values())
    print(
        f"two threads: {1000 * total / steps:.1f} ms of processor time a step, {1000 * busiest / steps:.1f} in the busier one; "
        f"{clocks[0] / clocks[1]:.2f} times as fast by the clock; same bits: {np.array_equal(result, single)}"
    )
    print(f"{all_steps} steps on two free cores: {busiest / steps * all_steps:.0f} s")


def time_diffusion(words: list[str]) -> None:
    """Guided anisotropic diffusion against the published scheme in whole arrays: processor time of a step, and the difference.

    Run: python experiments/benchmarks/change.py diffusion [--side 512] [--steps 20] [--all 2500]
    A SYNTHETIC pair of three bands and one channel of scores. Both run in one process and one thread; what `--all` steps take
    follows from the time of a step, as every step does the same. Then two threads: the processor time of the busier one is what they
    take on two free cores, and the clock of one thread divided by that of two shows whether one waits for the other.
    """
    parser = argparse.ArgumentParser(
        "change.py diffusion", description=time_diffusion.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--all", type=int, default=2500)
    chosen = parser.parse_args(words)
    guides, scores = make_pair_of_diffusion(chosen.side)

    def ours(workers: int = 1) -> FloatImage:
        return guided_anisotropic_diffusion(scores, guides, diffusion=Diffusion(chosen.steps), workers=workers)

    ours()  # compiled and in the cache
    of_ours, seconds = time_of(ours)
    of_plain, plainly = time_of(lambda: plain(scores, guides, chosen.steps))
    print(f"SYNTHETIC pair of {chosen.side}² × {BANDS}, {chosen.steps} steps, one thread")
    print(
        f"ours {1000 * seconds / chosen.steps:.1f} ms of processor time a step, plain {1000 * plainly / chosen.steps:.1f}"
    )
    print(f"{plainly / seconds:.1f} times as fast; largest difference {np.abs(of_ours - of_plain).max():.1e}")
    print(f"{chosen.all} steps: {seconds / chosen.steps * chosen.all:.0f} s of processor time")
    print_threads(ours, chosen.steps, chosen.all, of_ours)


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


def time_series(words: list[str]) -> None:
    """Speed and memory of ranking a series of dates, timed by stage; by default a part of 50 dates of 4,000² × 4 bands.

    Run: python experiments/benchmarks/change.py series [--dates 10 --side 2000] [--workers 2]; all of it: --dates 50 --side 4000
    Rasters are written first by another process (tiled, deflate; SYNTHETIC: smooth ground, noise, and squares that change for
    good), then read, described, ranked and written as polygons and page by the same code as `deepnets4eo series`, so that
    the peak memory is that of the job. The ratio is that of the measuring of features against plainly reading the same windows
    in the same run. What a part says of the whole takes reading and features as proportional to pixels, the ranking as
    proportional to cells × dates; the page does not grow.
    """
    parser = argparse.ArgumentParser(
        "change.py series", description=time_series.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dates", type=int, default=10)
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--cell", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    add_json(parser)
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        writer = multiprocessing.get_context("spawn").Process(
            target=write_dates, args=(Path(folder), chosen.dates, chosen.side)
        )
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("the rasters could not be written: see the message above")
        with gdal_cache():  # as the job
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
    store_part(
        chosen.json, "series", threads=chosen.workers, synthetic=True, dates=chosen.dates, side_px=chosen.side, changes=changes,
        ours_s=sum(stage[1] for stage in stages[1:]), features_to_reading=stages[1][1] / stages[0][1], peak_gb=peak_bytes() / 1e9,
    )  # fmt: skip


PARTS = {"ir-mad": ir_mad, "diffusion": time_diffusion, "series": time_series}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"Name what is measured: {', '.join(PARTS)}.")
    PARTS[sys.argv[1]](sys.argv[2:])
