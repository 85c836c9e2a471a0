"""The change job without training, from file to file: time, and peak memory against the size of the pair.

Run: python experiments/benchmarks/change_ir_mad.py [--sizes 2000 4000 --bands 4 --refine]
Each size runs in a process of its own. The targets, 3 minutes on two cores and bounded memory, are stated for 10,000² pixels
of 4 bands at two dates; seconds per million pixels are printed, with the processor time, which other work disturbs less. What
10,000² take follows from the two largest sizes: part of the time, such as loading the libraries, does not grow with the pixels.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.grid import blocks

BLOCK_PX = 512
TARGET_MPX = 100.0


def make_pair(folder: Path, side: int, bands: int) -> tuple[Path, Path]:
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
    """One job; prints how long it took."""
    from deepnets4eo.change import ChangeOptions, map_change

    started, processor = time.perf_counter(), time.process_time()
    options = ChangeOptions(refine=refine, assume_registered=True, min_area_m2=1000)
    change = map_change(str(folder / "pre.tif"), str(folder / "post.tif"), folder / "out", options)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    share = change.summary["area"]["changed_share"]
    print(f"{seconds:.1f} s, {processor:.1f} processor s, {share:.1%} changed", flush=True)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 4000])
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--refine", action="store_true", help="fit the scores to edges too")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_here(arguments.child, refine=arguments.refine)
        return
    first = 0.0
    spent: list[tuple[float, float]] = []  # million pixels, processor seconds
    for side in arguments.sizes:
        with tempfile.TemporaryDirectory() as name:
            make_pair(Path(name), side, arguments.bands)
            command = [sys.executable, __file__, "--child", name, *(["--refine"] if arguments.refine else [])]
            started = time.perf_counter()
            child = os.posix_spawn(sys.executable, command, os.environ)
            _, status, usage = os.wait4(child, 0)
            if status:
                raise SystemExit(f"the job of {side}² pixels failed")
            seconds, mpx = time.perf_counter() - started, side**2 / 1e6
            processor, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
            first = first or peak
            spent.append((mpx, processor))
            print(
                f"{side}² px, {arguments.bands} bands: {seconds / mpx:.2f} s/Mpx, {processor / mpx:.2f} processor s/Mpx, "
                f"peak {peak:.0f} MB, ratio {peak / first:.3f}",
                flush=True,
            )
    if len(spent) > 1:
        (small, less), (large, more) = sorted(spent)[-2:]
        whole = more + (more - less) / (large - small) * (TARGET_MPX - large)
        print(f"10,000² px (extrapolated): {whole:.0f} processor s, {whole / 60:.1f} min of one free core")


if __name__ == "__main__":
    main()
