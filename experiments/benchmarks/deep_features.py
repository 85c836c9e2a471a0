"""Deep features in one pass over the image against patch by patch, of the same encoder on the same city.

Run: python experiments/benchmarks/deep_features.py [--encoder resnet18 --size 1024 --patch 231 --step 32 --threads 2]
Patches are counted on a part of the sites (--sample), as all would take an hour; times are per megapixel of the image.
The encoder has random weights: its time is that of trained ones. The correlation shows how much of a patch's values the
one pass keeps; what differs is the zeros that patches are padded with inside the encoder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.deep import DeepFeatures
from deepnets4eo.baselines.patch_network import PatchNetwork
from deepnets4eo.synthetic import City


def time_repeats(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds of the fastest of some runs after one that warms up, and the result."""
    result, seconds = work(), []
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
    return min(seconds), result


def compare_features(arguments: argparse.Namespace, bands: Bands) -> None:
    """Time both looks of an encoder, and how well their values agree."""
    common: dict[str, Any] = {
        "encoder": arguments.encoder,
        "patch_px": arguments.patch,
        "reduction": arguments.reduction,
    }
    dense = DeepFeatures(looks="dense", **common)
    alone = DeepFeatures(looks="patch", step_px=arguments.step, **common)
    dense_s, values = time_repeats(lambda: dense.compute(bands, arguments.step), arguments.repeats)
    positions = np.argwhere(np.ones(values.shape[1:], bool))
    centres = positions * arguments.step + arguments.step // 2
    whole = (np.minimum(centres, np.array(bands.shape) - centres) > arguments.patch // 2 + 1).all(axis=1)
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(whole))[: arguments.sample]
    patch_s, in_patches = time_repeats(lambda: alone.at_indices(bands, *centres[chosen].T), arguments.repeats)
    patch_s *= len(positions) / len(chosen)
    pixels = values[0].size * arguments.step**2 / 1e6
    at = positions[chosen].T
    kept = np.corrcoef(values[:, at[0], at[1]].T.ravel(), in_patches.ravel())[0, 1]
    print(f"one pass: {dense_s:.2f} s for {len(positions)} sites, {pixels / dense_s:.3f} MPix/s")
    print(f"patch by patch: {patch_s:.1f} s ({len(chosen)} of them measured), {pixels / patch_s:.4f} MPix/s")
    print(f"ratio: {patch_s / dense_s:.1f}; correlation of the values: {kept:.4f}")
    every = DeepFeatures(arguments.encoder, components=32)
    every_s, _ = time_repeats(lambda: every.compute(bands), 1)
    print(f"32 columns at every pixel: {every_s:.2f} s, {pixels / every_s:.3f} MPix/s")


def compare_network(arguments: argparse.Namespace, image: np.ndarray) -> None:
    """Time the patch CNN in one pass and patch by patch, and their largest difference."""
    network = PatchNetwork(len(image), 6).eval()
    side, step = network.patch_px, network.stride_px
    before = (side - step) // 2
    first = -before % step  # pixel at which the first patch begins that is inside the image and on the network's grid
    tensor = torch.from_numpy(image[None] / np.float32(255))
    column = tensor[0, :, first:, first : first + side].unfold(1, side, step).permute(1, 0, 3, 2)
    few = column[: 4 * arguments.sample].contiguous()
    with torch.inference_mode():
        dense_s, logits = time_repeats(lambda: network.sites(tensor), arguments.repeats)
        patch_s, alone = time_repeats(lambda: network.classify(few), arguments.repeats)
    skipped = (before + first) // step
    gap = float((logits[0, :, skipped : skipped + len(few), skipped].T - alone).abs().max())
    patch_s *= logits[0, 0].numel() / len(few)
    pixels = tensor[0, 0].numel() / 1e6
    print(f"patch-alexnet, one pass: {dense_s:.2f} s, {pixels / dense_s:.3f} MPix/s")
    print(f"patch by patch: {patch_s:.1f} s; ratio {patch_s / dense_s:.1f}; largest difference of logits {gap:.1e}")


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=1024, help="side of the city in pixels")
    parser.add_argument("--patch", type=int, default=231)
    parser.add_argument("--step", type=int, default=32)
    parser.add_argument("--reduction", type=int, default=16)
    parser.add_argument("--sample", type=int, default=32, help="patches that are measured one by one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    city = City(seed=0, size_px=arguments.size, gsd_m=0.5)
    image = np.asarray(city.image[:3], np.float32)
    compare_features(arguments, Bands(image, ("image.red", "image.green", "image.blue"), 0.5))
    compare_network(arguments, image)


if __name__ == "__main__":
    main()
