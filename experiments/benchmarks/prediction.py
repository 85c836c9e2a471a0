"""Speed of prediction, and of grading buildings, against the bare forward passes of the same networks.

Run: python experiments/benchmarks/prediction.py throughput|grading|runtimes|start [options, see --help of each]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_json, run_apart, store_part, time_of

from deepnets4eo.cards import Legend, LegendClass, Quantity
from deepnets4eo.damage.network import NetworkGrader
from deepnets4eo.damage.network.grader import open_shipped
from deepnets4eo.damage.network.pairs import in_pixels, make_scene as pair_scene
from deepnets4eo.device import RUNTIMES, choose
from deepnets4eo.grid import blocks
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.system import cores, peak_bytes
from deepnets4eo.tiling import Tiling

BLOCK_PX = 512
IMAGE = LayerInput(("band_1", "band_2", "band_3"), (120.0,) * 3, (45.0,) * 3, 40, 210)
INPUTS = InputSpec({"image": IMAGE}, gsd_m=0.5)
PAIR_INPUTS = InputSpec({"image_pre": IMAGE, "image_post": IMAGE}, gsd_m=0.5)


def make_scene(path: Path, side: int, seed: int = 0) -> Path:
    """A tiled, compressed RGB GeoTIFF of side × side px, made of eight different blocks with noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (8, 3, BLOCK_PX // 16, BLOCK_PX // 16), dtype=np.uint8)
    patterns = np.kron(coarse, np.ones((1, 1, 16, 16), np.uint8))
    patterns += rng.integers(0, 12, patterns.shape, dtype=np.uint8)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": side, "width": side, "crs": "EPSG:32615"}
    layout = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "zlevel": 1}
    with rasterio.open(
        path, "w", **profile, **layout, transform=Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000), BIGTIFF="IF_SAFER"
    ) as file:
        for index, window in enumerate(blocks((side, side), BLOCK_PX)):
            pattern = patterns[index % 8, :, : window.height, : window.width]
            file.write(pattern, window=RasterioWindow(window.col, window.row, window.width, window.height))
    return path


def make_legend(num_classes: int) -> Legend:
    """Classes without meaning."""
    classes = tuple(LegendClass(k, f"class_{k}", (k + 1, 255 - k, 2 * k)) for k in range(num_classes))
    return Legend("made-up", classes)


def make_segmenter(
    name: str,
    num_classes: int,
    tiling: Tiling,
    options: Mapping[str, Any] | None = None,
    inputs: InputSpec = INPUTS,
) -> NetworkSegmenter:
    """An untrained network: "pointwise" (one 1 × 1 convolution, to see all else) or a name of `list_models()`; without classes, of
    heights."""
    torch.manual_seed(0)
    if not num_classes:
        heights = Legend("height", (), quantity=Quantity.from_name("height"))
        return NetworkSegmenter({"name": name, "head": "units", **(options or {})}, inputs, heights, tiling=tiling)
    module = torch.nn.Conv2d(inputs.in_channels, num_classes, 1) if name == "pointwise" else None
    return NetworkSegmenter(
        {"name": name, **(options or {})}, inputs, make_legend(num_classes), tiling=tiling, module=module
    )


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


