"""Pairs of the miniature world with all their truth, against those of the miniature city, in the same run.

Usage: python experiments/benchmarks/world_stream.py [--size-px 512 --pairs 12 --style suburb --hazard tornado]
Processor time of one thread a pair of dates: images, labels, buildings and heights. Kernels are compiled before.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from world.pair import draw_pair

from deepnets4eo.synthetic import City


def draw_city(seed: int, size_px: int) -> None:
    """Both dates of a city with what `PairSample` holds."""
    city = City(seed, size_px, 0.5)
    for scene in (city.pre, city.post):
        assert scene.image.shape[1:] == scene.dsm.shape == scene.labels("minicity").shape == scene.building_ids().shape
    assert len(city.buildings)


def seconds_of(draw: Callable[[int], object], pairs: int) -> list[float]:
    """Processor time of each pair, the first not counted."""
    seconds = []
    for seed in range(pairs + 1):
        start = time.process_time()
        draw(seed)
        seconds.append(time.process_time() - start)
    return seconds[1:]


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-px", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--style")
    parser.add_argument("--hazard")
    options = parser.parse_args()
    size_px = options.size_px

    def draw_world(seed: int) -> object:
        return draw_pair(seed, style=options.style, hazard=options.hazard, size_px=size_px, gsd_m=0.5)

    start = time.process_time()
    draw_world(0)
    print(f"first pair, with compiling where nothing is cached: {time.process_time() - start:.1f} s")
    world = seconds_of(draw_world, options.pairs)
    city = seconds_of(lambda seed: draw_city(seed, size_px), max(options.pairs // 4, 2))
    pixels = size_px**2 / 1e6
    print(f"world {pixels / np.mean(world):.2f} MPix/s (best pair {pixels / min(world):.2f})")
    print(f"city  {pixels / np.mean(city):.2f} MPix/s")
    print(f"ratio {np.mean(city) / np.mean(world):.1f}")


if __name__ == "__main__":
    main()
