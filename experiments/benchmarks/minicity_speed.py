"""How long a miniature city takes, and its shadow sweep against marching along every sun ray.

Usage: python experiments/benchmarks/minicity_speed.py [--sizes 1024 4000]
Processor time of one thread, both dates with image, surface model and labels; peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from deepnets4eo.synthetic import City, Light
from deepnets4eo.synthetic.light import horizon


def march_to_sun(top: np.ndarray, light: Light, gsd_m: float, reach_px: int) -> np.ndarray:
    """The plain way: compare with the surface shifted by every step towards the sun."""
    azimuth, drop = np.radians(light.azimuth_deg), np.float32(gsd_m * np.tan(np.radians(light.elevation_deg)))
    edge = np.full(top.shape, -np.inf, np.float32)
    for step in range(1, reach_px):
        row, col = round(np.cos(azimuth) * step), round(-np.sin(azimuth) * step)
        np.maximum(edge, np.roll(top, (row, col), (0, 1)) - step * drop, out=edge)
    return edge


def time_city(size_px: int) -> dict[str, float]:
    """Make one city in full."""
    start, begin = time.process_time(), time.perf_counter()
    city = City(3, size_px, 0.3)
    for scene in (city.pre, city.post):
        assert scene.image.shape[1:] == scene.dsm.shape == scene.labels("isprs").shape
    return {
        "size_px": size_px,
        "buildings": len(city.buildings),
        "cpu_s": round(time.process_time() - start, 2),
        "wall_s": round(time.perf_counter() - begin, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def time_shadow() -> dict[str, float]:
    """Sweep against march on one surface."""
    city, light = City(3, 1024, 0.3), Light(150.0, 30.0, 0.7)
    surface = city.pre.surface
    top = (surface.ground + surface.height).astype(np.float32)
    reach = int(float(surface.height.max()) / np.tan(np.radians(light.elevation_deg)) / 0.3) + 2
    seconds = []
    for task in (lambda: horizon(top, light, 0.3), lambda: march_to_sun(top, light, 0.3, reach)):
        start = time.process_time()
        task()
        seconds.append(time.process_time() - start)
    return {
        "sweep_s": round(seconds[0], 3),
        "march_s": round(seconds[1], 3),
        "ratio": round(seconds[1] / seconds[0], 1),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4000])
    sizes = parser.parse_args().sizes
    print(json.dumps({"shadow": time_shadow(), "cities": [time_city(size) for size in sizes]}, indent=2))


if __name__ == "__main__":
    main()