def time_throughput(words: list[str]) -> None:
    """Prediction from file to file against the network's bare forward passes, in the same run.

    Run: python experiments/benchmarks/prediction.py throughput [--size 10000 --network unet/resnet34 --overlap 0]
    The bare way computes one tile in memory, over and over, in the same shape, threads and precision; half of it
    before the prediction and half after, so that other work on the machine disturbs both alike. Two ratios are printed:
    of tiles per second, and of tiles per second of processor time (which other work disturbs less; one thread is cleanest;
    it counts the threads that read and write as well). Both ways keep freed memory as `Compute.torch_settings` sets it.
    With --pair the scene is one of two dates, for change networks: --pair --network fc-siam-diff --num-classes 2.
    """
    parser = argparse.ArgumentParser(
        "prediction.py throughput",
        description=time_throughput.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--size", type=int, default=3072, help="side of the scene in px; the target is stated for 10000"
    )
    parser.add_argument("--network", default="unet/resnet34")
    parser.add_argument("--options", type=json.loads, help='of the network, e.g. {"streams": [2, 1]} for fusenet')
    parser.add_argument("--pair", action="store_true", help="predict from two dates")
    parser.add_argument("--num-classes", type=int, default=6, help="0: heights")
    parser.add_argument("--tile", type=int, default=576)
    parser.add_argument("--halo", type=int, default=32)
    parser.add_argument("--overlap", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=20, help="bare forward passes")
    add_json(parser)
    arguments = parser.parse_args(words)
    compute = choose(precision="auto" if arguments.num_classes else "float32", threads=arguments.threads)
    tiling = Tiling(arguments.tile, arguments.halo, arguments.overlap)
    inputs = PAIR_INPUTS if arguments.pair else INPUTS
    segmenter = make_segmenter(arguments.network, arguments.num_classes, tiling, arguments.options, inputs)
    segmenter.to(compute)
    with tempfile.TemporaryDirectory() as folder, compute.torch_settings():
        scene = {
            name: make_scene(Path(folder) / f"{name}.tif", arguments.size, seed)
            for seed, name in enumerate(inputs.names)
        }
        bare_forward(segmenter, 1)
        first = bare_forward(segmenter, arguments.repeats // 2)
        processor = time.process_time()
        result = predict(
            segmenter,
            scene,
            Path(folder) / "labels.tif",
            PredictOptions(tile_px=arguments.tile, threads=compute.threads),
        )
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
    per_processor = result.computed / processor * bare_processor
    print(f"ratio of throughput per processor time: {per_processor:.3f}")
    store_part(
        arguments.json, f"throughput, {'pair' if arguments.pair else 'scene'}", threads=compute.threads, network=arguments.network,
        side_px=arguments.size, tiles=result.computed, precision=compute.precision, percent_of_bare=100 * per_processor,
    )  # fmt: skip


HOUSE_PX, CROP_PX, BATCH = 24, 128, 32
CROPS = 256  # of which the time is taken; the scene has many more buildings


def houses(size: int, count: int) -> NDArray[np.object_]:
    """(N,) squares on a grid over a scene of size × size px."""
    side = round(count**0.5)
    at = (np.arange(side) + 0.5) * size / side - HOUSE_PX / 2
    left, top = (grid.ravel() for grid in np.meshgrid(at, at))
    return np.array(shapely.box(left, top, left + HOUSE_PX, top + HOUSE_PX), object)


def forward(grader: NetworkGrader, side: int, batch: int = 1, repeats: int = 1) -> None:
    """Batches of windows through the network, one after the other, in the precision of the job."""
    windows = np.zeros((batch, grader.run.inputs.in_channels, side, side), np.float32)
    for _ in range(repeats):
        grader.run.segmenter.predict_raw(windows, margin_px=0)


def grading(words: list[str]) -> None:
    """Grading of buildings by the default damage network: reading, network and pooling against its bare forward pass, and against crops.

    Run: python experiments/benchmarks/prediction.py grading [--size 5632 --buildings 10000 --threads 2 --repeats 3]
    The scene is made up: two images of 0.5 m a pixel with houses of 12 m on a grid. Three ways take turns, so that other work on the machine
    disturbs all alike: the forward pass of one tile in memory, over and over; the whole scene as the damage job grades it; and one crop of
    128 px around each building, 32 a batch, as networks that classify buildings one by one do it (read from memory, not from files).
    Best processor seconds of --repeats; ratios are of pixels, and of buildings, a second.
    """
    parser = argparse.ArgumentParser(
        "prediction.py grading", description=grading.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=5632, help="side of the scene in px")
    parser.add_argument("--buildings", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=3)
    add_json(parser)
    arguments = parser.parse_args(words)
    grader, finding = open_shipped()
    if grader is None:
        parser.error(finding.message if finding is not None else "this copy comes without weights")
    compute = choose(threads=arguments.threads, precision="auto")
    grader.run.segmenter.to(compute)
    tile_px = grader.run.tiling.tile_px
    times: dict[str, list[float]] = {"forward": [], "scene": [], "crops": []}
    with tempfile.TemporaryDirectory() as folder, compute.torch_settings(), torch.inference_mode():
        images = [Layer.open(make_scene(Path(folder) / f"{seed}.tif", arguments.size, seed)) for seed in (0, 1)]
        scene = pair_scene(*images)
        outlines = in_pixels(houses(arguments.size, arguments.buildings), scene.shape)
        forward(grader, tile_px)
        for _ in range(arguments.repeats):
            times["forward"].append(time_of(lambda: forward(grader, tile_px))[1])
            times["scene"].append(time_of(lambda: grader.grade(scene, outlines))[1])
            times["crops"].append(time_of(lambda: forward(grader, CROP_PX, BATCH, CROPS // BATCH))[1])
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
    store_part(
        arguments.json, "grading", threads=compute.threads, synthetic=True, side_px=arguments.size, buildings=len(outlines),
        precision=compute.precision, mpix_per_s=whole, of_bare=whole / bare, crops_ratio=graded / cropped,
    )  # fmt: skip


COMPILED = (("light-unet", "efficientnet-lite0"), ("light-unet", "resnet18"), ("unet", "resnet34"))


def compare_runtimes(words: list[str]) -> None:
    """Prediction from file to file, and grading by the default damage network, by PyTorch and by OpenVINO, in turns in one run.

    Run: python experiments/benchmarks/prediction.py runtimes [--size 3584 --threads 1 --repeats 1]
    In float32, the compilation counted in; the best processor seconds of --repeats, their ratio, and the share of labels that are equal,
    or the largest difference of probabilities. Networks have random weights, but for the grader, and 6 classes.
    """
    parser = argparse.ArgumentParser(
        "prediction.py runtimes",
        description=compare_runtimes.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", type=int, default=3584, help="side of the scene in px")
    parser.add_argument("--buildings", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [make_scene(folder / f"{seed}.tif", arguments.size, seed) for seed in (0, 1)]
        for network, encoder in COMPILED:
            segmenter = make_segmenter(network, 6, Tiling(576, 32), {"encoder": encoder})

            def label(runtime: str, segmenter: NetworkSegmenter = segmenter) -> NDArray[Any]:
                requested = PredictOptions(
                    device="cpu", precision="float32", runtime=runtime, threads=arguments.threads, overwrite=True
                )
                return Layer.open(
                    predict(segmenter, images[0], folder / "labels.tif", requested).paths["labels"]
                ).read()[0]

            torch_labels, labels = _in_turns(f"{network}, {encoder}", label, arguments.repeats)
            print(f"  equal labels {np.mean(torch_labels == labels):.5%}")
        grader, _ = open_shipped("cpu", "float32")
        if grader is None:
            return
        scene = pair_scene(*map(Layer.open, images))
        outlines = in_pixels(houses(arguments.size, arguments.buildings), scene.shape)

        def grade(runtime: str) -> NDArray[Any]:
            compute = choose("cpu", "float32", arguments.threads, runtime=runtime)
            grader.run.segmenter.to(compute)
            with compute.torch_settings():
                return grader.grade(scene, outlines)

        torch_grades, grades = _in_turns("default damage network", grade, arguments.repeats)
        print(f"  largest difference of probabilities {np.nanmax(np.abs(torch_grades - grades)):.1e}")


def _in_turns(title: str, work: Callable[[str], NDArray[Any]], repeats: int) -> list[NDArray[Any]]:
    """The results by both runtimes, whose best processor seconds are printed."""
    best, results = dict.fromkeys(RUNTIMES, np.inf), {}
    for _ in range(repeats):
        for runtime in RUNTIMES:
            begun = time.process_time()
            results[runtime] = work(runtime)
            best[runtime] = min(best[runtime], time.process_time() - begun)
    first, second = best.values()
    print(f"{title}: {first:.1f} s by PyTorch, {second:.1f} s by OpenVINO, ratio {first / second:.2f}", flush=True)
    return list(results.values())


def time_start(words: list[str]) -> None:
    """`deepnets4eo predict buildings` of one image from start to end, in a process of its own, as a user calls it.

    Run: python experiments/benchmarks/prediction.py start [--size 512 --repeats 3]
    The best processor seconds of --repeats, as it comes and by PyTorch. The first process on a processor also measures what it
    computes faster.
    """
    parser = argparse.ArgumentParser(
        "prediction.py start", description=time_start.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="side of the image in px")
    parser.add_argument("--repeats", type=int, default=3)
    add_json(parser)
    arguments = parser.parse_args(words)
    spent: dict[str, list[float]] = {"auto": [], "torch": []}
    with tempfile.TemporaryDirectory() as name:
        image = make_scene(Path(name) / "image.tif", arguments.size)
        command = [sys.executable, "-m", "deepnets4eo.cli.main", "predict", "buildings", str(image), "--overwrite"]
        for _ in range(arguments.repeats):
            for runtime, times in spent.items():
                words = ["--out", str(image.with_name("labels.tif")), "--runtime", runtime]
                times.append(run_apart([*command, *words])[0])
    ours, plain = (min(times) for times in spent.values())
    print(f"predict buildings, {arguments.size}²: {ours:.2f} s of processor time, {plain:.2f} s by PyTorch")
    store_part(
        arguments.json,
        "start",
        threads=cores(),
        synthetic=True,
        side_px=arguments.size,
        ours_s=ours,
        ratio=plain / ours,
    )


PARTS = {"throughput": time_throughput, "grading": grading, "runtimes": compare_runtimes, "start": time_start}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"Name what is measured: {', '.join(PARTS)}.")
    PARTS[sys.argv[1]](sys.argv[2:])
