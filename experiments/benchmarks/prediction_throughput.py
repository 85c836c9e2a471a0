"""Prediction from file to file against the network's bare forward passes, in the same run.

Run: python experiments/benchmarks/prediction_throughput.py [--size 10000 --network unet/resnet34 --overlap 0]
The bare way computes one tile in memory, over and over, in the same shape, threads and precision; half of it
before the prediction and half after, so that other work on the machine disturbs both alike. Two ratios are printed:
of tiles per second, and of tiles per second of processor time (which other work disturbs less; one thread is cleanest;
it counts the threads that read and write as well). Both ways keep freed memory as `device.torch_settings` sets it.
With --pair the scene is one of two dates, for change networks: --pair --network fc-siam-diff --num-classes 2.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from prediction_case import INPUTS, PAIR_INPUTS, make_scene, make_segmenter

from deepnets4eo.device import choose, torch_settings
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.prediction.memory import peak_bytes
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.tiling import Tiling


def bare_forward(segmenter: NetworkSegmenter, repeats: int) -> tuple[float, float]:
    """Seconds and processor seconds of `repeats` forward passes of one tile, nothing else."""
    compute, side = segmenter.compute, segmenter.tiling.tile_px
    tile = torch.randn(1, segmenter.inputs.in_channels, side, side)
    tile = tile.to(compute.device, getattr(torch, compute.precision), memory_format=torch.channels_last)
    started, processor = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        for _ in range(repeats):
            segmenter.module(tile)
        if compute.device != "cpu":
            torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - processor


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, default=3072, help="side of the scene in px; the target is stated for 10000"
    )
    parser.add_argument("--network", default="unet/resnet34")
    parser.add_argument("--options", type=json.loads, help='of the network, e.g. {"streams": [2, 1]} for fusenet')
    parser.add_argument("--pair", action="store_true", help="predict from two dates")
    parser.add_argument("--num-classes", type=int, default=6)
    parser.add_argument("--tile", type=int, default=576)
    parser.add_argument("--halo", type=int, default=32)
    parser.add_argument("--overlap", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=20, help="bare forward passes")
    arguments = parser.parse_args()
    compute = choose(threads=arguments.threads)
    tiling = Tiling(arguments.tile, arguments.halo, arguments.overlap)
    inputs = PAIR_INPUTS if arguments.pair else INPUTS
    segmenter = make_segmenter(arguments.network, arguments.num_classes, tiling, arguments.options, inputs)
    segmenter.to(compute)
    with tempfile.TemporaryDirectory() as folder, torch_settings(compute):
        scene = {
            name: make_scene(Path(folder) / f"{name}.tif", arguments.size, seed)
            for seed, name in enumerate(inputs.names)
        }
        bare_forward(segmenter, 1)
        first = bare_forward(segmenter, arguments.repeats // 2)
        processor = time.process_time()
        result = predict(segmenter, scene, Path(folder) / "labels.tif", PredictOptions(threads=compute.threads))
        processor = time.process_time() - processor
        last = bare_forward(segmenter, arguments.repeats // 2)
    bare, bare_processor = (np.add(first, last) / (arguments.repeats // 2 * 2)).tolist()
    print(f"{arguments.network}, {arguments.size}² px, tiles {tiling.tile_px} px, {compute.to_dict()}")
    print(f"bare forward: {1 / bare:.3f} tiles/s ({bare_processor:.3f} processor s per tile)")
    print(
        f"prediction: {result.computed / result.seconds:.3f} tiles/s ({processor / result.computed:.3f} processor s per "
        f"tile), {result.computed} tiles, {arguments.size**2 / result.seconds / 1e6:.3f} MPix/s, "
        f"network {result.network_s / result.seconds:.1%} of the time, peak {peak_bytes() / 1e6:.0f} MB"
    )
    print(f"ratio of throughput: {result.computed / result.seconds * bare:.3f}")
    print(f"ratio of throughput per processor time: {result.computed / processor * bare_processor:.3f}")


if __name__ == "__main__":
    main()
