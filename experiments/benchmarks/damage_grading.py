"""Grading of buildings by the default damage network: reading, network and pooling against its bare forward pass, and against crops.

Run: python experiments/benchmarks/damage_grading.py [--size 5632 --buildings 10000 --threads 2 --repeats 3]
The scene is made up: two images of 0.5 m a pixel with houses of 12 m on a grid. Three ways take turns, so that other work on the machine
disturbs all alike: the forward pass of one tile in memory, over and over; the whole scene as the damage job grades it; and one crop of
128 px around each building, 32 a batch, as networks that classify buildings one by one do it (read from memory, not from files).
Best times of --repeats; ratios are of pixels, and of buildings, a second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from prediction_case import make_scene as write_scene

from deepnets4eo.damage.network.grader import NetworkGrader, open_shipped
from deepnets4eo.damage.network.pairs import in_pixels, make_scene
from deepnets4eo.device import choose, torch_settings
from deepnets4eo.rasters.scene import Layer

HOUSE_PX, CROP_PX, BATCH = 24, 128, 32
CROPS = 256  # of which the time is taken; the scene has many more buildings


def houses(size: int, count: int) -> NDArray[np.object_]:
    """(N,) squares on a grid over a scene of size × size px."""
    side = round(count**0.5)
    at = (np.arange(side) + 0.5) * size / side - HOUSE_PX / 2
    left, top = (grid.ravel() for grid in np.meshgrid(at, at))
    return np.array(shapely.box(left, top, left + HOUSE_PX, top + HOUSE_PX), object)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def forward(grader: NetworkGrader, side: int, batch: int = 1, repeats: int = 1) -> None:
    """Batches of windows through the network, one after the other, in the precision of the job."""
    windows = np.zeros((batch, grader.run.inputs.in_channels, side, side), np.float32)
    for _ in range(repeats):
        grader.run.segmenter.predict_raw(windows, margin_px=0)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=5632, help="side of the scene in px")
    parser.add_argument("--buildings", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    grader, finding = open_shipped()
    if grader is None:
        parser.error(finding.message if finding is not None else "this copy comes without weights")
    compute = choose(threads=arguments.threads, precision="auto")
    grader.run.segmenter.to(compute)
    tile_px = grader.run.tiling.tile_px
    times: dict[str, list[float]] = {"forward": [], "scene": [], "crops": []}
    with tempfile.TemporaryDirectory() as folder, torch_settings(compute), torch.inference_mode():
        images = [Layer.open(write_scene(Path(folder) / f"{seed}.tif", arguments.size, seed)) for seed in (0, 1)]
        scene = make_scene(*images)
        outlines = in_pixels(houses(arguments.size, arguments.buildings), scene.shape)
        forward(grader, tile_px)
        for _ in range(arguments.repeats):
            times["forward"].append(seconds(lambda: forward(grader, tile_px)))
            times["scene"].append(seconds(lambda: grader.pool(scene, outlines)))
            times["crops"].append(seconds(lambda: forward(grader, CROP_PX, BATCH, CROPS // BATCH)))
    best = {way: min(taken) for way, taken in times.items()}
    bare, whole = tile_px**2 / best["forward"] / 1e6, arguments.size**2 / best["scene"] / 1e6
    graded, cropped = len(outlines) / best["scene"], CROPS / best["crops"]
    print(f"{arguments.size}² px, {len(outlines)} buildings, {compute.to_dict()}")
    print(f"bare forward: {bare:.3f} million pixels of pairs a second")
    print(f"whole scene: {whole:.3f} million pixels of pairs a second, {graded:.0f} buildings a second")
    print(f"crops of {CROP_PX} px: {cropped:.0f} buildings a second")
    print(
        f"ratio to the bare forward pass: {whole / bare:.3f}; buildings a second, scene to crops: {graded / cropped:.1f}"
    )


if __name__ == "__main__":
    main()
