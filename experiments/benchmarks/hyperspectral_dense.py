"""Whole cubes in one pass against sliding patches in batches of 100: seconds for one scene, with the same weights.

Run: python experiments/benchmarks/hyperspectral_dense.py [--networks hamida li --rows 610 --cols 340 --bands 103]
Sliding: patches are cut one by one and stacked, the network labels 100 at a time with its published layers in float32,
and each pixel's scores are written back, as public toolboxes do. It is measured on --pixels pixels and extrapolated to the
scene. Dense: tiles of the segmenter's own size, in float32 and, where the CPU has units for it, in bfloat16, which
`--precision auto` takes there. Both without reading files. --crop measures dense passes on so many rows and columns and
extrapolates them, too (0: the whole scene). --process-time counts processor time, for machines that others use.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch

from deepnets4eo.arrays import Batch
from deepnets4eo.device import choose, cpu_has_bfloat16_units, keep_freed_memory
from deepnets4eo.hyperspectral import PatchClassifier
from deepnets4eo.segmenters.networks import create_model

NETWORKS = ("nn", "hu", "boulch", "mou", "hamida", "lee", "li", "he", "liu", "chen", "sharma", "luo")
GOALS = {"hamida": 4, "li": 3, "he": 8, "liu": 8, "chen": 25, "sharma": 25, "hu": 5, "nn": 5, "mou": 5, "boulch": 5}
BATCH = 100
CORE_PX = 128
CLASSES = 9


def slide(network: PatchClassifier, cube: Batch, pixels: int) -> np.ndarray:
    """Scores (K, pixels) of the first pixels of a mirrored cube (B, h, w), patch by patch, 100 together."""
    side, width = network.patch_px, cube.shape[2] - network.patch_px + 1
    scores = np.zeros((CLASSES, pixels), np.float32)
    for first in range(0, pixels, BATCH):
        positions = range(first, min(first + BATCH, pixels))
        patches = [cube[:, n // width : n // width + side, n % width : n % width + side] for n in positions]
        batch = network.patch_scores(torch.from_numpy(np.stack(patches))).numpy()
        for position, one in zip(positions, batch, strict=True):
            scores[:, position] += one
    return scores


def label_whole(network: PatchClassifier, cube: Batch, precision: str) -> np.ndarray:
    """Scores (K, h, w) of a mirrored cube, tile by tile, as prediction computes them."""
    before, context = network.patch_px // 2, network.before_px + network.after_px
    height, width = (size - network.patch_px + 1 for size in cube.shape[1:])
    first = before - network.before_px
    image = torch.from_numpy(cube)[None, :, first : first + height + context, first : first + width + context]
    scores = np.zeros((CLASSES, height, width), np.float32)
    for row in range(0, height, CORE_PX):
        for col in range(0, width, CORE_PX):
            tile = image[:, :, row : row + CORE_PX + context, col : col + CORE_PX + context]
            inner = network.window_scores(tile.to(getattr(torch, precision)))
            scores[:, row : row + CORE_PX, col : col + CORE_PX] = inner[0].float().numpy()
    return scores


def seconds(work: Callable[[], object], clock: Callable[[], float], repeats: int) -> float:
    """Return the figure of the fastest of several runs, after a first one."""
    work()
    taken = []
    for _ in range(repeats):
        started = clock()
        work()
        taken.append(clock() - started)
    return min(taken)


def compare(name: str, options: argparse.Namespace) -> str:
    """One row of the table."""
    torch.manual_seed(0)
    network = cast(
        PatchClassifier, create_model(f"hyperspectral/{name}", in_channels=options.bands, num_classes=CLASSES)
    ).eval()
    clock = time.process_time if options.process_time else time.perf_counter
    rows, cols = (min(size, options.crop or size) for size in (options.rows, options.cols))
    margin = network.patch_px - 1
    cube = np.random.default_rng(0).random((options.bands, rows + margin, cols + margin), np.float32)
    scene, pixels = options.rows * options.cols, min(options.pixels, rows * cols)
    sliding = seconds(partial(slide, network, cube, pixels), clock, options.repeats) * scene / pixels
    precisions = ["float32", "bfloat16"] if cpu_has_bfloat16_units() else ["float32"]
    cells = []
    exact = label_whole(network, cube, "float32")
    difference = np.abs(exact.reshape(CLASSES, -1)[:, :pixels] - slide(network, cube, pixels)).max() / np.ptp(exact)
    for precision in precisions:
        network.to(getattr(torch, precision))
        dense = seconds(partial(label_whole, network, cube, precision), clock, options.repeats) * scene / (rows * cols)
        same = (label_whole(network, cube, precision).argmax(axis=0) == exact.argmax(axis=0)).mean()
        cells.append(f"{dense:9.2f} s {sliding / dense:6.1f} x" + (f" {same:7.2%}" if precision != "float32" else ""))
    return f"{name:8} {sliding:9.1f} s  {' '.join(cells)}  goal {GOALS.get(name, '-')}  differs by {difference:.1e}"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    for name, value in {"rows": 610, "cols": 340, "bands": 103, "pixels": 400, "crop": 0, "repeats": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--process-time", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(choose("cpu", threads=options.threads).threads)
    print(
        f"{options.rows} x {options.cols} x {options.bands}, {torch.get_num_threads()} threads; seconds for the scene,"
    )
    print(
        f"sliding from {options.pixels} pixels; then dense and its ratio in float32, and in bfloat16 with equal labels"
    )
    with torch.inference_mode(), keep_freed_memory():  # as prediction does
        for name in options.networks:
            print(compare(name, options), flush=True)


if __name__ == "__main__":
    main()
